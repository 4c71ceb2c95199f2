/* Includes BODY once for every instruction set of this build, with SUFFIX, the end of its names,
 * and TARGET, its attribute. */
#define SUFFIX scalar
#define TARGET
#include BODY
#undef SUFFIX
#undef TARGET

#if BNN_X86
#define SUFFIX avx2
#define TARGET BNN_AVX2
#include BODY
#undef SUFFIX
#undef TARGET

#define SUFFIX avx512
#define TARGET BNN_AVX512
#include BODY
#undef SUFFIX
#undef TARGET
#endif

#if BNN_NEON
#define SUFFIX neon
#define TARGET
#include BODY
#undef SUFFIX
#undef TARGET
#endif

#undef BODY

/* The instruction sets that are compiled in, and which of them this CPU can run. */
#include "bnn_isa.h"
#include "logic.h"
#include "logic_tree.h"

#define BNN_LOGIC_TABLE(SUFFIX)                                                              \
    {                                                                                        \
        bnn_gates_forward_##SUFFIX, bnn_gates_backward_##SUFFIX, bnn_mixed_forward_##SUFFIX, \
            bnn_mixed_backward_##SUFFIX, bnn_mixed_scatter_##SUFFIX,                         \
            bnn_choice_backward_##SUFFIX                                                     \
    }
#define BNN_TABLE(SUFFIX, SIGN_ROWS)                                                         \
    {                                                                                        \
        #SUFFIX, &logic_##SUFFIX, &trees_##SUFFIX, &bnn_circuit_##SUFFIX,                    \
            bnn_signs_pack_##SUFFIX, bnn_xor_dot_##SUFFIX, bnn_xor_threshold_##SUFFIX,       \
            bnn_sign_dot_##SUFFIX, SIGN_ROWS,                                                \
            bnn_table_step_##SUFFIX, bnn_logic_pack_##SUFFIX, bnn_logic_gates_##SUFFIX,      \
            bnn_logic_sum_##SUFFIX, bnn_logic_spin_##SUFFIX                                  \
    }

static const bnn_logic_isa logic_ref = BNN_LOGIC_TABLE(ref);
static const bnn_trees_isa trees_ref = {bnn_trees_forward_ref, bnn_trees_backward_ref};
static const bnn_isa isa_ref = BNN_TABLE(ref, NULL);
static const bnn_logic_isa logic_scalar = BNN_LOGIC_TABLE(scalar);
static const bnn_trees_isa trees_scalar = {bnn_trees_forward_scalar, bnn_trees_backward_scalar};
static const bnn_isa isa_scalar = BNN_TABLE(scalar, NULL);

#if BNN_X86
static const bnn_logic_isa logic_avx2 = BNN_LOGIC_TABLE(avx2);
static const bnn_trees_isa trees_avx2 = {bnn_trees_forward_avx2, bnn_trees_backward_avx2};
static const bnn_isa isa_avx2 = BNN_TABLE(avx2, NULL);
static const bnn_logic_isa logic_avx512 = BNN_LOGIC_TABLE(avx512);
static const bnn_trees_isa trees_avx512 = {bnn_trees_forward_avx512, bnn_trees_backward_avx512};
static const bnn_isa isa_avx512 = BNN_TABLE(avx512, bnn_sign_rows_avx512);

static int cpu_has_avx2(void) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static int cpu_has_avx512(void) {
    return cpu_has_avx2() && __builtin_cpu_supports("avx512f") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vpopcntdq");
}
#endif
#if BNN_NEON
static const bnn_logic_isa logic_neon = BNN_LOGIC_TABLE(neon);
static const bnn_trees_isa trees_neon = {bnn_trees_forward_neon, bnn_trees_backward_neon};
static const bnn_isa isa_neon = BNN_TABLE(neon, NULL);
#endif

const bnn_isa *bnn_isa_find(const char *name) {
    if (strcmp(name, "ref") == 0) return &isa_ref;
    if (strcmp(name, "scalar") == 0) return &isa_scalar;
#if BNN_X86
    __builtin_cpu_init();
    if (strcmp(name, "avx2") == 0) return cpu_has_avx2() ? &isa_avx2 : NULL;
    if (strcmp(name, "avx512") == 0) return cpu_has_avx512() ? &isa_avx512 : NULL;
#endif
#if BNN_NEON
    if (strcmp(name, "neon") == 0) return &isa_neon; /* part of the aarch64 baseline */
#endif
    return NULL;
}

const bnn_isa *bnn_isa_best(void) {
    static const char *const fastest_first[] = {"avx512", "avx2", "neon"};
    for (size_t i = 0; i < sizeof fastest_first / sizeof *fastest_first; i++) {
        const bnn_isa *isa = bnn_isa_find(fastest_first[i]);
        if (isa) return isa;
    }
    return &isa_scalar;
}

const char *bnn_isa_name(const bnn_isa *isa) { return isa->name; }

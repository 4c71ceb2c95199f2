/* Networks of two-input gates, 512 samples a pass: signal s of a pass is the 8 words from
 * values + 8 s, sample i bit i % 64 of word i / 64.
 */
#include "bnn_isa.h"

/* -- plain C -------------------------------------------------------------------------------- */

void bnn_logic_pack_ref(const bnn_logic_program *program, const uint8_t *images, size_t n,
                        size_t stride, uint64_t *values) {
    for (size_t block = 0; block < program->blocks; block++)
        for (size_t j = 0; j < 64; j++) {
            if (!(program->used[block] >> j & 1)) continue;
            memset(values, 0, BNN_LOGIC_WORDS * sizeof *values);
            for (size_t i = 0; i < n; i++) {
                uint8_t pixel = images[i * stride + program->offsets[block] + j];
                uint64_t bit = pixel > program->thresholds[64 * block + j];
                values[i / 64] |= bit << i % 64;
            }
            values += BNN_LOGIC_WORDS;
        }
}

BNN_INLINE uint64_t gate_ref(uint32_t table, uint64_t a, uint64_t b) {
    uint64_t out = 0;
    if (table & 1) out |= ~a & ~b;
    if (table & 2) out |= a & ~b;
    if (table & 4) out |= ~a & b;
    if (table & 8) out |= a & b;
    return out;
}

BNN_INLINE size_t slot_at(const bnn_logic_program *program, size_t i) {
    return BNN_LOGIC_WORDS * (program->narrow ? program->narrow[i] : (size_t)program->wide[i]);
}

void bnn_logic_gates_ref(const bnn_logic_program *program, uint64_t *values) {
    for (size_t r = 0, i = 0; r < program->runs; r++)
        for (size_t end = i + 3 * (size_t)program->run[r].count; i < end; i += 3) {
            uint64_t *out = values + slot_at(program, i);
            const uint64_t *a = values + slot_at(program, i + 1);
            const uint64_t *b = values + slot_at(program, i + 2);
            for (size_t w = 0; w < BNN_LOGIC_WORDS; w++)
                out[w] = gate_ref(program->run[r].table, a[w], b[w]);
        }
}

void bnn_logic_sum_ref(const bnn_logic_program *program, const uint64_t *values, size_t n,
                       int32_t *counts) {
    for (size_t i = 0; i < n; i++)
        for (size_t group = 0, at = 0; group < program->groups; group++) {
            int32_t count = program->biases[group];
            for (; at < program->ends[group]; at++)
                count += (int32_t)(values[program->counted[at] * BNN_LOGIC_WORDS + i / 64] >> i % 64 & 1);
            *counts++ = count;
        }
}

uint64_t bnn_logic_spin_ref(size_t operations) { return bnn_logic_spin_scalar(operations); }

/* -- 64 comparisons of bytes ------------------------------------------------------------------ */

BNN_INLINE uint64_t above_scalar(const uint8_t *pixels, const uint8_t *thresholds) {
    const uint64_t high = 0x8080808080808080u;
    uint64_t bits = 0;
    for (int i = 0; i < 8; i++) {
        uint64_t x = bnn_load64(pixels + 8 * i), t = bnn_load64(thresholds + 8 * i);
        /* The high bit of each byte: the low 7 bits of t are not below those of x. */
        uint64_t covers = (t | high) - (x & ~high);
        uint64_t above = ~((t & ~x) | (~(t ^ x) & covers)) & high;
        bits |= ((above >> 7) * 0x0102040810204080u >> 56) << 8 * i;
    }
    return bits;
}

#if BNN_X86
BNN_AVX2 BNN_INLINE uint64_t above_avx2(const uint8_t *pixels, const uint8_t *thresholds) {
    uint64_t bits = 0;
    for (int i = 0; i < 2; i++) {
        __m256i x = _mm256_loadu_si256((const __m256i *)(pixels + 32 * i));
        __m256i t = _mm256_loadu_si256((const __m256i *)(thresholds + 32 * i));
        __m256i covered = _mm256_cmpeq_epi8(_mm256_subs_epu8(x, t), _mm256_setzero_si256());
        bits |= (uint64_t)(uint32_t)~_mm256_movemask_epi8(covered) << 32 * i;
    }
    return bits;
}

BNN_AVX512 BNN_INLINE uint64_t above_avx512(const uint8_t *pixels, const uint8_t *thresholds) {
    return _mm512_cmpgt_epu8_mask(_mm512_loadu_si512(pixels), _mm512_loadu_si512(thresholds));
}
#endif

#if defined(__GNUC__)
#define KEEP(REGISTER, X) __asm__ volatile("" : REGISTER(X))
#else
#define KEEP(REGISTER, X)
#endif

/* -- one body for each instruction set ---------------------------------------------------------- */

#define BNN_LANES_NAME(STEM) STEM##_scalar
#define BNN_LANES_TARGET
#define BNN_LANES_BYTES 8
#define BNN_LANES_ABOVE above_scalar
#define BNN_LANES_KEEP(X) KEEP("+r", X)
#include "logic_eval_lanes.h"

#if BNN_X86
#define BNN_LANES_NAME(STEM) STEM##_avx2
#define BNN_LANES_TARGET BNN_AVX2
#define BNN_LANES_BYTES 32
#define BNN_LANES_ABOVE above_avx2
#define BNN_LANES_KEEP(X) KEEP("+x", X)
#include "logic_eval_lanes.h"

#define BNN_LANES_NAME(STEM) STEM##_avx512
#define BNN_LANES_TARGET BNN_AVX512
#define BNN_LANES_BYTES 64
#define BNN_LANES_ABOVE above_avx512
#define BNN_LANES_KEEP(X) KEEP("+v", X)
#define THREE(A, B, C, TABLE) \
    ((V)_mm512_ternarylogic_epi64((__m512i)(A), (__m512i)(B), (__m512i)(C), TABLE))
#define BNN_LANES_ODD(A, B, C) THREE(A, B, C, 0x96)
#define BNN_LANES_MAJORITY(A, B, C) THREE(A, B, C, 0xe8)
#include "logic_eval_lanes.h"
#endif

#if BNN_NEON
#define BNN_LANES_NAME(STEM) STEM##_neon
#define BNN_LANES_TARGET
#define BNN_LANES_BYTES 16
#define BNN_LANES_ABOVE above_scalar
#define BNN_LANES_KEEP(X) KEEP("+w", X)
#include "logic_eval_lanes.h"
#endif

/* -- passes --------------------------------------------------------------------------------------- */

void bnn_logic_count(const bnn_isa *isa, const bnn_logic_program *program, const uint8_t *images,
                     size_t n, size_t stride, uint64_t *values, int32_t *counts) {
    for (size_t start = 0; start < n; start += BNN_LOGIC_SAMPLES) {
        size_t here = bnn_min(BNN_LOGIC_SAMPLES, n - start);
        isa->logic_pack(program, images + start * stride, here, stride, values);
        isa->logic_gates(program, values);
        isa->logic_sum(program, values, here, counts + start * program->groups);
    }
}

void bnn_logic_evaluate(const bnn_isa *isa, const bnn_logic_program *program,
                        const uint64_t *inputs, size_t passes, uint64_t *values,
                        uint64_t *outputs) {
    const size_t row = BNN_LOGIC_WORDS;
    size_t counted = program->groups ? program->ends[program->groups - 1] : 0;
    for (size_t pass = 0; pass < passes; pass++) {
        memcpy(values, inputs, program->inputs * row * sizeof *values);
        inputs += program->inputs * row;
        isa->logic_gates(program, values);
        for (size_t i = 0; i < counted; i++, outputs += row)
            memcpy(outputs, values + program->counted[i] * row, row * sizeof *values);
    }
}

uint64_t bnn_logic_spin(const bnn_isa *isa, size_t operations) { return isa->logic_spin(operations); }

/* Passes over circuits for every instruction set, and simulation, 512 cases a pass. */
#include "circuit.h"

/* The plain form of what is below: a bit at a time where that is short enough to see through. */

static void fill_ref(const uint8_t *op, const int32_t *a, const int32_t *b, size_t gates,
                     size_t first, uint64_t *values, size_t words) {
    for (size_t i = 0; i < gates; i++)
        for (size_t w = 0; w < words; w++) {
            uint64_t x = values[(size_t)a[i] * words + w], y = values[(size_t)b[i] * words + w];
            uint64_t out = 0;
            if (op[i] & 1) out |= ~x & ~y;
            if (op[i] & 2) out |= x & ~y;
            if (op[i] & 4) out |= ~x & y;
            if (op[i] & 8) out |= x & y;
            values[(first + i) * words + w] = out;
        }
}

static void flip_ref(const uint8_t *op, const int32_t *a, const int32_t *b, size_t gates,
                     size_t first, size_t x, const uint64_t *values, uint64_t *flipped,
                     uint8_t *touched, size_t words) {
    for (size_t s = 0; s < first + gates; s++)
        touched[s] = s == x || (s > x && s >= first &&
                                (touched[a[s - first]] || touched[b[s - first]]));
    for (size_t w = 0; w < words; w++)
        for (size_t s = x; s < first + gates; s++) {
            if (!touched[s]) continue;
            uint64_t *out = flipped + s * words + w;
            if (s == x) {
                *out = ~values[x * words + w];
                continue;
            }
            size_t left = (size_t)a[s - first], right = (size_t)b[s - first];
            uint64_t pair[3] = {(touched[left] ? flipped : values)[left * words + w],
                                (touched[right] ? flipped : values)[right * words + w], 0};
            const int32_t zero = 0, one = 1;
            fill_ref(op + s - first, &zero, &one, 1, 2, pair, 1);
            *out = pair[2];
        }
}

static int row_of(const uint64_t *words, size_t row) { return (int)(words[row / 64] >> row % 64 & 1); }

static void faults_ref(const circuit_divisors *divisors, size_t n, size_t one, size_t zero,
                       uint64_t *faults) {
    memset(faults, 0, n * divisors->words * sizeof *faults);
    for (size_t i = 0; i < n; i++) {
        const uint64_t *value = divisors->values + i * divisors->words;
        for (size_t row = 0; row < 64 * divisors->words; row++) {
            size_t other = row_of(divisors->off, row) ? one : zero;
            if (!row_of(divisors->on, row) && !row_of(divisors->off, row)) continue;
            if (row_of(value, row) == row_of(value, other))
                faults[i * divisors->words + row / 64] |= (uint64_t)1 << row % 64;
        }
    }
}

static size_t pairs_ref(const circuit_divisors *divisors, size_t second, size_t from, size_t to,
                        circuit_pair *found) {
    const size_t words = divisors->words;
    const uint64_t *b = divisors->values + second * words;
    size_t n = 0;
    for (size_t i = from; i < to; i++) {
        const uint64_t *a = divisors->values + i * words;
        unsigned ones = 0, zeros = 0;
        for (size_t row = 0; row < 64 * words; row++) {
            unsigned entry = 1u << (row_of(a, row) + 2 * row_of(b, row));
            if (row_of(divisors->on, row)) ones |= entry;
            if (row_of(divisors->off, row)) zeros |= entry;
        }
        if (ones & zeros) continue;
        found[n].first = (uint32_t)i;
        found[n++].table = (uint8_t)ones;
    }
    return n;
}

const bnn_circuit_isa bnn_circuit_ref = {fill_ref, flip_ref, faults_ref, pairs_ref};

/* -- one body for each instruction set ---------------------------------------------------------- */

#define CIRCUIT_NAME(STEM) STEM##_scalar
#define CIRCUIT_TARGET
#define CIRCUIT_BYTES 8
#define CIRCUIT_ANY(X) ((X) != 0)
#include "circuit_lanes.h"

#if BNN_X86
BNN_AVX2 BNN_INLINE int any_avx2(__m256i x) { return !_mm256_testz_si256(x, x); }
#define CIRCUIT_NAME(STEM) STEM##_avx2
#define CIRCUIT_TARGET BNN_AVX2
#define CIRCUIT_BYTES 32
#define CIRCUIT_ANY(X) any_avx2((__m256i)(X))
#include "circuit_lanes.h"

BNN_AVX512 BNN_INLINE int any_avx512(__m512i x) { return _mm512_test_epi64_mask(x, x) != 0; }
#define CIRCUIT_NAME(STEM) STEM##_avx512
#define CIRCUIT_TARGET BNN_AVX512
#define CIRCUIT_BYTES 64
#define CIRCUIT_ANY(X) any_avx512((__m512i)(X))
#include "circuit_lanes.h"
#endif

#if BNN_NEON
BNN_INLINE int any_neon(uint64x2_t x) { return (vgetq_lane_u64(x, 0) | vgetq_lane_u64(x, 1)) != 0; }
#define CIRCUIT_NAME(STEM) STEM##_neon
#define CIRCUIT_TARGET
#define CIRCUIT_BYTES 16
#define CIRCUIT_ANY(X) any_neon((uint64x2_t)(X))
#include "circuit_lanes.h"
#endif

/* -- simulation --------------------------------------------------------------------------------- */

int bnn_circuit_simulate(const bnn_isa *isa, const bnn_circuit *circuit, const uint64_t *inputs,
                         size_t words, const int32_t *wanted, size_t n_wanted, uint64_t *out) {
    const size_t row = CIRCUIT_WORDS, first = CIRCUIT_FIRST_INPUT + circuit->inputs;
    uint64_t *values = circuit_words(first + circuit->gates, row);
    if (!values) return -1;
    memset(values, 0, row * sizeof *values);
    memset(values + row, 0xff, row * sizeof *values);
    for (size_t start = 0; start < words; start += row) {
        size_t here = bnn_min(row, words - start);
        for (size_t i = 0; i < circuit->inputs; i++) {
            uint64_t *to = values + (CIRCUIT_FIRST_INPUT + i) * row;
            memset(to, 0, row * sizeof *to);
            memcpy(to, inputs + i * words + start, here * sizeof *to);
        }
        isa->circuit->fill(circuit->op, circuit->a, circuit->b, circuit->gates, first, values, row);
        for (size_t i = 0; i < n_wanted; i++)
            memcpy(out + i * words + start, values + (size_t)wanted[i] * row, here * sizeof *out);
    }
    circuit_free_words(values);
    return 0;
}

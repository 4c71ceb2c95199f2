/* Gate networks for one instruction set: included once for each, with
 *
 *   BNN_LANES_NAME(stem)  the name of a function or type of this instruction set
 *   BNN_LANES_TARGET      its target attribute
 *   BNN_LANES_BYTES       bytes of a vector
 *   BNN_LANES_ABOVE       uint64_t (const uint8_t *pixels, const uint8_t *thresholds): bit i is
 *                         pixels[i] > thresholds[i], i < 64
 *   BNN_LANES_KEEP(vector)  stops the compiler from looking through a vector in a register
 *   BNN_LANES_ODD, BNN_LANES_MAJORITY  of three vectors, where the instruction set has them
 *
 * The body is text and not a function for all, because a vector type gets the registers of the
 * function in which it is written.
 */

#ifndef BNN_LANES_ODD
#define BNN_LANES_ODD(A, B, C) ((A) ^ (B) ^ (C))
#define BNN_LANES_MAJORITY(A, B, C) (((A) & (B)) | (((A) | (B)) & (C)))
#endif

#define NAME BNN_LANES_NAME
#define TARGET BNN_LANES_TARGET
#define COLUMNS (BNN_LOGIC_WORDS * 8 / BNN_LANES_BYTES) /* vectors of a signal */

#if BNN_LANES_BYTES == 8
typedef uint64_t NAME(lanes);
#else
/* Of any alignment, and another view of the same words. */
typedef uint64_t NAME(lanes)
    __attribute__((vector_size(BNN_LANES_BYTES), aligned(8), may_alias));
#endif
#define V NAME(lanes)

/* -- packing -------------------------------------------------------------------------------- */

/* Transposes 8 matrices of 64 x 64 bits side by side: bit j of rows[i] <-> bit i of rows[j]. */
TARGET static void NAME(transpose)(uint64_t (*rows)[BNN_LOGIC_WORDS]) {
    uint64_t mask = 0x00000000ffffffffu;
    for (unsigned j = 32; j; j >>= 1, mask ^= mask << j)
        for (unsigned i = 0; i < 64; i = ((i | j) + 1) & ~j) {
            V *low = (V *)rows[i], *high = (V *)rows[i | j];
            for (int c = 0; c < COLUMNS; c++) {
                V swap = ((low[c] >> j) ^ high[c]) & mask;
                low[c] ^= swap << j;
                high[c] ^= swap;
            }
        }
}

/* Blocks first .. first + count - 1 of the inputs, image by image. */
TARGET static void NAME(threshold)(const bnn_logic_program *program, size_t first, size_t count,
                                   const uint8_t *images, size_t n, size_t stride,
                                   uint64_t (*rows)[64][BNN_LOGIC_WORDS]) {
    uint8_t padded[64] = {0};
    if (n < BNN_LOGIC_SAMPLES) memset(rows, 0, count * sizeof *rows);
    for (size_t i = 0; i < n; i++, images += stride)
        for (size_t b = 0; b < count; b++) {
            const uint8_t *pixels = images + program->offsets[first + b];
            if (program->span < 64) pixels = memcpy(padded, pixels, program->span);
            rows[b][i % 64][i / 64] =
                BNN_LANES_ABOVE(pixels, program->thresholds + 64 * (first + b));
        }
}

TARGET void NAME(bnn_logic_pack)(const bnn_logic_program *program, const uint8_t *images, size_t n,
                                 size_t stride, uint64_t *values) {
    uint64_t rows[8][64][BNN_LOGIC_WORDS];
    for (size_t first = 0; first < program->blocks; first += 8) {
        size_t count = bnn_min(8, program->blocks - first);
        NAME(threshold)(program, first, count, images, n, stride, rows);
        for (size_t b = 0; b < count; b++) {
            NAME(transpose)(rows[b]);
            uint64_t used = program->used[first + b];
            for (int i = 0; i < 64; i++)
                if (used >> i & 1) {
                    memcpy(values, rows[b][i], sizeof rows[b][i]);
                    values += BNN_LOGIC_WORDS;
                }
        }
    }
}

/* -- gates ---------------------------------------------------------------------------------- */

#define GATES(TABLE, EXPRESSION)                                                     \
    case TABLE:                                                                      \
        for (; operands < end; operands += 3) {                                      \
            V *out = (V *)(values + (size_t)operands[0] * BNN_LOGIC_WORDS);           \
            const V *a = (const V *)(values + (size_t)operands[1] * BNN_LOGIC_WORDS); \
            const V *b = (const V *)(values + (size_t)operands[2] * BNN_LOGIC_WORDS); \
            for (int c = 0; c < COLUMNS; c++) out[c] = EXPRESSION;                   \
        }                                                                            \
        break;

#define RUN_GATES(STEM, INDEX)                                                            \
    TARGET static const INDEX *NAME(STEM)(const bnn_logic_run *run, const INDEX *operands, \
                                          uint64_t *values) {                             \
        const INDEX *end = operands + 3 * (size_t)run->count;                             \
        switch (run->table) {                                                             \
            GATES(0x8, a[c] & b[c])                                                       \
            GATES(0x2, a[c] & ~b[c])                                                      \
            GATES(0xe, a[c] | b[c])                                                       \
            GATES(0x6, a[c] ^ b[c])                                                       \
            GATES(0x7, ~(a[c] & b[c]))                                                    \
            GATES(0xd, ~(a[c] & ~b[c]))                                                   \
            GATES(0x1, ~(a[c] | b[c]))                                                    \
            GATES(0x9, ~(a[c] ^ b[c]))                                                    \
        }                                                                                 \
        return operands;                                                                  \
    }

RUN_GATES(run_narrow, uint16_t)
RUN_GATES(run_wide, uint32_t)

TARGET void NAME(bnn_logic_gates)(const bnn_logic_program *program, uint64_t *values) {
    const uint16_t *narrow = program->narrow;
    const uint32_t *wide = program->wide;
    for (size_t i = 0; i < program->runs; i++)
        if (narrow)
            narrow = NAME(run_narrow)(program->run + i, narrow, values);
        else
            wide = NAME(run_wide)(program->run + i, wide, values);
}

/* -- counting ------------------------------------------------------------------------------- */

/* Adds a, b and c: `low` gets the sum, `high` the carry; low may be one of the terms. */
#define FULL_ADD(HIGH, LOW, A, B, C)                       \
    do {                                                   \
        V first_ = (A), second_ = (B), third_ = (C);       \
        HIGH = BNN_LANES_MAJORITY(first_, second_, third_); \
        LOW = BNN_LANES_ODD(first_, second_, third_);      \
    } while (0)

/* Counts signals into planes of 8 words, lowest bit first, by carry-save adders over 16 signals
 * (Harley and Seal). One column of vectors. */
TARGET static void NAME(count_column)(const uint64_t *values, const uint32_t *slots, size_t count,
                                      uint64_t *planes, int n_planes) {
    V zero = {0}, sum[4] = {zero, zero, zero, zero}, high[BNN_LOGIC_PLANES];
    for (int p = 0; p < n_planes; p++) high[p] = zero;
#define AT(I) (*(const V *)(values + (size_t)slots[I] * BNN_LOGIC_WORDS))
    size_t i = 0;
    for (; i + 16 <= count; i += 16, slots += 16) {
        V carry, two[2], four[2], eight[2];
        for (int half = 0; half < 2; half++) {
            const int j = 8 * half;
            FULL_ADD(two[0], sum[0], sum[0], AT(j), AT(j + 1));
            FULL_ADD(two[1], sum[0], sum[0], AT(j + 2), AT(j + 3));
            FULL_ADD(four[0], sum[1], sum[1], two[0], two[1]);
            FULL_ADD(two[0], sum[0], sum[0], AT(j + 4), AT(j + 5));
            FULL_ADD(two[1], sum[0], sum[0], AT(j + 6), AT(j + 7));
            FULL_ADD(four[1], sum[1], sum[1], two[0], two[1]);
            FULL_ADD(eight[half], sum[2], sum[2], four[0], four[1]);
        }
        FULL_ADD(carry, sum[3], sum[3], eight[0], eight[1]);
        for (int p = 4; p < n_planes; p++) {
            V next = high[p] & carry;
            high[p] ^= carry;
            carry = next;
        }
    }
    for (int p = 0; p < 4 && p < n_planes; p++) high[p] = sum[p];
    for (; i < count; i++, slots++) {
        V carry = AT(0);
        for (int p = 0; p < n_planes; p++) {
            V next = high[p] & carry;
            high[p] ^= carry;
            carry = next;
        }
    }
#undef AT
    for (int p = 0; p < n_planes; p++) *(V *)(planes + p * BNN_LOGIC_WORDS) = high[p];
}

/* Row i of the transposed planes holds the counts of sample i, BITS each: adds the biases. */
#define WRITE_COUNTS(TYPE, HERE)                                          \
    for (size_t i = 0; i < n; i++, counts += groups) {                    \
        TYPE fields[8 / sizeof(TYPE)];                                    \
        memcpy(fields, &rows[i % 64][i / 64], sizeof fields);             \
        for (size_t g = 0; g < (HERE); g++) counts[g] = biases[g] + (int32_t)fields[g]; \
    }

TARGET static void NAME(write_counts)(uint64_t (*rows)[BNN_LOGIC_WORDS], int bits, size_t here,
                                      size_t n, const int32_t *biases, size_t groups,
                                      int32_t *counts) {
    if (bits == 32)
        WRITE_COUNTS(uint32_t, here)
    else if (here == 4)
        WRITE_COUNTS(uint16_t, 4)
    else
        WRITE_COUNTS(uint16_t, here)
}

TARGET void NAME(bnn_logic_sum)(const bnn_logic_program *program, const uint64_t *values, size_t n,
                                int32_t *counts) {
    uint64_t rows[64][BNN_LOGIC_WORDS];
    const int bits = program->planes <= 16 ? 16 : 32;
    const size_t together = 64 / (size_t)bits;
    for (size_t group = 0, first = 0; group < program->groups; group += together) {
        size_t here = bnn_min(together, program->groups - group);
        memset(rows, 0, sizeof rows);
        for (size_t g = 0; g < here; g++) {
            uint64_t *planes = rows[g * (size_t)bits];
            size_t end = program->ends[group + g];
            for (size_t c = 0; c < BNN_LOGIC_WORDS; c += BNN_LANES_BYTES / 8)
                NAME(count_column)(values + c, program->counted + first, end - first, planes + c,
                                   program->planes);
            first = end;
        }
        NAME(transpose)(rows);
        NAME(write_counts)(rows, bits, here, n, program->biases + group, program->groups,
                           counts + group);
    }
}

#undef WRITE_COUNTS
/* -- the limit -------------------------------------------------------------------------------- */

TARGET uint64_t NAME(bnn_logic_spin)(size_t operations) {
    V zero = {0}, x[8] = {zero, zero, zero, zero, zero, zero, zero, zero};
    for (size_t i = 0; i < operations * COLUMNS; i += 8)
        BNN_UNROLL for (int k = 0; k < 8; k++) {
            x[k] ^= x[(k + 1) % 8];
            BNN_LANES_KEEP(x[k]);
        }
    uint64_t first;
    memcpy(&first, x, sizeof first);
    return first;
}

#undef FULL_ADD
#undef RUN_GATES
#undef GATES
#undef V
#undef COLUMNS
#undef TARGET
#undef NAME
#undef BNN_LANES_NAME
#undef BNN_LANES_TARGET
#undef BNN_LANES_BYTES
#undef BNN_LANES_ABOVE
#undef BNN_LANES_KEEP
#undef BNN_LANES_ODD
#undef BNN_LANES_MAJORITY

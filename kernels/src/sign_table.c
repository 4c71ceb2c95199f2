/* Sums of +x or -x by table: one look-up adds four positions at once (AVX-512).
 *
 * Four values have 16 signed sums, one vector. The code of an output, its four weight bits, picks
 * among them, so that a permutation and an addition do the work of four multiply-adds.
 */
#include "bnn_isa.h"

#if BNN_X86

#define QUADS ((size_t)64) /* tables of 256 positions, which for 6 rows take half of a 48 KiB L1 */
#define ROWS ((size_t)6)
#define LANES ((size_t)BNN_MASK_LANES)

/* table[s] = the sum of x[i], negated where bit i of s is set. */
BNN_AVX512 BNN_INLINE void table_fill(const float *x, float *table) {
    const __m512 plus = _mm512_set1_ps(1.0f), minus = _mm512_set1_ps(-1.0f);
    __m512 sum = _mm512_mask_blend_ps(0xaaaa, plus, minus);
    sum = _mm512_mul_ps(sum, _mm512_set1_ps(bnn_load_float(x)));
    sum = _mm512_fmadd_ps(_mm512_set1_ps(bnn_load_float(x + 1)),
                          _mm512_mask_blend_ps(0xcccc, plus, minus), sum);
    sum = _mm512_fmadd_ps(_mm512_set1_ps(bnn_load_float(x + 2)),
                          _mm512_mask_blend_ps(0xf0f0, plus, minus), sum);
    sum = _mm512_fmadd_ps(_mm512_set1_ps(bnn_load_float(x + 3)),
                          _mm512_mask_blend_ps(0xff00, plus, minus), sum);
    _mm512_storeu_ps(table, sum);
}

/* One table for every four of the k values; missing values are 0. */
BNN_AVX512 static void tables_fill(const float *x, size_t k, float *tables) {
    size_t whole = k - k % 4;
    for (size_t at = 0; at < whole; at += 4) table_fill(x + at, tables + 4 * at);
    if (whole < k) {
        float quad[4] = {0};
        memcpy(quad, x + whole, (k - whole) * sizeof *quad);
        table_fill(quad, tables + 4 * whole);
    }
}

/* One block of positions for `rows` rows and the outputs of one panel. */
typedef struct {
    const float *tables;   /* [row][QUADS][16] */
    const uint32_t *codes; /* [quads / 8][64] */
    size_t quads;
    int accumulate;
    size_t lanes;
    float *out;
    size_t stride;
} table_job;

BNN_AVX512 BNN_INLINE void tile(const table_job *job, size_t row, const int rows,
                                const int vectors) {
    const float *tables = job->tables + row * QUADS * 16;
    __m512 sums[6][4];
    BNN_UNROLL for (int i = 0; i < rows; i++) {
        BNN_UNROLL for (int j = 0; j < vectors; j++) sums[i][j] = _mm512_setzero_ps();
    }
    for (size_t q = 0; q < job->quads;) {
        __m512i code[4];
        BNN_UNROLL for (int j = 0; j < vectors; j++)
            code[j] = _mm512_loadu_si512(job->codes + q / 8 * LANES + 16 * (size_t)j);
        for (size_t end = bnn_min(q + 8, job->quads); q < end; q++) {
            BNN_UNROLL for (int i = 0; i < rows; i++) {
                __m512 table = _mm512_loadu_ps(tables + ((size_t)i * QUADS + q) * 16);
                BNN_UNROLL for (int j = 0; j < vectors; j++)
                    sums[i][j] = _mm512_add_ps(sums[i][j], _mm512_permutexvar_ps(code[j], table));
            }
            BNN_UNROLL for (int j = 0; j < vectors; j++) code[j] = _mm512_srli_epi32(code[j], 4);
        }
    }
    const uint64_t present = job->lanes >= LANES ? ~(uint64_t)0 : ((uint64_t)1 << job->lanes) - 1;
    BNN_UNROLL for (int i = 0; i < rows; i++) {
        BNN_UNROLL for (int j = 0; j < vectors; j++) {
            float *cells = job->out + (row + (size_t)i) * job->stride + 16 * (size_t)j;
            __mmask16 here = (__mmask16)(present >> (16 * j));
            __m512 sum = sums[i][j];
            if (job->accumulate) sum = _mm512_add_ps(_mm512_maskz_loadu_ps(here, cells), sum);
            _mm512_mask_storeu_ps(cells, here, sum);
        }
    }
}

BNN_AVX512 BNN_INLINE void tiles(const table_job *job, size_t rows, const int vectors) {
    size_t row = 0;
    if (rows == ROWS) {
        tile(job, 0, 6, vectors);
        return;
    }
    for (; row + 2 <= rows; row += 2) tile(job, row, 2, vectors);
    if (row < rows) tile(job, row, 1, vectors);
}

BNN_AVX512 void bnn_sign_rows_avx512(const float *x, size_t rows, size_t k, const uint32_t *codes,
                                     size_t outputs, float *out) {
    _Alignas(64) float tables[ROWS * QUADS * 16];
    const size_t groups = (k + 31) / 32; /* 32-bit words of codes for one output */
    for (size_t row = 0; row < rows; row += ROWS) {
        size_t count = bnn_min(ROWS, rows - row);
        for (size_t start = 0; start < k; start += 4 * QUADS) {
            size_t positions = bnn_min(4 * QUADS, k - start);
            for (size_t i = 0; i < count; i++)
                tables_fill(x + (row + i) * k + start, positions, tables + i * QUADS * 16);
            for (size_t first = 0; first < outputs; first += LANES) {
                const uint32_t *panel = codes + (first / LANES * groups + start / 32) * LANES;
                table_job job = {tables,    panel,           (positions + 3) / 4,
                                 start > 0, outputs - first, out + row * outputs + first,
                                 outputs};
                if (job.lanes > 48)
                    tiles(&job, count, 4);
                else if (job.lanes > 32)
                    tiles(&job, count, 3);
                else if (job.lanes > 16)
                    tiles(&job, count, 2);
                else
                    tiles(&job, count, 1);
            }
        }
    }
}
#endif

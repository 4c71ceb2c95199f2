
/* -- class sums ------------------------------------------------------------------------------- */

/* Adds a, b and c in every bit: *low gets the sum, *high the carry. */
static inline void design_full_add(bnn_word *high, bnn_word *low, const bnn_word *a,
                                   const bnn_word *b, const bnn_word *c) {
    const bnn_word x = *a, y = *b, z = *c, odd = x ^ y;
    *high = (x & y) | (odd & z);
    *low = odd ^ z;
}

/* Counts outputs into planes, lowest bit first: carry-save, eight at a time. */
static void design_count(const bnn_word out[], const uint32_t *which, size_t count,
                         bnn_word planes[]) {
    bnn_word ones = BNN_FALSE, twos = BNN_FALSE, fours = BNN_FALSE;
    for (size_t p = 0; p < DESIGN_COUNT_PLANES; p++) planes[p] = BNN_FALSE;
    size_t i = 0;
    for (; i + 8 <= count; i += 8) {
        bnn_word two[2], four[2], carry;
        for (size_t j = 0; j < 2; j++) {
            const uint32_t *at = which + i + 4 * j;
            design_full_add(two, &ones, &ones, out + at[0], out + at[1]);
            design_full_add(two + 1, &ones, &ones, out + at[2], out + at[3]);
            design_full_add(four + j, &twos, &twos, two, two + 1);
        }
        design_full_add(&carry, &fours, &fours, four, four + 1);
        for (size_t p = 3; p < DESIGN_COUNT_PLANES; p++) {
            const bnn_word next = planes[p] & carry;
            planes[p] ^= carry;
            carry = next;
        }
    }
    planes[0] = ones;
    planes[1] = twos;
    planes[2] = fours;
    for (; i < count; i++) {
        bnn_word carry = out[which[i]];
        for (size_t p = 0; p < DESIGN_COUNT_PLANES; p++) {
            const bnn_word next = planes[p] & carry;
            planes[p] ^= carry;
            carry = next;
        }
    }
}

/* Adds a term's count, shifted and perhaps negated, to a score in two's complement. */
static void design_add(bnn_word score[], const bnn_word count[], const design_term *term) {
    const bnn_word flip = term->negative ? BNN_TRUE : BNN_FALSE;
    bnn_word carry = flip;
    for (size_t p = 0; p < DESIGN_SCORE_PLANES; p++) {
        bnn_word bits = flip;
        if (p >= term->shift && p - term->shift < DESIGN_COUNT_PLANES)
            bits ^= count[p - term->shift];
        design_full_add(&carry, score + p, score + p, &bits, &carry);
    }
}

/* The score of a class as planes of bits, the last of them the sign. */
static void design_score(const bnn_word out[], size_t k, bnn_word score[]) {
    bnn_word count[DESIGN_COUNT_PLANES];
    for (size_t p = 0; p < DESIGN_SCORE_PLANES; p++)
        score[p] = (uint32_t)design_bias[k] >> p & 1 ? BNN_TRUE : BNN_FALSE;
    for (size_t t = design_first[k]; t < design_first[k + 1]; t++) {
        design_count(out, design_counted + design_terms[t].first, design_terms[t].count, count);
        design_add(score, count, design_terms + t);
    }
}

/* Eight bytes as rows of 8 x 8 bits, transposed. */
static inline uint64_t design_transpose(uint64_t x) {
    uint64_t swap = (x ^ x >> 7) & 0x00aa00aa00aa00aau;
    x ^= swap ^ swap << 7;
    swap = (x ^ x >> 14) & 0x0000cccc0000ccccu;
    x ^= swap ^ swap << 14;
    swap = (x ^ x >> 28) & 0x00000000f0f0f0f0u;
    return x ^ swap ^ swap << 28;
}

/* Planes of bits, the last of them the sign, to numbers: to[i * stride] for case i < n. */
static void design_numbers(const bnn_word planes[], size_t n_planes, size_t n, int32_t *to,
                           size_t stride) {
    for (size_t first = 0; first < n; first += 8) {
        uint32_t number[8] = {0};
        for (size_t low = 0; low < 32; low += 8) {
            uint64_t rows = 0;
            for (size_t p = 0; p < 8; p++) {
                uint64_t lane;
                const size_t from = low + p < n_planes ? low + p : n_planes - 1;
                memcpy(&lane, (const unsigned char *)(planes + from) + first / 64 * 8, sizeof lane);
                rows |= (lane >> first % 64 & 255) << 8 * p;
            }
            rows = design_transpose(rows);
            for (size_t i = 0; i < 8; i++) number[i] |= (uint32_t)(rows >> 8 * i & 255) << low;
        }
        for (size_t i = 0; i < 8 && first + i < n; i++)
            memcpy(to + (first + i) * stride, number + i, sizeof number[i]);
    }
}

/* The scores of n cases, n at most BNN_WIDTH: scores[i * DESIGN_CLASSES + k] for case i. */
void design_scores_of(const bnn_word out[], size_t n, int32_t *scores) {
    bnn_word score[DESIGN_SCORE_PLANES];
    for (size_t k = 0; k < DESIGN_CLASSES; k++) {
        design_score(out, k, score);
        design_numbers(score, DESIGN_SCORE_PLANES, n, scores + k, DESIGN_CLASSES);
    }
}

/* The class of the highest score, the first of several, of n cases, n at most BNN_WIDTH. */
void design_classes_of(const bnn_word out[], size_t n, int32_t *classes) {
    bnn_word best[DESIGN_SCORE_PLANES], score[DESIGN_SCORE_PLANES], winner[DESIGN_CLASS_PLANES];
    design_score(out, 0, best);
    for (size_t p = 0; p < DESIGN_CLASS_PLANES; p++) winner[p] = BNN_FALSE;
    for (size_t k = 1; k < DESIGN_CLASSES; k++) {
        design_score(out, k, score);
        /* Signed: where the signs differ, the one that is not negative is greater. */
        bnn_word greater = BNN_FALSE;
        for (size_t p = 0; p + 1 < DESIGN_SCORE_PLANES; p++)
            greater = (score[p] & ~best[p]) | (~(score[p] ^ best[p]) & greater);
        const bnn_word sign = score[DESIGN_SCORE_PLANES - 1], other = best[DESIGN_SCORE_PLANES - 1];
        greater = (~sign & other) | (~(sign ^ other) & greater);
        for (size_t p = 0; p < DESIGN_SCORE_PLANES; p++) best[p] ^= (best[p] ^ score[p]) & greater;
        for (size_t p = 0; p < DESIGN_CLASS_PLANES; p++) {
            const bnn_word bit = k >> p & 1 ? BNN_TRUE : BNN_FALSE;
            winner[p] ^= (winner[p] ^ bit) & greater;
        }
    }
    design_numbers(winner, DESIGN_CLASS_PLANES, n, classes, 1);
}

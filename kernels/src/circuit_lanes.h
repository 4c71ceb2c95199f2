/* Passes over circuits for one instruction set: included once for each, with
 *
 *   CIRCUIT_NAME(stem)  the name of a function or type of this instruction set
 *   CIRCUIT_TARGET      its target attribute
 *   CIRCUIT_BYTES       bytes of a vector
 *   CIRCUIT_ANY(x)      whether a vector is not 0
 *
 * The body is text and not a function for all, because a vector type gets the registers of the
 * function in which it is written. */

#define NAME CIRCUIT_NAME
#define TARGET CIRCUIT_TARGET
#define STEP (CIRCUIT_BYTES / 8) /* words of a vector */

#if CIRCUIT_BYTES == 8
typedef uint64_t NAME(row);
#else
typedef uint64_t NAME(row) __attribute__((vector_size(CIRCUIT_BYTES), aligned(8), may_alias));
#endif
#define V NAME(row)
#define AT(P) (*(const V *)(P))

/* A truth table as c0 ^ c1 a ^ c2 b ^ c3 a b: no branch to mispredict. */
typedef struct {
    uint64_t c0, c1, c2, c3;
} NAME(terms);

TARGET BNN_INLINE NAME(terms) NAME(terms_of)(unsigned op) {
    uint64_t f00 = 0 - (uint64_t)(op & 1), f10 = 0 - (uint64_t)(op >> 1 & 1);
    uint64_t f01 = 0 - (uint64_t)(op >> 2 & 1), f11 = 0 - (uint64_t)(op >> 3 & 1);
    NAME(terms) t = {f00, f00 ^ f10, f00 ^ f01, f00 ^ f10 ^ f01 ^ f11};
    return t;
}

TARGET BNN_INLINE void NAME(apply)(unsigned op, const uint64_t *a, const uint64_t *b, uint64_t *out,
                                   size_t words) {
    NAME(terms) t = NAME(terms_of)(op);
    for (size_t w = 0; w < words; w += STEP) {
        V x = AT(a + w), y = AT(b + w);
        *(V *)(out + w) = (t.c0 ^ (y & t.c2)) ^ (x & (t.c1 ^ (y & t.c3)));
    }
}

TARGET static void NAME(fill)(const uint8_t *op, const int32_t *a, const int32_t *b, size_t gates,
                              size_t first, uint64_t *values, size_t words) {
    uint64_t *out = values + first * words;
    if (words == CIRCUIT_WORDS) /* the usual case, with a loop that the compiler unrolls */
        for (size_t i = 0; i < gates; i++, out += CIRCUIT_WORDS)
            NAME(apply)(op[i], values + (size_t)a[i] * CIRCUIT_WORDS,
                        values + (size_t)b[i] * CIRCUIT_WORDS, out, CIRCUIT_WORDS);
    else
        for (size_t i = 0; i < gates; i++, out += words)
            NAME(apply)(op[i], values + (size_t)a[i] * words, values + (size_t)b[i] * words, out,
                        words);
}

TARGET static void NAME(flip)(const uint8_t *op, const int32_t *a, const int32_t *b, size_t gates,
                              size_t first, size_t x, const uint64_t *values, uint64_t *flipped,
                              uint8_t *touched, size_t words) {
    memset(touched, 0, first + gates);
    touched[x] = 1;
    for (size_t w = 0; w < words; w++) flipped[x * words + w] = ~values[x * words + w];
    for (size_t i = x + 1 - first; i < gates; i++) {
        size_t left = (size_t)a[i], right = (size_t)b[i], out = first + i;
        if (!(touched[left] | touched[right])) continue;
        touched[out] = 1;
        NAME(apply)(op[i], (touched[left] ? flipped : values) + left * words,
                    (touched[right] ? flipped : values) + right * words, flipped + out * words,
                    words);
    }
}

TARGET static void NAME(faults)(const circuit_divisors *divisors, size_t n, size_t one, size_t zero,
                                uint64_t *faults) {
    const size_t words = divisors->words;
    for (size_t i = 0; i < n; i++) {
        const uint64_t *value = divisors->values + i * words;
        uint64_t not_one = (value[one / 64] >> one % 64 & 1) - 1;
        uint64_t not_zero = (value[zero / 64] >> zero % 64 & 1) - 1;
        for (size_t w = 0; w < words; w += STEP) {
            V v = AT(value + w);
            *(V *)(faults + i * words + w) = ((v ^ not_one) & AT(divisors->off + w)) |
                                             ((v ^ not_zero) & AT(divisors->on + w));
        }
    }
}

/* Whether x & y has a bit. */
TARGET BNN_INLINE int NAME(meet)(const uint64_t *x, const uint64_t *y, size_t words) {
    for (size_t w = 0; w < words; w += STEP)
        if (CIRCUIT_ANY(AT(x + w) & AT(y + w))) return 1;
    return 0;
}

/* The truth table of divisors a and b that is 1 on the rows `on` and 0 on `off`, or -1. */
TARGET BNN_INLINE int NAME(table)(const circuit_divisors *d, const uint64_t *a, const uint64_t *b,
                                  size_t words) {
    unsigned ones = 0, zeros = 0;
    for (size_t w = 0; w < words; w += STEP) {
        V x = AT(a + w), y = AT(b + w), on = AT(d->on + w), off = AT(d->off + w);
        V on_y = on & y, off_y = off & y;
        V on_0 = on ^ on_y, off_0 = off ^ off_y;
        ones |= (unsigned)CIRCUIT_ANY(on_y & x) << 3 | (unsigned)CIRCUIT_ANY(on_0 & x) << 1 |
                (unsigned)CIRCUIT_ANY(on_y & ~x) << 2 | (unsigned)CIRCUIT_ANY(on_0 & ~x);
        zeros |= (unsigned)CIRCUIT_ANY(off_y & x) << 3 | (unsigned)CIRCUIT_ANY(off_0 & x) << 1 |
                 (unsigned)CIRCUIT_ANY(off_y & ~x) << 2 | (unsigned)CIRCUIT_ANY(off_0 & ~x);
        if (ones & zeros) return -1;
    }
    return (int)ones;
}

/* Most pairs fail on their faults, so these are looked through without a branch first. */
TARGET BNN_INLINE size_t NAME(pairs_of)(const circuit_divisors *d, size_t second, size_t from,
                                        size_t to, circuit_pair *found, size_t words) {
    const uint64_t *fault = d->faults + second * words, *value = d->values + second * words;
    size_t left = 0, n = 0;
    for (size_t i = from; i < to; i++) {
        found[left].first = (uint32_t)i;
        left += !NAME(meet)(d->faults + i * words, fault, words);
    }
    for (size_t k = 0; k < left; k++) {
        uint32_t i = found[k].first;
        int table = NAME(table)(d, d->values + i * words, value, words);
        if (table < 0) continue;
        found[n].first = i;
        found[n++].table = (uint8_t)table;
    }
    return n;
}

TARGET static size_t NAME(pairs)(const circuit_divisors *divisors, size_t second, size_t from,
                                 size_t to, circuit_pair *found) {
    if (divisors->words == CIRCUIT_WORDS)
        return NAME(pairs_of)(divisors, second, from, to, found, CIRCUIT_WORDS);
    return NAME(pairs_of)(divisors, second, from, to, found, divisors->words);
}

const bnn_circuit_isa NAME(bnn_circuit) = {NAME(fill), NAME(flip), NAME(faults), NAME(pairs)};

#undef AT
#undef V
#undef STEP
#undef TARGET
#undef NAME
#undef CIRCUIT_NAME
#undef CIRCUIT_TARGET
#undef CIRCUIT_BYTES
#undef CIRCUIT_ANY


/* -- any number of cases ---------------------------------------------------------------------- */

/* Words of memory that design_run needs. */
const size_t design_slots = DESIGN_SLOTS;

/* Buffers for one pass, each on a cache line. */
typedef struct {
    bnn_word *in, *out, *slots;
    void *block;
} design_buffers;

static int design_open(design_buffers *buffers) {
    const size_t line = 64;
    const size_t in = (DESIGN_INPUTS * sizeof(bnn_word) + line - 1) / line * line;
    const size_t out = (DESIGN_OUTPUTS * sizeof(bnn_word) + line - 1) / line * line;
    unsigned char *block = malloc(in + out + DESIGN_SLOTS * sizeof(bnn_word) + line);
    if (!block) return -1;
    buffers->block = block;
    block += (line - (uintptr_t)block % line) % line;
    buffers->in = (bnn_word *)(void *)block;
    buffers->out = (bnn_word *)(void *)(block + in);
    buffers->slots = (bnn_word *)(void *)(block + in + out);
    return 0;
}

/* Input i of case k is bit k % 64 of in[i * words + k / 64], output j likewise.
 * Gives 0, or -1 without memory. */
int design_words(const uint64_t *in, uint64_t *out, size_t words) {
    design_buffers buffers;
    if (design_open(&buffers)) return -1;
    memset(buffers.in, 0, DESIGN_INPUTS * sizeof(bnn_word));
    for (size_t first = 0; first < words; first += BNN_LANES) {
        const size_t left = words - first, here = 8 * (left < BNN_LANES ? left : BNN_LANES);
        for (size_t i = 0; i != DESIGN_INPUTS; i++)
            memcpy(buffers.in + i, in + i * words + first, here);
        design_run(buffers.in, buffers.out, buffers.slots);
        for (size_t j = 0; j != DESIGN_OUTPUTS; j++)
            memcpy(out + j * words + first, buffers.out + j, here);
    }
    free(buffers.block);
    return 0;
}

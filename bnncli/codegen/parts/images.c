
/* For each of n images of DESIGN_PIXELS bytes: DESIGN_VALUES values. Gives 0, or -1 without memory. */
int design_evaluate(const uint8_t *images, size_t n, DESIGN_TYPE *values) {
    design_buffers buffers;
    if (design_open(&buffers)) return -1;
    for (size_t first = 0; first < n; first += BNN_WIDTH) {
        const size_t here = n - first < BNN_WIDTH ? n - first : BNN_WIDTH;
        design_pack(images + first * DESIGN_PIXELS, here, buffers.in);
        design_run(buffers.in, buffers.out, buffers.slots);
        DESIGN_READ(buffers.out, here, values + first * DESIGN_VALUES);
    }
    free(buffers.block);
    return 0;
}

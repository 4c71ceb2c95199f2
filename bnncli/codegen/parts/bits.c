
/* The outputs of n cases, n at most BNN_WIDTH: bits[i * DESIGN_OUTPUTS + j] is 0 or 1. */
void design_bits_of(const bnn_word out[], size_t n, uint8_t *bits) {
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j != DESIGN_OUTPUTS; j++) {
            const unsigned char *bytes = (const unsigned char *)(out + j);
            uint64_t lane;
            memcpy(&lane, bytes + i / 64 * 8, sizeof lane);
            bits[i * DESIGN_OUTPUTS + j] = lane >> i % 64 & 1;
        }
}


/* -- images ----------------------------------------------------------------------------------- */

/* Eight images: bit j of comparison[c] says whether image j is above threshold c. */
static void design_compare(const uint8_t *images, size_t n, uint8_t *comparison) {
    uint8_t rows[8][DESIGN_ROW];
    memset(rows, 0, sizeof rows);
    for (size_t j = 0; j < n; j++) memcpy(rows[j], images + j * DESIGN_PIXELS, DESIGN_PIXELS);
    for (size_t plane = 0; plane < DESIGN_PLANES; plane++)
        for (size_t p = 0; p < DESIGN_ROW; p += sizeof(bnn_bytes)) {
            bnn_bytes above = BNN_NO_BYTES;
            for (unsigned j = 0; j < 8; j++)
                above |= DESIGN_ABOVE(plane * DESIGN_ROW + p, rows[j] + p) & (uint8_t)(1u << j);
            memcpy(comparison + plane * DESIGN_ROW + p, &above, sizeof above);
        }
}

/* The inputs of the circuit from n images of DESIGN_PIXELS bytes, n at most BNN_WIDTH; the bits of
 * absent images are of no meaning. */
void design_pack(const uint8_t *images, size_t n, bnn_word in[]) {
    uint8_t comparison[8][DESIGN_PLANES * DESIGN_ROW];
    for (size_t lane = 0; lane < BNN_LANES; lane++) {
        for (size_t eighth = 0; eighth < 8; eighth++) {
            const size_t first = 64 * lane + 8 * eighth, left = n > first ? n - first : 0;
            design_compare(left ? images + first * DESIGN_PIXELS : images, left < 8 ? left : 8,
                           comparison[eighth]);
        }
        for (size_t i = 0; i != DESIGN_INPUTS; i++) {
            uint64_t word = 0;
            for (unsigned eighth = 0; eighth < 8; eighth++)
                word |= (uint64_t)comparison[eighth][design_column[i]] << 8 * eighth;
            memcpy((unsigned char *)(in + i) + 8 * lane, &word, sizeof word);
        }
    }
}


#ifdef BNN_MAIN
#include <stdio.h>

/* Reads images of DESIGN_PIXELS bytes each; prints a line of DESIGN_VALUES numbers for each. */
int main(void) {
    static uint8_t images[BNN_WIDTH * DESIGN_PIXELS];
    static DESIGN_TYPE values[BNN_WIDTH * DESIGN_VALUES];
    for (size_t n; (n = fread(images, DESIGN_PIXELS, BNN_WIDTH, stdin)) > 0;) {
        if (design_evaluate(images, n, values)) return 1;
        for (size_t i = 0; i < n * DESIGN_VALUES; i++)
            printf("%d%c", values[i], (i + 1) % DESIGN_VALUES ? ' ' : '\n');
    }
    return ferror(stdin) != 0;
}
#endif


#ifdef BNN_MAIN
#include <stdio.h>

/* Reads cases, a line of DESIGN_INPUTS digits 0 or 1 each, and prints DESIGN_OUTPUTS digits. */
int main(void) {
    static uint64_t in[DESIGN_INPUTS + 1], out[DESIGN_OUTPUTS + 1];
    const size_t inputs = DESIGN_INPUTS;
    size_t i = 0;
    for (int c = getchar(); c != EOF; c = getchar()) {
        if (c == '0' || c == '1') {
            if (i++ < inputs) {
                in[i - 1] = c == '1';
                continue;
            }
        } else if (c == '\n' && i == inputs) {
            if (design_words(in, out, 1)) return 1;
            for (size_t j = 0; j != DESIGN_OUTPUTS; j++) putchar(out[j] & 1 ? '1' : '0');
            putchar('\n');
            i = 0;
            continue;
        }
        fprintf(stderr, "expected lines of %lu digits 0 or 1\n", (unsigned long)inputs);
        return 1;
    }
    return i != 0;
}
#endif

/* The program around the rule. Cells are counted row by row, whatever the layout, so that the same
 * seed gives the same board and the same hash with any BNN_WIDTH. */

static const char usage[] =
    "usage: %s [--size WIDTHxHEIGHT] [--seed S | --read] [--steps N] [--print | --bench | --check]\n"
    "  without anything   show the board in the terminal until Ctrl-C\n"
    "  --size WxH         cells, 1 to 65536 a side; opposite edges touch. Fast where W is a multiple\n"
    "                     of 64 and H of BNN_WIDTH / 64\n"
    "  --seed S           begin with random cells of this seed, 1 by default\n"
    "  --read             begin with a pattern from the input: lines of . and #, in the middle;\n"
    "                     an empty line between channels\n"
    "  --steps N          stop after so many steps; without a terminal after 100 by default\n"
    "  --print            print the last board and its hash\n"
    "  --bench            step as fast as possible, --steps of them or for about two seconds\n"
    "  --check            compare the last board with that of the rule applied to one cell after the\n"
    "                     other\n";

static volatile sig_atomic_t stopped = 0;

static void stop(int number) {
    (void)number;
    stopped = 1;
}

static uint64_t random_word(uint64_t *state) {
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

static void board_randomize(board *b, uint64_t seed) {
    uint64_t bits = 0, n = 0;
    for (long channel = 0; channel < CHANNELS; channel++)
        for (long y = 0; y < b->height; y++)
            for (long x = 0; x < b->width; x++, bits >>= 1) {
                if (n++ % 64 == 0) bits = random_word(&seed);
                board_set(b, channel, y, x, (int)(bits & 1));
            }
    board_close(b);
}

/* FNV-1a over the cells, a byte each. */
static uint64_t board_hash(const board *b) {
    uint64_t hash = 0xCBF29CE484222325u;
    for (long channel = 0; channel < CHANNELS; channel++)
        for (long y = 0; y < b->height; y++)
            for (long x = 0; x < b->width; x++)
                hash = (hash ^ (uint64_t)board_get(b, channel, y, x)) * 0x100000001B3u;
    return hash;
}

static void board_print(const board *b) {
    for (long channel = 0; channel < CHANNELS; channel++) {
        if (channel) putchar('\n');
        for (long y = 0; y < b->height; y++) {
            for (long x = 0; x < b->width; x++)
                putchar(board_get(b, channel, y, x) ? '#' : '.');
            putchar('\n');
        }
    }
}

/* Read lines of cells and put them into the middle; give 0 for what is no such pattern. */
static int board_read(board *b, FILE *file) {
    enum { MAX_TEXT = 1 << 26 };
    char *text = malloc(MAX_TEXT);
    if (!text) return 0;
    const size_t size = fread(text, 1, MAX_TEXT, file);
    int good = size < MAX_TEXT && !ferror(file);
    size_t at = 0;
    for (long channel = 0; good && channel < CHANNELS; channel++) {
        const size_t start = at;
        long height = 0, width = 0, n = 0;
        for (; at < size && !(text[at] == '\n' && n == 0); at++) {
            if (text[at] == '\r') continue;
            if (text[at] == '\n') {
                height++;
                n = 0;
            } else {
                good &= text[at] == '.' || text[at] == '#';
                width = ++n > width ? n : width;
            }
        }
        height += n > 0;
        good &= height <= b->height && width <= b->width;
        long y = (b->height - height) / 2, x = 0;
        for (size_t i = start; good && i < at; i++) {
            if (text[i] == '\n') {
                y++;
                x = 0;
            } else if (text[i] != '\r') {
                board_set(b, channel, y, (b->width - width) / 2 + x++, text[i] == '#');
            }
        }
        at += at < size;
    }
    good &= at == size;
    free(text);
    board_close(b);
    return good;
}

/* Seconds of processor time: other programs do not count. */
static double now(void) { return (double)clock() / CLOCKS_PER_SEC; }

/* Draw two rows of cells in a line of text, over what was drawn before. */
static void board_show(const board *b, unsigned long step) {
    static const char *const halves[] = {" ", "\xE2\x96\x80", "\xE2\x96\x84", "\xE2\x96\x88"};
    printf("\x1b[H");
    for (long y = 0; y < b->height; y += 2) {
        for (long x = 0; x < b->width; x++) {
            const int lower = y + 1 < b->height && board_get(b, 0, y + 1, x);
            fputs(halves[board_get(b, 0, y, x) + 2 * lower], stdout);
        }
        puts("\x1b[K");
    }
    printf("step %lu, Ctrl-C ends\x1b[K", step);
    fflush(stdout);
}

static void watch(board *b, unsigned long steps) {
    const struct timespec pause = {.tv_nsec = 50000000};
    printf("\x1b[2J\x1b[?25l");
    board_show(b, 0);
    for (unsigned long step = 1; !stopped && (!steps || step <= steps); step++) {
        nanosleep(&pause, NULL);
        board_step(b);
        board_show(b, step);
    }
    printf("\x1b[?25h\n");
}

static void bench(board *b, unsigned long steps) {
    unsigned long done = 0;
    const double began = now();
    double seconds = 0;
    while (!stopped && (steps ? done < steps : seconds < 2)) {
        const unsigned long left = steps ? steps - done : 16;
        for (unsigned long i = 0; i < 16 && i < left; i++, done++) board_step(b);
        seconds = now() - began;
    }
    const double rate = seconds > 0 ? (double)done / seconds : 0;
    printf("%lux%lu cells, %d bits a vector: %lu steps in %.3f s, %.6g steps/s, %.4g cells/s\n",
           (unsigned long)b->width, (unsigned long)b->height, BNN_WIDTH, done, seconds, rate,
           rate * (double)b->width * (double)b->height);
    printf("hash %016" PRIx64 "\n", board_hash(b));
}

/* Step a copy a cell at a time; give 0 where the boards differ, or there is no memory. */
static int check(board *b, unsigned long steps) {
    const size_t size = (size_t)(b->height * b->width * CHANNELS);
    uint8_t *cells = malloc(2 * size);
    if (!cells) return 0;
    uint8_t *next = cells + size;
    for (size_t i = 0; i < size; i++) {
        const long place = (long)(i % (size_t)(b->height * b->width));
        const long channel = (long)i / (b->height * b->width);
        cells[i] = (uint8_t)board_get(b, channel, place / b->width, place % b->width);
    }
    for (unsigned long step = 0; step < steps; step++) {
        for (long y = 0; y < b->height; y++)
            for (long x = 0; x < b->width; x++) {
                uint64_t around[9 * CHANNELS], out[CHANNELS];
                for (long i = 0; i < 9 * CHANNELS; i++) {
                    const long row = (y + i / 3 % 3 - 1 + b->height) % b->height;
                    const long column = (x + i % 3 - 1 + b->width) % b->width;
                    around[i] = cells[(i / 9 * b->height + row) * b->width + column];
                }
                rule(around, out);
                for (long i = 0; i < CHANNELS; i++)
                    next[(i * b->height + y) * b->width + x] = (uint8_t)(out[i] & 1);
            }
        memcpy(cells, next, size);
        board_step(b);
    }
    size_t wrong = 0;
    for (long channel = 0, i = 0; channel < CHANNELS; channel++)
        for (long y = 0; y < b->height; y++)
            for (long x = 0; x < b->width; x++)
                wrong += cells[i++] != board_get(b, channel, y, x);
    free(cells);
    printf("%lu steps, %lu of %lu cells differ from the rule applied cell by cell\n", steps,
           (unsigned long)wrong, (unsigned long)size);
    return wrong == 0;
}

/* Read a whole number from 0 to most after an option; leave with the usage otherwise. */
static uint64_t number_of(const char *program, const char *text, uint64_t most) {
    char *end = NULL;
    errno = 0;
    const unsigned long long value = text ? strtoull(text, &end, 10) : 0;
    if (!text || *text < '0' || *text > '9' || *end || errno || value > most) {
        fprintf(stderr, "%s: %s given, expected a number from 0 to %" PRIu64 "\n", program,
                text ? text : "nothing", most);
        exit(2);
    }
    return value;
}

int main(int argc, char **argv) {
    long width = 0, height = 0;
    uint64_t seed = 1;
    unsigned long steps = 0;
    int counted = 0, reads = 0, prints = 0, benches = 0, checks = 0;
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        char after = 0;
        if (!strcmp(argv[i], "--read")) reads = 1;
        else if (!strcmp(argv[i], "--print")) prints = 1;
        else if (!strcmp(argv[i], "--bench")) benches = 1;
        else if (!strcmp(argv[i], "--check")) checks = 1;
        else if (!strcmp(argv[i], "--seed")) seed = number_of(argv[0], value, UINT64_MAX), i++;
        else if (!strcmp(argv[i], "--steps"))
            steps = (unsigned long)number_of(argv[0], value, ULONG_MAX), counted = 1, i++;
        else if (!strcmp(argv[i], "--size") && value &&
                 sscanf(value, "%5ldx%5ld%c", &width, &height, &after) == 2 && width > 0 &&
                 height > 0 && width <= MAX_SIDE && height <= MAX_SIDE)
            i++;
        else {
            const int help = !strcmp(argv[i], "--help") || !strcmp(argv[i], "-h");
            if (!help) fprintf(stderr, "%s: %s: unknown, or its value is wrong\n", argv[0], argv[i]);
            fprintf(help ? stdout : stderr, usage, argv[0]);
            return help ? 0 : 2;
        }
    }
    if (!width) {
        width = benches ? 512 : 80;
        height = benches ? 512 : 48;
    }
    if (!width_runs()) {
        fprintf(stderr, "%s: this processor has no vectors of %d bits; build with -DBNN_WIDTH=64\n",
                argv[0], BNN_WIDTH);
        return 1;
    }
    board b;
    if (!board_make(&b, height, width)) {
        fprintf(stderr, "%s: no memory for a board of %ldx%ld\n", argv[0], width, height);
        return 1;
    }
    if (!reads) board_randomize(&b, seed);
    else if (!board_read(&b, stdin)) {
        fprintf(stderr, "%s: --read: expected lines of . and # that fit into %ldx%ld\n", argv[0],
                width, height);
        board_free(&b);
        return 1;
    }
    int good = 1;
    signal(SIGINT, stop);
    const int watches = !prints && !benches && !checks && isatty(STDOUT_FILENO);
    if (!counted && !benches && !watches) steps = 100;
    if (checks) good = check(&b, steps);
    else if (benches) bench(&b, steps);
    else if (watches) watch(&b, steps);
    else
        for (unsigned long step = 0; !stopped && step < steps; step++) board_step(&b);
    if (prints) board_print(&b);
    if (!benches && !checks && !watches)
        printf("%lu steps, hash %016" PRIx64 "\n", steps, board_hash(&b));
    board_free(&b);
    return good ? 0 : 1;
}

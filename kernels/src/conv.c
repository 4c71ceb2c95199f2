/* Convolutions, NHWC: blocks of output pixels are gathered into rows (im2col), then multiplied.
 *
 * A padded position must add 0, but a gathered 0 bit counts as +1. Output pixels that miss the
 * same taps form a class; each class has its own offset, n_valid * channels plus twice the
 * popcount of the weights of the missed taps, so that the correction costs nothing per pixel.
 */
#include <stdlib.h>

#include "bnn_isa.h"

#define BNN_GATHER_BYTES ((size_t)128 << 10) /* gathered rows that stay in cache */

typedef struct {
    size_t first, end; /* the taps of one axis that lie inside the image */
} tap_span;

/* One axis: for each output coordinate its class, for each class its taps. */
typedef struct {
    size_t size, stride, pad, kernel, extent;
    size_t n_classes;
    uint32_t *classes; /* [size] */
    tap_span *spans;   /* [n_classes] */
} axis;

static tap_span valid_taps(const axis *along, size_t at) {
    size_t start = at * along->stride;
    tap_span span = {0, 0};
    if (start < along->pad) span.first = bnn_min(along->pad - start, along->kernel);
    if (start < along->extent + along->pad)
        span.end = bnn_min(along->extent + along->pad - start, along->kernel);
    if (span.end < span.first) span.end = span.first;
    return span;
}

static int axis_init(axis *along, size_t extent, size_t kernel, size_t stride, size_t pad) {
    along->size = (extent + 2 * pad - kernel) / stride + 1;
    along->stride = stride;
    along->pad = pad;
    along->kernel = kernel;
    along->extent = extent;
    along->n_classes = 0;
    along->classes = malloc(along->size * sizeof *along->classes);
    along->spans = malloc(along->size * sizeof *along->spans);
    if (!along->classes || !along->spans) return -1;
    for (size_t at = 0; at < along->size; at++) {
        tap_span span = valid_taps(along, at);
        size_t last = along->n_classes;
        if (last == 0 || along->spans[last - 1].first != span.first ||
            along->spans[last - 1].end != span.end)
            along->spans[along->n_classes++] = span;
        along->classes[at] = (uint32_t)(along->n_classes - 1);
    }
    return 0;
}

/* Everything one call needs; all memory is owned here. */
typedef struct {
    axis y, x;
    size_t position;         /* bytes of one input position: words or floats of all channels */
    size_t row_bytes, block; /* bytes of one gathered row, rows gathered at once */
    uint8_t *rows;
    uint32_t *row_classes;
    int32_t *lane;    /* [class][padded outputs] */
    int32_t *tap_dot; /* [tap][padded outputs], -2 * popcount of the weights of one tap */
    uint64_t *zeros;  /* one position of zero bits */
} plan;

static void plan_free(plan *p) {
    free(p->y.classes);
    free(p->y.spans);
    free(p->x.classes);
    free(p->x.spans);
    free(p->rows);
    free(p->row_classes);
    free(p->lane);
    free(p->tap_dot);
    free(p->zeros);
}

static int plan_init(plan *p, const bnn_conv_shape *s, size_t position) {
    memset(p, 0, sizeof *p);
    p->position = position;
    p->row_bytes = s->kernel_h * s->kernel_w * position;
    p->block = BNN_GATHER_BYTES / p->row_bytes / 12 * 12; /* whole tiles of 4 and of 6 rows */
    if (p->block < 12) p->block = 12;
    if (axis_init(&p->y, s->height, s->kernel_h, s->stride_h, s->pad_h) ||
        axis_init(&p->x, s->width, s->kernel_w, s->stride_w, s->pad_w))
        return -1;
    size_t pixels = s->batch * p->y.size * p->x.size;
    if (p->block > pixels && pixels) p->block = pixels;
    p->rows = malloc(p->block * p->row_bytes);
    p->row_classes = malloc(p->block * sizeof *p->row_classes);
    return p->rows && p->row_classes ? 0 : -1;
}

/* Copies a multiple of 4 bytes, mostly few: a call of memcpy would cost more than the copy. */
BNN_INLINE void copy_short(uint8_t *to, const uint8_t *from, size_t bytes) {
    for (; bytes >= 32; bytes -= 32, to += 32, from += 32) memcpy(to, from, 32);
    for (; bytes >= 8; bytes -= 8, to += 8, from += 8) memcpy(to, from, 8);
    if (bytes) memcpy(to, from, 4);
}

BNN_INLINE void gather_row(const plan *p, const bnn_conv_shape *s, const uint8_t *image, size_t oy,
                       size_t ox, uint8_t *row) {
    tap_span ys = p->y.spans[p->y.classes[oy]], xs = p->x.spans[p->x.classes[ox]];
    size_t line = s->kernel_w * p->position;
    if (ys.end - ys.first < s->kernel_h || xs.end - xs.first < s->kernel_w)
        memset(row, 0, p->row_bytes);
    if (xs.first == xs.end) return;
    for (size_t ky = ys.first; ky < ys.end; ky++) {
        size_t iy = oy * s->stride_h + ky - s->pad_h;
        size_t ix = ox * s->stride_w + xs.first - s->pad_w;
        copy_short(row + ky * line + xs.first * p->position,
                   image + (iy * s->width + ix) * p->position,
                   (xs.end - xs.first) * p->position);
    }
}

/* Gathers output pixels first .. first + count - 1 of the whole batch. */
static void gather(const plan *p, const bnn_conv_shape *s, const void *input, size_t first,
                   size_t count) {
    size_t image_bytes = s->height * s->width * p->position;
    size_t ox = first % p->x.size, line = first / p->x.size;
    size_t oy = line % p->y.size;
    const uint8_t *image = (const uint8_t *)input + line / p->y.size * image_bytes;
    for (size_t i = 0; i < count; i++) {
        gather_row(p, s, image, oy, ox, p->rows + i * p->row_bytes);
        p->row_classes[i] = (uint32_t)(p->y.classes[oy] * p->x.n_classes + p->x.classes[ox]);
        if (++ox < p->x.size) continue;
        ox = 0;
        if (++oy < p->y.size) continue;
        oy = 0;
        image += image_bytes;
    }
}

/* Fills tap_dot by multiplying a position of zero bits with the weights of each tap. */
static void tap_dot_fill(const plan *p, const bnn_conv_shape *s, const bnn_isa *isa,
                         const uint64_t *panels, size_t padded) {
    static const int32_t nothing[BNN_PANEL_LANES] = {0};
    size_t words = p->position / sizeof *panels, taps = s->kernel_h * s->kernel_w;
    for (size_t tap = 0; tap < taps; tap++)
        for (size_t first = 0; first < padded; first += BNN_PANEL_LANES) {
            const uint64_t *panel = panels + first * taps * words + tap * words * BNN_PANEL_LANES;
            bnn_xor_job job = {p->zeros, words, 1, panel, words, nothing, 0, NULL, BNN_PANEL_LANES};
            isa->xor_dot(&job, p->tap_dot + tap * padded + first, padded);
        }
}

static void class_offsets_fill(const plan *p, const bnn_conv_shape *s, size_t class_id,
                               size_t padded) {
    tap_span ys = p->y.spans[class_id / p->x.n_classes], xs = p->x.spans[class_id % p->x.n_classes];
    size_t valid = (ys.end - ys.first) * (xs.end - xs.first);
    int32_t *offset = p->lane + class_id * padded;
    for (size_t i = 0; i < padded; i++) offset[i] = (int32_t)(valid * s->channels);
    for (size_t ky = 0; ky < s->kernel_h; ky++)
        for (size_t kx = 0; kx < s->kernel_w; kx++) {
            if (ky >= ys.first && ky < ys.end && kx >= xs.first && kx < xs.end) continue;
            const int32_t *missed = p->tap_dot + (ky * s->kernel_w + kx) * padded;
            for (size_t i = 0; i < padded; i++) offset[i] -= missed[i];
        }
}

/* Allocates and fills the lane values: offsets, or with thresholds the popcount limits. */
static int lanes_init(plan *p, const bnn_conv_shape *s, const bnn_isa *isa,
                      const uint64_t *panels, const int32_t *thresholds) {
    size_t padded = (s->outputs + BNN_PANEL_LANES - 1) / BNN_PANEL_LANES * BNN_PANEL_LANES;
    size_t n_classes = p->y.n_classes * p->x.n_classes;
    p->lane = malloc(n_classes * padded * sizeof *p->lane);
    p->tap_dot = malloc(s->kernel_h * s->kernel_w * padded * sizeof *p->tap_dot);
    p->zeros = calloc(p->position, 1);
    if (!p->lane || !p->tap_dot || !p->zeros) return -1;
    if (s->pad_h || s->pad_w) tap_dot_fill(p, s, isa, panels, padded);
    for (size_t class_id = 0; class_id < n_classes; class_id++) {
        class_offsets_fill(p, s, class_id, padded);
        int32_t *lane = p->lane + class_id * padded;
        for (size_t i = 0; thresholds && i < padded; i++)
            lane[i] = i < s->outputs ? bnn_limit_for(lane[i], bnn_load_i32(thresholds + i))
                                     : INT32_MAX;
    }
    return 0;
}

static int conv_packed(const bnn_isa *isa, const bnn_conv_shape *s, const uint64_t *a,
                       const uint64_t *panels, const int32_t *thresholds, int32_t *dots,
                       uint64_t *bits) {
    plan p;
    int failed = plan_init(&p, s, bnn_words_for(s->channels) * sizeof *a);
    failed = failed || lanes_init(&p, s, isa, panels, thresholds);
    size_t padded = (s->outputs + BNN_PANEL_LANES - 1) / BNN_PANEL_LANES * BNN_PANEL_LANES;
    size_t pixels = s->batch * p.y.size * p.x.size, words = p.row_bytes / sizeof *a;
    for (size_t first = 0; !failed && first < pixels; first += p.block) {
        size_t count = bnn_min(p.block, pixels - first);
        gather(&p, s, a, first, count);
        bnn_xor_job job = {(const uint64_t *)(const void *)p.rows,
                           words,
                           count,
                           panels,
                           words,
                           p.lane,
                           padded,
                           p.row_classes,
                           0};
        if (bits)
            bnn_panels_threshold(isa, job, s->outputs, bits + first * bnn_words_for(s->outputs));
        else
            bnn_panels_dot(isa, job, s->outputs, dots + first * s->outputs);
    }
    plan_free(&p);
    return failed ? -1 : 0;
}

int bnn_conv_xor(const bnn_isa *isa, const bnn_conv_shape *shape, const uint64_t *a,
                 const uint64_t *panels, int32_t *out) {
    return conv_packed(isa, shape, a, panels, NULL, out, NULL);
}

int bnn_conv_threshold(const bnn_isa *isa, const bnn_conv_shape *shape, const uint64_t *a,
                       const uint64_t *panels, const int32_t *thresholds, uint64_t *out) {
    return conv_packed(isa, shape, a, panels, thresholds, NULL, out);
}

int bnn_conv_sign(const bnn_isa *isa, const bnn_conv_shape *shape, const float *x,
                  const uint64_t *masks, const uint32_t *codes, float *out) {
    plan p;
    int failed = plan_init(&p, shape, shape->channels * sizeof *x);
    size_t pixels = shape->batch * p.y.size * p.x.size;
    for (size_t first = 0; !failed && first < pixels; first += p.block) {
        size_t count = bnn_min(p.block, pixels - first);
        gather(&p, shape, x, first, count);
        bnn_gemm_sign(isa, (const float *)(const void *)p.rows, count, p.row_bytes / sizeof *x,
                      masks, codes, shape->outputs, out + first * shape->outputs);
    }
    plan_free(&p);
    return failed ? -1 : 0;
}

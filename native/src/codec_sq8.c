/* SQ8: scalar quantisation with one range for the whole index, 8 bits per dimension,
   nothing else in the record but what L2 and IP need.

   y = x - mean; c_j = round((y_j - l) / D), clamped to 0 .. 255, with l and D learned from the sample: of several symmetric
   quantiles of all its elements, between 0.99 and everything, the one that loses least (squared error: rounding inside, cutting
   off outside, where one element counts for no more than `most`, lest a single wild one widen every step).
   Distances: <q, x> ~ <q, mean> + l * sum(q) + D * <q, c>; int8 query to traverse, 15 bits for the distance that is returned.

   Integers between 0 and 255 or -128 and 127 are their own codes: no mean, step 1.

   LVQ8 fits a range to every vector, for 8 bytes more each, and is the more exact where vectors differ in size.

   Record: codes, then (L2) 2 <y, y'> - |y|^2 or (IP) |x|^2, float32; y' is y as decoded. With that instead of |y|^2 the distance
   of a query near y is off by 2 <q - y, y - y'> and no more (|y|^2 for the few vectors that the range cuts much off).
   Rows as LVQ's. */
#include <math.h>
#include <string.h>

#include "batch.h"
#include "codec_lvq.h"
#include "kernels.h"

enum { BATCH = 64, BINS = 1 << 14, ROW_CONSTANTS = 20 };

static void shape(coder *c) {
    c->padded = (uint32_t)lvq_padded(c->dim, 8);
    c->code_bytes = c->padded;
    c->primary_bytes = round_up(c->code_bytes + (c->metric == VEC_COSINE ? 0 : 4), c->code_bytes >= 64 ? 16 : 4);
    c->row_bytes = round_up(c->padded + ROW_CONSTANTS, 64);
}

static float norm2_of(const coder *c, const uint8_t *primary) {
    float n = 1;
    if (c->metric != VEC_COSINE) memcpy(&n, primary + c->code_bytes, 4);
    return n;
}

/* Squared error of cutting `outside` elements at each end of a histogram, `most` for each at most. */
static double error_of(const uint64_t *bins, double width, double most, uint64_t outside, uint32_t *lo, uint32_t *hi) {
    uint64_t below = 0, above = 0;
    uint32_t a = 0, b = BINS - 1;
    while (a < b && below + bins[a] <= outside) below += bins[a++];
    while (b > a && above + bins[b] <= outside) above += bins[b--];
    double step = (double)(b - a + 1) * width / 255, error = 0;
    for (uint32_t i = 0; i < BINS; i++) {
        double off = i < a ? (double)(a - i) * width : i > b ? (double)(i - b) * width : 0;
        double each = off > 0 ? off * off : step * step / 12;
        error += (double)bins[i] * (each < most ? each : most);
    }
    *lo = a, *hi = b;
    return error;
}

static int train(coder *c, const float *sample, size_t n, const float *queries, size_t n_queries, mem_account *account) {
    static const double keep[] = {1, 0.99999, 0.9999, 0.999, 0.995, 0.99};
    int rc = lvq_train(c, sample, n, queries, n_queries, account);
    uint64_t *bins = rc == VEC_OK ? mem_zeroed(account, VEC_MEM_OTHER, BINS * sizeof *bins) : NULL;
    if (!bins) return VEC_ENOMEM;
    float least = sample[0] - c->mean[0], most = least;
    double squares = 0;
    for (size_t i = 0; i < n * c->dim; i++) {
        float y = sample[i] - c->mean[i % c->dim];
        least = y < least ? y : least, most = y > most ? y : most;
        squares += (double)y * y;
    }
    if (c->is_integral) {
        float lo, hi;
        K.range(sample, n * c->dim, &lo, &hi);
        float from = lo > -0.5f && hi < 255.5f ? 0 : lo > -128.5f && hi < 127.5f ? -128 : HUGE_VALF;
        if (from < HUGE_VALF) {
            memset(c->mean, 0, c->dim * sizeof *c->mean);
            c->mean_norm2 = 0, c->range[0] = from, c->range[1] = 1;
            mem_free(bins);
            return VEC_OK;
        }
    }
    double width = ((double)most - least) / BINS, best = HUGE_VAL;
    c->range[0] = least, c->range[1] = 1;
    if (width > 0x1p-100) {
        for (size_t i = 0; i < n * c->dim; i++) {
            double at = ((double)sample[i] - c->mean[i % c->dim] - least) / width;
            bins[at < 0 ? 0 : at < BINS ? (size_t)at : BINS - 1]++;
        }
        for (size_t t = 0; t < sizeof keep / sizeof *keep; t++) {
            uint32_t lo, hi;
            double error = error_of(bins, width, 4 * squares / (double)(n * c->dim),
                                    (uint64_t)((1 - keep[t]) / 2 * (double)(n * c->dim)), &lo, &hi);
            if (error >= best) continue;
            best = error;
            c->range[0] = (float)(least + lo * width);
            c->range[1] = (float)((hi - lo + 1) * width / 255);
        }
    }
    mem_free(bins);
    return VEC_OK;
}

static void encode(const coder *c, const float *v, const uint8_t *given, uint8_t *primary, uint8_t *residual, float *y) {
    (void)given, (void)residual;
    double norm2 = 0;
    for (uint32_t i = 0; i < c->dim; i++) y[i] = v[i] - c->mean[i];
    (void)lvq_make_whole(c, y);
    K.quantise(y, c->dim, c->range[0], 1 / c->range[1], 255, primary);
    memset(primary + c->dim, 0, c->padded - c->dim);
    if (c->metric == VEC_L2) {
        double error = 0;
        for (uint32_t i = 0; i < c->dim; i++) {
            double off = y[i] - (c->range[0] + c->range[1] * (double)primary[i]);
            error += off * off;
            norm2 += (y[i] - 2 * off) * (double)y[i];
        }
        double whole = K.sum_squares(y, c->dim);
        if (error > 0.01 * whole) norm2 = whole;                /* much was cut off: queries will hardly have that in common */
    } else if (c->metric == VEC_IP) norm2 = K.sum_squares(v, c->dim);
    float n = (float)norm2;
    if (c->metric != VEC_COSINE) memcpy(primary + c->code_bytes, &n, 4);
}

static void decode(const coder *c, const uint8_t *primary, const uint8_t *residual, float *v) {
    (void)residual;
    for (uint32_t i = 0; i < c->dim; i++) v[i] = c->mean[i] + c->range[0] + c->range[1] * (float)primary[i];
}

static void prepare(const coder *c, const float *v, const uint8_t *given, query *q) {
    (void)given;
    if (v != q->x) memcpy(q->x, v, c->dim * sizeof *v);
    lvq_prepare_metric(c, q);
    lvq_prepare_s8(q->x, c->dim, c->padded, q);
    lvq_prepare_digits(q->x, c->dim, c->padded, q);
}

static void keys(const query *q, const uint8_t *const *primaries, size_t n, float *out) {
    const coder *c = q->coder;
    int is_l2 = c->metric == VEC_L2;
    float factor = is_l2 ? 2 * q->scale : q->scale, base = (float)q->base - factor * c->range[0] * (float)q->sum;
    int32_t dots[BATCH];
    factor *= c->range[1];
    for (size_t i = 0; i < n; i += BATCH) {
        size_t m = n - i < BATCH ? n - i : BATCH;
        K.dot_u8s8(q->s8, primaries + i, m, c->padded, dots);
        for (size_t j = 0; j < m; j++) out[i + j] = base - factor * (float)dots[j] + (is_l2 ? norm2_of(c, primaries[i + j]) : 0);
    }
    if (!q->is_link || c->metric != VEC_IP) return;
    for (size_t i = 0; i < n; i++) {
        float rest = q->most_norm2 - norm2_of(c, primaries[i]);
        out[i] += q->most_norm2 - 1 - q->extra * sqrtf(rest > 0 ? rest : 0);
    }
}

static void batch_begin(batch *b) {
    const coder *c = b->coder;
    for (uint32_t j = 0; j < b->n; j++) {
        const query *q = &b->queries[j];
        float factor = c->metric == VEC_L2 ? 2 * q->scale : q->scale;
        b->base[j] = (float)q->base - factor * c->range[0] * (float)q->sum, b->factor[j] = factor * c->range[1];
        b->sum[j] = 0, b->bytes[j] = q->s8;
    }
    batch_pack(b, c->padded);
}

static void batch_keys(const batch *b, const uint8_t *const *primaries, size_t n, float *out) {
    float k[3 * BATCH];
    batch_dots(b, primaries, n, b->coder->padded);
    for (size_t j = 0; j < n; j++) {
        k[3 * j] = 0, k[3 * j + 1] = 1;
        k[3 * j + 2] = b->coder->metric == VEC_L2 ? norm2_of(b->coder, primaries[j]) : 0;
    }
    batch_affine_keys(b, n, k, out);
}

static void exact(const query *q, const uint8_t *const *primaries, const uint8_t *const *residuals, size_t n, double *distances) {
    (void)residuals;
    const coder *c = q->coder;
    double dots[BATCH];
    for (size_t i = 0; i < n; i += BATCH) {
        size_t m = n - i < BATCH ? n - i : BATCH;
        lvq_fine_dots(q, 8, primaries + i, m, c->padded, dots);
        for (size_t j = 0; j < m; j++) {
            double y = q->fine_scale * ((double)c->range[0] * q->fine_sum + (double)c->range[1] * dots[j]);
            double d = c->metric == VEC_L2 ? q->fine_base + norm2_of(c, primaries[i + j]) - 2 * y : q->fine_base - y;
            distances[i + j] = c->metric == VEC_L2 && d < 0 ? 0 : d;
        }
    }
}

static void load_row(const coder *c, const uint8_t *primary, const uint8_t *residual, float most_norm2, uint8_t *row) {
    (void)residual;
    float rest = c->metric == VEC_IP ? most_norm2 - norm2_of(c, primary) : 0;
    memcpy(row, primary, c->padded);
    lvq_finish_row(row, c->dim, c->padded, c->range[0], c->range[1], sqrtf(rest > 0 ? rest : 0));
}

static void row_distances(const coder *c, const uint8_t *row, const uint8_t *const *rows, size_t n, float *out, int8_t *work) {
    lvq_row_distances(c->dim, c->padded, row, rows, n, out, work);
}

static double norm2(const coder *c, const uint8_t *primary) { return norm2_of(c, primary); }

const codec codec_sq8 = {.name = "SQ8", .bits = 8, .bits1 = 8, .shape = shape, .train = train, .encode = encode, .decode = decode,
                         .prepare = prepare, .keys = keys, .batch_begin = batch_begin, .batch_keys = batch_keys, .exact = exact,
                         .load_row = load_row, .row_distances = row_distances, .norm2 = norm2};

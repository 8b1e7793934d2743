/* LVQ: locally adaptive vector quantisation (Aguerrebere et al., VLDB 2023), one or two levels.

   Level 1: y = x - mean; l = min y, D = (max y - min y) / (2^B1 - 1), both float32 and rounded before the codes are computed:
   c_j = round((y_j - l) / D). Level 2: the residual y - (l + D c) lies within D / 2, so it needs no constants of its own:
   e_j = round(residual * 2^B2 / D), stored with 2^(B2-1) added so that both levels use the same unsigned kernels.

   Deviations from the paper: constants in float32 (float16 would add an error common to all dimensions); distances take an int8
   query against the codes in integers while traversing, and two int8 digits (15 bits) for the distance that is returned; L2 uses
   the true |y|^2, stored with the record; IP stores |x|^2, which linking needs.

   l and D are stored times g = <t, y> / <t, y'>, y' what the codes stand for, t = y for L2 and x otherwise (RaBitQ's rescaling,
   SIGMOD 2024, on other codes). What queries near x ask of x is then right but for the part of the error that lies across x:
   SIFT's recall@10 from 4 bits rises from 0.88 to 0.91, from 8 bits from 0.987 to 0.995. Where a second level follows, which
   needs l and D as they were, the record also holds 1 / g.

   Vectors of integers (bytes given as floats are common) keep an integer mean and steps that divide one: 8 bits then lose nothing
   of vectors that span up to 255.

   Record: codes, then float32 g l, g D, (L2, IP) the norm and (two levels) 1 / g. Row (pruning): one byte per dimension of both
   levels' high bits, then l, D, code sum, squared norm of the decoded vector, extra coordinate. */
#include <math.h>
#include <string.h>

#include "batch.h"
#include "codec_lvq.h"
#include "kernels.h"

/* bias and step as stored; shrink times them: as the second level knows them */
typedef struct { float bias, step, norm2, shrink; } constants;
typedef struct { float bias, step, sum, norm2, extra; } row_constants;

size_t lvq_padded(size_t dim, int bits) { return round_up(dim, bits == 4 ? 32 : 16); }
size_t lvq_code_bytes(size_t dim, int bits) { return lvq_padded(dim, bits) * (size_t)bits / 8; }

static size_t constant_bytes(const coder *c) { return 8 + (c->metric == VEC_COSINE ? 0 : 4) + (c->bits2 ? 4 : 0); }

void lvq_shape(coder *c) {
    int least = c->bits1 == 4 || c->bits2 == 4 ? 4 : 8;         /* both levels share one padding, hence one prepared query */
    c->padded = (uint32_t)lvq_padded(c->dim, least);
    c->code_bytes = c->padded * (size_t)c->bits1 / 8;
    c->residual_code_bytes = c->padded * (size_t)c->bits2 / 8;
    c->primary_bytes = round_up(c->code_bytes + constant_bytes(c), c->code_bytes >= 64 ? 16 : 4);
    c->residual_bytes = c->residual_code_bytes;
    c->row_bytes = round_up(c->padded + sizeof(row_constants), 64);
}

static constants constants_of(const coder *c, const uint8_t *primary) {
    constants k = {0, 0, 0, 1};
    size_t n = c->metric == VEC_COSINE ? 8 : 12;
    memcpy(&k, primary + c->code_bytes, n);
    if (c->bits2) memcpy(&k.shrink, primary + c->code_bytes + n, 4);
    return k;
}

static void store_constants(const coder *c, const constants *k, uint8_t *primary) {
    size_t n = c->metric == VEC_COSINE ? 8 : 12;
    memcpy(primary + c->code_bytes, k, n);
    if (c->bits2) memcpy(primary + c->code_bytes + n, &k->shrink, 4);
}

/* Bytes in natural order to the 4-bit layout of kernels.h. */
void lvq_pack_u4(const uint8_t *codes, size_t padded, uint8_t *out) {
    for (size_t done = 0; done < padded;) {
        size_t block = padded - done < 128 ? padded - done : 128, half = block / 2;
        for (size_t i = 0; i < half; i++) out[i] = (uint8_t)(codes[i] | codes[i + half] << 4);
        codes += block, out += half, done += block;
    }
}

/* What to multiply the decoded vector (bias + step * codes) by, so that its product with `towards` is `wanted`; within twice the
   codes' own relative error of y, for a vector that lies nearly across `towards` has no factor that would do. */
float lvq_rescale(const float *y, const float *towards, double wanted, const uint8_t *codes, size_t dim, float bias, float step) {
    double sums[3][8] = {{0}};
    for (size_t i = 0; i < dim; i++) {
        float decoded = bias + step * (float)codes[i], off = y[i] - decoded;
        sums[0][i & 7] += (double)towards[i] * decoded;
        sums[1][i & 7] += (double)off * off;
        sums[2][i & 7] += (double)y[i] * y[i];
    }
    double got = 0, error = 0, whole = 0;
    for (int j = 0; j < 8; j++) got += sums[0][j], error += sums[1][j], whole += sums[2][j];
    if (!(whole > 0)) return 1;
    double most = 2 * sqrt(error / whole), g = wanted / got - 1;
    if (!(most < 0.5)) most = 0.5;
    if (!(g > -most)) g = g <= -most ? -most : 0;
    return (float)(1 + (g < most ? g : most));
}

static double dot_of(const float *x, const float *y, size_t n) {
    double sums[8] = {0}, sum = 0;
    for (size_t i = 0; i < n; i++) sums[i & 7] += (double)x[i] * y[i];
    for (int j = 0; j < 8; j++) sum += sums[j];
    return sum;
}

/* y as the integers that it is up to the rounding of another codec,
   if this is the codec of integers and it is a vector of them. */
int lvq_make_whole(const coder *c, float *y) {
    int is_whole = c->is_integral != 0;
    for (size_t i = 0; i < c->dim && is_whole; i++) is_whole = fabsf(y[i] - rintf(y[i])) < 0.02f;
    for (size_t i = 0; i < c->dim && is_whole; i++) y[i] = rintf(y[i]);
    return is_whole;
}

/* Whether codes of `levels` steps can hold a vector of integers exactly, and if so which step. */
static int integer_steps(const float *y, size_t dim, int levels, float *lo, float *step) {
    float hi;
    K.range(y, dim, lo, &hi);
    if (!(hi > *lo && hi - *lo <= (float)levels)) return 0;
    *step = 1 / floorf((float)levels / (hi - *lo));
    return 1;
}

/* The one level of 8 bits, exact for integers. */
void lvq_quantise_8(const coder *c, const float *y, int is_whole, float *bias, float *step, uint8_t *codes) {
    if (!is_whole || !integer_steps(y, c->dim, 255, bias, step)) {
        lvq_quantise(y, c->dim, c->padded, 8, bias, step, codes);
        return;
    }
    K.quantise(y, c->dim, *bias, 1 / *step, 255, codes);
    memset(codes + c->dim, 0, c->padded - c->dim);
}

/* 4 bits that 4 more make 8: exact for integers if that does not widen the first level's steps too much. */
static void quantise_4x4(const coder *c, const float *y, int is_whole, float *bias, float *step, uint8_t *codes) {
    lvq_quantise(y, c->dim, c->padded, 4, bias, step, codes);
    float lo, fine;
    if (!is_whole || !integer_steps(y, c->dim, 255, &lo, &fine) || 16 * fine > 1.4f * *step) return;
    *step = 16 * fine, *bias = lo + *step / 2;                   /* the second level reaches from -8 to 7 of its steps */
    K.quantise(y, c->dim, *bias, 1 / *step, 15, codes);
    memset(codes + c->dim, 0, c->padded - c->dim);
}

/* Level 1 of y (already centred) into codes (padded bytes, natural order). */
void lvq_quantise(const float *y, size_t dim, size_t padded, int bits, float *bias, float *step, uint8_t *codes) {
    float lo, hi;
    K.range(y, dim, &lo, &hi);
    int most = (1 << bits) - 1;
    *bias = lo;
    *step = hi > lo ? (float)(((double)hi - lo) / most) : 1.0f;
    if (!(*step >= 0x1p-120f)) *step = 0x1p-120f;                /* keep its inverse finite */
    K.quantise(y, dim, lo, 1.0f / *step, most, codes);
    memset(codes + dim, 0, padded - dim);
}

/* Where no second level mends the error of 16 levels, outliers are clipped if that lowers the squared error, and the constants
   are then fitted to the codes by least squares. */
void lvq_quantise_clipped(const float *y, size_t dim, size_t padded, int bits, float *bias, float *step, uint8_t *codes) {
    static const float keep[] = {1.0f, 0.92f, 0.85f, 0.78f, 0.7f};
    float lo, hi, best_lo = 0, best_step = 1;
    double best = HUGE_VAL;
    int most = (1 << bits) - 1;
    K.range(y, dim, &lo, &hi);
    if (!(hi - lo > 0x1p-60f && hi - lo < 0x1p60f)) {
        lvq_quantise(y, dim, padded, bits, bias, step, codes);
        return;
    }
    for (size_t t = 0; t < sizeof keep / sizeof *keep; t++) {
        float width = (hi - lo) * keep[t], from = lo + (hi - lo - width) / 2, delta = width / (float)most;
        double error[8] = {0};
        K.quantise(y, dim, from, 1 / delta, most, codes);
        for (size_t i = 0; i < dim; i++) {
            float e = y[i] - (from + delta * (float)codes[i]);
            error[i & 7] += (double)e * e;
        }
        double sum = ((error[0] + error[4]) + (error[1] + error[5])) + ((error[2] + error[6]) + (error[3] + error[7]));
        if (sum < best) best = sum, best_lo = from, best_step = delta;
    }
    K.quantise(y, dim, best_lo, 1 / best_step, most, codes);
    memset(codes + dim, 0, padded - dim);
    double sc = 0, scc = 0, sy = 0, scy = 0;
    for (size_t i = 0; i < dim; i++) sc += codes[i], scc += codes[i] * codes[i], sy += y[i], scy += codes[i] * (double)y[i];
    double spread = (double)dim * scc - sc * sc;
    *step = spread > 0 ? (float)(((double)dim * scy - sc * sy) / spread) : best_step;
    *bias = spread > 0 ? (float)((sy - *step * sc) / (double)dim) : best_lo;
}

static void encode(const coder *c, const float *v, const uint8_t *given, uint8_t *primary, uint8_t *residual, float *work) {
    (void)given;
    size_t dim = c->dim;
    float *y = work;                                            /* dim floats, then padded code bytes */
    uint8_t *codes = (uint8_t *)(work + c->padded);
    constants k = {.shrink = 1};
    for (size_t i = 0; i < dim; i++) y[i] = c->mean ? v[i] - c->mean[i] : v[i];
    int is_whole = lvq_make_whole(c, y);
    if (c->metric != VEC_COSINE) k.norm2 = (float)K.sum_squares(c->metric == VEC_L2 ? y : v, dim);
    if (c->bits1 == 8 && !c->bits2) lvq_quantise_8(c, y, is_whole, &k.bias, &k.step, codes);
    else if (c->bits1 == 4 && c->bits2 == 4) quantise_4x4(c, y, is_whole, &k.bias, &k.step, codes);
    else (c->bits1 == 4 && !c->bits2 ? lvq_quantise_clipped : lvq_quantise)(y, dim, c->padded, c->bits1, &k.bias, &k.step, codes);
    const float *towards = c->metric == VEC_L2 ? y : v;
    float g = lvq_rescale(y, towards, dot_of(towards, y, dim), codes, dim, k.bias, k.step);
    k.bias *= g, k.step *= g, k.shrink = 1 / g;
    if (c->bits1 == 4) lvq_pack_u4(codes, c->padded, primary);
    else memcpy(primary, codes, c->padded);
    store_constants(c, &k, primary);
    if (!c->bits2) return;
    float bias = k.bias * k.shrink, step = k.step * k.shrink;   /* with the rounding that readers will see */
    for (size_t i = 0; i < dim; i++) y[i] -= bias + step * codes[i];
    int levels = 1 << c->bits2;
    float inverse = (float)levels / step;
    if (!(inverse < HUGE_VALF)) inverse = 0x1p126f;
    K.quantise(y, dim, -0.5f * step, inverse, levels - 1, codes);
    memset(codes + dim, 0, c->padded - dim);
    if (c->bits2 == 4) lvq_pack_u4(codes, c->padded, residual);
    else memcpy(residual, codes, c->padded);
}

static int code_at(const uint8_t *codes, size_t i, size_t padded, int bits) {
    if (bits == 8) return codes[i];
    size_t block = i / 128, at = i % 128, tail = padded - 128 * block, half = (tail < 128 ? tail : 128) / 2;
    uint8_t b = codes[64 * block + at % half];
    return at < half ? b & 15 : b >> 4;
}

static void decode(const coder *c, const uint8_t *primary, const uint8_t *residual, float *v) {
    constants k = constants_of(c, primary);
    k.bias *= k.shrink, k.step *= k.shrink;
    float fine = k.step / (float)(1 << c->bits2), middle = (float)(1 << c->bits2) / 2;
    for (size_t i = 0; i < c->dim; i++) {
        v[i] = k.bias + k.step * (float)code_at(primary, i, c->padded, c->bits1);
        if (c->bits2) v[i] += fine * ((float)code_at(residual, i, c->padded, c->bits2) - middle);
        if (c->mean) v[i] += c->mean[i];
    }
}

static float greatest(const float *x, size_t n) {
    float lo, hi;
    K.range(x, n, &lo, &hi);
    return -lo > hi ? -lo : hi;
}

static void prepare_s8(const float *x, size_t dim, size_t padded, float most, query *q) {
    q->scale = most > 0 ? most / 127.0f : 1.0f;
    if (!(q->scale >= 0x1p-120f)) q->scale = 0x1p-120f;
    q->sum = K.quantise_s8(x, dim, 1.0f / q->scale, q->s8);
    memset(q->s8 + dim, 0, padded - dim);
}

static void prepare_digits(const float *x, size_t dim, size_t padded, float most, query *q) {
    q->fine_scale = most > 0 ? most / 16256.0f : 1.0f;
    if (!(q->fine_scale >= 0x1p-120f)) q->fine_scale = 0x1p-120f;
    int32_t sums[2];
    K.quantise_digits(x, dim, 1.0f / q->fine_scale, q->high, q->low, sums);
    memset(q->high + dim, 0, padded - dim);
    memset(q->low + dim, 0, padded - dim);
    q->fine_sum = 128.0 * sums[0] + sums[1];
}

void lvq_prepare_s8(const float *x, size_t dim, size_t padded, query *q) { prepare_s8(x, dim, padded, greatest(x, dim), q); }
void lvq_prepare_digits(const float *x, size_t dim, size_t padded, query *q) {
    prepare_digits(x, dim, padded, greatest(x, dim), q);
}

/* The metric's constants, and x centred in place for L2. */
void lvq_prepare_metric(const coder *c, query *q) {
    double base = 1;
    if (c->metric == VEC_L2) {
        if (c->mean) for (uint32_t i = 0; i < c->dim; i++) q->x[i] -= c->mean[i];
        base = K.sum_squares(q->x, c->dim);
    } else if (c->mean) {
        const uint8_t *mean = (const uint8_t *)c->mean;
        float dot;
        K.dot_f32(q->x, &mean, 1, c->dim, &dot);
        base -= dot;
    }
    q->base = q->fine_base = base;
}

static void prepare(const coder *c, const float *v, const uint8_t *given, query *q) {
    (void)given;
    if (v != q->x) memcpy(q->x, v, c->dim * sizeof *v);
    lvq_prepare_metric(c, q);
    float most = greatest(q->x, c->dim);
    prepare_s8(q->x, c->dim, c->padded, most, q);
    prepare_digits(q->x, c->dim, c->padded, most, q);
}

enum { BATCH = 64 };

/* Keys from integer dots: base (+ norm) - factor * (l * sum + D * dot). */
static void keys(const query *q, const uint8_t *const *primaries, size_t n, float *out) {
    const coder *c = q->coder;
    kernel_fn *dot = c->bits1 == 4 ? K.dot_u4s8 : K.dot_u8s8;
    size_t at = c->code_bytes;
    int is_l2 = c->metric == VEC_L2;
    float factor = is_l2 ? 2 * q->scale : q->scale, sum = (float)q->sum, base = (float)q->base;
    int32_t dots[BATCH];
    for (size_t i = 0; i < n; i += BATCH) {
        size_t m = n - i < BATCH ? n - i : BATCH;
        dot(q->s8, primaries + i, m, c->padded, dots);
        for (size_t j = 0; j < m; j++) {
            float k[3];
            memcpy(k, primaries[i + j] + at, 8);
            float y = k[0] * sum + k[1] * (float)dots[j];
            out[i + j] = base - factor * y;
            if (is_l2) memcpy(k + 2, primaries[i + j] + at + 8, 4), out[i + j] += k[2];
        }
    }
    if (!q->is_link || c->metric != VEC_IP) return;
    for (size_t i = 0; i < n; i++) {                            /* 1 - dot becomes M^2 - dot - e_x e_y */
        float rest = q->most_norm2 - constants_of(c, primaries[i]).norm2;
        out[i] += q->most_norm2 - 1 - q->extra * sqrtf(rest > 0 ? rest : 0);
    }
}

void lvq_batch_begin(batch *b, size_t padded) {
    int is_l2 = b->coder->metric == VEC_L2;
    for (uint32_t j = 0; j < b->n; j++) {
        const query *q = &b->queries[j];
        b->base[j] = (float)q->base, b->factor[j] = is_l2 ? 2 * q->scale : q->scale, b->sum[j] = (float)q->sum,
        b->bytes[j] = q->s8;
    }
    batch_pack(b, padded);
}

void lvq_batch_keys(const batch *b, const uint8_t *const *primaries, size_t n, size_t padded, float *out) {
    const coder *c = b->coder;
    const uint8_t *codes[BATCH];
    float k[3 * BATCH];
    batch_dots(b, batch_unpack(b, c->bits1, primaries, n, padded, codes), n, padded);
    for (size_t j = 0; j < n; j++) {
        k[3 * j + 2] = 0;
        memcpy(k + 3 * j, primaries[j] + c->code_bytes, c->metric == VEC_L2 ? 12 : 8);
    }
    batch_affine_keys(b, n, k, out);
}

static void batch_begin(batch *b) { lvq_batch_begin(b, b->coder->padded); }
static void batch_keys(const batch *b, const uint8_t *const *primaries, size_t n, float *out) {
    lvq_batch_keys(b, primaries, n, b->coder->padded, out);
}

/* Dots of the 15-bit query with one level's codes. */
void lvq_fine_dots(const query *q, int bits, const uint8_t *const *codes, size_t n, size_t padded, double *out) {
    kernel_fn *dot = bits == 4 ? K.dot_u4s8 : K.dot_u8s8;
    int32_t high[BATCH], low[BATCH];
    dot(q->high, codes, n, padded, high);
    dot(q->low, codes, n, padded, low);
    for (size_t j = 0; j < n; j++) out[j] = 128.0 * high[j] + low[j];
}

static void exact(const query *q, const uint8_t *const *primaries, const uint8_t *const *residuals, size_t n, double *distances) {
    const coder *c = q->coder;
    double dots[BATCH], fine[BATCH];
    double levels = (double)(1 << c->bits2);
    for (size_t i = 0; i < n; i += BATCH) {
        size_t m = n - i < BATCH ? n - i : BATCH;
        lvq_fine_dots(q, c->bits1, primaries + i, m, c->padded, dots);
        if (c->bits2) {
            lvq_fine_dots(q, c->bits2, residuals + i, m, c->padded, fine);
            for (size_t j = 0; j < m; j++) dots[j] += fine[j] / levels - 0.5 * q->fine_sum;
        }
        for (size_t j = 0; j < m; j++) {
            constants k = constants_of(c, primaries[i + j]);
            double y = q->fine_scale * ((double)(k.bias * k.shrink) * q->fine_sum + (double)(k.step * k.shrink) * dots[j]);
            double d = c->metric == VEC_L2 ? q->fine_base + k.norm2 - 2 * y : q->fine_base - y;
            distances[i + j] = c->metric == VEC_L2 && d < 0 ? 0 : d;
        }
    }
}

void lvq_finish_row(uint8_t *row, size_t dim, size_t padded, float bias, float step, float extra) {
    int64_t squares;
    int32_t sum = K.sum_u8(row, padded, &squares);
    double b = bias, s = step;
    row_constants k = {bias, step, (float)sum, (float)((double)dim * b * b + 2 * b * s * sum + s * s * (double)squares), extra};
    memcpy(row + padded, &k, sizeof k);
}

static void load_row(const coder *c, const uint8_t *primary, const uint8_t *residual, float most_norm2, uint8_t *row) {
    constants k = constants_of(c, primary);
    k.bias *= k.shrink, k.step *= k.shrink;
    float bias = k.bias, step = k.step;
    if (c->bits1 == 8) memcpy(row, primary, c->padded);
    else if (!c->bits2) K.expand_u4(primary, NULL, c->padded, row);
    else {
        /* 16 c + the residual's four high bits; the low ones that are dropped average half a step of them. */
        step = k.step / 16, bias = k.bias - k.step / 2;
        if (c->bits2 == 4) K.expand_u4(primary, residual, c->padded, row);
        else {
            K.expand_u4(primary, NULL, c->padded, row);
            for (size_t i = 0; i < c->padded; i++) row[i] = (uint8_t)(row[i] << 4 | residual[i] >> 4);
            bias += step * (15.0f / 32);
        }
    }
    float rest = c->metric == VEC_IP ? most_norm2 - k.norm2 : 0;
    lvq_finish_row(row, c->dim, c->padded, bias, step, sqrtf(rest > 0 ? rest : 0));
}

void lvq_row_distances(size_t dim, size_t padded, const uint8_t *row, const uint8_t *const *rows, size_t n, float *out,
                       int8_t *work) {
    row_constants a, b;
    int32_t dots[BATCH];
    memcpy(&a, row + padded, sizeof a);
    for (size_t i = 0; i < padded; i++) work[i] = (int8_t)(row[i] ^ 0x80);       /* c - 128 as the signed operand */
    for (size_t i = 0; i < n; i += BATCH) {
        size_t m = n - i < BATCH ? n - i : BATCH;
        K.dot_u8s8(work, rows + i, m, padded, dots);
        for (size_t j = 0; j < m; j++) {
            memcpy(&b, rows[i + j] + padded, sizeof b);
            float cc = (float)dots[j] + 128.0f * b.sum;
            float dot = (float)dim * a.bias * b.bias + a.bias * b.step * b.sum + b.bias * a.step * a.sum + a.step * b.step * cc;
            float d = a.norm2 + b.norm2 - 2 * dot + (a.extra - b.extra) * (a.extra - b.extra);
            out[i + j] = d > 0 ? d : 0;
        }
    }
}

static void row_distances(const coder *c, const uint8_t *row, const uint8_t *const *rows, size_t n, float *out, int8_t *work) {
    lvq_row_distances(c->dim, c->padded, row, rows, n, out, work);
}

static double norm2(const coder *c, const uint8_t *primary) { return constants_of(c, primary).norm2; }

/* Whether all are integers that a float holds with room to spare; decoded from 16-bit codes, which may be off by a little. */
static int is_integral(const float *x, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!(fabsf(x[i]) < 0x1p20f && fabsf(x[i] - rintf(x[i])) < 0.02f)) return 0;
    return 1;
}

int lvq_train(coder *c, const float *sample, size_t n, const float *queries, size_t n_queries, mem_account *account) {
    (void)queries, (void)n_queries;
    double *sums = mem_zeroed(account, VEC_MEM_OTHER, c->dim * sizeof *sums);
    c->mean = mem_alloc(account, VEC_MEM_CODEC, c->dim * sizeof *c->mean);
    if (!sums || !c->mean) { mem_free(sums); return VEC_ENOMEM; }
    for (size_t i = 0; i < n; i++)
        for (uint32_t j = 0; j < c->dim; j++) sums[j] += sample[i * c->dim + j];
    c->is_integral = c->metric != VEC_COSINE && is_integral(sample, n * c->dim);
    c->mean_norm2 = 0;
    for (uint32_t j = 0; j < c->dim; j++) {
        c->mean[j] = (float)(sums[j] / (double)n);
        if (c->is_integral) c->mean[j] = rintf(c->mean[j]);
        c->mean_norm2 += (double)c->mean[j] * c->mean[j];
    }
    mem_free(sums);
    return VEC_OK;
}

#define LVQ(id, label, b1, b2)                                                                                                   \
    const codec codec_##id = {.name = label, .bits = b1 + b2, .is_two_level = b2 != 0, .bits1 = b1, .bits2 = b2,                 \
        .shape = lvq_shape, .train = lvq_train, .encode = encode, .decode = decode, .prepare = prepare, .keys = keys,            \
        .batch_begin = batch_begin, .batch_keys = batch_keys, .exact = exact, .load_row = load_row,                              \
        .row_distances = row_distances, .norm2 = norm2};
LVQ(lvq4, "LVQ4", 4, 0)
LVQ(lvq8, "LVQ8", 8, 0)
LVQ(lvq4x4, "LVQ4x4", 4, 4)
LVQ(lvq4x8, "LVQ4x8", 4, 8)
LVQ(lvq8x8, "LVQ8x8", 8, 8)

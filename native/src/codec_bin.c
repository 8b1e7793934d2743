/* BIN: one bit per dimension with the RaBitQ correction (SIGMOD 2024).

   y = x - mean is rotated, z = R y, and only the signs of z are kept, with two numbers: f = |z|^2 / sum |z_j| and |z|. Then
   <y, q> ~ f * sum sign(z_j) (R q)_j: unbiased over rotations, exact for q = y.
   With co = |z| / (f sqrt d), about 0.8, the error is below
   |z| |q| sqrt(1 / co^2 - 1) * 1.9 / sqrt(d - 1) for nearly all pairs: a tenth of |z| |q| for a few hundred dimensions. There is
   no second level: the distance that is returned is this estimate (of a 15-bit query; an int8 one traverses), and recall is what
   it allows. Measured, recall@10 of an exact scan and share of the true ten among the first hundred: sentence embeddings of 384
   dimensions (56 bytes) 0.74 and 0.996, of 768 (104 bytes) 0.81 and 0.9998; SIFT, 128 dimensions (24 bytes), 0.45 and 0.94. So
   ask for more than is needed and take exact distances of those from the originals, where ten of ten are wanted.

   R is a fast rotation: four rounds of random signs, a Hadamard transform over the first and over the last power of two that
   fits, in turn, and, where that is not everything, a butterfly between the halves.
   It needs no memory; its seed is part of the image format.

   Linking knows stored vectors by their bits alone. A stored vector as a query is its bits times sum |z_j| / d, the best fit, so
   that the estimate stays exact for equal vectors; pruning takes the angle from the share of bits that differ:
   |z| |z'| cos(pi h / d).

   Record: bits, float32 f, |z| and (IP) |x|^2. Row: bits, then f, |z| and the extra coordinate. */
#include <math.h>
#include <string.h>

#include "batch.h"
#include "codec_lvq.h"
#include "kernels.h"

enum { BATCH = 64, ROUNDS = 4 };

typedef struct { float factor, norm, norm2; } constants;         /* norm2: of x, IP only */
typedef struct { float norm, extra; } row_constants;

static size_t constant_bytes(const coder *c) { return c->metric == VEC_IP ? 12 : 8; }

static void shape(coder *c) {
    c->padded = (uint32_t)round_up(c->dim, 64);
    c->code_bytes = c->padded / 8;
    c->primary_bytes = c->code_bytes + constant_bytes(c);
    c->row_bytes = round_up(c->code_bytes + sizeof(row_constants), 64);
}

static constants constants_of(const coder *c, const uint8_t *primary) {
    constants k = {0, 0, 1};
    memcpy(&k, primary + c->code_bytes, constant_bytes(c));
    return k;
}

/* 1. The rotation. */

static uint64_t signs_of(size_t round, size_t word) {
    uint64_t x = (round << 32 | word) * 0x9E3779B97F4A7C15u + 0x3C6EF372FE94F82Bu;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}

static void flip(float *z, size_t n, size_t round) {
    for (size_t i = 0; i < n; i += 64) {
        uint64_t signs = signs_of(round, i / 64);
        K.flip(z + i, 64, &signs);
    }
}

/* The round's symmetric part, its own inverse. */
static void mix(float *z, size_t n, size_t round, float *work) {
    size_t power = 64;
    while (2 * power <= n) power *= 2;
    float *part = round & 1 ? z + n - power : z, scale = 1 / sqrtf((float)power);
    K.hadamard(part, power, work);
    for (size_t i = 0; i < power; i++) part[i] *= scale;
}

static void cross(float *z, size_t n) {
    const float half = 0.70710678f;
    if (!(n & (n - 1))) return;
    for (size_t i = 0; i < n / 2; i++) {
        float a = z[i], b = z[i + n / 2];
        z[i] = (a + b) * half, z[i + n / 2] = (a - b) * half;
    }
}

/* work: n floats */
static void rotate(float *z, size_t n, float *work) {
    for (size_t round = 0; round < ROUNDS; round++) flip(z, n, round), mix(z, n, round, work), cross(z, n);
}

static void rotate_back(float *z, size_t n, float *work) {
    for (size_t round = ROUNDS; round-- > 0;) cross(z, n), mix(z, n, round, work), flip(z, n, round);
}

/* 2. Codes. */

static void encode(const coder *c, const float *v, const uint8_t *given, uint8_t *primary, uint8_t *residual, float *z) {
    (void)given, (void)residual;
    constants k = {0, 0, 0};
    double norm2 = 0, sum = 0, whole = 0;
    for (uint32_t i = 0; i < c->dim; i++) z[i] = v[i] - c->mean[i];
    for (uint32_t i = c->dim; i < c->padded; i++) z[i] = 0;
    if (c->metric == VEC_IP) for (uint32_t i = 0; i < c->dim; i++) whole += (double)v[i] * v[i];
    rotate(z, c->padded, z + c->padded);
    memset(primary, 0, c->code_bytes);
    for (uint32_t i = 0; i < c->padded; i++) {
        primary[i / 8] |= (uint8_t)((z[i] > 0) << i % 8);
        norm2 += (double)z[i] * z[i], sum += fabsf(z[i]);
    }
    k.factor = sum > 0 ? (float)(norm2 / sum) : 0;
    k.norm = (float)sqrt(norm2);
    k.norm2 = (float)whole;
    memcpy(primary + c->code_bytes, &k, constant_bytes(c));
}

static void decode(const coder *c, const uint8_t *primary, const uint8_t *residual, float *v) {
    (void)residual;
    float z[2 * c->padded];
    constants k = constants_of(c, primary);
    float fit = k.factor > 0 ? k.norm / k.factor * k.norm / (float)c->padded : 0;               /* sum |z_j| / d */
    for (uint32_t i = 0; i < c->padded; i++) z[i] = primary[i / 8] >> i % 8 & 1 ? fit : -fit;
    rotate_back(z, c->padded, z + c->padded);
    for (uint32_t i = 0; i < c->dim; i++) v[i] = z[i] + c->mean[i];
}

/* 3. Distances. */

static void prepare(const coder *c, const float *v, const uint8_t *given, query *q) {
    (void)given;
    if (v != q->x) memcpy(q->x, v, c->dim * sizeof *v);
    lvq_prepare_metric(c, q);
    memcpy(q->projected, q->x, c->dim * sizeof *q->x);
    memset(q->projected + c->dim, 0, (c->padded - c->dim) * sizeof *q->x);
    rotate(q->projected, c->padded, (float *)(void *)q->x64);
    lvq_prepare_s8(q->projected, c->padded, c->padded, q);
    lvq_prepare_digits(q->projected, c->padded, c->padded, q);
}

static void keys(const query *q, const uint8_t *const *primaries, size_t n, float *out) {
    const coder *c = q->coder;
    int is_l2 = c->metric == VEC_L2;
    float factor = is_l2 ? 2 * q->scale : q->scale, base = (float)q->base;
    int32_t dots[BATCH];
    for (size_t i = 0; i < n; i += BATCH) {
        size_t m = n - i < BATCH ? n - i : BATCH;
        K.dot_u1s8(q->s8, primaries + i, m, c->padded, dots);
        for (size_t j = 0; j < m; j++) {
            constants k = constants_of(c, primaries[i + j]);
            out[i + j] = base - factor * (k.factor * -(float)q->sum + 2 * k.factor * (float)dots[j])
                         + (is_l2 ? k.norm * k.norm : 0);
        }
    }
    if (!q->is_link || c->metric != VEC_IP) return;
    for (size_t i = 0; i < n; i++) {
        float rest = q->most_norm2 - constants_of(c, primaries[i]).norm2;
        out[i] += q->most_norm2 - 1 - q->extra * sqrtf(rest > 0 ? rest : 0);
    }
}

static void batch_begin(batch *b) {
    lvq_batch_begin(b, b->coder->padded);
    for (uint32_t j = 0; j < b->n; j++) b->sum[j] = -b->sum[j];
}

static void batch_keys(const batch *b, const uint8_t *const *primaries, size_t n, float *out) {
    const coder *c = b->coder;
    const uint8_t *bytes[BATCH];
    float k[3 * BATCH];
    batch_dots(b, batch_unpack(b, 1, primaries, n, c->padded, bytes), n, c->padded);
    for (size_t j = 0; j < n; j++) {
        constants own = constants_of(c, primaries[j]);
        k[3 * j] = own.factor, k[3 * j + 1] = 2 * own.factor, k[3 * j + 2] = c->metric == VEC_L2 ? own.norm * own.norm : 0;
    }
    batch_affine_keys(b, n, k, out);
}

static void exact(const query *q, const uint8_t *const *primaries, const uint8_t *const *residuals, size_t n, double *distances) {
    (void)residuals;
    const coder *c = q->coder;
    int32_t high[BATCH], low[BATCH];
    for (size_t i = 0; i < n; i += BATCH) {
        size_t m = n - i < BATCH ? n - i : BATCH;
        K.dot_u1s8(q->high, primaries + i, m, c->padded, high);
        K.dot_u1s8(q->low, primaries + i, m, c->padded, low);
        for (size_t j = 0; j < m; j++) {
            constants k = constants_of(c, primaries[i + j]);
            double y = (double)q->fine_scale * k.factor * (2 * (128.0 * high[j] + low[j]) - q->fine_sum);
            double d = c->metric == VEC_L2 ? q->fine_base + (double)k.norm * k.norm - 2 * y : q->fine_base - y;
            distances[i + j] = c->metric == VEC_L2 && d < 0 ? 0 : d;
        }
    }
}

static void load_row(const coder *c, const uint8_t *primary, const uint8_t *residual, float most_norm2, uint8_t *row) {
    (void)residual;
    constants k = constants_of(c, primary);
    float rest = c->metric == VEC_IP ? most_norm2 - k.norm2 : 0;
    row_constants r = {k.norm, sqrtf(rest > 0 ? rest : 0)};
    memcpy(row, primary, c->code_bytes);
    memcpy(row + c->code_bytes, &r, sizeof r);
}

static void row_distances(const coder *c, const uint8_t *row, const uint8_t *const *rows, size_t n, float *out, int8_t *work) {
    (void)work;
    row_constants a, b;
    memcpy(&a, row + c->code_bytes, sizeof a);
    for (size_t i = 0; i < n; i++) {
        memcpy(&b, rows[i] + c->code_bytes, sizeof b);
        float share = (float)K.hamming(row, rows[i], c->code_bytes) / (float)c->padded;
        float d = a.norm * a.norm + b.norm * b.norm - 2 * a.norm * b.norm * cosf(3.14159265f * share)
                + (a.extra - b.extra) * (a.extra - b.extra);
        out[i] = d > 0 ? d : 0;
    }
}

static double norm2(const coder *c, const uint8_t *primary) { return constants_of(c, primary).norm2; }

const codec codec_bin = {.name = "BIN", .bits = 1, .bits1 = 1, .shape = shape, .train = lvq_train, .encode = encode,
                         .decode = decode, .prepare = prepare, .keys = keys, .batch_begin = batch_begin, .batch_keys = batch_keys,
                         .exact = exact, .load_row = load_row, .row_distances = row_distances, .norm2 = norm2};

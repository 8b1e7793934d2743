/* Raw codecs: vectors as given. FLOAT32, FLOAT16, BFLOAT16 are queried in float, FLOAT64 in double, INT8 and UINT8 in exact
   integers. COSINE normalises floats when they come in; integers keep their squared norm behind the code (all metrics: L2 needs
   it too, since |a - b|^2 = |a|^2 + |b|^2 - 2ab in exact integers). */
#include <float.h>
#include <math.h>
#include <string.h>

#include "batch.h"
#include "half.h"
#include "kernels.h"

/* Floats: pruning rows are floats and, last, the extra coordinate. */
static void shape_float(coder *c) {
    c->padded = c->dim;
    c->code_bytes = c->dim * dtype_bytes(c->dtype);
    size_t least = c->dtype == VEC_FLOAT64 ? 8 : 4;
    c->primary_bytes = round_up(c->code_bytes + (c->metric == VEC_IP ? 4 : 0), c->code_bytes >= 64 ? 16 : least);
    c->row_bytes = round_up((c->dim + 1) * sizeof(float), 64);
}

/* Under IP a record ends with its squared norm, which linking asks for at every distance. */
static void append_norm2(const coder *c, uint8_t *primary) {
    if (c->metric != VEC_IP) return;
    double sum = c->dtype == VEC_FLOAT32 ? K.sum_squares((const float *)(const void *)primary, c->dim) : 0;
    for (uint32_t i = 0; i < c->dim && c->dtype != VEC_FLOAT32; i++) {
        double d;
        uint16_t h;
        if (c->dtype == VEC_FLOAT64) memcpy(&d, primary + 8 * i, 8);
        else memcpy(&h, primary + 2 * i, 2), d = c->dtype == VEC_FLOAT16 ? half_to_float(h) : bfloat_to_float(h);
        sum += d * d;
    }
    float norm2 = sum < FLT_MAX ? (float)sum : FLT_MAX;
    memcpy(primary + c->code_bytes, &norm2, 4);
}
static double float_norm2(const coder *c, const uint8_t *primary) {
    float norm2;
    memcpy(&norm2, primary + c->code_bytes, 4);
    return norm2;
}

static void encode_f32(const coder *c, const float *v, const uint8_t *given, uint8_t *primary, uint8_t *residual, float *work) {
    (void)given, (void)residual, (void)work;
    memcpy(primary, v, c->dim * sizeof *v);
    append_norm2(c, primary);
}
static void decode_f32(const coder *c, const uint8_t *primary, const uint8_t *residual, float *v) {
    (void)residual;
    memcpy(v, primary, c->dim * sizeof *v);
}

#define HALF_CODER(type, to, from)                                                                                               \
    static void encode_##type(const coder *c, const float *v, const uint8_t *given, uint8_t *primary, uint8_t *residual,         \
                              float *w) {                                                                                        \
        (void)given, (void)residual, (void)w;                                                                                    \
        for (uint32_t i = 0; i < c->dim; i++) {                 /* the same bits as given, but for COSINE's scaling */           \
            uint16_t h = to(v[i]);                                                                                               \
            memcpy(primary + 2 * i, &h, 2);                                                                                      \
        }                                                                                                                        \
        append_norm2(c, primary);                                                                                                \
    }                                                                                                                            \
    static void decode_##type(const coder *c, const uint8_t *primary, const uint8_t *residual, float *v) {                       \
        (void)residual;                                                                                                          \
        for (uint32_t i = 0; i < c->dim; i++) {                                                                                  \
            uint16_t h;                                                                                                          \
            memcpy(&h, primary + 2 * i, 2);                                                                                      \
            v[i] = from(h);                                                                                                      \
        }                                                                                                                        \
    }
HALF_CODER(f16, float_to_half, half_to_float)
HALF_CODER(bf16, float_to_bfloat, bfloat_to_float)

static void encode_f64(const coder *c, const float *v, const uint8_t *given, uint8_t *primary, uint8_t *residual, float *work) {
    (void)v, (void)residual, (void)work;
    double norm2;
    (void)ingest_f64(c->metric, given, c->dim, (double *)(void *)primary, &norm2);
    append_norm2(c, primary);
}
static void decode_f64(const coder *c, const uint8_t *primary, const uint8_t *residual, float *v) {
    (void)residual;
    for (uint32_t i = 0; i < c->dim; i++) {
        double d;
        memcpy(&d, primary + 8 * i, 8);
        v[i] = fabs(d) < FLT_MAX ? (float)d : copysignf(FLT_MAX, (float)d);
    }
}

static void prepare_float(const coder *c, const float *v, const uint8_t *given, query *q) {
    (void)given;
    if (v != q->x) memcpy(q->x, v, c->dim * sizeof *v);
}

static void prepare_f64(const coder *c, const float *v, const uint8_t *given, query *q) {
    (void)v;
    double norm2;
    (void)ingest_f64(c->metric, given, c->dim, q->x64, &norm2);
}

/* Keys of a stored IP vector that looks for neighbours: half the augmented squared L2, less what is the same for all. */
static float link_key(const query *q, double dot, double norm2) {
    double rest = q->most_norm2 - norm2;
    return (float)(q->most_norm2 - dot - q->extra * sqrt(rest > 0 ? rest : 0));
}

/* Squares may be too much for a float; a key is finite all the same, so that what is far is found after all else. */
static inline float finite_key(double sum) { return sum < FLT_MAX ? (float)sum : FLT_MAX; }

#define FLOAT_DISTANCES(type, result, vector)                                                                                    \
    static void keys_##type(const query *q, const uint8_t *const *primaries, size_t n, float *keys) {                            \
        const coder *c = q->coder;                                                                                               \
        result out[64];                                                                                                          \
        for (size_t i = 0; i < n; i += 64) {                                                                                     \
            size_t m = n - i < 64 ? n - i : 64;                                                                                  \
            (c->metric == VEC_L2 ? K.l2_##type : K.dot_##type)(q->vector, primaries + i, m, c->dim, out);                        \
            if (c->metric == VEC_L2)                                                                                             \
                for (size_t j = 0; j < m; j++) keys[i + j] = finite_key(out[j]);                                                 \
            else if (q->is_link)                                                                                                 \
                for (size_t j = 0; j < m; j++) keys[i + j] = link_key(q, (double)out[j], float_norm2(c, primaries[i + j]));      \
            else                                                                                                                 \
                for (size_t j = 0; j < m; j++) keys[i + j] = (float)(1 - out[j]);                                                \
        }                                                                                                                        \
    }                                                                                                                            \
    static void exact_##type(const query *q, const uint8_t *const *primaries, const uint8_t *const *residuals, size_t n,         \
                             double *distances) {                                                                                \
        (void)residuals;                                                                                                         \
        const coder *c = q->coder;                                                                                               \
        result out[64];                                                                                                          \
        for (size_t i = 0; i < n; i += 64) {                                                                                     \
            size_t m = n - i < 64 ? n - i : 64;                                                                                  \
            (c->metric == VEC_L2 ? K.l2_##type : K.dot_##type)(q->vector, primaries + i, m, c->dim, out);                        \
            for (size_t j = 0; j < m; j++) distances[i + j] = c->metric == VEC_L2 ? (double)out[j] : 1 - (double)out[j];         \
        }                                                                                                                        \
    }
FLOAT_DISTANCES(f32, float, x)
FLOAT_DISTANCES(f16, float, x)
FLOAT_DISTANCES(bf16, float, x)
FLOAT_DISTANCES(f64, double, x64)

static void batch_begin_float(batch *b) { (void)b; }

/* Keys of a block: result f of each sum of one group. */
#define FLOAT_BATCH(type, result, vector, block, bytes, widen)                                                                   \
    static void batch_keys_##type(const batch *b, const uint8_t *const *primaries, size_t n, float *keys) {                      \
        const coder *c = b->coder;                                                                                               \
        const uint8_t *wide[BLOCK];                                                                                              \
        result *sums = (result *)(void *)b->dots;                                                                                \
        if (bytes == 2) {                                                                                                        \
            for (size_t r = 0; r < n; r++) {                                                                                     \
                uint8_t *to = unpacked_at(b, r, c->dim * sizeof(float));                                                         \
                widen(primaries[r], c->dim, (float *)(void *)to);                                                                \
                wide[r] = to;                                                                                                    \
            }                                                                                                                    \
            primaries = wide;                                                                                                    \
        }                                                                                                                        \
        for (uint32_t from = 0; from < b->n_groups * GROUP; from += GROUP, keys += GROUP * n) {                                  \
            const void *queries[GROUP];                                                                                          \
            uint32_t m = b->n - from < GROUP ? b->n - from : GROUP;                                                              \
            for (uint32_t j = 0; j < m; j++) queries[j] = b->queries[from + j].vector;                                           \
            (c->metric == VEC_L2 ? K.block_l2_##block : K.block_dot_##block)(queries, m, primaries, n, c->dim, sums);            \
            if (c->metric == VEC_L2) for (size_t i = 0; i < GROUP * n; i++) keys[i] = finite_key(sums[i]);                       \
            else for (size_t i = 0; i < GROUP * n; i++) keys[i] = (float)(1 - sums[i]);                                          \
        }                                                                                                                        \
    }
FLOAT_BATCH(f32, float, x, f32, 4, K.widen_f16)
FLOAT_BATCH(f16, float, x, f32, 2, K.widen_f16)
FLOAT_BATCH(bf16, float, x, f32, 2, K.widen_bf16)
FLOAT_BATCH(f64, double, x64, f64, 8, K.widen_f16)

static void load_row_float(const coder *c, const uint8_t *primary, const uint8_t *residual, float most_norm2, uint8_t *row) {
    float *out = (float *)(void *)row;
    c->codec->decode(c, primary, residual, out);
    out[c->dim] = 0;
    if (c->metric == VEC_IP) {
        double rest = most_norm2 - float_norm2(c, primary);
        out[c->dim] = (float)sqrt(rest > 0 ? rest : 0);
    }
}

static void row_distances_float(const coder *c, const uint8_t *row, const uint8_t *const *rows, size_t n, float *out,
                                int8_t *work) {
    (void)work;
    K.l2_f32(row, rows, n, c->dim + (c->metric == VEC_IP), out);
    for (size_t i = 0; i < n && c->metric == VEC_L2; i++) out[i] = finite_key(out[i]);
}

/* Bytes: code, padding to 4, int32 squared norm. */
static void shape_int(coder *c) {
    c->padded = c->dim;
    c->code_bytes = round_up(c->dim, 4);
    c->primary_bytes = round_up(c->code_bytes + 4, c->dim >= 64 ? 16 : 4);
    c->row_bytes = round_up(c->code_bytes + 8, 64);
}

static int32_t squared(const coder *c, const uint8_t *x) {
    int32_t sum;
    (c->dtype == VEC_INT8 ? K.dot_i8 : K.dot_u8)(x, &x, 1, c->dim, &sum);
    return sum;
}

static int32_t stored_norm2(const coder *c, const uint8_t *primary) {
    int32_t n;
    memcpy(&n, primary + c->code_bytes, 4);
    return n;
}
static double int_norm2(const coder *c, const uint8_t *primary) { return stored_norm2(c, primary); }

static void encode_int(const coder *c, const float *v, const uint8_t *given, uint8_t *primary, uint8_t *residual, float *work) {
    (void)v, (void)residual, (void)work;
    memcpy(primary, given, c->dim);
    int32_t n = squared(c, given);
    memcpy(primary + c->code_bytes, &n, 4);
}

static void decode_int(const coder *c, const uint8_t *primary, const uint8_t *residual, float *v) {
    (void)residual;
    for (uint32_t i = 0; i < c->dim; i++) v[i] = c->dtype == VEC_INT8 ? (float)(int8_t)primary[i] : (float)primary[i];
}

static void prepare_int(const coder *c, const float *v, const uint8_t *given, query *q) {
    (void)v;
    memcpy(q->raw, given, c->dim);
    q->norm2 = squared(c, given);
}

static double int_distance(const coder *c, double norm2, int32_t dot, int32_t other) {
    if (c->metric == VEC_L2) return norm2 + other - 2.0 * dot;
    if (c->metric == VEC_IP) return 1.0 - dot;
    double product = norm2 * other;
    return product > 0 ? 1.0 - dot / sqrt(product) : 1.0;
}

static void exact_int(const query *q, const uint8_t *const *primaries, const uint8_t *const *residuals, size_t n,
                      double *distances) {
    (void)residuals;
    const coder *c = q->coder;
    int32_t dots[64];
    for (size_t i = 0; i < n; i += 64) {
        size_t m = n - i < 64 ? n - i : 64;
        (c->dtype == VEC_INT8 ? K.dot_i8 : K.dot_u8)(q->raw, primaries + i, m, c->dim, dots);
        for (size_t j = 0; j < m; j++) distances[i + j] = int_distance(c, q->norm2, dots[j], stored_norm2(c, primaries[i + j]));
    }
}

static float inverse_norm(double norm2) { return norm2 > 0 ? (float)(1 / sqrt(norm2)) : 0; }

static void keys_int(const query *q, const uint8_t *const *primaries, size_t n, float *keys) {
    const coder *c = q->coder;
    int32_t dots[64];
    float factor = inverse_norm(q->norm2);
    for (size_t i = 0; i < n; i += 64) {
        size_t m = n - i < 64 ? n - i : 64;
        (c->dtype == VEC_INT8 ? K.dot_i8 : K.dot_u8)(q->raw, primaries + i, m, c->dim, dots);
        for (size_t j = 0; j < m; j++) {
            int32_t other = stored_norm2(c, primaries[i + j]);
            if (q->is_link) keys[i + j] = link_key(q, dots[j], other);
            else if (c->metric == VEC_COSINE) keys[i + j] = 1 - factor * (inverse_norm(other) * (float)dots[j]);
            else keys[i + j] = (float)int_distance(c, q->norm2, dots[j], other);
        }
    }
}

/* One operand of a block is unsigned, the other signed: INT8 records, or UINT8 queries,
   are shifted by 128, and the dots mended. */
static void batch_begin_int(batch *b) {
    const coder *c = b->coder;
    for (uint32_t j = 0; j < b->n; j++) {
        const query *q = &b->queries[j];
        int32_t sum = 0;
        for (uint32_t i = 0; i < c->dim; i++) {
            q->s8[i] = (int8_t)(c->dtype == VEC_INT8 ? q->raw[i] : q->raw[i] ^ 0x80);
            sum += q->s8[i];
        }
        b->bytes[j] = q->s8;
        b->offset[j] = c->dtype == VEC_INT8 ? -128 * sum : 0;
        b->norm2[j] = c->metric == VEC_L2 ? (int32_t)q->norm2 : 1;
        b->base[j] = 1, b->factor[j] = inverse_norm(q->norm2), b->sum[j] = 0;
    }
    batch_pack(b, c->dim);
}

static void batch_keys_int(const batch *b, const uint8_t *const *primaries, size_t n, float *keys) {
    const coder *c = b->coder;
    const uint8_t *codes[BLOCK] = {0};
    int32_t offsets[BLOCK], norms[BLOCK];
    float k[3 * BLOCK];
    size_t padded = round_up(c->dim, 16);
    for (size_t r = 0; r < n; r++) {
        uint8_t *to = unpacked_at(b, r, padded);
        codes[r] = to, offsets[r] = 0;
        if (c->dtype == VEC_INT8) for (uint32_t i = 0; i < c->dim; i++) to[i] = primaries[r][i] ^ 0x80;
        else if (padded == c->dim) codes[r] = primaries[r];
        else memcpy(to, primaries[r], c->dim);
        int32_t norm2 = stored_norm2(c, primaries[r]);
        norms[r] = c->metric == VEC_L2 ? norm2 : 0;
        k[3 * r] = k[3 * r + 2] = 0, k[3 * r + 1] = inverse_norm(norm2);
    }
    if (c->dtype == VEC_UINT8) {
        K.dot_u8s8(b->ones, codes, n, padded, offsets);
        for (size_t r = 0; r < n; r++) offsets[r] *= 128;
    }
    batch_dots(b, codes, n, padded);
    for (uint32_t g = 0; g < b->n_groups; g++) {
        size_t at = g * GROUP * n;
        K.shift_dots(b->dots + at, n, offsets, b->offset + g * GROUP);
        if (c->metric != VEC_COSINE)
            K.whole_keys(b->dots + at, n, norms, b->norm2 + g * GROUP, c->metric == VEC_L2 ? -2 : -1, keys + at);
    }
    if (c->metric == VEC_COSINE) batch_affine_keys(b, n, k, keys);
}

static void load_row_int(const coder *c, const uint8_t *primary, const uint8_t *residual, float most_norm2, uint8_t *row) {
    (void)residual;
    memcpy(row, primary, c->code_bytes + 4);
    double rest = c->metric == VEC_IP ? most_norm2 - stored_norm2(c, primary) : 0;
    float extra = (float)sqrt(rest > 0 ? rest : 0);
    memcpy(row + c->code_bytes + 4, &extra, 4);
}

static void row_distances_int(const coder *c, const uint8_t *row, const uint8_t *const *rows, size_t n, float *out,
                              int8_t *work) {
    (void)work;
    int32_t dots[64];
    float mine, theirs;
    memcpy(&mine, row + c->code_bytes + 4, 4);
    double norm2 = stored_norm2(c, row);
    for (size_t i = 0; i < n; i += 64) {
        size_t m = n - i < 64 ? n - i : 64;
        (c->dtype == VEC_INT8 ? K.dot_i8 : K.dot_u8)(row, rows + i, m, c->dim, dots);
        for (size_t j = 0; j < m; j++) {
            int32_t other = stored_norm2(c, rows[i + j]);
            memcpy(&theirs, rows[i + j] + c->code_bytes + 4, 4);
            double d = c->metric == VEC_COSINE ? 2 * int_distance(c, norm2, dots[j], other) : norm2 + other - 2.0 * dots[j];
            out[i + j] = (float)d + (mine - theirs) * (mine - theirs);
        }
    }
}

#define FLOAT_CODEC(type, label, width, prep)                                                                                    \
    const codec codec_raw_##type = {.name = label, .bits = width, .shape = shape_float, .encode = encode_##type,                 \
        .decode = decode_##type, .prepare = prep, .keys = keys_##type, .batch_begin = batch_begin_float,                         \
        .batch_keys = batch_keys_##type, .exact = exact_##type, .load_row = load_row_float,                                      \
        .row_distances = row_distances_float, .norm2 = float_norm2};
FLOAT_CODEC(f32, "FLOAT32", 32, prepare_float)
FLOAT_CODEC(f16, "FLOAT16", 16, prepare_float)
FLOAT_CODEC(bf16, "BFLOAT16", 16, prepare_float)
FLOAT_CODEC(f64, "FLOAT64", 64, prepare_f64)

#define INT_CODEC(type, label)                                                                                                   \
    const codec codec_raw_##type = {.name = label, .bits = 8, .shape = shape_int, .encode = encode_int, .decode = decode_int,    \
        .prepare = prepare_int, .keys = keys_int, .batch_begin = batch_begin_int, .batch_keys = batch_keys_int,                  \
        .exact = exact_int, .load_row = load_row_int,                                                                            \
        .row_distances = row_distances_int, .norm2 = int_norm2};
INT_CODEC(i8, "INT8")
INT_CODEC(u8, "UINT8")

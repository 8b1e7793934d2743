/* LeanVec (TMLR 2024): the primary is LVQ of a projection to `reduced` dimensions, the residual level is LVQ8 of
   the whole vector. Traversal and linking see the projection, the distance that is returned comes from the second level.

   The projection is PCA of the training sample followed by a random rotation inside the reduced space: PCA coordinates have
   steeply falling variances, the worst case for one scale per vector; rotated ones are alike. Both are one matrix, so the
   rotation costs nothing. Queries go through the same matrix (its rows are orthonormal): <q, x> ~ <P q, P x>.

   Out of distribution (OOD) data and queries have a matrix each, learned from the sample and from recent queries:
   <q, x> ~ <A q, B x>, see eigen.h. What is stored is then nothing that distances between stored vectors could be taken from:
   pruning rows are the second level. With fewer than LEAST_QUERIES it is PCA. PREFIX takes the first dimensions as they are,
   RANDOM random directions.

   l and D of the primary are stored times a factor, as LVQ's are, that also makes up for a third of what the projection leaves
   out: of those that a query is near, queries have some of it in common (all would be right for x itself, nothing for vectors
   that have nothing to do with each other). Measured with 32 of SIFT's 128 dimensions: of the true ten 0.87 are among the best 20
   by the primary, 0.81 without; with 96 of 384 of sentence embeddings 0.92 and 0.86.

   Primary record: codes, l, D and (L2, IP) |x|^2 of the whole vector. Residual record: LVQ8 codes of all dimensions, l, D. */
#include <math.h>
#include <string.h>

#include "batch.h"
#include "codec_lvq.h"
#include "eigen.h"
#include "kernels.h"

enum { BATCH = 64, ROW_CONSTANTS = 20 };
#define LEFT_OUT 0.35f                          /* see above */
#define LEFT_OUT_OOD 0.2f
enum { LEAST_QUERIES = 200 };

/* The primary holds padding anyway: as many more dimensions as fit into it are kept, which is all of them where there are few. */
static void shape(coder *c) {
    size_t fit = lvq_padded(c->reduced, c->bits1);
    c->reduced = fit < c->dim ? (uint32_t)fit : c->dim;
    c->reduced_padded = (uint32_t)lvq_padded(c->reduced, c->bits1);
    c->padded = (uint32_t)lvq_padded(c->dim, 8);
    c->code_bytes = lvq_code_bytes(c->reduced, c->bits1);
    c->residual_code_bytes = c->padded;
    c->primary_bytes = round_up(c->code_bytes + (c->metric == VEC_COSINE ? 8 : 12), c->code_bytes >= 64 ? 16 : 4);
    c->residual_bytes = round_up(c->residual_code_bytes + 8, 8);
    c->row_bytes = round_up((c->wanted_reduction == VEC_REDUCE_OOD ? c->padded : c->reduced_padded) + ROW_CONSTANTS, 64);
}

static void project(const coder *c, const float *y, float *out) {
    const uint8_t *rows[BATCH];
    if (!c->matrix) {
        memcpy(out, y, c->reduced * sizeof *out);
        return;
    }
    for (uint32_t i = 0; i < c->reduced; i += BATCH) {
        uint32_t m = c->reduced - i < BATCH ? c->reduced - i : BATCH;
        for (uint32_t j = 0; j < m; j++) rows[j] = (const uint8_t *)(c->matrix + (size_t)(i + j) * c->dim);
        K.dot_f32(y, rows, m, c->dim, out + i);
    }
}

/* The queries' matrix times scale * codes, in integers: 8 bits of the vector against the matrix in LVQ8. */
static void project_codes(const coder *c, const int8_t *codes, float scale, float *out) {
    const uint8_t *rows[BATCH];
    int32_t dots[BATCH], sum = 0;
    for (uint32_t i = 0; i < c->dim; i++) sum += codes[i];
    for (uint32_t i = 0; i < c->reduced; i += BATCH) {
        uint32_t m = c->reduced - i < BATCH ? c->reduced - i : BATCH;
        for (uint32_t j = 0; j < m; j++) rows[j] = c->matrix_codes + (size_t)(i + j) * c->padded;
        K.dot_u8s8(codes, rows, m, c->padded, dots);
        for (uint32_t j = 0; j < m; j++) {
            const float *k = c->matrix_constants + 2 * (i + j);
            out[i + j] = scale * (k[0] * (float)sum + k[1] * (float)dots[j]);
        }
    }
}

/* What the products of x's projection by both matrices come to: all of |y|^2 would be right for a query equal to it. */
static double kept_of(const coder *c, const float *y, const float *reduced, float *work) {
    double kept = 0;
    const float *other = reduced;
    if (c->reduction == VEC_REDUCE_OOD) {
        float lo, hi, *out = work;
        int8_t *codes = (int8_t *)(work + c->padded);
        K.range(y, c->dim, &lo, &hi);
        float most = -lo > hi ? -lo : hi, scale = most > 0x1p-100f ? most / 127 : 1;
        memset(codes, 0, c->padded);
        (void)K.quantise_s8(y, c->dim, 1 / scale, codes);
        project_codes(c, codes, scale, out);
        other = out;
    }
    for (uint32_t i = 0; i < c->reduced; i++) kept += (double)reduced[i] * other[i];
    return kept;
}

static void encode(const coder *c, const float *v, const uint8_t *given, uint8_t *primary, uint8_t *residual, float *work) {
    (void)given;
    float *y = work, *reduced = work + c->padded, k[3];
    uint8_t *codes = (uint8_t *)(work + 2 * (size_t)c->padded);
    double norm2 = 0;
    for (uint32_t i = 0; i < c->dim; i++) y[i] = v[i] - c->mean[i];
    int is_whole = lvq_make_whole(c, y);
    const float *whole = c->metric == VEC_L2 ? y : v;
    if (c->metric != VEC_COSINE) for (uint32_t i = 0; i < c->dim; i++) norm2 += (double)whole[i] * whole[i];
    project(c, y, reduced);
    (c->bits1 == 4 ? lvq_quantise_clipped : lvq_quantise)(reduced, c->reduced, c->reduced_padded, c->bits1, &k[0], &k[1], codes);
    double all = K.sum_squares(y, c->dim), kept = kept_of(c, y, reduced, work + 3 * (size_t)c->padded);
    float g = lvq_rescale(reduced, reduced, K.sum_squares(reduced, c->reduced), codes, c->reduced, k[0], k[1]);
    float part = c->reduction == VEC_REDUCE_OOD ? LEFT_OUT_OOD : LEFT_OUT;
    g *= kept > 0 && all > kept ? fminf(1 + part * (float)(all / kept - 1), 1.5f) : 1;
    k[0] *= g, k[1] *= g, k[2] = (float)norm2;
    if (c->bits1 == 4) lvq_pack_u4(codes, c->reduced_padded, primary);
    else memcpy(primary, codes, c->reduced_padded);
    memcpy(primary + c->code_bytes, k, c->metric == VEC_COSINE ? 8 : 12);
    lvq_quantise_8(c, y, is_whole, &k[0], &k[1], residual);
    double wanted = 0;
    for (uint32_t i = 0; i < c->dim; i++) wanted += (double)whole[i] * y[i];
    g = lvq_rescale(y, whole, wanted, residual, c->dim, k[0], k[1]);
    k[0] *= g, k[1] *= g;
    memcpy(residual + c->residual_code_bytes, k, 8);
}

static void decode(const coder *c, const uint8_t *primary, const uint8_t *residual, float *v) {
    (void)primary;
    float k[2];
    memcpy(k, residual + c->residual_code_bytes, 8);
    for (uint32_t i = 0; i < c->dim; i++) v[i] = c->mean[i] + k[0] + k[1] * (float)residual[i];
}

static void prepare(const coder *c, const float *v, const uint8_t *given, query *q) {
    (void)given;
    if (v != q->x) memcpy(q->x, v, c->dim * sizeof *v);
    lvq_prepare_metric(c, q);
    lvq_prepare_digits(q->x, c->dim, c->padded, q);
    if (c->matrix) project_codes(c, q->high, 128 * q->fine_scale, q->projected);    /* the traversal rounds to 8 bits anyway */
    else memcpy(q->projected, q->x, c->reduced * sizeof *q->x);
    lvq_prepare_s8(q->projected, c->reduced, c->reduced_padded, q);
}

static float norm2_of(const coder *c, const uint8_t *primary) {
    float n = 1;
    if (c->metric != VEC_COSINE) memcpy(&n, primary + c->code_bytes + 8, 4);
    return n;
}

static void keys(const query *q, const uint8_t *const *primaries, size_t n, float *out) {
    const coder *c = q->coder;
    kernel_fn *dot = c->bits1 == 4 ? K.dot_u4s8 : K.dot_u8s8;
    int is_l2 = c->metric == VEC_L2;
    float factor = is_l2 ? 2 * q->scale : q->scale, sum = (float)q->sum, base = (float)q->base;
    int32_t dots[BATCH];
    for (size_t i = 0; i < n; i += BATCH) {
        size_t m = n - i < BATCH ? n - i : BATCH;
        dot(q->s8, primaries + i, m, c->reduced_padded, dots);
        for (size_t j = 0; j < m; j++) {
            float k[2];
            memcpy(k, primaries[i + j] + c->code_bytes, 8);
            out[i + j] = base - factor * (k[0] * sum + k[1] * (float)dots[j]);
            if (is_l2) out[i + j] += norm2_of(c, primaries[i + j]);
        }
    }
    if (!q->is_link || c->metric != VEC_IP) return;
    for (size_t i = 0; i < n; i++) {
        float rest = q->most_norm2 - norm2_of(c, primaries[i]);
        out[i] += q->most_norm2 - 1 - q->extra * sqrtf(rest > 0 ? rest : 0);
    }
}

static void batch_begin(batch *b) { lvq_batch_begin(b, b->coder->reduced_padded); }
static void batch_keys(const batch *b, const uint8_t *const *primaries, size_t n, float *out) {
    lvq_batch_keys(b, primaries, n, b->coder->reduced_padded, out);
}

static void exact(const query *q, const uint8_t *const *primaries, const uint8_t *const *residuals, size_t n, double *distances) {
    const coder *c = q->coder;
    double dots[BATCH];
    for (size_t i = 0; i < n; i += BATCH) {
        size_t m = n - i < BATCH ? n - i : BATCH;
        lvq_fine_dots(q, 8, residuals + i, m, c->padded, dots);
        for (size_t j = 0; j < m; j++) {
            float k[2];
            memcpy(k, residuals[i + j] + c->residual_code_bytes, 8);
            double y = q->fine_scale * ((double)k[0] * q->fine_sum + (double)k[1] * dots[j]);
            double d = c->metric == VEC_L2 ? q->fine_base + norm2_of(c, primaries[i + j]) - 2 * y : q->fine_base - y;
            distances[i + j] = c->metric == VEC_L2 && d < 0 ? 0 : d;
        }
    }
}

static void load_row(const coder *c, const uint8_t *primary, const uint8_t *residual, float most_norm2, uint8_t *row) {
    float k[2], rest = c->metric == VEC_IP ? most_norm2 - norm2_of(c, primary) : 0;
    if (c->reduction == VEC_REDUCE_OOD) {
        memcpy(row, residual, c->padded);
        memcpy(k, residual + c->residual_code_bytes, 8);
        lvq_finish_row(row, c->dim, c->padded, k[0], k[1], sqrtf(rest > 0 ? rest : 0));
        return;
    }
    memcpy(k, primary + c->code_bytes, 8);
    if (c->bits1 == 4) K.expand_u4(primary, NULL, c->reduced_padded, row);
    else memcpy(row, primary, c->reduced_padded);
    lvq_finish_row(row, c->reduced, c->reduced_padded, k[0], k[1], sqrtf(rest > 0 ? rest : 0));
}

static void row_distances(const coder *c, const uint8_t *row, const uint8_t *const *rows, size_t n, float *out, int8_t *work) {
    if (c->reduction == VEC_REDUCE_OOD) lvq_row_distances(c->dim, c->padded, row, rows, n, out, work);
    else lvq_row_distances(c->reduced, c->reduced_padded, row, rows, n, out, work);
}

static double norm2(const coder *c, const uint8_t *primary) { return norm2_of(c, primary); }

/* Queries as the projection sees them: centred for L2. */
static float *centred(const coder *c, const float *queries, size_t n, mem_account *account) {
    float *out = mem_alloc(account, VEC_MEM_OTHER, n * c->dim * sizeof *out);
    for (size_t i = 0; out && i < n * c->dim; i++) out[i] = queries[i] - (c->metric == VEC_L2 ? c->mean[i % c->dim] : 0);
    return out;
}

static int train(coder *c, const float *sample, size_t n, const float *queries, size_t n_queries, mem_account *account) {
    int rc = lvq_train(c, sample, n, queries, n_queries, account);
    c->reduction = c->wanted_reduction;
    if (rc != VEC_OK || c->reduction == VEC_REDUCE_PREFIX) return rc;
    if (c->reduction == VEC_REDUCE_OOD && n_queries < LEAST_QUERIES) c->reduction = VEC_REDUCE_PCA;
    size_t part = (size_t)c->reduced * c->dim;
    c->matrix = mem_alloc(account, VEC_MEM_CODEC, part * sizeof *c->matrix);
    c->matrix_codes = mem_alloc(account, VEC_MEM_CODEC, (size_t)c->reduced * c->padded);
    c->matrix_constants = mem_alloc(account, VEC_MEM_CODEC, 2 * (size_t)c->reduced * sizeof *c->matrix_constants);
    if (!c->matrix || !c->matrix_codes || !c->matrix_constants) return VEC_ENOMEM;
    float *other = NULL, *of_queries = c->matrix;
    if (c->reduction == VEC_REDUCE_OOD) {
        other = centred(c, queries, n_queries, account);
        of_queries = mem_alloc(account, VEC_MEM_OTHER, part * sizeof *of_queries);
        rc = !other || !of_queries ? VEC_ENOMEM
           : query_axes(sample, n, c->dim, c->mean, other, n_queries, c->reduced, c->matrix, of_queries, account);
    } else if (c->reduction == VEC_REDUCE_RANDOM) rc = random_axes(c->dim, c->reduced, c->matrix, account);
    else rc = principal_axes(sample, n, c->dim, c->mean, c->reduced, c->matrix, account);
    for (uint32_t i = 0; i < c->reduced && rc == VEC_OK; i++)
        lvq_quantise(of_queries + (size_t)i * c->dim, c->dim, c->padded, 8, c->matrix_constants + 2 * i,
                     c->matrix_constants + 2 * i + 1, c->matrix_codes + (size_t)i * c->padded);
    if (of_queries != c->matrix) mem_free(of_queries);
    mem_free(other);
    return rc;
}

#define LEANVEC(id, label, b1)                                                                                                   \
    const codec codec_##id = {.name = label, .bits = b1 / 2 + 8, .reduces = 1, .is_two_level = 1, .bits1 = b1, .bits2 = 8,       \
        .shape = shape, .train = train, .encode = encode, .decode = decode, .prepare = prepare, .keys = keys, .exact = exact,    \
        .batch_begin = batch_begin, .batch_keys = batch_keys, .load_row = load_row, .row_distances = row_distances,              \
        .norm2 = norm2};
LEANVEC(leanvec4x8, "LeanVec4x8", 4)
LEANVEC(leanvec8x8, "LeanVec8x8", 8)

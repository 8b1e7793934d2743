/* The strongest principal axes by subspace iteration: Q <- orthonormalise(C Q) with C the covariance of the sample. Only the span
   matters, since the caller wants a random basis of it: axes whose strengths are so close that a dozen rounds do not tell them
   apart are worth the same. */
#include "eigen.h"

#include <math.h>
#include <string.h>

#include "kernels.h"

uint64_t next_random(uint64_t *state);

static float gaussian(uint64_t *random) {
    double u = ((double)(next_random(random) >> 11) + 1) * 0x1p-53, v = (double)(next_random(random) >> 11) * 0x1p-53;
    return (float)(sqrt(-2 * log(u)) * cos(6.283185307179586 * v));
}

static void dots(const float *x, const float *rows, size_t n, size_t stride, uint32_t dim, float *out) {
    const uint8_t *pointers[64];
    for (size_t i = 0; i < n; i += 64) {
        size_t m = n - i < 64 ? n - i : 64;
        for (size_t j = 0; j < m; j++) pointers[j] = (const uint8_t *)(rows + (i + j) * stride);
        K.dot_f32(x, pointers, m, dim, out + i);
    }
}

/* Rows of q made orthonormal in order (Gram-Schmidt, twice); a row that vanishes is replaced by a random one. */
static void orthonormalise(float *q, uint32_t n, uint32_t dim, float *work, uint64_t *random) {
    for (uint32_t i = 0; i < n; i++) {
        float *row = q + (size_t)i * dim, norm2 = 0;
        const uint8_t *self = (const uint8_t *)row;
        for (int tries = 0; tries < 8; tries++) {
            for (int pass = 0; pass < 2; pass++) {
                dots(row, q, i, dim, dim, work);
                for (uint32_t j = 0; j < i; j++) {
                    const float *other = q + (size_t)j * dim;
                    float along = work[j];
                    for (uint32_t t = 0; t < dim; t++) row[t] -= along * other[t];
                }
                K.dot_f32(row, &self, 1, dim, &norm2);
                float inverse = norm2 > 0 ? 1 / sqrtf(norm2) : 0;
                for (uint32_t t = 0; t < dim; t++) row[t] *= inverse;
            }
            K.dot_f32(row, &self, 1, dim, &norm2);
            if (fabsf(norm2 - 1) < 1e-3f) break;
            for (uint32_t t = 0; t < dim; t++) row[t] = gaussian(random);
        }
    }
}

/* Products of the columns of n rows (dim x dim), their mean; from the transpose, so that every product is one dot. */
static void products(const float *transposed, size_t n, uint32_t dim, float *out) {
    for (uint32_t i = 0; i < dim; i++) {
        dots(transposed + (size_t)i * n, transposed, i + 1, n, (uint32_t)n, out + (size_t)i * dim);
        for (uint32_t j = 0; j <= i; j++) out[(size_t)j * dim + i] = out[(size_t)i * dim + j] /= (float)n;
    }
}

enum { MOST_SAMPLE = 8192, N_ROUNDS = 12 };

/* The matrix of products of n rows less the mean (NULL: zero), or of evenly chosen ones of many rows. */
static int products_of(const float *rows, size_t n, uint32_t dim, const float *mean, float *out, mem_account *account) {
    size_t step = n > MOST_SAMPLE ? n / MOST_SAMPLE : 1, used = n / step;
    float *transposed = mem_alloc(account, VEC_MEM_OTHER, used * dim * sizeof *transposed);
    if (!transposed) return VEC_ENOMEM;
    for (size_t i = 0; i < used; i++)
        for (uint32_t j = 0; j < dim; j++) transposed[(size_t)j * used + i] = rows[i * step * dim + j] - (mean ? mean[j] : 0);
    products(transposed, used, dim, out);
    mem_free(transposed);
    return VEC_OK;
}

/* The m strongest axes of the symmetric c into q; next: as much again. */
static void strongest(const float *c, uint32_t dim, uint32_t m, float *q, float *next, float *work, uint64_t *random) {
    for (size_t i = 0; i < (size_t)m * dim; i++) q[i] = gaussian(random);
    orthonormalise(q, m, dim, work, random);
    /* In order of the Gram-Schmidt steps the leading rows converge to the strongest axes. */
    for (int round = 0; round < N_ROUNDS; round++) {
        for (uint32_t i = 0; i < m; i++) dots(q + (size_t)i * dim, c, dim, dim, dim, next + (size_t)i * dim);
        memcpy(q, next, (size_t)m * dim * sizeof *q);
        orthonormalise(q, m, dim, work, random);
    }
}

/* out = r q, of m x m and m x dim. */
static void rotate(const float *r, const float *q, uint32_t m, uint32_t dim, float *out) {
    memset(out, 0, (size_t)m * dim * sizeof *out);
    for (uint32_t i = 0; i < m; i++)
        for (uint32_t j = 0; j < m; j++)
            for (uint32_t t = 0; t < dim; t++) out[(size_t)i * dim + t] += r[(size_t)i * m + j] * q[(size_t)j * dim + t];
}

static void random_rotation(float *r, uint32_t m, float *work, uint64_t *random) {
    for (size_t i = 0; i < (size_t)m * m; i++) r[i] = gaussian(random);
    orthonormalise(r, m, m, work, random);
}

int random_axes(uint32_t dim, uint32_t m, float *out, mem_account *account) {
    uint64_t random = 43;
    float *work = mem_alloc(account, VEC_MEM_OTHER, (size_t)dim * sizeof *work);
    if (!work) return VEC_ENOMEM;
    for (size_t i = 0; i < (size_t)m * dim; i++) out[i] = gaussian(&random);
    orthonormalise(out, m, dim, work, &random);
    mem_free(work);
    return VEC_OK;
}

int principal_axes(const float *sample, size_t n, uint32_t dim, const float *mean, uint32_t m, float *out, mem_account *account) {
    uint64_t random = 42;
    size_t square = (size_t)dim * dim, part = (size_t)m * dim;
    float *c = mem_alloc(account, VEC_MEM_OTHER, (square + 2 * part + dim) * sizeof *c);
    int rc = c ? products_of(sample, n, dim, mean, c, account) : VEC_ENOMEM;
    if (rc == VEC_OK) {
        float *q = c + square, *next = q + part, *work = next + part;
        strongest(c, dim, m, q, next, work, &random);
        random_rotation(c, m, work, &random);
        rotate(c, q, m, dim, out);
        orthonormalise(out, m, dim, work, &random);
    }
    mem_free(c);
    return rc;
}

/* k = l l^T in place of the lower half, then l^T into the other place. */
static void cholesky(float *k, uint32_t dim, float *transposed) {
    for (uint32_t j = 0; j < dim; j++) {
        const float *above = k + (size_t)j * dim;
        for (uint32_t i = j; i < dim; i++) {
            float *row = k + (size_t)i * dim, dot = 0;
            if (j) dots(above, row, 1, dim, j, &dot);
            float left = row[j] - dot;
            row[j] = i == j ? sqrtf(left > 1e-12f ? left : 1e-12f) : left / above[j];
        }
    }
    for (uint32_t i = 0; i < dim; i++)
        for (uint32_t j = 0; j < dim; j++) {
            if (j > i) k[(size_t)i * dim + j] = 0;
            transposed[(size_t)j * dim + i] = j <= i ? k[(size_t)i * dim + j] : 0;
        }
}

int query_axes(const float *sample, size_t n, uint32_t dim, const float *mean, const float *queries, size_t n_queries, uint32_t m,
               float *data, float *query, mem_account *account) {
    uint64_t random = 42;
    size_t square = (size_t)dim * dim, part = (size_t)m * dim;
    float *l = mem_alloc(account, VEC_MEM_OTHER, (4 * square + 3 * part + 2 * (size_t)dim) * sizeof *l);
    if (!l) return VEC_ENOMEM;
    float *lt = l + square, *c = lt + square, *b = c + square, *u = b + square, *next = u + part, *other = next + part;
    float *work = other + part, *weights = work + dim;
    int rc = products_of(queries, n_queries, dim, NULL, l, account);
    if (rc == VEC_OK) rc = products_of(sample, n, dim, mean, c, account);
    if (rc == VEC_OK) {
        /* K, its mean eigenvalue 1, shrunk towards the identity: all of it where there are few queries for the dimensions. */
        double trace = 0, lambda = (double)dim / (double)(dim + n_queries);
        for (uint32_t i = 0; i < dim; i++) trace += l[(size_t)i * dim + i];
        float scale = trace > 0 ? (float)((1 - lambda) * dim / trace) : 0;
        for (size_t i = 0; i < square; i++) l[i] *= scale;
        for (uint32_t i = 0; i < dim; i++) l[(size_t)i * dim + i] += (float)(trace > 0 ? lambda : 1);
        cholesky(l, dim, lt);
        /* b = (C L)^T, then c = L^T C L. */
        for (uint32_t i = 0; i < dim; i++) dots(lt + (size_t)i * dim, c, dim, dim, dim, b + (size_t)i * dim);
        for (uint32_t i = 0; i < dim; i++) dots(lt + (size_t)i * dim, b, dim, dim, dim, c + (size_t)i * dim);
        strongest(c, dim, m, u, next, work, &random);
        double most = 0;
        for (uint32_t i = 0; i < m; i++) {
            dots(u + (size_t)i * dim, c, dim, dim, dim, work);
            dots(work, u + (size_t)i * dim, 1, dim, dim, weights + i);
            most = weights[i] > most ? weights[i] : most;
        }
        for (uint32_t i = 0; i < m; i++) {
            double w = most > 0 ? weights[i] / most : 1;
            float root = (float)sqrt(sqrt(w > 1e-6 ? w : 1e-6));
            float *a = other + (size_t)i * dim, *to = next + (size_t)i * dim;
            const float *from = u + (size_t)i * dim;
            for (uint32_t t = dim; t-- > 0;) {                  /* L^T a = u */
                float dot = 0;
                if (t + 1 < dim) dots(lt + (size_t)t * dim + t + 1, a + t + 1, 1, 0, dim - t - 1, &dot);
                a[t] = (from[t] - dot) / lt[(size_t)t * dim + t];
            }
            dots(from, l, dim, dim, dim, to);                   /* L u */
            for (uint32_t t = 0; t < dim; t++) to[t] /= root;
            for (uint32_t t = 0; t < dim; t++) a[t] *= root;
        }
        random_rotation(b, m, work, &random);
        rotate(b, next, m, dim, data);
        rotate(b, other, m, dim, query);
    }
    mem_free(l);
    return rc;
}

/* The strongest principal axes by subspace iteration: Q <- orthonormalise(C Q) with C the covariance of the sample. Only the span
   matters, since the caller wants a random basis of it: axes whose strengths are so close that a dozen rounds do not tell them apart
   are worth the same. */
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

/* Covariance (dim x dim) of the sample, from its transpose so that every product is one dot. */
static void covariance(const float *transposed, size_t n, uint32_t dim, float *out) {
    for (uint32_t i = 0; i < dim; i++) {
        dots(transposed + (size_t)i * n, transposed, i + 1, n, (uint32_t)n, out + (size_t)i * dim);
        for (uint32_t j = 0; j <= i; j++) out[(size_t)j * dim + i] = out[(size_t)i * dim + j] /= (float)n;
    }
}

enum { MOST_SAMPLE = 8192, N_ROUNDS = 12 };

int principal_axes(const float *sample, size_t n, uint32_t dim, const float *mean, uint32_t m, float *out, mem_account *account) {
    uint64_t random = 42;
    size_t step = n > MOST_SAMPLE ? n / MOST_SAMPLE : 1, used = n / step;
    float *transposed = mem_alloc(account, VEC_MEM_OTHER, used * dim * sizeof *transposed);
    float *c = mem_alloc(account, VEC_MEM_OTHER, (size_t)dim * dim * sizeof *c);
    float *q = mem_alloc(account, VEC_MEM_OTHER, (size_t)m * dim * sizeof *q);
    float *next = mem_alloc(account, VEC_MEM_OTHER, (size_t)m * dim * sizeof *next);
    float *work = mem_alloc(account, VEC_MEM_OTHER, (size_t)dim * sizeof *work);
    int rc = transposed && c && q && next && work ? VEC_OK : VEC_ENOMEM;
    if (rc == VEC_OK) {
        for (size_t i = 0; i < used; i++)
            for (uint32_t j = 0; j < dim; j++) transposed[(size_t)j * used + i] = sample[i * step * dim + j] - mean[j];
        covariance(transposed, used, dim, c);
        for (size_t i = 0; i < (size_t)m * dim; i++) q[i] = gaussian(&random);
        orthonormalise(q, m, dim, work, &random);
        /* In order of the Gram-Schmidt steps the leading rows converge to the strongest axes. */
        for (int round = 0; round < N_ROUNDS; round++) {
            for (uint32_t i = 0; i < m; i++) dots(q + (size_t)i * dim, c, dim, dim, dim, next + (size_t)i * dim);
            float *swap = q;
            q = next, next = swap;
            orthonormalise(q, m, dim, work, &random);
        }
        /* A random rotation among the first m rows. */
        for (size_t i = 0; i < (size_t)m * m; i++) c[i] = gaussian(&random);
        orthonormalise(c, m, m, work, &random);
        memset(out, 0, (size_t)m * dim * sizeof *out);
        for (uint32_t i = 0; i < m; i++)
            for (uint32_t j = 0; j < m; j++)
                for (uint32_t t = 0; t < dim; t++) out[(size_t)i * dim + t] += c[(size_t)i * m + j] * q[(size_t)j * dim + t];
        orthonormalise(out, m, dim, work, &random);
    }
    mem_free(transposed), mem_free(c), mem_free(q), mem_free(next), mem_free(work);
    return rc;
}

/* The reference: every kernel in plain C, no instruction set assumed. */
#include <string.h>

#include "half.h"
#include "kernels.h"

#define NAME(x) x##_scalar
#include "loops.h"

/* Four partial sums: what a compiler may keep in one register, and the same on every build. */
#define FLOAT_KERNEL(name, type, qtype, load, term)                                                                              \
    static void name(const void *query, const uint8_t *const *records, size_t n, size_t dim, void *out) {                        \
        const qtype *q = query;                                                                                                  \
        for (size_t r = 0; r < n; r++) {                                                                                         \
            const uint8_t *x = records[r];                                                                                       \
            qtype s[4] = {0, 0, 0, 0};                                                                                           \
            for (size_t i = 0; i < dim; i++) {                                                                                   \
                type raw;                                                                                                        \
                memcpy(&raw, x + i * sizeof raw, sizeof raw);                                                                    \
                qtype a = q[i], b = load(raw);                                                                                   \
                s[i & 3] += term;                                                                                                \
            }                                                                                                                    \
            ((qtype *)out)[r] = (s[0] + s[2]) + (s[1] + s[3]);                                                                   \
        }                                                                                                                        \
    }
#define SAME(x) (x)
FLOAT_KERNEL(dot_f32, float, float, SAME, a * b)
FLOAT_KERNEL(l2_f32, float, float, SAME, (a - b) * (a - b))
FLOAT_KERNEL(dot_f16, uint16_t, float, half_to_float, a * b)
FLOAT_KERNEL(l2_f16, uint16_t, float, half_to_float, (a - b) * (a - b))
FLOAT_KERNEL(dot_bf16, uint16_t, float, bfloat_to_float, a * b)
FLOAT_KERNEL(l2_bf16, uint16_t, float, bfloat_to_float, (a - b) * (a - b))
FLOAT_KERNEL(dot_f64, double, double, SAME, a * b)
FLOAT_KERNEL(l2_f64, double, double, SAME, (a - b) * (a - b))

#define INTEGER_KERNEL(name, qtype, type)                                                                                        \
    static void name(const void *query, const uint8_t *const *records, size_t n, size_t dim, void *out) {                        \
        const qtype *q = query;                                                                                                  \
        for (size_t r = 0; r < n; r++) {                                                                                         \
            const type *x = (const type *)records[r];                                                                            \
            int32_t sum = 0;                                                                                                     \
            for (size_t i = 0; i < dim; i++) sum += (int32_t)q[i] * x[i];                                                        \
            ((int32_t *)out)[r] = sum;                                                                                           \
        }                                                                                                                        \
    }
INTEGER_KERNEL(dot_i8, int8_t, int8_t)
INTEGER_KERNEL(dot_u8, uint8_t, uint8_t)
INTEGER_KERNEL(dot_u8s8, int8_t, uint8_t)

static int32_t u4_block(const int8_t *q, const uint8_t *x, size_t half) {
    int32_t sum = 0;
    for (size_t i = 0; i < half; i++) sum += q[i] * (x[i] & 15) + q[i + half] * (x[i] >> 4);
    return sum;
}

static void dot_u4s8(const void *query, const uint8_t *const *records, size_t n, size_t dim, void *out) {
    size_t blocks = dim / 128;
    for (size_t r = 0; r < n; r++) {
        const int8_t *q = query;
        int32_t sum = 0;
        for (size_t b = 0; b < blocks; b++) sum += u4_block(q + 128 * b, records[r] + 64 * b, 64);
        if (u4_tail(dim)) sum += u4_block(q + 128 * blocks, records[r] + 64 * blocks, u4_tail(dim) / 2);
        ((int32_t *)out)[r] = sum;
    }
}

static void dot_u1s8(const void *query, const uint8_t *const *records, size_t n, size_t dim, void *out) {
    const int8_t *q = query;
    for (size_t r = 0; r < n; r++) {
        int32_t sum = 0;
        for (size_t i = 0; i < dim; i++) sum += q[i] & -(records[r][i / 8] >> i % 8 & 1);
        ((int32_t *)out)[r] = sum;
    }
}

static void block_u8s8(const uint8_t *packed, size_t n_groups, const uint8_t *const *records, size_t n, size_t dim,
                       int32_t *out) {
    for (size_t g = 0; g < n_groups; g++, packed += packed_bytes(dim))
        for (size_t r = 0; r < n; r++, out += GROUP) {
            int32_t sums[GROUP] = {0};
            for (size_t i = 0; i < dim; i++)
                for (size_t j = 0; j < GROUP; j++)
                    sums[j] += records[r][i] * (int8_t)packed[GROUP * (i & ~(size_t)3) + 4 * j + (i & 3)];
            memcpy(out, sums, sizeof sums);
        }
}

#define FLOAT_BLOCK(kernel, type)                                                                                                \
    static void block_##kernel(const void *const *queries, size_t n_queries, const uint8_t *const *records, size_t n,            \
                               size_t dim, void *out) {                                                                          \
        for (size_t r = 0; r < n; r++)                                                                                           \
            for (size_t j = 0; j < n_queries; j++) kernel(queries[j], records + r, 1, dim, (type *)out + GROUP * r + j);         \
    }
FLOAT_BLOCK(dot_f32, float)
FLOAT_BLOCK(l2_f32, float)
FLOAT_BLOCK(dot_f64, double)
FLOAT_BLOCK(l2_f64, double)

static void below(const float *keys, size_t n, const float *limits, uint16_t *masks) {
    for (size_t r = 0; r < n; r++) {
        unsigned mask = 0;
        for (int j = 0; j < GROUP; j++) mask |= (unsigned)!(keys[GROUP * r + j] > limits[j]) << j;
        masks[r] = (uint16_t)mask;
    }
}

static void widen_f16(const uint8_t *halves, size_t n, float *out) {
    for (size_t i = 0; i < n; i++) {
        uint16_t h;
        memcpy(&h, halves + 2 * i, 2);
        out[i] = half_to_float(h);
    }
}

static int is_supported(void) { return 1; }

#define X(k, ...) .k = k,
const kernel_table kernels_scalar = {.name = "scalar", .is_supported = is_supported, KERNEL_LIST(X) BLOCK_LIST(X) LOOPS};
#undef X

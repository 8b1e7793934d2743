/* NEON with the dot product instructions (ARMv8.2: Cortex-A75, Neoverse, Apple M1 and later).
   Four records share the query's loads.

   kernel        instruction                                   elements per step
   dot_u8s8      sdot on c - 128, then + 128 * sum(q)          16
   dot_u4s8      sdot on both nibbles                          32 (16 code bytes)
   dot_u1s8      bits spread by tbl and cmtst, sdot with ones  64
   dot_i8/u8     sdot, udot                                    16, scalar tail
   *_f32, f16, bf16  fmla (after fcvtl / a shift)              4, scalar tail
   *_f64         fmla                                          2, scalar tail */
#if defined(__aarch64__)
#include <arm_neon.h>
#include <string.h>
#include <sys/auxv.h>

#include "half.h"
#include "kernels.h"

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("dotprod"))), apply_to = function)
#else
#pragma GCC target("arch=armv8.2-a+dotprod")
#endif

#define NAME(x) x##_neon
#include "loops.h"

#define INLINE static inline __attribute__((always_inline))

#define OVER_RECORDS(name, qtype, result)                                                                                        \
    static void name(const void *query, const uint8_t *const *records, size_t n, size_t dim, void *out) {                        \
        size_t i = 0;                                                                                                            \
        for (; i + 4 <= n; i += 4) name##_few((const qtype *)query, records + i, dim, (result *)out + i, 4);                     \
        for (; i < n; i++) name##_few((const qtype *)query, records + i, dim, (result *)out + i, 1);                             \
    }

INLINE void dot_u8s8_few(const int8_t *q, const uint8_t *const *r, size_t dim, int32_t *out, const int count) {
    const uint8x16_t top = vdupq_n_u8(0x80);
    const int8x16_t ones = vdupq_n_s8(1);
    int32x4_t s[4], sum = vdupq_n_s32(0);
    for (int j = 0; j < count; j++) s[j] = vdupq_n_s32(0);
    for (size_t i = 0; i < dim; i += 16) {
        int8x16_t a = vld1q_s8(q + i);
        sum = vdotq_s32(sum, a, ones);
        for (int j = 0; j < count; j++) s[j] = vdotq_s32(s[j], vreinterpretq_s8_u8(veorq_u8(vld1q_u8(r[j] + i), top)), a);
    }
    for (int j = 0; j < count; j++) out[j] = vaddvq_s32(s[j]) + 128 * vaddvq_s32(sum);
}
OVER_RECORDS(dot_u8s8, int8_t, int32_t)

/* `half` code bytes: dimension i in the low nibble of byte i, i + half in the high one. */
INLINE void add_nibbles(const int8_t *q, const uint8_t *const *r, size_t at, size_t half, int32x4_t *s, const int count) {
    const uint8x16_t low = vdupq_n_u8(15);
    for (size_t h = 0; h < half; h += 16) {
        int8x16_t a = vld1q_s8(q + h), b = vld1q_s8(q + half + h);
        for (int j = 0; j < count; j++) {
            uint8x16_t x = vld1q_u8(r[j] + at + h);
            s[j] = vdotq_s32(s[j], vreinterpretq_s8_u8(vandq_u8(x, low)), a);
            s[j] = vdotq_s32(s[j], vreinterpretq_s8_u8(vshrq_n_u8(x, 4)), b);
        }
    }
}

INLINE void dot_u4s8_few(const int8_t *q, const uint8_t *const *r, size_t dim, int32_t *out, const int count) {
    int32x4_t s[4];
    for (int j = 0; j < count; j++) s[j] = vdupq_n_s32(0);
    size_t i = 0;
    for (; i + 128 <= dim; i += 128) add_nibbles(q + i, r, i / 2, 64, s, count);
    if (i < dim) add_nibbles(q + i, r, i / 2, (dim - i) / 2, s, count);
    for (int j = 0; j < count; j++) out[j] = vaddvq_s32(s[j]);
}
OVER_RECORDS(dot_u4s8, int8_t, int32_t)

INLINE void dot_u1s8_few(const int8_t *q, const uint8_t *const *r, size_t dim, int32_t *out, const int count) {
    static const uint8_t spread[16] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1};
    static const uint8_t bits[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    const uint8x16_t place = vld1q_u8(spread), bit = vld1q_u8(bits), two = vdupq_n_u8(2);
    const int8x16_t ones = vdupq_n_s8(1);
    int32x4_t s[4];
    for (int j = 0; j < count; j++) s[j] = vdupq_n_s32(0);
    for (size_t i = 0; i < dim; i += 64) {
        uint8x16_t at = place, x[4];
        for (int j = 0; j < count; j++) x[j] = vcombine_u8(vld1_u8(r[j] + i / 8), vdup_n_u8(0));
        for (size_t h = 0; h < 64; h += 16, at = vaddq_u8(at, two)) {
            int8x16_t a = vld1q_s8(q + i + h);
            for (int j = 0; j < count; j++) {
                int8x16_t mask = vreinterpretq_s8_u8(vtstq_u8(vqtbl1q_u8(x[j], at), bit));
                s[j] = vdotq_s32(s[j], vandq_s8(mask, a), ones);
            }
        }
    }
    for (int j = 0; j < count; j++) out[j] = vaddvq_s32(s[j]);
}
OVER_RECORDS(dot_u1s8, int8_t, int32_t)

INLINE int32x4_t add_i8(int32x4_t s, const int8_t *q, const uint8_t *x) {
    return vdotq_s32(s, vld1q_s8(q), vld1q_s8((const int8_t *)x));
}
INLINE int32x4_t add_u8(int32x4_t s, const uint8_t *q, const uint8_t *x) {
    return vreinterpretq_s32_u32(vdotq_u32(vreinterpretq_u32_s32(s), vld1q_u8(q), vld1q_u8(x)));
}
#define BYTE_KERNEL(name, type, add)                                                                                             \
    INLINE void name##_few(const type *q, const uint8_t *const *r, size_t dim, int32_t *out, const int count) {                  \
        int32x4_t s[4];                                                                                                          \
        for (int j = 0; j < count; j++) s[j] = vdupq_n_s32(0);                                                                   \
        size_t i = 0;                                                                                                            \
        for (; i + 16 <= dim; i += 16)                                                                                           \
            for (int j = 0; j < count; j++) s[j] = add(s[j], q + i, r[j] + i);                                                   \
        for (int j = 0; j < count; j++) {                                                                                        \
            int32_t sum = vaddvq_s32(s[j]);                                                                                      \
            for (size_t t = i; t < dim; t++) sum += (int32_t)q[t] * ((const type *)r[j])[t];                                     \
            out[j] = sum;                                                                                                        \
        }                                                                                                                        \
    }                                                                                                                            \
    OVER_RECORDS(name, type, int32_t)
BYTE_KERNEL(dot_i8, int8_t, add_i8)
BYTE_KERNEL(dot_u8, uint8_t, add_u8)

/* Elements i .. i + 3 of a record as floats, and one of them. */
INLINE float32x4_t load_f32(const uint8_t *x, size_t i) { return vreinterpretq_f32_u8(vld1q_u8(x + 4 * i)); }
INLINE float32x4_t load_f16(const uint8_t *x, size_t i) { return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(x + 2 * i))); }
INLINE float32x4_t load_bf16(const uint8_t *x, size_t i) {
    return vreinterpretq_f32_u32(vshll_n_u16(vreinterpret_u16_u8(vld1_u8(x + 2 * i)), 16));
}
INLINE float one_f32(const uint8_t *x, size_t i) { float f; memcpy(&f, x + 4 * i, 4); return f; }
INLINE float one_f16(const uint8_t *x, size_t i) { uint16_t h; memcpy(&h, x + 2 * i, 2); return half_to_float(h); }
INLINE float one_bf16(const uint8_t *x, size_t i) { uint16_t h; memcpy(&h, x + 2 * i, 2); return bfloat_to_float(h); }
INLINE float32x4_t add_dot(float32x4_t s, float32x4_t a, float32x4_t b) { return vfmaq_f32(s, a, b); }
INLINE float32x4_t add_l2(float32x4_t s, float32x4_t a, float32x4_t b) {
    float32x4_t d = vsubq_f32(a, b);
    return vfmaq_f32(s, d, d);
}

#define FLOAT_KERNEL(name, load, one, add, term)                                                                                 \
    INLINE void name##_few(const float *q, const uint8_t *const *r, size_t dim, float *out, const int count) {                   \
        float32x4_t s[4];                                                                                                        \
        for (int j = 0; j < count; j++) s[j] = vdupq_n_f32(0);                                                                   \
        size_t i = 0;                                                                                                            \
        for (; i + 4 <= dim; i += 4) {                                                                                           \
            float32x4_t v = vld1q_f32(q + i);                                                                                    \
            for (int j = 0; j < count; j++) s[j] = add(s[j], v, load(r[j], i));                                                  \
        }                                                                                                                        \
        for (int j = 0; j < count; j++) {                                                                                        \
            float sum = vaddvq_f32(s[j]);                                                                                        \
            for (size_t t = i; t < dim; t++) {                                                                                   \
                float a = q[t], b = one(r[j], t);                                                                                \
                sum += term;                                                                                                     \
            }                                                                                                                    \
            out[j] = sum;                                                                                                        \
        }                                                                                                                        \
    }                                                                                                                            \
    OVER_RECORDS(name, float, float)
FLOAT_KERNEL(dot_f32, load_f32, one_f32, add_dot, a * b)
FLOAT_KERNEL(l2_f32, load_f32, one_f32, add_l2, (a - b) * (a - b))
FLOAT_KERNEL(dot_f16, load_f16, one_f16, add_dot, a * b)
FLOAT_KERNEL(l2_f16, load_f16, one_f16, add_l2, (a - b) * (a - b))
FLOAT_KERNEL(dot_bf16, load_bf16, one_bf16, add_dot, a * b)
FLOAT_KERNEL(l2_bf16, load_bf16, one_bf16, add_l2, (a - b) * (a - b))

INLINE float64x2_t load_f64(const uint8_t *x, size_t i) { return vreinterpretq_f64_u8(vld1q_u8(x + 8 * i)); }
INLINE float64x2_t add_dot_f64(float64x2_t s, float64x2_t a, float64x2_t b) { return vfmaq_f64(s, a, b); }
INLINE float64x2_t add_l2_f64(float64x2_t s, float64x2_t a, float64x2_t b) {
    float64x2_t d = vsubq_f64(a, b);
    return vfmaq_f64(s, d, d);
}
#define DOUBLE_KERNEL(name, add, term)                                                                                           \
    INLINE void name##_few(const double *q, const uint8_t *const *r, size_t dim, double *out, const int count) {                 \
        float64x2_t s[4];                                                                                                        \
        for (int j = 0; j < count; j++) s[j] = vdupq_n_f64(0);                                                                   \
        size_t i = 0;                                                                                                            \
        for (; i + 2 <= dim; i += 2) {                                                                                           \
            float64x2_t v = vld1q_f64(q + i);                                                                                    \
            for (int j = 0; j < count; j++) s[j] = add(s[j], v, load_f64(r[j], i));                                              \
        }                                                                                                                        \
        for (int j = 0; j < count; j++) {                                                                                        \
            double sum = vaddvq_f64(s[j]);                                                                                       \
            for (size_t t = i; t < dim; t++) {                                                                                   \
                double a = q[t], b;                                                                                              \
                memcpy(&b, r[j] + 8 * t, 8);                                                                                     \
                sum += term;                                                                                                     \
            }                                                                                                                    \
            out[j] = sum;                                                                                                        \
        }                                                                                                                        \
    }                                                                                                                            \
    OVER_RECORDS(name, double, double)
DOUBLE_KERNEL(dot_f64, add_dot_f64, a * b)
DOUBLE_KERNEL(l2_f64, add_l2_f64, (a - b) * (a - b))

/* Blocks of bytes: a lane is a query; sdot takes 4 bytes of a record by lane. Four records at a time, as c - 128. */
#define ADD_QUAD(quad)                                                                                                           \
    for (int k = 0; k < 4; k++) {                                                                                                \
        int8x16_t a = vld1q_s8((const int8_t *)packed + GROUP * (i + 4 * quad) + 16 * k);                                        \
        for (int j = 0; j < count; j++) s[j][k] = vdotq_laneq_s32(s[j][k], a, x[j], quad);                                       \
    }
INLINE void block_u8s8_few(const uint8_t *packed, const int32_t *sums, const uint8_t *const *r, size_t dim, int32_t *out,
                           const int count) {
    const uint8x16_t top = vdupq_n_u8(0x80);
    int32x4_t s[4][4];
    for (int j = 0; j < count; j++)
        for (int k = 0; k < 4; k++) s[j][k] = vshlq_n_s32(vld1q_s32(sums + 4 * k), 7);
    for (size_t i = 0; i < dim; i += 16) {
        int8x16_t x[4];
        for (int j = 0; j < count; j++) x[j] = vreinterpretq_s8_u8(veorq_u8(vld1q_u8(r[j] + i), top));
        ADD_QUAD(0)
        ADD_QUAD(1)
        ADD_QUAD(2)
        ADD_QUAD(3)
    }
    for (int j = 0; j < count; j++)
        for (int k = 0; k < 4; k++) vst1q_s32(out + GROUP * j + 4 * k, s[j][k]);
}

static void block_u8s8(const uint8_t *packed, size_t n_groups, const uint8_t *const *records, size_t n, size_t dim,
                       int32_t *out) {
    for (size_t g = 0; g < n_groups; g++, packed += packed_bytes(dim), out += GROUP * n) {
        const int32_t *sums = (const int32_t *)(const void *)(packed + packed_bytes(dim) - GROUP * sizeof(int32_t));
        size_t i = 0;
        for (; i + 4 <= n; i += 4) block_u8s8_few(packed, sums, records + i, dim, out + GROUP * i, 4);
        for (; i < n; i++) block_u8s8_few(packed, sums, records + i, dim, out + GROUP * i, 1);
    }
}

/* Blocks of floats: four queries against four records at a time, each sum as the kernels above add it. */
#define FLOAT_BLOCK(kernel, vector, type, step, load_q, load_x, zero, add, sum_of, one, term)                                    \
    INLINE void block_##kernel##_few(const void *const *q, const uint8_t *const *r, size_t dim, type *out) {                     \
        vector s[4][4];                                                                                                          \
        for (int j = 0; j < 4; j++)                                                                                              \
            for (int k = 0; k < 4; k++) s[j][k] = zero(0);                                                                       \
        size_t i = 0;                                                                                                            \
        for (; i + step <= dim; i += step) {                                                                                     \
            vector a[4];                                                                                                         \
            for (int k = 0; k < 4; k++) a[k] = load_q((const type *)q[k] + i);                                                   \
            for (int j = 0; j < 4; j++) {                                                                                        \
                vector x = load_x(r[j], i);                                                                                      \
                for (int k = 0; k < 4; k++) s[j][k] = add(s[j][k], a[k], x);                                                     \
            }                                                                                                                    \
        }                                                                                                                        \
        for (int j = 0; j < 4; j++)                                                                                              \
            for (int k = 0; k < 4; k++) {                                                                                        \
                type sum = sum_of(s[j][k]);                                                                                      \
                for (size_t t = i; t < dim; t++) {                                                                               \
                    type a = ((const type *)q[k])[t], b = one(r[j], t);                                                          \
                    sum += term;                                                                                                 \
                }                                                                                                                \
                out[4 * j + k] = sum;                                                                                            \
            }                                                                                                                    \
    }                                                                                                                            \
    static void block_##kernel(const void *const *queries, size_t n_queries, const uint8_t *const *records, size_t n,            \
                               size_t dim, void *out) {                                                                          \
        for (size_t i = 0; i < n; i += 4)                                                                                        \
            for (size_t k = 0; k < n_queries; k += 4) {                                                                          \
                size_t m = n - i < 4 ? n - i : 4, nk = n_queries - k < 4 ? n_queries - k : 4;                                    \
                const void *q[4];                                                                                                \
                const uint8_t *r[4];                                                                                             \
                type sums[16];                                                                                                   \
                for (size_t j = 0; j < 4; j++) q[j] = queries[k + (j < nk ? j : 0)], r[j] = records[i + (j < m ? j : 0)];        \
                block_##kernel##_few(q, r, dim, sums);                                                                           \
                for (size_t j = 0; j < m; j++)                                                                                   \
                    memcpy((type *)out + GROUP * (i + j) + k, sums + 4 * j, nk * sizeof(type));                                  \
            }                                                                                                                    \
    }
INLINE double one_f64(const uint8_t *x, size_t i) { double d; memcpy(&d, x + 8 * i, 8); return d; }
FLOAT_BLOCK(dot_f32, float32x4_t, float, 4, vld1q_f32, load_f32, vdupq_n_f32, add_dot, vaddvq_f32, one_f32, a * b)
FLOAT_BLOCK(l2_f32, float32x4_t, float, 4, vld1q_f32, load_f32, vdupq_n_f32, add_l2, vaddvq_f32, one_f32, (a - b) * (a - b))
FLOAT_BLOCK(dot_f64, float64x2_t, double, 2, vld1q_f64, load_f64, vdupq_n_f64, add_dot_f64, vaddvq_f64, one_f64, a * b)
FLOAT_BLOCK(l2_f64, float64x2_t, double, 2, vld1q_f64, load_f64, vdupq_n_f64, add_l2_f64, vaddvq_f64, one_f64, (a - b) * (a - b))

static void below(const float *keys, size_t n, const float *limits, uint16_t *masks) {
    static const uint32_t bits[4] = {1, 2, 4, 8};
    const uint32x4_t bit = vld1q_u32(bits);
    for (size_t r = 0; r < n; r++) {
        uint32_t mask = 0;
        for (int k = 0; k < 4; k++)
            mask |= vaddvq_u32(vbicq_u32(bit, vcgtq_f32(vld1q_f32(keys + GROUP * r + 4 * k), vld1q_f32(limits + 4 * k))))
                    << 4 * k;
        masks[r] = (uint16_t)mask;
    }
}

static void widen_f16(const uint8_t *halves, size_t n, float *out) {
    size_t i = 0;
    for (; i + 4 <= n; i += 4) vst1q_f32(out + i, load_f16(halves, i));
    for (; i < n; i++) out[i] = one_f16(halves, i);
}

#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC reset_options
#endif

static int is_supported(void) { return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0; }

#define X(k, ...) .k = k,
const kernel_table kernels_neon = {.name = "neon", .is_supported = is_supported, KERNEL_LIST(X) BLOCK_LIST(X) LOOPS};
#undef X
#else
typedef int no_neon;
#endif

/* NEON with the dot product instructions (ARMv8.2: Cortex-A75, Neoverse, Apple M1 and later). Four records share the query's loads.

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

#define OVER_RECORDS(name, qtype, result)                                                                                           \
    static void name(const void *query, const uint8_t *const *records, size_t n, size_t dim, void *out) {                          \
        size_t i = 0;                                                                                                               \
        for (; i + 4 <= n; i += 4) name##_few((const qtype *)query, records + i, dim, (result *)out + i, 4);                        \
        for (; i < n; i++) name##_few((const qtype *)query, records + i, dim, (result *)out + i, 1);                                \
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

INLINE int32x4_t add_i8(int32x4_t s, const int8_t *q, const uint8_t *x) { return vdotq_s32(s, vld1q_s8(q), vld1q_s8((const int8_t *)x)); }
INLINE int32x4_t add_u8(int32x4_t s, const uint8_t *q, const uint8_t *x) {
    return vreinterpretq_s32_u32(vdotq_u32(vreinterpretq_u32_s32(s), vld1q_u8(q), vld1q_u8(x)));
}
#define BYTE_KERNEL(name, type, add)                                                                                                \
    INLINE void name##_few(const type *q, const uint8_t *const *r, size_t dim, int32_t *out, const int count) {                     \
        int32x4_t s[4];                                                                                                             \
        for (int j = 0; j < count; j++) s[j] = vdupq_n_s32(0);                                                                      \
        size_t i = 0;                                                                                                               \
        for (; i + 16 <= dim; i += 16)                                                                                              \
            for (int j = 0; j < count; j++) s[j] = add(s[j], q + i, r[j] + i);                                                      \
        for (int j = 0; j < count; j++) {                                                                                           \
            int32_t sum = vaddvq_s32(s[j]);                                                                                         \
            for (size_t t = i; t < dim; t++) sum += (int32_t)q[t] * ((const type *)r[j])[t];                                        \
            out[j] = sum;                                                                                                           \
        }                                                                                                                           \
    }                                                                                                                               \
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
INLINE float32x4_t add_l2(float32x4_t s, float32x4_t a, float32x4_t b) { float32x4_t d = vsubq_f32(a, b); return vfmaq_f32(s, d, d); }

#define FLOAT_KERNEL(name, load, one, add, term)                                                                                    \
    INLINE void name##_few(const float *q, const uint8_t *const *r, size_t dim, float *out, const int count) {                      \
        float32x4_t s[4];                                                                                                           \
        for (int j = 0; j < count; j++) s[j] = vdupq_n_f32(0);                                                                      \
        size_t i = 0;                                                                                                               \
        for (; i + 4 <= dim; i += 4) {                                                                                              \
            float32x4_t v = vld1q_f32(q + i);                                                                                       \
            for (int j = 0; j < count; j++) s[j] = add(s[j], v, load(r[j], i));                                                     \
        }                                                                                                                           \
        for (int j = 0; j < count; j++) {                                                                                           \
            float sum = vaddvq_f32(s[j]);                                                                                           \
            for (size_t t = i; t < dim; t++) {                                                                                      \
                float a = q[t], b = one(r[j], t);                                                                                   \
                sum += term;                                                                                                        \
            }                                                                                                                       \
            out[j] = sum;                                                                                                           \
        }                                                                                                                           \
    }                                                                                                                               \
    OVER_RECORDS(name, float, float)
FLOAT_KERNEL(dot_f32, load_f32, one_f32, add_dot, a * b)
FLOAT_KERNEL(l2_f32, load_f32, one_f32, add_l2, (a - b) * (a - b))
FLOAT_KERNEL(dot_f16, load_f16, one_f16, add_dot, a * b)
FLOAT_KERNEL(l2_f16, load_f16, one_f16, add_l2, (a - b) * (a - b))
FLOAT_KERNEL(dot_bf16, load_bf16, one_bf16, add_dot, a * b)
FLOAT_KERNEL(l2_bf16, load_bf16, one_bf16, add_l2, (a - b) * (a - b))

INLINE float64x2_t load_f64(const uint8_t *x, size_t i) { return vreinterpretq_f64_u8(vld1q_u8(x + 8 * i)); }
INLINE float64x2_t add_dot_f64(float64x2_t s, float64x2_t a, float64x2_t b) { return vfmaq_f64(s, a, b); }
INLINE float64x2_t add_l2_f64(float64x2_t s, float64x2_t a, float64x2_t b) { float64x2_t d = vsubq_f64(a, b); return vfmaq_f64(s, d, d); }
#define DOUBLE_KERNEL(name, add, term)                                                                                              \
    INLINE void name##_few(const double *q, const uint8_t *const *r, size_t dim, double *out, const int count) {                    \
        float64x2_t s[4];                                                                                                           \
        for (int j = 0; j < count; j++) s[j] = vdupq_n_f64(0);                                                                      \
        size_t i = 0;                                                                                                               \
        for (; i + 2 <= dim; i += 2) {                                                                                              \
            float64x2_t v = vld1q_f64(q + i);                                                                                       \
            for (int j = 0; j < count; j++) s[j] = add(s[j], v, load_f64(r[j], i));                                                 \
        }                                                                                                                           \
        for (int j = 0; j < count; j++) {                                                                                           \
            double sum = vaddvq_f64(s[j]);                                                                                          \
            for (size_t t = i; t < dim; t++) {                                                                                      \
                double a = q[t], b;                                                                                                 \
                memcpy(&b, r[j] + 8 * t, 8);                                                                                        \
                sum += term;                                                                                                        \
            }                                                                                                                       \
            out[j] = sum;                                                                                                           \
        }                                                                                                                           \
    }                                                                                                                               \
    OVER_RECORDS(name, double, double)
DOUBLE_KERNEL(dot_f64, add_dot_f64, a * b)
DOUBLE_KERNEL(l2_f64, add_l2_f64, (a - b) * (a - b))

#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC reset_options
#endif

static int is_supported(void) { return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0; }

#define X(k) .k = k,
const kernel_table kernels_neon = {.name = "neon", .is_supported = is_supported, KERNEL_LIST(X) LOOPS};
#undef X
#else
typedef int no_neon;
#endif

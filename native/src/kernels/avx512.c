/* AVX-512 with VNNI (Ice Lake, Zen 4 and later). Four records at a time share the query's loads; tails are masked loads.

   kernel        instruction                     elements per step
   dot_u8s8      vpdpbusd                        64
   dot_u4s8      vpdpbusd on both nibbles        128
   dot_u1s8      bits as a mask, vpdpbusd with ones  64
   dot_i8/u8     vpmovsx/zxbw, vpdpwssd          32
   *_f32, f16, bf16  vfmadd (after vcvtph2ps / a shift)  16
   *_f64         vfmadd                          8
   block_u8s8    vpbroadcastd, vpdpbusd          4, of 16 or 32 queries and 8 records
   block_*       vfmadd                          16 or 8, of 4 queries and 4 records */
#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

#include "kernels.h"

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c,popcnt"))), \
                             apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c,popcnt")
#endif

#define NAME(x) x##_avx512
#include "loops.h"

#define INLINE static inline __attribute__((always_inline))

/* Sums of four vectors of 16 lanes into out[0..3]. */
INLINE void sum4_i32(const __m512i a[4], int32_t *out) {
    __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a[0], a[1]), _mm512_unpackhi_epi32(a[0], a[1]));
    __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(a[2], a[3]), _mm512_unpackhi_epi32(a[2], a[3]));
    __m512i s = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
    __m256i h = _mm256_add_epi32(_mm512_castsi512_si256(s), _mm512_extracti64x4_epi64(s, 1));
    _mm_storeu_si128((__m128i *)out, _mm_add_epi32(_mm256_castsi256_si128(h), _mm256_extracti128_si256(h, 1)));
}

INLINE void sum4_f32(const __m512 a[4], float *out) {
    __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps(a[0], a[1]), _mm512_unpackhi_ps(a[0], a[1]));
    __m512 cd = _mm512_add_ps(_mm512_unpacklo_ps(a[2], a[3]), _mm512_unpackhi_ps(a[2], a[3]));
    __m512d l = _mm512_unpacklo_pd(_mm512_castps_pd(ab), _mm512_castps_pd(cd));
    __m512d u = _mm512_unpackhi_pd(_mm512_castps_pd(ab), _mm512_castps_pd(cd));
    __m512 s = _mm512_add_ps(_mm512_castpd_ps(l), _mm512_castpd_ps(u));
    __m256 h = _mm256_add_ps(_mm512_castps512_ps256(s), _mm512_extractf32x8_ps(s, 1));
    _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1)));
}

/* One kernel = a step over `count` records (a constant, 4 or 1), then the loop over all. */
#define OVER_RECORDS(name, result)                                                                                               \
    static void name(const void *query, const uint8_t *const *records, size_t n, size_t dim, void *out) {                        \
        size_t i = 0;                                                                                                            \
        for (; i + 4 <= n; i += 4) name##_few(query, records + i, dim, (result *)out + i, 4);                                    \
        if (n - i == 1) name##_few(query, records + i, dim, (result *)out + i, 1);                                               \
        else if (i < n) {                                       /* two or three: four, the last one more than once */            \
            const uint8_t *four[4] = {records[i], records[i + 1], records[n - 1], records[n - 1]};                               \
            result results[4];                                                                                                   \
            name##_few(query, four, dim, results, 4);                                                                            \
            memcpy((result *)out + i, results, (n - i) * sizeof(result));                                                        \
        }                                                                                                                        \
    }

INLINE void finish_i32(const __m512i *s, int32_t *out, const int count) {
    if (count == 4) sum4_i32(s, out);
    else *out = _mm512_reduce_add_epi32(s[0]);
}

INLINE void finish_f32(const __m512 *s, float *out, const int count) {
    if (count == 4) { sum4_f32(s, out); return; }
    __m512 all[4] = {s[0], s[0], s[0], s[0]};               /* the same order of additions as four at a time */
    float four[4];
    sum4_f32(all, four);
    *out = four[0];
}

INLINE void dot_u8s8_few(const int8_t *q, const uint8_t *const *r, size_t dim, int32_t *out, const int count) {
    __m512i s[4];
    for (int j = 0; j < count; j++) s[j] = _mm512_setzero_si512();
    size_t i = 0;
    for (; i + 64 <= dim; i += 64) {
        __m512i a = _mm512_loadu_si512(q + i);
        for (int j = 0; j < count; j++) s[j] = _mm512_dpbusd_epi32(s[j], _mm512_loadu_si512(r[j] + i), a);
    }
    if (i < dim) {
        __mmask64 m = _cvtu64_mask64((1ull << (dim - i)) - 1);
        __m512i a = _mm512_maskz_loadu_epi8(m, q + i);
        for (int j = 0; j < count; j++) s[j] = _mm512_dpbusd_epi32(s[j], _mm512_maskz_loadu_epi8(m, r[j] + i), a);
    }
    finish_i32(s, out, count);
}
OVER_RECORDS(dot_u8s8, int32_t)

INLINE void dot_u4s8_few(const int8_t *q, const uint8_t *const *r, size_t dim, int32_t *out, const int count) {
    const __m512i low = _mm512_set1_epi8(15);
    __m512i s[4], t[4];
    for (int j = 0; j < count; j++) s[j] = t[j] = _mm512_setzero_si512();
    size_t i = 0;
    for (; i + 128 <= dim; i += 128) {
        __m512i a = _mm512_loadu_si512(q + i), b = _mm512_loadu_si512(q + i + 64);
        for (int j = 0; j < count; j++) {
            __m512i x = _mm512_loadu_si512(r[j] + i / 2);
            s[j] = _mm512_dpbusd_epi32(s[j], _mm512_and_si512(x, low), a);
            t[j] = _mm512_dpbusd_epi32(t[j], _mm512_and_si512(_mm512_srli_epi16(x, 4), low), b);
        }
    }
    if (i < dim) {
        size_t half = (dim - i) / 2;
        __mmask64 m = _cvtu64_mask64((1ull << half) - 1);
        __m512i a = _mm512_maskz_loadu_epi8(m, q + i), b = _mm512_maskz_loadu_epi8(m, q + i + half);
        for (int j = 0; j < count; j++) {
            __m512i x = _mm512_maskz_loadu_epi8(m, r[j] + i / 2);
            s[j] = _mm512_dpbusd_epi32(s[j], _mm512_and_si512(x, low), a);
            t[j] = _mm512_dpbusd_epi32(t[j], _mm512_and_si512(_mm512_srli_epi16(x, 4), low), b);
        }
    }
    for (int j = 0; j < count; j++) s[j] = _mm512_add_epi32(s[j], t[j]);
    finish_i32(s, out, count);
}
OVER_RECORDS(dot_u4s8, int32_t)

INLINE void dot_u1s8_few(const int8_t *q, const uint8_t *const *r, size_t dim, int32_t *out, const int count) {
    const __m512i ones = _mm512_set1_epi8(1);
    __m512i s[4];
    for (int j = 0; j < count; j++) s[j] = _mm512_setzero_si512();
    for (size_t i = 0; i < dim; i += 64) {
        __m512i a = _mm512_loadu_si512(q + i);
        for (int j = 0; j < count; j++) {
            uint64_t bits;
            __builtin_memcpy(&bits, r[j] + i / 8, 8);
            s[j] = _mm512_dpbusd_epi32(s[j], ones, _mm512_maskz_mov_epi8(_cvtu64_mask64(bits), a));
        }
    }
    finish_i32(s, out, count);
}
OVER_RECORDS(dot_u1s8, int32_t)

#define BYTE_KERNEL(name, widen)                                                                                                 \
    INLINE void name##_few(const uint8_t *q, const uint8_t *const *r, size_t dim, int32_t *out, const int count) {               \
        __m512i s[4];                                                                                                            \
        for (int j = 0; j < count; j++) s[j] = _mm512_setzero_si512();                                                           \
        for (size_t i = 0; i < dim; i += 32) {                                                                                   \
            __mmask32 m = _cvtu32_mask32(dim - i >= 32 ? ~0u : (1u << (dim - i)) - 1);                                           \
            __m512i a = widen(_mm256_maskz_loadu_epi8(m, q + i));                                                                \
            for (int j = 0; j < count; j++) s[j] = _mm512_dpwssd_epi32(s[j], widen(_mm256_maskz_loadu_epi8(m, r[j] + i)), a);    \
        }                                                                                                                        \
        finish_i32(s, out, count);                                                                                               \
    }                                                                                                                            \
    OVER_RECORDS(name, int32_t)
BYTE_KERNEL(dot_i8, _mm512_cvtepi8_epi16)
BYTE_KERNEL(dot_u8, _mm512_cvtepu8_epi16)

INLINE __m512 load_f32(const uint8_t *x, size_t i, __mmask16 m) {
    return _mm512_maskz_loadu_ps(m, (const float *)(const void *)x + i);
}
INLINE __m512 load_f16(const uint8_t *x, size_t i, __mmask16 m) {
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(m, x + 2 * i));
}
INLINE __m512 load_bf16(const uint8_t *x, size_t i, __mmask16 m) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(m, x + 2 * i)), 16));
}
INLINE __m512 add_dot(__m512 s, __m512 a, __m512 b) { return _mm512_fmadd_ps(a, b, s); }
INLINE __m512 add_l2(__m512 s, __m512 a, __m512 b) { __m512 d = _mm512_sub_ps(a, b); return _mm512_fmadd_ps(d, d, s); }

#define FLOAT_KERNEL(name, load, add)                                                                                            \
    INLINE void name##_few(const float *q, const uint8_t *const *r, size_t dim, float *out, const int count) {                   \
        __m512 s[4];                                                                                                             \
        for (int j = 0; j < count; j++) s[j] = _mm512_setzero_ps();                                                              \
        for (size_t i = 0; i < dim; i += 16) {                                                                                   \
            __mmask16 m = _cvtu32_mask16(dim - i >= 16 ? 0xFFFFu : (1u << (dim - i)) - 1);                                       \
            __m512 a = _mm512_maskz_loadu_ps(m, q + i);                                                                          \
            for (int j = 0; j < count; j++) s[j] = add(s[j], a, load(r[j], i, m));                                               \
        }                                                                                                                        \
        finish_f32(s, out, count);                                                                                               \
    }                                                                                                                            \
    OVER_RECORDS(name, float)
FLOAT_KERNEL(dot_f32, load_f32, add_dot)
FLOAT_KERNEL(l2_f32, load_f32, add_l2)
FLOAT_KERNEL(dot_f16, load_f16, add_dot)
FLOAT_KERNEL(l2_f16, load_f16, add_l2)
FLOAT_KERNEL(dot_bf16, load_bf16, add_dot)
FLOAT_KERNEL(l2_bf16, load_bf16, add_l2)

INLINE __m512d add_dot_f64(__m512d s, __m512d a, __m512d b) { return _mm512_fmadd_pd(a, b, s); }
INLINE __m512d add_l2_f64(__m512d s, __m512d a, __m512d b) { __m512d d = _mm512_sub_pd(a, b); return _mm512_fmadd_pd(d, d, s); }
#define DOUBLE_KERNEL(name, add)                                                                                                 \
    INLINE void name##_few(const double *q, const uint8_t *const *r, size_t dim, double *out, const int count) {                 \
        __m512d s[4];                                                                                                            \
        for (int j = 0; j < count; j++) s[j] = _mm512_setzero_pd();                                                              \
        for (size_t i = 0; i < dim; i += 8) {                                                                                    \
            __mmask8 m = (__mmask8)(dim - i >= 8 ? 0xFF : (1u << (dim - i)) - 1);                                                \
            __m512d a = _mm512_maskz_loadu_pd(m, q + i);                                                                         \
            for (int j = 0; j < count; j++)                                                                                      \
                s[j] = add(s[j], a, _mm512_maskz_loadu_pd(m, (const double *)(const void *)r[j] + i));                           \
        }                                                                                                                        \
        for (int j = 0; j < count; j++) out[j] = _mm512_reduce_add_pd(s[j]);                                                     \
    }                                                                                                                            \
    OVER_RECORDS(name, double)
DOUBLE_KERNEL(dot_f64, add_dot_f64)
DOUBLE_KERNEL(l2_f64, add_l2_f64)

/* Blocks of bytes: a lane is a query, so nothing is added across lanes; 4 bytes of a record are spread over all of them. */
INLINE void block_u8s8_few(const uint8_t *packed, size_t stride, const uint8_t *const *r, size_t dim, int32_t *out,
                           size_t out_stride, const int count, const int groups) {
    __m512i s[8][2];
    for (int j = 0; j < count; j++)
        for (int g = 0; g < groups; g++) s[j][g] = _mm512_setzero_si512();
    for (size_t i = 0; i < dim; i += 4) {
        __m512i a[2];
        for (int g = 0; g < groups; g++) a[g] = _mm512_load_si512(packed + (size_t)g * stride + GROUP * i);
        for (int j = 0; j < count; j++) {
            int32_t four;
            memcpy(&four, r[j] + i, 4);
            __m512i x = _mm512_set1_epi32(four);
            for (int g = 0; g < groups; g++) s[j][g] = _mm512_dpbusd_epi32(s[j][g], x, a[g]);
        }
    }
    for (int j = 0; j < count; j++)
        for (int g = 0; g < groups; g++) _mm512_storeu_si512(out + GROUP * j + (size_t)g * out_stride, s[j][g]);
}

static void block_u8s8(const uint8_t *packed, size_t n_groups, const uint8_t *const *records, size_t n, size_t dim,
                       int32_t *out) {
    const size_t stride = packed_bytes(dim);
    for (; n_groups; packed += 2 * stride, out += 2 * GROUP * n, n_groups -= n_groups > 1 ? 2 : 1) {
        size_t i = 0;
        for (; i + 8 <= n; i += 8)
            if (n_groups > 1) block_u8s8_few(packed, stride, records + i, dim, out + GROUP * i, GROUP * n, 8, 2);
            else block_u8s8_few(packed, stride, records + i, dim, out + GROUP * i, GROUP * n, 8, 1);
        for (; i < n; i++)
            if (n_groups > 1) block_u8s8_few(packed, stride, records + i, dim, out + GROUP * i, GROUP * n, 1, 2);
            else block_u8s8_few(packed, stride, records + i, dim, out + GROUP * i, GROUP * n, 1, 1);
    }
}

/* Blocks of floats: four queries against four records at a time, each sum as the kernels above add it. */
#define FLOAT_BLOCK(kernel, vector, type, step, mask, mask_of, load, zero, add, sum4)                                            \
    INLINE void block_##kernel##_few(const void *const *q, const uint8_t *const *r, size_t dim, type *out) {                     \
        vector s[4][4];                                                                                                          \
        for (int j = 0; j < 4; j++)                                                                                              \
            for (int k = 0; k < 4; k++) s[j][k] = zero();                                                                        \
        for (size_t i = 0; i < dim; i += step) {                                                                                 \
            mask m = mask_of(dim - i);                                                                                           \
            vector a[4];                                                                                                         \
            for (int k = 0; k < 4; k++) a[k] = load(m, (const type *)q[k] + i);                                                  \
            for (int j = 0; j < 4; j++) {                                                                                        \
                vector x = load(m, (const type *)(const void *)r[j] + i);                                                        \
                for (int k = 0; k < 4; k++) s[j][k] = add(s[j][k], a[k], x);                                                     \
            }                                                                                                                    \
        }                                                                                                                        \
        for (int j = 0; j < 4; j++) sum4(s[j], out + 4 * j);                                                                     \
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
#define MASK16(left) _cvtu32_mask16(left >= 16 ? 0xFFFFu : (1u << (left)) - 1)
#define MASK8(left) (__mmask8)(left >= 8 ? 0xFF : (1u << (left)) - 1)
INLINE void sum4_f64(const __m512d s[4], double *out) { for (int j = 0; j < 4; j++) out[j] = _mm512_reduce_add_pd(s[j]); }
FLOAT_BLOCK(dot_f32, __m512, float, 16, __mmask16, MASK16, _mm512_maskz_loadu_ps, _mm512_setzero_ps, add_dot, sum4_f32)
FLOAT_BLOCK(l2_f32, __m512, float, 16, __mmask16, MASK16, _mm512_maskz_loadu_ps, _mm512_setzero_ps, add_l2, sum4_f32)
FLOAT_BLOCK(dot_f64, __m512d, double, 8, __mmask8, MASK8, _mm512_maskz_loadu_pd, _mm512_setzero_pd, add_dot_f64, sum4_f64)
FLOAT_BLOCK(l2_f64, __m512d, double, 8, __mmask8, MASK8, _mm512_maskz_loadu_pd, _mm512_setzero_pd, add_l2_f64, sum4_f64)

static void below(const float *keys, size_t n, const float *limits, uint16_t *masks) {
    const __m512 limit = _mm512_loadu_ps(limits);
    for (size_t r = 0; r < n; r++)
        masks[r] = (uint16_t)_cvtmask16_u32(_mm512_cmp_ps_mask(_mm512_loadu_ps(keys + GROUP * r), limit, _CMP_NGT_UQ));
}

static void widen_f16(const uint8_t *halves, size_t n, float *out) {
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 m = MASK16(n - i);
        _mm512_mask_storeu_ps(out + i, m, load_f16(halves, i, m));
    }
}

#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC reset_options
#endif

static int is_supported(void) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")
        && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vnni");
}

#define X(k, ...) .k = k,
const kernel_table kernels_avx512 = {.name = "avx512", .is_supported = is_supported, KERNEL_LIST(X) BLOCK_LIST(X) LOOPS};
#undef X
#else
typedef int no_avx512;
#endif

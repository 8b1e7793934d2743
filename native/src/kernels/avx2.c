/* AVX2 with FMA and F16C (Haswell, Zen and later). Four records at a time share the query's loads.

   kernel        instruction                                   elements per step
   dot_u8s8      vpmovzxbw, vpmovsxbw, vpmaddwd                16 (vpmaddubsw would saturate on 8-bit codes)
   dot_u4s8      vpmaddubsw on both nibbles, widened           64 and tails of 32; 16 * 127 * 2 * 2 never saturates
   dot_u1s8      bits spread to byte masks, vpand, vpmaddubsw  32
   dot_i8/u8     vpmovsx/zxbw, vpmaddwd                        16, scalar tail
   *_f32, f16, bf16  vfmadd                                    8, tail copied into a zeroed block
   *_f64         vfmadd                                        4, tail likewise */
#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

#include "kernels.h"

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,popcnt"))), apply_to = function)
#else
#pragma GCC target("avx2,fma,f16c,popcnt")
#endif

#define NAME(x) x##_avx2
#include "loops.h"

#define INLINE static inline __attribute__((always_inline))

INLINE int32_t sum_i32(__m256i v) {
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4E));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0xB1));
    return _mm_cvtsi128_si32(s);
}

INLINE float sum_f32(__m256 v) {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_shuffle_ps(s, s, 1)));
}

INLINE double sum_f64(__m256d v) {
    __m128d h = _mm_add_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd(v, 1));
    return _mm_cvtsd_f64(_mm_add_sd(h, _mm_unpackhi_pd(h, h)));
}

#define OVER_RECORDS(name, result)                                                                                               \
    static void name(const void *query, const uint8_t *const *records, size_t n, size_t dim, void *out) {                        \
        size_t i = 0;                                                                                                            \
        for (; i + 4 <= n; i += 4) name##_few(query, records + i, dim, (result *)out + i, 4);                                    \
        for (; i < n; i++) name##_few(query, records + i, dim, (result *)out + i, 1);                                            \
    }

#define LOAD16(p) _mm_loadu_si128((const __m128i *)(const void *)(p))
#define LOAD32(p) _mm256_loadu_si256((const __m256i *)(const void *)(p))

#define BYTE_KERNEL(name, qtype, type, widen_q, widen_x)                                                                         \
    INLINE void name##_few(const qtype *q, const uint8_t *const *r, size_t dim, int32_t *out, const int count) {                 \
        __m256i s[4];                                                                                                            \
        for (int j = 0; j < count; j++) s[j] = _mm256_setzero_si256();                                                           \
        size_t i = 0;                                                                                                            \
        for (; i + 16 <= dim; i += 16) {                                                                                         \
            __m256i a = widen_q(LOAD16(q + i));                                                                                  \
            for (int j = 0; j < count; j++) s[j] = _mm256_add_epi32(s[j], _mm256_madd_epi16(widen_x(LOAD16(r[j] + i)), a));      \
        }                                                                                                                        \
        for (int j = 0; j < count; j++) {                                                                                        \
            int32_t sum = sum_i32(s[j]);                                                                                         \
            for (size_t t = i; t < dim; t++) sum += (int32_t)q[t] * ((const type *)r[j])[t];                                     \
            out[j] = sum;                                                                                                        \
        }                                                                                                                        \
    }                                                                                                                            \
    OVER_RECORDS(name, int32_t)
BYTE_KERNEL(dot_u8s8, int8_t, uint8_t, _mm256_cvtepi8_epi16, _mm256_cvtepu8_epi16)
BYTE_KERNEL(dot_i8, int8_t, int8_t, _mm256_cvtepi8_epi16, _mm256_cvtepi8_epi16)
BYTE_KERNEL(dot_u8, uint8_t, uint8_t, _mm256_cvtepu8_epi16, _mm256_cvtepu8_epi16)

/* Both nibbles of 32 code bytes: low against a, high against b. */
INLINE __m256i nibbles(__m256i x, __m256i a, __m256i b) {
    const __m256i low = _mm256_set1_epi8(15);
    __m256i s = _mm256_maddubs_epi16(_mm256_and_si256(x, low), a);
    s = _mm256_add_epi16(s, _mm256_maddubs_epi16(_mm256_and_si256(_mm256_srli_epi16(x, 4), low), b));
    return _mm256_madd_epi16(s, _mm256_set1_epi16(1));
}

INLINE void dot_u4s8_few(const int8_t *q, const uint8_t *const *r, size_t dim, int32_t *out, const int count) {
    __m256i s[4];
    for (int j = 0; j < count; j++) s[j] = _mm256_setzero_si256();
    size_t i = 0;
    for (; i + 128 <= dim; i += 128)
        for (size_t h = 0; h < 64; h += 32) {
            __m256i a = LOAD32(q + i + h), b = LOAD32(q + i + 64 + h);
            for (int j = 0; j < count; j++) s[j] = _mm256_add_epi32(s[j], nibbles(LOAD32(r[j] + i / 2 + h), a, b));
        }
    for (size_t half = (dim - i) / 2, h = 0; h < half; h += 16) {
        __m256i a = _mm256_castsi128_si256(LOAD16(q + i + h)), b = _mm256_castsi128_si256(LOAD16(q + i + half + h));
        a = _mm256_inserti128_si256(a, _mm_setzero_si128(), 1), b = _mm256_inserti128_si256(b, _mm_setzero_si128(), 1);
        for (int j = 0; j < count; j++) {
            __m256i x = _mm256_inserti128_si256(_mm256_setzero_si256(), LOAD16(r[j] + i / 2 + h), 0);
            s[j] = _mm256_add_epi32(s[j], nibbles(x, a, b));
        }
    }
    for (int j = 0; j < count; j++) out[j] = sum_i32(s[j]);
}
OVER_RECORDS(dot_u4s8, int32_t)

INLINE void dot_u1s8_few(const int8_t *q, const uint8_t *const *r, size_t dim, int32_t *out, const int count) {
    const __m256i spread = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    const __m256i bits = _mm256_set1_epi64x((long long)0x8040201008040201), ones = _mm256_set1_epi8(1);
    __m256i s[4];
    for (int j = 0; j < count; j++) s[j] = _mm256_setzero_si256();
    for (size_t i = 0; i < dim; i += 32) {
        __m256i a = LOAD32(q + i);
        for (int j = 0; j < count; j++) {
            int32_t word;
            memcpy(&word, r[j] + i / 8, 4);
            __m256i mask = _mm256_and_si256(_mm256_shuffle_epi8(_mm256_set1_epi32(word), spread), bits);
            mask = _mm256_and_si256(_mm256_cmpeq_epi8(mask, bits), a);
            s[j] = _mm256_add_epi32(s[j], _mm256_madd_epi16(_mm256_maddubs_epi16(ones, mask), _mm256_set1_epi16(1)));
        }
    }
    for (int j = 0; j < count; j++) out[j] = sum_i32(s[j]);
}
OVER_RECORDS(dot_u1s8, int32_t)

INLINE __m256 load_f32(const uint8_t *x, size_t i) { return _mm256_loadu_ps((const float *)(const void *)x + i); }
INLINE __m256 load_f16(const uint8_t *x, size_t i) { return _mm256_cvtph_ps(LOAD16(x + 2 * i)); }
INLINE __m256 load_bf16(const uint8_t *x, size_t i) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(LOAD16(x + 2 * i)), 16));
}
INLINE __m256 add_dot(__m256 s, __m256 a, __m256 b) { return _mm256_fmadd_ps(a, b, s); }
INLINE __m256 add_l2(__m256 s, __m256 a, __m256 b) { __m256 d = _mm256_sub_ps(a, b); return _mm256_fmadd_ps(d, d, s); }

#define FLOAT_KERNEL(name, bytes, load, add)                                                                                     \
    INLINE void name##_few(const float *q, const uint8_t *const *r, size_t dim, float *out, const int count) {                   \
        __m256 s[4];                                                                                                             \
        for (int j = 0; j < count; j++) s[j] = _mm256_setzero_ps();                                                              \
        size_t i = 0;                                                                                                            \
        for (; i + 8 <= dim; i += 8) {                                                                                           \
            __m256 a = _mm256_loadu_ps(q + i);                                                                                   \
            for (int j = 0; j < count; j++) s[j] = add(s[j], a, load(r[j], i));                                                  \
        }                                                                                                                        \
        if (i < dim) {                                                                                                           \
            float a[8] = {0};                                                                                                    \
            memcpy(a, q + i, (dim - i) * sizeof *a);                                                                             \
            for (int j = 0; j < count; j++) {                                                                                    \
                uint8_t x[32] = {0};                                                                                             \
                memcpy(x, r[j] + i * bytes, (dim - i) * bytes);                                                                  \
                s[j] = add(s[j], _mm256_loadu_ps(a), load(x, 0));                                                                \
            }                                                                                                                    \
        }                                                                                                                        \
        for (int j = 0; j < count; j++) out[j] = sum_f32(s[j]);                                                                  \
    }                                                                                                                            \
    OVER_RECORDS(name, float)
FLOAT_KERNEL(dot_f32, 4, load_f32, add_dot)
FLOAT_KERNEL(l2_f32, 4, load_f32, add_l2)
FLOAT_KERNEL(dot_f16, 2, load_f16, add_dot)
FLOAT_KERNEL(l2_f16, 2, load_f16, add_l2)
FLOAT_KERNEL(dot_bf16, 2, load_bf16, add_dot)
FLOAT_KERNEL(l2_bf16, 2, load_bf16, add_l2)

INLINE __m256d add_dot_f64(__m256d s, __m256d a, __m256d b) { return _mm256_fmadd_pd(a, b, s); }
INLINE __m256d add_l2_f64(__m256d s, __m256d a, __m256d b) { __m256d d = _mm256_sub_pd(a, b); return _mm256_fmadd_pd(d, d, s); }
#define DOUBLE_KERNEL(name, add)                                                                                                 \
    INLINE void name##_few(const double *q, const uint8_t *const *r, size_t dim, double *out, const int count) {                 \
        __m256d s[4];                                                                                                            \
        for (int j = 0; j < count; j++) s[j] = _mm256_setzero_pd();                                                              \
        size_t i = 0;                                                                                                            \
        for (; i + 4 <= dim; i += 4) {                                                                                           \
            __m256d a = _mm256_loadu_pd(q + i);                                                                                  \
            for (int j = 0; j < count; j++) s[j] = add(s[j], a, _mm256_loadu_pd((const double *)(const void *)r[j] + i));        \
        }                                                                                                                        \
        if (i < dim) {                                                                                                           \
            double a[4] = {0}, x[4] = {0};                                                                                       \
            memcpy(a, q + i, (dim - i) * sizeof *a);                                                                             \
            for (int j = 0; j < count; j++) {                                                                                    \
                memcpy(x, r[j] + i * sizeof *x, (dim - i) * sizeof *x);                                                          \
                s[j] = add(s[j], _mm256_loadu_pd(a), _mm256_loadu_pd(x));                                                        \
            }                                                                                                                    \
        }                                                                                                                        \
        for (int j = 0; j < count; j++) out[j] = sum_f64(s[j]);                                                                  \
    }                                                                                                                            \
    OVER_RECORDS(name, double)
DOUBLE_KERNEL(dot_f64, add_dot_f64)
DOUBLE_KERNEL(l2_f64, add_l2_f64)

/* Blocks of bytes: 16-bit words, 4 dimensions of 4 queries a vector; 2 records at a time, widened piece by piece. */
INLINE void block_u8s8_few(const uint8_t *packed, const uint8_t *const *r, size_t dim, int32_t *out, const int count) {
    enum { PIECE = 256 };
    _Alignas(32) uint16_t words[2][PIECE];
    __m256i s[2][4];
    for (int j = 0; j < count; j++)
        for (int k = 0; k < 4; k++) s[j][k] = _mm256_setzero_si256();
    for (size_t from = 0; from < dim; from += PIECE) {
        size_t m = dim - from < PIECE ? dim - from : PIECE;
        for (int j = 0; j < count; j++)
            for (size_t i = 0; i < m; i += 16)
                _mm256_store_si256((__m256i *)(void *)(words[j] + i), _mm256_cvtepu8_epi16(LOAD16(r[j] + from + i)));
        for (size_t i = 0; i < m; i += 4) {
            __m256i x[2];
            for (int j = 0; j < count; j++) {
                long long four;
                memcpy(&four, words[j] + i, 8);
                x[j] = _mm256_set1_epi64x(four);
            }
            for (int k = 0; k < 4; k++) {
                __m256i a = _mm256_cvtepi8_epi16(LOAD16(packed + GROUP * (from + i) + 16 * (size_t)k));
                for (int j = 0; j < count; j++) s[j][k] = _mm256_add_epi32(s[j][k], _mm256_madd_epi16(x[j], a));
            }
        }
    }
    for (int j = 0; j < count; j++)
        for (int k = 0; k < 4; k += 2) {            /* a query's sum lies in two lanes next to each other */
            __m256i h = _mm256_permute4x64_epi64(_mm256_hadd_epi32(s[j][k], s[j][k + 1]), 0xD8);
            _mm256_storeu_si256((__m256i *)(void *)(out + GROUP * j + 4 * k), h);
        }
}

static void block_u8s8(const uint8_t *packed, size_t n_groups, const uint8_t *const *records, size_t n, size_t dim,
                       int32_t *out) {
    for (size_t g = 0; g < n_groups; g++, packed += packed_bytes(dim), out += GROUP * n) {
        size_t i = 0;
        for (; i + 2 <= n; i += 2) block_u8s8_few(packed, records + i, dim, out + GROUP * i, 2);
        if (i < n) block_u8s8_few(packed, records + i, dim, out + GROUP * i, 1);
    }
}

/* Blocks of floats: two queries against four records at a time, each sum as the kernels above add it. */
#define FLOAT_BLOCK(kernel, vector, type, step, load, zero, add, sum)                                                            \
    INLINE void block_##kernel##_few(const void *const *q, const uint8_t *const *r, size_t dim, type *out) {                     \
        vector s[4][2];                                                                                                          \
        for (int j = 0; j < 4; j++) s[j][0] = s[j][1] = zero();                                                                  \
        size_t i = 0;                                                                                                            \
        for (; i + step <= dim; i += step) {                                                                                     \
            vector a = load((const type *)q[0] + i), b = load((const type *)q[1] + i);                                           \
            for (int j = 0; j < 4; j++) {                                                                                        \
                vector x = load((const type *)(const void *)r[j] + i);                                                           \
                s[j][0] = add(s[j][0], a, x), s[j][1] = add(s[j][1], b, x);                                                      \
            }                                                                                                                    \
        }                                                                                                                        \
        if (i < dim) {                                                                                                           \
            type a[2][step] = {{0}};                                                                                             \
            for (int k = 0; k < 2; k++) memcpy(a[k], (const type *)q[k] + i, (dim - i) * sizeof(type));                          \
            for (int j = 0; j < 4; j++) {                                                                                        \
                type x[step] = {0};                                                                                              \
                memcpy(x, r[j] + i * sizeof(type), (dim - i) * sizeof(type));                                                    \
                for (int k = 0; k < 2; k++) s[j][k] = add(s[j][k], load(a[k]), load(x));                                         \
            }                                                                                                                    \
        }                                                                                                                        \
        for (int j = 0; j < 4; j++) out[2 * j] = sum(s[j][0]), out[2 * j + 1] = sum(s[j][1]);                                    \
    }                                                                                                                            \
    static void block_##kernel(const void *const *queries, size_t n_queries, const uint8_t *const *records, size_t n,            \
                               size_t dim, void *out) {                                                                          \
        for (size_t i = 0; i < n; i += 4)                                                                                        \
            for (size_t k = 0; k < n_queries; k += 2) {                                                                          \
                size_t m = n - i < 4 ? n - i : 4, nk = n_queries - k < 2 ? 1 : 2;                                                \
                const void *q[2] = {queries[k], queries[k + nk - 1]};                                                            \
                const uint8_t *r[4];                                                                                             \
                type sums[8];                                                                                                    \
                for (size_t j = 0; j < 4; j++) r[j] = records[i + (j < m ? j : 0)];                                              \
                block_##kernel##_few(q, r, dim, sums);                                                                           \
                for (size_t j = 0; j < m; j++)                                                                                   \
                    memcpy((type *)out + GROUP * (i + j) + k, sums + 2 * j, nk * sizeof(type));                                  \
            }                                                                                                                    \
    }
FLOAT_BLOCK(dot_f32, __m256, float, 8, _mm256_loadu_ps, _mm256_setzero_ps, add_dot, sum_f32)
FLOAT_BLOCK(l2_f32, __m256, float, 8, _mm256_loadu_ps, _mm256_setzero_ps, add_l2, sum_f32)
FLOAT_BLOCK(dot_f64, __m256d, double, 4, _mm256_loadu_pd, _mm256_setzero_pd, add_dot_f64, sum_f64)
FLOAT_BLOCK(l2_f64, __m256d, double, 4, _mm256_loadu_pd, _mm256_setzero_pd, add_l2_f64, sum_f64)

static void below(const float *keys, size_t n, const float *limits, uint16_t *masks) {
    const __m256 low = _mm256_loadu_ps(limits), high = _mm256_loadu_ps(limits + 8);
    for (size_t r = 0; r < n; r++) {
        int a = _mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(keys + GROUP * r), low, _CMP_NGT_UQ));
        int b = _mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(keys + GROUP * r + 8), high, _CMP_NGT_UQ));
        masks[r] = (uint16_t)(a | b << 8);
    }
}

static void widen_f16(const uint8_t *halves, size_t n, float *out) {
    size_t i = 0;
    for (; i + 8 <= n; i += 8) _mm256_storeu_ps(out + i, load_f16(halves, i));
    if (i < n) {
        uint8_t x[16] = {0};
        float wide[8];
        memcpy(x, halves + 2 * i, 2 * (n - i));
        _mm256_storeu_ps(wide, load_f16(x, 0));
        memcpy(out + i, wide, (n - i) * sizeof *out);
    }
}

#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC reset_options
#endif

static int is_supported(void) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");   /* and F16C: no CPU has AVX2 without it */
}

#define X(k, ...) .k = k,
const kernel_table kernels_avx2 = {.name = "avx2", .is_supported = is_supported, KERNEL_LIST(X) BLOCK_LIST(X) LOOPS};
#undef X
#else
typedef int no_avx2;
#endif

/* Plain loops that compilers vectorise well, compiled once per ISA: the file that includes this has set its target pragma and
   defines NAME(x). No float reductions whose order could differ: results are the same bits on every ISA. */
#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
#endif

static void NAME(range)(const float *x, size_t n, float *lo, float *hi) {
    float least[16], most[16];
    for (int j = 0; j < 16; j++) least[j] = most[j] = x[0];
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (int j = 0; j < 16; j++) {
            least[j] = x[i + j] < least[j] ? x[i + j] : least[j];
            most[j] = x[i + j] > most[j] ? x[i + j] : most[j];
        }
    for (; i < n; i++) {
        least[0] = x[i] < least[0] ? x[i] : least[0];
        most[0] = x[i] > most[0] ? x[i] : most[0];
    }
    float l = least[0], m = most[0];
    for (int j = 1; j < 16; j++) l = least[j] < l ? least[j] : l, m = most[j] > m ? most[j] : m;
    *lo = l, *hi = m;
}

static void NAME(quantise)(const float *x, size_t n, float bias, float inverse, int most, uint8_t *codes) {
    float top = (float)most;
    for (size_t i = 0; i < n; i++) {
        float v = (x[i] - bias) * inverse;
        v = v > 0.0f ? v : 0.0f;
        v = v < top ? v : top;
        codes[i] = (uint8_t)(int32_t)(v + 0.5f);
    }
}

static int32_t NAME(quantise_s8)(const float *x, size_t n, float inverse, int8_t *codes) {
    int32_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        float v = x[i] * inverse;
        v = v > -127.0f ? v : -127.0f;
        v = v < 127.0f ? v : 127.0f;
        int32_t c = (int32_t)(v + __builtin_copysignf(0.5f, v));
        codes[i] = (int8_t)c;
        sum += c;
    }
    return sum;
}

static void NAME(quantise_digits)(const float *x, size_t n, float inverse, int8_t *high, int8_t *low, int32_t sums[2]) {
    int32_t h = 0, l = 0;
    for (size_t i = 0; i < n; i++) {
        float v = x[i] * inverse;
        v = v > -16256.0f ? v : -16256.0f;
        v = v < 16256.0f ? v : 16256.0f;
        int32_t c = (int32_t)(v + __builtin_copysignf(0.5f, v));
        /* the shift keeps the division one of positive numbers */
        int32_t up = (c + 64 + 16384) / 128 - 128, down = c - 128 * up;
        high[i] = (int8_t)up;
        low[i] = (int8_t)down;
        h += up;
        l += down;
    }
    sums[0] = h, sums[1] = l;
}

static inline void NAME(expand_block)(const uint8_t *restrict high, const uint8_t *restrict low, size_t half,
                                      uint8_t *restrict out) {
    if (low)
        for (size_t i = 0; i < half; i++) {
            out[i] = (uint8_t)(high[i] << 4 | (low[i] & 15));
            out[i + half] = (uint8_t)((high[i] & 0xF0) | low[i] >> 4);
        }
    else
        for (size_t i = 0; i < half; i++) {
            out[i] = high[i] & 15;
            out[i + half] = high[i] >> 4;
        }
}

static void NAME(expand_u4)(const uint8_t *high, const uint8_t *low, size_t dim, uint8_t *out) {
    size_t blocks = dim / 128;
    for (size_t b = 0; b < blocks; b++) NAME(expand_block)(high + 64 * b, low ? low + 64 * b : NULL, 64, out + 128 * b);
    if (u4_tail(dim))
        NAME(expand_block)(high + 64 * blocks, low ? low + 64 * blocks : NULL, u4_tail(dim) / 2, out + 128 * blocks);
}

static int32_t NAME(sum_u8)(const uint8_t *x, size_t n, int64_t *squares) {
    int32_t sum = 0;
    int64_t total = 0;
    for (size_t i = 0; i < n;) {  /* 32-bit inner sums: 32,768 * 255 * 255 still fits */
        size_t end = n - i > 32768 ? i + 32768 : n;
        int32_t part = 0;
        for (; i < end; i++) {
            sum += x[i];
            part += (int32_t)x[i] * x[i];
        }
        total += part;
    }
    *squares = total;
    return sum;
}

static void NAME(flip)(float *x, size_t n, const uint64_t *signs) {
    for (size_t i = 0; i < n; i += 32) {
        uint32_t word = (uint32_t)(signs[i / 64] >> i % 64), bits[32];
        __builtin_memcpy(bits, x + i, sizeof bits);
        for (int j = 0; j < 32; j++) bits[j] ^= word >> j << 31;
        __builtin_memcpy(x + i, bits, sizeof bits);
    }
}

/* Every pass has the same shape: halves in, pairs out, so that all of them vectorise. */
static void NAME(hadamard)(float *x, size_t n, float *work) {
    float *from = x, *to = work;
    for (size_t passes = n; passes > 1; passes /= 2) {
        const float *restrict a = from, *restrict b = from + n / 2;
        float *restrict out = to;
        for (size_t i = 0; i < n / 2; i++) {
            float u = a[i], v = b[i];
            out[2 * i] = u + v, out[2 * i + 1] = u - v;
        }
        to = from, from = out;
    }
    if (from != x) __builtin_memcpy(x, from, n * sizeof *x);
}

static int32_t NAME(hamming)(const uint8_t *x, const uint8_t *y, size_t n) {
    int32_t sum = 0;
    for (size_t i = 0; i < n; i += 8) {
        uint64_t a, b;
        __builtin_memcpy(&a, x + i, 8);
        __builtin_memcpy(&b, y + i, 8);
        sum += __builtin_popcountll(a ^ b);
    }
    return sum;
}

/* Eight partial sums in double: accurate, vectorisable, and the same on every build. */
static double NAME(sum_squares)(const float *x, size_t n) {
    double s[8] = {0};
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (int j = 0; j < 8; j++) s[j] += (double)x[i + j] * x[i + j];
    for (; i < n; i++) s[0] += (double)x[i] * x[i];
    return ((s[0] + s[4]) + (s[1] + s[5])) + ((s[2] + s[6]) + (s[3] + s[7]));
}

static void NAME(pack_s8)(const int8_t *const *queries, size_t n_queries, size_t dim, uint8_t *packed) {
    size_t padded = (dim + 63) / 64 * 64;
    int32_t sums[GROUP] = {0};
    __builtin_memset(packed, 0, padded * GROUP);
    for (size_t j = 0; j < n_queries; j++)
        for (size_t i = 0; i < dim; i++) {
            packed[GROUP * (i & ~(size_t)3) + 4 * j + (i & 3)] = (uint8_t)queries[j][i];
            sums[j] += queries[j][i];
        }
    __builtin_memcpy(packed + padded * GROUP, sums, sizeof sums);
}

static void NAME(expand_u1)(const uint8_t *bits, size_t dim, uint8_t *out) {
    for (size_t i = 0; i < dim / 8; i++) {
        uint64_t eight = bits[i] * 0x0101010101010101u & 0x8040201008040201u;  /* byte j holds bit j, in its place */
        eight = (eight + 0x7F7F7F7F7F7F7F7Fu) >> 7 & 0x0101010101010101u;
        __builtin_memcpy(out + 8 * i, &eight, 8);
    }
}

static void NAME(widen_bf16)(const uint8_t *halves, size_t n, float *out) {
    for (size_t i = 0; i < n; i++) {
        uint16_t h;
        __builtin_memcpy(&h, halves + 2 * i, 2);
        uint32_t bits = (uint32_t)h << 16;
        __builtin_memcpy(out + i, &bits, 4);
    }
}

static void NAME(affine_keys)(const int32_t *restrict dots, size_t n, const float *restrict records, const float *restrict base,
                              const float *restrict factor, const float *restrict sum, float *restrict keys) {
    for (size_t r = 0; r < n; r++) {
        float a = records[3 * r], b = records[3 * r + 1], c = records[3 * r + 2];
        for (int j = 0; j < GROUP; j++) {
            float y = a * sum[j] + b * (float)dots[GROUP * r + j];
            keys[GROUP * r + j] = base[j] - factor[j] * y + c;
        }
    }
}

static void NAME(shift_dots)(int32_t *restrict dots, size_t n, const int32_t *restrict records, const int32_t *restrict queries) {
    for (size_t r = 0; r < n; r++)
        for (int j = 0; j < GROUP; j++)
            dots[GROUP * r + j] = (int32_t)((uint32_t)dots[GROUP * r + j] + (uint32_t)records[r] + (uint32_t)queries[j]);
}

static void NAME(whole_keys)(const int32_t *restrict dots, size_t n, const int32_t *restrict records,
                             const int32_t *restrict queries, int32_t times, float *restrict keys) {
    for (size_t r = 0; r < n; r++)
        for (int j = 0; j < GROUP; j++)
            keys[GROUP * r + j] = (float)(int32_t)((uint32_t)records[r] + (uint32_t)queries[j]
                                                   + (uint32_t)times * (uint32_t)dots[GROUP * r + j]);
}

static void NAME(table)(const float *x, size_t width, const float *centroids, int is_l2, float *restrict out) {
    for (int j = 0; j < 256; j++) out[j] = 0;
    for (size_t d = 0; d < width; d++, centroids += 256) {
        float v = x[d];
        if (is_l2)
            for (int j = 0; j < 256; j++) out[j] += (v - centroids[j]) * (v - centroids[j]);
        else
            for (int j = 0; j < 256; j++) out[j] -= v * centroids[j];
    }
}

/* Distances are not negative: as integers their bits have the same order. */
static uint32_t NAME(nearest)(const float *x, size_t width, const float *centroids) {
    float distances[256];
    uint32_t bits[256], least = UINT32_MAX, at = 256;
    NAME(table)(x, width, centroids, 1, distances);
    __builtin_memcpy(bits, distances, sizeof bits);
    for (uint32_t j = 0; j < 256; j++) least = bits[j] < least ? bits[j] : least;
    for (uint32_t j = 0; j < 256; j++) {
        uint32_t here = bits[j] == least ? j : 256;
        at = here < at ? here : at;
    }
    return at;
}

#define LOOPS .range = NAME(range), .quantise = NAME(quantise), .quantise_s8 = NAME(quantise_s8),                                \
    .quantise_digits = NAME(quantise_digits), .expand_u4 = NAME(expand_u4), .sum_u8 = NAME(sum_u8),                              \
    .flip = NAME(flip), .hadamard = NAME(hadamard), .hamming = NAME(hamming), .sum_squares = NAME(sum_squares),                  \
    .nearest = NAME(nearest), .table = NAME(table),                                                                              \
    .pack_s8 = NAME(pack_s8), .expand_u1 = NAME(expand_u1), .widen_bf16 = NAME(widen_bf16), .affine_keys = NAME(affine_keys),    \
    .shift_dots = NAME(shift_dots), .whole_keys = NAME(whole_keys)

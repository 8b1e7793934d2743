/* Eight bytes a step: by the crc32 instruction where there is one, by eight tables elsewhere. */
#include "crc32c.h"

#include <pthread.h>
#include <string.h>
#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

static uint32_t table[8][256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void fill_tables(void) {
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int k = 0; k < 8; k++) c = c >> 1 ^ (0x82F63B78u & -(c & 1));
        table[0][i] = c;
    }
    for (int t = 1; t < 8; t++)
        for (uint32_t i = 0; i < 256; i++) table[t][i] = table[t - 1][i] >> 8 ^ table[0][table[t - 1][i] & 255];
}

static uint32_t by_tables(uint32_t c, const uint8_t *p, size_t n) {
    pthread_once(&once, fill_tables);
    for (; n >= 8; p += 8, n -= 8) {
        uint64_t w;
        memcpy(&w, p, 8);
        w ^= c;
        c = 0;
        for (int t = 0; t < 8; t++) c ^= table[7 - t][w >> (8 * t) & 255];
    }
    for (; n; p++, n--) c = c >> 8 ^ table[0][(c ^ *p) & 255];
    return c;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t c, const uint8_t *p, size_t n) {
    uint64_t wide = c;
    for (; n >= 8; p += 8, n -= 8) {
        uint64_t w;
        memcpy(&w, p, 8);
        wide = _mm_crc32_u64(wide, w);
    }
    for (c = (uint32_t)wide; n; p++, n--) c = _mm_crc32_u8(c, *p);
    return c;
}
#endif

uint32_t crc32c(uint32_t crc, const void *bytes, size_t n) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2")) return ~by_instruction(~crc, bytes, n);
#endif
    return ~by_tables(~crc, bytes, n);
}

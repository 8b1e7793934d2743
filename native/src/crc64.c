/* CRC-64 of the Jones polynomial, reflected, without inversion: eight bytes a step by eight tables. */
#include <pthread.h>
#include <string.h>

#include "vec.h"

static uint64_t table[8][256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void fill_tables(void) {
    for (uint64_t i = 0; i < 256; i++) {
        uint64_t c = i;
        for (int k = 0; k < 8; k++) c = c >> 1 ^ (0x95AC9329AC4BC9B5u & -(c & 1));
        table[0][i] = c;
    }
    for (int t = 1; t < 8; t++)
        for (int i = 0; i < 256; i++) table[t][i] = table[t - 1][i] >> 8 ^ table[0][table[t - 1][i] & 255];
}

uint64_t vec_crc64(uint64_t crc, const char *bytes, size_t n) {
    const uint8_t *p = (const uint8_t *)bytes;
    pthread_once(&once, fill_tables);
    for (; n >= 8; p += 8, n -= 8) {
        uint64_t w;
        memcpy(&w, p, 8);                       /* little endian, as all the formats here */
        w ^= crc;
        crc = 0;
        for (int t = 0; t < 8; t++) crc ^= table[7 - t][w >> (8 * t) & 255];
    }
    for (; n; p++, n--) crc = crc >> 8 ^ table[0][(crc ^ *p) & 255];
    return crc;
}

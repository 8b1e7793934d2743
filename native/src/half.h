/* Half floats as bits: IEEE binary16 and bfloat16, to and from float, round to nearest even. */
#ifndef HALF_H
#define HALF_H
#include <stdint.h>
#include <string.h>

static inline float bits_to_float(uint32_t bits) { float f; memcpy(&f, &bits, 4); return f; }
static inline uint32_t float_to_bits(float f) { uint32_t bits; memcpy(&bits, &f, 4); return bits; }

static inline float bfloat_to_float(uint16_t h) { return bits_to_float((uint32_t)h << 16); }

static inline uint16_t float_to_bfloat(float f) {
    uint32_t b = float_to_bits(f);
    return (uint16_t)((b + 0x7FFF + (b >> 16 & 1)) >> 16);
}

static inline float half_to_float(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, rest = h & 0x7FFF;
    if (rest >= 0x7C00) return bits_to_float(sign | 0x7F800000 | (rest & 0x3FF) << 13);
    if (rest < 0x400) {                                     /* subnormal: rest * 2^-24, exact in float */
        float f = (float)rest * 0x1p-24f;
        return sign ? -f : f;
    }
    return bits_to_float(sign | ((rest << 13) + (112u << 23)));
}

static inline uint16_t float_to_half(float f) {
    uint32_t b = float_to_bits(f), sign = b >> 16 & 0x8000;
    b &= 0x7FFFFFFF;
    if (b >= 0x477FF000) return (uint16_t)(sign | (b > 0x7F800000 ? 0x7E00 : 0x7C00));
    if (b < 0x38800000) {                                   /* below the least normal half: let the adder round at 2^-24 */
        float shifted = bits_to_float(b) + 0.5f;
        return (uint16_t)(sign | (float_to_bits(shifted) - 0x3F000000));
    }
    return (uint16_t)(sign | ((b - (112u << 23) + 0xFFF + (b >> 13 & 1)) >> 13));
}
#endif

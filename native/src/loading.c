/* What a server reads back in bulk when it starts: hashes of a snapshot that are all alike, and the map from keys to rows. */
#include <string.h>

#include "vec.h"

typedef struct {
    const uint8_t *at, *end;
} cursor;

/* A string as snapshots have it, by its length: in 6 bits, in 14, or in 4 bytes. Sets where it begins; returns its length, or -1
   for one that is encoded otherwise or does not end here. */
static int64_t take_string(cursor *c, const uint8_t **text) {
    const uint8_t *p = c->at;
    uint64_t left = (uint64_t)(c->end - p), n;
    if (left < 5) return -1;                                /* a file does not end with a string */
    if (p[0] < 64) n = p[0], p += 1;
    else if (p[0] < 128) n = (uint64_t)(p[0] & 63) << 8 | p[1], p += 2;
    else if (p[0] == 128) n = (uint64_t)p[1] << 24 | (uint64_t)p[2] << 16 | (uint64_t)p[3] << 8 | p[4], p += 5;
    else return -1;
    if (n > (uint64_t)(c->end - p)) return -1;
    *text = p, c->at = p + n;
    return (int64_t)n;
}

/* One record: 1, or 0 if it is not of the form or its text does not fit. */
static int take_record(cursor *c, const char *data, const vec_hash_form *form, uint64_t *places, uint8_t *text, uint64_t *used,
                       uint64_t size) {
    const uint8_t *start;
    if (c->at == c->end || *c->at++ != form->type) return 0;
    int64_t n = take_string(c, &start);
    if (n < 0) return 0;
    *places++ = (uint64_t)(start - (const uint8_t *)data);
    *places++ = (uint64_t)(start - (const uint8_t *)data) + (uint64_t)n;
    uint64_t *text_end = places++, end = *used + form->n_fields;
    const char *name = form->names;
    if (end > size) return 0;
    for (uint32_t i = 0; i < form->n_fields; name += form->lengths[i++]) {
        if ((uint64_t)(c->end - c->at) < form->lengths[i] || memcmp(c->at, name, form->lengths[i])) return 0;
        c->at += form->lengths[i];
        n = take_string(c, &start);
        if (n < 0 || (n > VEC_HASH_INLINE) != (form->is_own[i] != 0)) return 0;
        text[*used + i] = form->is_own[i] ? 0 : (uint8_t)n;
        if (form->is_own[i]) {
            *places++ = (uint64_t)(start - (const uint8_t *)data);
            *places++ = (uint64_t)(start - (const uint8_t *)data) + (uint64_t)n;
            continue;
        }
        if ((uint64_t)n > size - end) return 0;
        memcpy(text + end, start, (size_t)n);
        end += (uint64_t)n;
    }
    *text_end = *used = end;
    return 1;
}

uint64_t vec_scan_hashes(const char *data, uint64_t end, uint64_t *at, const vec_hash_form *form, uint64_t most, uint64_t *places,
                         char *text, uint64_t size) {
    uint64_t n = 0, used = 0;
    cursor c = {(const uint8_t *)data + *at, (const uint8_t *)data + end};
    for (; n < most && take_record(&c, data, form, places, (uint8_t *)text, &used, size); n++) {
        places += 3 + 2 * form->n_own;
        *at = (uint64_t)(c.at - (const uint8_t *)data);
    }
    return n;
}

int vec_place_rows(const int64_t *codes, const int32_t *rows, uint64_t n, uint32_t depth, uint32_t slots, int32_t *tables,
                   uint32_t *counts) {
    uint64_t part = ((uint64_t)1 << depth) - 1;
    for (uint64_t k = 0; k < n; k++) {
        uint64_t code = (uint64_t)codes[k], i = code >> 40 & (slots - 1);
        int32_t *table = tables + (code & part) * slots;
        if (++counts[code & part] >= slots) return VEC_EARG;
        while (table[i] >= 0) i = (i + 1) & (slots - 1);
        table[i] = rows[k];
    }
    return VEC_OK;
}

/* Batches: queries laid out for blocks, and what codecs share for them. */
#include "batch.h"

#include <string.h>

size_t query_bytes(uint32_t dim) { return ((size_t)dim + 127) / 128 * 128 * 20 + 128 * 20; }

void query_place(query *q, uint8_t *b, uint32_t dim) {
    size_t n = query_bytes(dim) / 20;
    q->x64 = (double *)(void *)b, b += 8 * n;
    q->x = (float *)(void *)b, b += 4 * n;
    q->projected = (float *)(void *)b, b += 4 * n;
    q->raw = b, b += n;
    q->s8 = (int8_t *)b, b += n;
    q->high = (int8_t *)b, b += n;
    q->low = (int8_t *)b;
}

void batch_free(batch *b) {
    if (b) mem_free(b->block);
    mem_free(b);
}

/* Queries for which a block takes less time than they do alone: of bytes a block costs the same however many there are. */
static uint32_t least_group(const coder *c) {
    if (!is_compressed(c->codec) && c->dtype != VEC_INT8 && c->dtype != VEC_UINT8) return 2;
    return (c->codec->reduces ? c->reduced_padded : c->padded) <= 256 ? 4 : 8;
}

batch *batch_of(batch *b, const coder *c, uint32_t n, mem_account *account) {
    if (!b || b->room < n) {
        batch_free(b);
        b = mem_zeroed(account, VEC_MEM_SCRATCH, sizeof *b);
        if (!b) return NULL;
        uint32_t groups = (n + GROUP - 1) / GROUP;
        size_t each = (query_bytes(c->dim) + 63) / 64 * 64, wide = ((size_t)c->dim + 127) / 64 * 64, packed = packed_bytes(wide);
        size_t cells = (size_t)groups * BLOCK * GROUP, unpacked = wide * sizeof(float);
        uint8_t *at = mem_zeroed(account, VEC_MEM_SCRATCH,
                                 n * each + groups * packed + BLOCK * unpacked + cells * (8 + 4) + wide);
        b->block = at;
        if (!at) { batch_free(b); return NULL; }
        for (uint32_t j = 0; j < n; j++, at += each) query_place(&b->queries[j], at, c->dim);
        b->packed = at, at += groups * packed;
        b->unpacked = at, at += BLOCK * unpacked;
        b->dots = (int32_t *)(void *)at, at += cells * 8;
        b->keys = (float *)(void *)at, at += cells * 4;
        b->ones = (int8_t *)at;
        memset(b->ones, 1, wide);
        b->room = n;
    }
    b->coder = c, b->n = n, b->n_groups = n / GROUP + (n % GROUP >= least_group(c));
    for (uint32_t j = 0; j < n; j++) b->queries[j].coder = c, b->queries[j].is_link = 0;
    return b;
}

void batch_pack(batch *b, size_t dim) {
    b->packed_stride = packed_bytes(dim);
    for (uint32_t g = 0; g < b->n_groups; g++) {
        uint32_t n = b->n - g * GROUP;
        K.pack_s8(b->bytes + g * GROUP, n < GROUP ? n : GROUP, dim, b->packed + g * b->packed_stride);
    }
}

const uint8_t *const *batch_unpack(const batch *b, int bits, const uint8_t *const *records, size_t n, size_t dim,
                                   const uint8_t **at) {
    if (bits == 8) return records;
    for (size_t r = 0; r < n; r++) {
        uint8_t *to = unpacked_at(b, r, dim);
        if (bits == 4) K.expand_u4(records[r], NULL, dim, to);
        else K.expand_u1(records[r], dim, to);
        at[r] = to;
    }
    return at;
}

void batch_dots(const batch *b, const uint8_t *const *records, size_t n, size_t dim) {
    K.block_u8s8(b->packed, b->n_groups, records, n, dim, b->dots);
}

void batch_affine_keys(const batch *b, size_t n, const float *constants, float *keys) {
    for (uint32_t g = 0; g < b->n_groups; g++) {
        uint32_t q = g * GROUP;
        K.affine_keys(b->dots + (size_t)q * n, n, constants, b->base + q, b->factor + q, b->sum + q, keys + (size_t)q * n);
    }
}

/* A batch: up to MOST_QUERIES prepared queries that one scan answers together, a block of records at a time (scan.c).

   A codec with blocks has two functions: batch_begin lays the queries out, batch_keys scores up to BLOCK records against all of
   them. Keys are those that codec->keys gives, to the bit; they come in groups of GROUP queries: keys[(group * n + record) *
   GROUP + query].

   Most codecs' keys are base - factor * (a * sum + b * dot) + c, with a, b and c of the record and dot in integers: they set
   base, factor and sum of each query, call batch_pack, and leave the rest to batch_affine_keys. */
#ifndef BATCH_H
#define BATCH_H
#include "codec.h"
#include "kernels.h"

enum { MOST_QUERIES = 32, MOST_GROUPS = MOST_QUERIES / GROUP };

struct batch {
    const coder *coder;
    uint32_t n, n_groups, room;                 /* queries; groups of them that blocks are for; queries that there is room for */
    query queries[MOST_QUERIES];
    const int8_t *bytes[MOST_QUERIES];          /* of each query: what is packed */
    float base[MOST_QUERIES], factor[MOST_QUERIES], sum[MOST_QUERIES];
    int32_t offset[MOST_QUERIES];               /* raw integers: what the dot of the packed bytes lacks; the squared norm */
    int32_t norm2[MOST_QUERIES];
    uint8_t *packed, *unpacked;                 /* queries in groups; BLOCK records as bytes or numbers */
    size_t packed_stride;
    int8_t *ones;                               /* as many as there are dimensions */
    int32_t *dots;                              /* as keys; doubles for FLOAT64 */
    float *keys;
    void *block;                                /* what all of these are cut from */
};

/* Where the r-th record of so many bytes is unpacked; strides of powers of two would meet in one set of the cache. */
static inline uint8_t *unpacked_at(const batch *b, size_t r, size_t bytes) {
    return b->unpacked + r * ((bytes + 63) / 64 * 64 + 64);
}

/* What the arrays of one query take, and a query in such memory, zeroed. */
size_t query_bytes(uint32_t dim);
void query_place(query *q, uint8_t *block, uint32_t dim);

/* A batch with room for n queries, or one that has it already; NULL: no memory. */
batch *batch_of(batch *old, const coder *c, uint32_t n, mem_account *account);
void batch_free(batch *b);
/* Packs b->bytes (b->n of dim bytes). */
void batch_pack(batch *b, size_t dim);
/* n records unpacked one after another: 4-bit or 1-bit codes to bytes. Returns where they are. */
const uint8_t *const *batch_unpack(const batch *b, int bits, const uint8_t *const *records, size_t n, size_t dim,
                                   const uint8_t **at);
/* Dots of the packed queries with n records of dim bytes into b->dots. */
void batch_dots(const batch *b, const uint8_t *const *records, size_t n, size_t dim);
/* Keys from b->dots; constants: a, b, c of each record. */
void batch_affine_keys(const batch *b, size_t n, const float *constants, float *keys);
#endif

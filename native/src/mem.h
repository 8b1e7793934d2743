/* Memory: an allocator that counts bytes by part, and slabs: arrays of equal records that grow without moving.
   Nothing else in the engine calls malloc; what vec_stats reports is what was taken here. */
#ifndef MEM_H
#define MEM_H
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "vec.h"

typedef struct { _Atomic int64_t bytes[VEC_MEM_PARTS]; } mem_account;

/* What a block of so many bytes counts. */
size_t mem_bytes(size_t bytes);
/* 64-byte aligned, not cleared; NULL when there is none. */
void *mem_alloc(mem_account *account, int part, size_t bytes);
void *mem_zeroed(mem_account *account, int part, size_t bytes);
/* Grows or shrinks, keeping the contents; NULL leaves the old block as it was. */
void *mem_resize(void *block, mem_account *account, int part, size_t bytes);
void mem_free(void *block);
/* Keeps mapped memory from processes that are forked off, if vec_keep_from_children says so. */
void mem_keep(void *base, size_t bytes);

#define CHUNK_SHIFT 10                          /* 1,024 records a chunk: what a tiny index costs at least */
#define CHUNK_RECORDS (1u << CHUNK_SHIFT)

typedef struct slab {
    size_t stride;                              /* bytes per record */
    _Atomic(uint8_t **) chunks;  /* table of chunk addresses; replaced when it grows, old tables live on with the slab */
    uint32_t n_chunks, table_size;
    struct arena *arenas;                       /* what the chunks are cut from */
    uint8_t *cursor;                            /* next chunk in the newest arena */
    uint32_t n_left;                            /* chunks left in it */
    struct old_table *old_tables;
    mem_account *account;
    int part, fill;                             /* fill: byte value of fresh records */
} slab;

void slab_init(slab *s, mem_account *account, int part, size_t stride, int fill);
void slab_free(slab *s);
/* Makes records 0 .. n-1 addressable; readers may go on reading meanwhile. One caller at a time. */
int slab_reserve(slab *s, uint32_t n);
/* What a slab grown to n records counts. */
uint64_t slab_bytes(size_t stride, uint64_t n);
/* Makes mapped memory an empty slab's first chunks; it is unmapped with the slab. */
int slab_adopt(slab *s, uint8_t *base, size_t bytes, uint32_t n_chunks);
/* Gives an empty slab its first chunks in one piece of `bytes` >= their size, not filled. */
int slab_extend(slab *s, size_t bytes, uint32_t n_chunks, uint8_t **base);

static inline uint8_t *slab_at(const slab *s, uint32_t i) {
    uint8_t **table = atomic_load_explicit(&((slab *)s)->chunks, memory_order_acquire);
    return table[i >> CHUNK_SHIFT] + (size_t)(i & (CHUNK_RECORDS - 1)) * s->stride;
}
#endif

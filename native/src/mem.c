/* Counting allocator and slabs. A block carries a 64-byte head with its size, part and account, so that freeing needs no
   arguments. Slab arenas double up to a huge page, then take an eighth of what the slab holds:
   few mappings, little slack, huge pages. */
#include "mem.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { HEAD = 64, HUGE_PAGE = 2 << 20, LARGE_ARENA = 2 * HUGE_PAGE };
/* Blocks from this size on are mapped one by one, so that freeing them gives the memory back: malloc may keep what a thread has
   freed, and what training needs is as much as all codes. */
enum { MAPPED = 1 << 20 };

static _Atomic int is_kept_from_children;

void vec_keep_from_children(void) { atomic_store(&is_kept_from_children, 1); }

void mem_keep(void *base, size_t bytes) {
#ifdef MADV_DONTFORK
    if (atomic_load_explicit(&is_kept_from_children, memory_order_relaxed)) madvise(base, bytes, MADV_DONTFORK);
#else
    (void)base, (void)bytes;
#endif
}

typedef struct { mem_account *account; size_t bytes; int part; } head;

static void count(mem_account *account, int part, int64_t bytes) {
    if (account) atomic_fetch_add_explicit(&account->bytes[part], bytes, memory_order_relaxed);
}

size_t mem_bytes(size_t bytes) {
    size_t total = (bytes + HEAD + 63) & ~(size_t)63;
    return total < MAPPED ? total : (total + 4095) & ~(size_t)4095;
}

void *mem_alloc(mem_account *account, int part, size_t bytes) {
    if (bytes > SIZE_MAX / 2) return NULL;
    size_t total = mem_bytes(bytes);
    head *h;
    if (total < MAPPED) {
        h = aligned_alloc(64, total);
    } else {
        h = mmap(NULL, total, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (h == MAP_FAILED) h = NULL;
        else mem_keep(h, total);
    }
    if (!h) return NULL;
    *h = (head){account, total, part};
    count(account, part, (int64_t)total);
    return (uint8_t *)h + HEAD;
}

void *mem_zeroed(mem_account *account, int part, size_t bytes) {
    void *block = mem_alloc(account, part, bytes);
    if (!block) return NULL;
#ifdef MADV_HUGEPAGE
    /* All of it is touched now: in huge pages that is the same memory, and a tenth of the time. */
    size_t total = mem_bytes(bytes);
    if (total >= LARGE_ARENA) madvise((uint8_t *)block - HEAD, total, MADV_HUGEPAGE);
#endif
    return memset(block, 0, bytes);
}

void *mem_resize(void *block, mem_account *account, int part, size_t bytes) {
    void *fresh = mem_alloc(account, part, bytes);
    if (!fresh || !block) return fresh;
    size_t old = ((head *)((uint8_t *)block - HEAD))->bytes - HEAD;
    memcpy(fresh, block, old < bytes ? old : bytes);
    mem_free(block);
    return fresh;
}

void mem_free(void *block) {
    if (!block) return;
    head *h = (head *)((uint8_t *)block - HEAD);
    count(h->account, h->part, -(int64_t)h->bytes);
    if (h->bytes < MAPPED) free(h);
    else munmap(h, h->bytes);
}

struct arena { struct arena *next; uint8_t *base; size_t bytes; };
struct old_table { struct old_table *next; };

void slab_init(slab *s, mem_account *account, int part, size_t stride, int fill) {
    memset(s, 0, sizeof *s);
    s->stride = stride, s->account = account, s->part = part, s->fill = fill;
}

void slab_free(slab *s) {
    for (struct arena *a = s->arenas, *next; a; a = next) {
        next = a->next;
        munmap(a->base, a->bytes);
        count(s->account, s->part, -(int64_t)a->bytes);
        mem_free(a);
    }
    uint8_t **table = atomic_load(&s->chunks);
    mem_free(table ? (uint8_t *)table - 64 : NULL);
    for (struct old_table *t = s->old_tables, *next; t; t = next) next = t->next, mem_free(t);
    slab_init(s, s->account, s->part, s->stride, s->fill);
}

/* Has the pages of a full arena made huge. A huge page is resident as soon as one byte of it is used, which in a slab of some
   megabytes is much; so its newest arena has small pages until there is another. Collapsing takes a millisecond or so for each
   huge page: larger arenas, which are a small part of their slab, are huge from the start. */
static void make_huge(const struct arena *a) {
    if (!a || a->bytes < HUGE_PAGE || a->bytes >= LARGE_ARENA) return;
    madvise(a->base, a->bytes, MADV_HUGEPAGE);
#ifdef MADV_COLLAPSE
    /* where it is not known, the system does it by and by */
    madvise(a->base, a->bytes & ~(size_t)(HUGE_PAGE - 1), MADV_COLLAPSE);
#endif
}

/* Maps memory for a slab; what is a huge page or more starts on one. */
static uint8_t *map_arena(slab *s, size_t bytes) {
    struct arena *a = mem_alloc(s->account, s->part, sizeof *a);
    if (!a) return NULL;
    /* Over-map by a huge page and give the ends back. */
    size_t slack = bytes >= HUGE_PAGE ? HUGE_PAGE : 0;
    uint8_t *base = mmap(NULL, bytes + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED) { mem_free(a); return NULL; }
    if (slack) {
        uint8_t *start = (uint8_t *)(((uintptr_t)base + slack - 1) & ~(uintptr_t)(slack - 1));
        if (start > base) munmap(base, (size_t)(start - base));
        if (base + slack > start) munmap(start + bytes, (size_t)(base + slack - start));
        base = start;
        if (bytes >= LARGE_ARENA) madvise(base, bytes, MADV_HUGEPAGE);
    }
    mem_keep(base, bytes);
    *a = (struct arena){s->arenas, base, bytes};
    s->arenas = a;
    count(s->account, s->part, (int64_t)bytes);
    return base;
}

/* The next arena of a slab of so many chunks: its chunks and bytes. */
static size_t next_arena(size_t chunk, uint64_t n_chunks, size_t *bytes) {
    size_t held = chunk * n_chunks, want = held < HUGE_PAGE ? held : held / 8 > HUGE_PAGE ? held / 8 : HUGE_PAGE;
    size_t n = want > chunk ? (want + chunk - 1) / chunk : 1;
    *bytes = (n * chunk + 4095) & ~(size_t)4095;
    return n;
}

static size_t table_bytes(uint32_t size) { return 64 + size * sizeof(uint8_t *); }

uint64_t slab_bytes(size_t stride, uint64_t n) {
    uint64_t n_chunks = 0, sum = 0, wanted = (n + CHUNK_RECORDS - 1) >> CHUNK_SHIFT;
    while (n_chunks < wanted) {
        size_t bytes;
        n_chunks += next_arena(stride << CHUNK_SHIFT, n_chunks, &bytes);
        sum += bytes + mem_bytes(sizeof(struct arena));
    }
    for (uint32_t size = 8; wanted; size *= 2) {                /* old tables live on */
        sum += mem_bytes(table_bytes(size));
        if (size >= wanted) break;
    }
    return sum;
}

static int add_arena(slab *s) {
    size_t bytes, n = next_arena(s->stride << CHUNK_SHIFT, s->n_chunks, &bytes);
    make_huge(s->arenas);
    uint8_t *base = map_arena(s, bytes);
    if (!base) return VEC_ENOMEM;
    s->cursor = base, s->n_left = (uint32_t)n;
    return VEC_OK;
}

static int grow_table(slab *s) {
    uint32_t size = s->table_size ? 2 * s->table_size : 8;
    uint8_t *block = mem_alloc(s->account, s->part, table_bytes(size));
    if (!block) return VEC_ENOMEM;
    uint8_t **fresh = (uint8_t **)(void *)(block + 64), **old = atomic_load(&s->chunks);
    if (old) {
        memcpy(fresh, old, s->n_chunks * sizeof *fresh);
        struct old_table *t = (struct old_table *)(void *)((uint8_t *)old - 64);
        t->next = s->old_tables, s->old_tables = t;
    }
    s->table_size = size;
    atomic_store_explicit(&s->chunks, fresh, memory_order_release);
    return VEC_OK;
}

int slab_reserve(slab *s, uint32_t n) {
    while (((uint64_t)s->n_chunks << CHUNK_SHIFT) < n) {
        int rc = s->n_left ? VEC_OK : add_arena(s);
        if (rc == VEC_OK && s->n_chunks == s->table_size) rc = grow_table(s);
        if (rc != VEC_OK) return rc;
        if (s->fill) memset(s->cursor, s->fill, s->stride << CHUNK_SHIFT);
        atomic_load(&s->chunks)[s->n_chunks++] = s->cursor;
        s->cursor += s->stride << CHUNK_SHIFT, s->n_left--;
    }
    return VEC_OK;
}

static int set_chunks(slab *s, uint8_t *base, uint32_t n_chunks) {
    while (s->table_size < n_chunks)
        if (grow_table(s) != VEC_OK) return VEC_ENOMEM;
    for (uint32_t i = 0; i < n_chunks; i++) atomic_load(&s->chunks)[i] = base + (s->stride << CHUNK_SHIFT) * i;
    s->n_chunks = n_chunks;
    return VEC_OK;
}

int slab_adopt(slab *s, uint8_t *base, size_t bytes, uint32_t n_chunks) {
    struct arena *a = mem_alloc(s->account, s->part, sizeof *a);
    if (!a) return VEC_ENOMEM;
    if (set_chunks(s, base, n_chunks) != VEC_OK) { mem_free(a); return VEC_ENOMEM; }
    mem_keep(base, bytes);
    *a = (struct arena){s->arenas, base, bytes};
    s->arenas = a;
    count(s->account, s->part, (int64_t)bytes);
    return VEC_OK;
}

int slab_extend(slab *s, size_t bytes, uint32_t n_chunks, uint8_t **base) {
    *base = map_arena(s, bytes);
    if (*base && bytes >= HUGE_PAGE) madvise(*base, bytes, MADV_HUGEPAGE);      /* it is filled at once */
    return *base ? set_chunks(s, *base, n_chunks) : VEC_ENOMEM;
}

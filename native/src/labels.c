/* See labels.h. The dense part: a table of pages of 1,024 slots, made to cover a label when the map is at least an eighth full up
   to it. The hash: linear probing, at most half full;
   a key stays where it is within one table, a removed one keeps its place empty. */
#include "labels.h"

#include <string.h>

enum { PAGE = 1024 };

typedef struct label_page { _Atomic uint32_t slot[PAGE]; } label_page;
typedef struct label_pages { uint64_t limit; _Atomic(label_page *) page[]; } label_pages;      /* labels below limit are dense */
typedef struct { _Atomic uint64_t label; _Atomic uint32_t slot; } hash_entry;  /* label stored plus one; 0: never used */
typedef struct label_hash { uint64_t size, n_used; hash_entry entry[]; } label_hash;

static label_pages *new_pages(label_map *m, uint64_t limit) {
    label_pages *p = mem_zeroed(m->account, VEC_MEM_LABELS, sizeof *p + limit / PAGE * sizeof p->page[0]);
    if (p) p->limit = limit;
    return p;
}

static label_hash *new_hash(label_map *m, uint64_t size) {
    label_hash *h = mem_zeroed(m->account, VEC_MEM_LABELS, sizeof *h + size * sizeof h->entry[0]);
    if (h) h->size = size;
    return h;
}

int labels_init(label_map *m, mem_account *account, void (*retire)(void *, void *), void *owner) {
    m->account = account, m->retire = retire, m->owner = owner, m->n = 0;
    label_pages *p = new_pages(m, 0);
    label_hash *h = new_hash(m, 16);
    if (!p || !h) { mem_free(p), mem_free(h); return VEC_ENOMEM; }
    atomic_store(&m->pages, p);
    atomic_store(&m->hash, h);
    return VEC_OK;
}

void labels_free(label_map *m) {
    label_pages *p = atomic_load(&m->pages);
    if (p) for (uint64_t i = 0; i < p->limit / PAGE; i++) mem_free(atomic_load(&p->page[i]));
    mem_free(p);
    mem_free(atomic_load(&m->hash));
}

static uint64_t mix(uint64_t x) {
    x ^= x >> 31, x *= 0x7FB5D329728EA185u, x ^= x >> 27, x *= 0x81DADEF4BC2DD44Du;
    return x ^ x >> 33;
}

static hash_entry *hash_find(const label_hash *h, uint64_t label) {
    for (uint64_t i = mix(label);; i++) {
        hash_entry *e = (hash_entry *)&h->entry[i & (h->size - 1)];
        uint64_t held = atomic_load_explicit(&e->label, memory_order_acquire);
        if (held == label + 1 || held == 0) return e;
    }
}

uint32_t labels_find(const label_map *m, uint64_t label) {
    label_pages *p = atomic_load_explicit(&((label_map *)m)->pages, memory_order_acquire);
    if (label < p->limit) {
        label_page *page = atomic_load_explicit(&p->page[label / PAGE], memory_order_acquire);
        return page ? atomic_load_explicit(&page->slot[label % PAGE], memory_order_acquire) : NO_SLOT;
    }
    hash_entry *e = hash_find(atomic_load_explicit(&((label_map *)m)->hash, memory_order_acquire), label);
    return atomic_load_explicit(&e->label, memory_order_acquire) ? atomic_load_explicit(&e->slot, memory_order_acquire) : NO_SLOT;
}

static label_page *page_for(label_map *m, label_pages *p, uint64_t label) {
    label_page *page = atomic_load(&p->page[label / PAGE]);
    if (page || !(page = mem_alloc(m->account, VEC_MEM_LABELS, sizeof *page))) return page;
    memset(page, 0xFF, sizeof *page);
    atomic_store_explicit(&p->page[label / PAGE], page, memory_order_release);
    return page;
}

/* Whether an entry maps a label that is not dense. */
static int is_held(hash_entry *e, uint64_t limit) {
    return atomic_load(&e->label) > limit && atomic_load(&e->slot) != NO_SLOT;
}

static int grow_hash(label_map *m) {
    label_hash *old = atomic_load(&m->hash);
    uint64_t live = 0, limit = atomic_load(&m->pages)->limit;
    for (uint64_t i = 0; i < old->size; i++) live += is_held(&old->entry[i], limit);
    uint64_t size = 16;
    while (size < 4 * (live + 1)) size *= 2;
    label_hash *h = new_hash(m, size);
    if (!h) return VEC_ENOMEM;
    for (uint64_t i = 0; i < old->size; i++) {
        if (!is_held(&old->entry[i], limit)) continue;
        uint64_t label = atomic_load(&old->entry[i].label);
        hash_entry *e = hash_find(h, label - 1);
        atomic_store(&e->slot, atomic_load(&old->entry[i].slot));
        atomic_store(&e->label, label);
        h->n_used++;
    }
    atomic_store_explicit(&m->hash, h, memory_order_release);
    m->retire(m->owner, old);
    return VEC_OK;
}

static uint64_t dense_limit(uint64_t label) {
    uint64_t limit = 4 * PAGE;
    while (limit <= label) limit *= 2;
    return limit;
}

uint64_t labels_bytes(uint64_t n) {
    uint64_t pages = (n + PAGE - 1) / PAGE, limit = n ? dense_limit(n - 1) : 0;
    return mem_bytes(sizeof(label_pages) + limit / PAGE * sizeof(_Atomic(label_page *))) + pages * mem_bytes(sizeof(label_page))
         + mem_bytes(sizeof(label_hash) + 16 * sizeof(hash_entry));
}

/* Extends the dense part over label, moving what the hash holds below the new limit. */
static int grow_pages(label_map *m, uint64_t label) {
    label_pages *old = atomic_load(&m->pages);
    uint64_t limit = dense_limit(label);
    label_pages *p = new_pages(m, limit);
    if (!p) return VEC_ENOMEM;
    for (uint64_t i = 0; i < old->limit / PAGE; i++) atomic_store(&p->page[i], atomic_load(&old->page[i]));
    label_hash *h = atomic_load(&m->hash);
    for (uint64_t i = 0; i < h->size; i++) {
        uint64_t held = atomic_load(&h->entry[i].label);
        if (!held || held - 1 >= limit || atomic_load(&h->entry[i].slot) == NO_SLOT) continue;
        label_page *page = page_for(m, p, held - 1);
        if (!page) {                            /* give up on being dense: the old tables are still right */
            for (uint64_t j = old->limit / PAGE; j < limit / PAGE; j++) mem_free(atomic_load(&p->page[j]));
            mem_free(p);
            return VEC_ENOMEM;
        }
        atomic_store(&page->slot[(held - 1) % PAGE], atomic_load(&h->entry[i].slot));
    }
    atomic_store_explicit(&m->pages, p, memory_order_release);
    m->retire(m->owner, old);                   /* the hash keeps what moved: a reader of the old table still finds it there */
    return VEC_OK;
}

int labels_expect(label_map *m, uint64_t n, uint64_t most) {
    return n && most < 8 * (n + PAGE) ? grow_pages(m, most) : VEC_OK;
}

int labels_reserve(label_map *m, uint64_t label) {
    label_pages *p = atomic_load(&m->pages);
    if (label >= p->limit && label < 8 * (m->n + PAGE) && grow_pages(m, label) != VEC_OK) return VEC_ENOMEM;
    p = atomic_load(&m->pages);
    if (label < p->limit) return page_for(m, p, label) ? VEC_OK : VEC_ENOMEM;
    label_hash *h = atomic_load(&m->hash);
    return 2 * (h->n_used + 1) > h->size ? grow_hash(m) : VEC_OK;
}

void labels_set(label_map *m, uint64_t label, uint32_t slot) {
    label_pages *p = atomic_load(&m->pages);
    _Atomic uint32_t *at;
    if (label < p->limit) at = &atomic_load(&p->page[label / PAGE])->slot[label % PAGE];
    else {
        label_hash *h = atomic_load(&m->hash);
        hash_entry *e = hash_find(h, label);
        if (!atomic_load(&e->label)) {
            h->n_used++;
            atomic_store(&e->slot, slot);
            atomic_store_explicit(&e->label, label + 1, memory_order_release);
            m->n++;
            return;
        }
        at = &e->slot;
    }
    m->n += atomic_load(at) == NO_SLOT;
    atomic_store_explicit(at, slot, memory_order_release);
}

void labels_remove(label_map *m, uint64_t label) {
    if (labels_find(m, label) == NO_SLOT) return;
    labels_set(m, label, NO_SLOT);
    m->n--;
}

void vec_set_bits(uint64_t *bitmap, const uint32_t *labels, uint64_t n) {
    for (uint64_t i = 0; i < n; i++) bitmap[labels[i] >> 6] |= 1ull << (labels[i] & 63);
}

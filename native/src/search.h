/* What the parts of searching share: walks (walk.c, walk_filtered.c), scans (scan.c), plans for the k nearest (search.c), range
   search (range.c), many queries (many.c, interleave.c). */
#ifndef SEARCH_H
#define SEARCH_H
#include <string.h>

#include "batch.h"
#include "index.h"

/* A set of labels; no words: all of them. */
typedef struct { const uint64_t *words; uint64_t n_words; } label_set;

static inline int is_returned(const label_set *allowed, uint64_t meta) {
    if (!is_live(meta)) return 0;
    if (!allowed->words) return 1;
    uint64_t label = meta_label(meta), word = label >> 6;
    return word < allowed->n_words && (allowed->words[word] >> (label & 63) & 1);
}

static inline int may_return(const vec_index *ix, const label_set *allowed, uint32_t slot) {
    return is_returned(allowed, meta_get(ix, slot));
}

/* Every line of a record, but of long ones only the first: the hardware's streamer takes over. */
static inline void prefetch_record(const uint8_t *p, size_t bytes) {
    const uint8_t *line = (const uint8_t *)((uintptr_t)p & ~(uintptr_t)63), *end = p + (bytes <= 512 ? bytes : 320);
    do __builtin_prefetch(line);
    while ((line += 64) < end);
}

/* Inserts into a sorted buffer that has room; entries with equal keys keep their order. Returns the place. */
static inline uint32_t insert(entry *buffer, uint32_t n, float key, uint32_t id) {
    if (n <= 128) {                              /* short: moving and comparing at once is faster than halving */
        uint32_t at = n;
        for (; at && buffer[at - 1].key > key; at--) buffer[at] = buffer[at - 1];
        buffer[at] = (entry){key, id};
        return at;
    }
    const entry *base = buffer;
    uint32_t left = n;
    while (left > 1) {                          /* upper bound by halving, without branches on the data */
        uint32_t half = left / 2;
        base += half & -(uint32_t)(base[half - 1].key <= key);
        left -= half;
    }
    uint32_t at = (uint32_t)(base - buffer) + (left && base->key <= key);
    memmove(buffer + at + 1, buffer + at, (n - at) * sizeof *buffer);
    buffer[at] = (entry){key, id};
    return at;
}

/* Ids of a row whose bit is not set yet, behind ids[m - 1]; sets it. Returns how many ids there are then. */
static inline uint32_t gather_row(const _Atomic uint32_t *row, uint32_t degree, uint32_t n_slots, uint64_t *visited,
                                  uint32_t *ids, uint32_t m) {
    for (uint32_t i = 0; i < degree; i++) {
        uint32_t v = atomic_load_explicit(&row[i], memory_order_relaxed);
        if (v >= n_slots) {
            if (v == NO_EDGE) break;
            continue;
        }
        uint64_t bit = 1ull << (v & 63), word = visited[v >> 6];
        visited[v >> 6] = word | bit;
        ids[m] = v;
        m += !(word & bit);
    }
    return m;
}

static inline uint32_t sure_of(const vec_query *q) { return q->sure && q->sure < q->k ? q->sure : q->k; }

static inline void prefetch_row(const vec_index *ix, uint32_t slot) {
    const uint8_t *row = (const uint8_t *)row_at(ix, slot);
    __builtin_prefetch(row);
    __builtin_prefetch(row + 64);
}

/* What a walk without barred entries keeps: the best `capacity` of what it has scored, in order;
   at: none before is unexpanded. */
typedef struct { entry *buffer; uint32_t n, at, capacity; float worst; } candidates;

/* So many are put into a buffer together, which has room for as many beyond its capacity. In one of few entries, one by one is
   faster: measured, by 5 to 10 % of the search at 10 to 20, nothing at 40; at 160 together is faster by 15 %. */
enum { KEPT_TOGETHER = 32, FEW = 48 };

/* Those that are good enough are put in order, then merged into the buffer from behind, so that what is worse moves once for all
   of them. Equal keys stay in the order in which they came. Out of line: its registers are not for those who have few. */
static __attribute__((noinline, unused)) void keep_some(candidates *c, const uint32_t *ids, const float *keys, uint32_t m) {
    entry few[KEPT_TOGETHER], *buffer = c->buffer;
    uint32_t n = 0, at = c->n;
    for (uint32_t i = 0; i < m; i++) {
        few[n] = (entry){keys[i], ids[i]};
        n += keys[i] < c->worst;
    }
    if (!n) return;
    for (uint32_t i = 1; i < n; i++) {
        entry x = few[i];
        uint32_t j = i;
        for (; j && few[j - 1].key > x.key; j--) few[j] = few[j - 1];
        few[j] = x;
    }
    for (uint32_t i = n; i-- > 0;) {
        const uint32_t end = at;
        while (at >= 16 && buffer[at - 16].key > few[i].key) at -= 16;
        const entry *last = buffer + (at >= 16 ? at - 16 : 0);
        uint32_t n_before = 0;                  /* counted, not searched: no branch to guess */
        for (const entry *e = last; e < buffer + at; e++) n_before += e->key <= few[i].key;
        at = (uint32_t)(last - buffer) + n_before;
        memmove(buffer + at + i + 1, buffer + at, (end - at) * sizeof *buffer);
        buffer[at + i] = few[i];
    }
    c->at = at < c->at ? at : c->at;
    c->n = c->n + n < c->capacity ? c->n + n : c->capacity;
    if (c->n == c->capacity) c->worst = buffer[c->n - 1].key;
}

static inline void keep_candidates(candidates *c, const uint32_t *ids, const float *keys, uint32_t m) {
    if (c->capacity <= FEW) {
        for (uint32_t i = 0; i < m; i++) {
            if (!(keys[i] < c->worst)) continue;
            if (c->n == c->capacity) c->n--;
            uint32_t place = insert(c->buffer, c->n++, keys[i], ids[i]);
            c->at = place < c->at ? place : c->at;
            if (c->n == c->capacity) c->worst = c->buffer[c->n - 1].key;
        }
        return;
    }
    for (uint32_t i = 0; i < m; i += KEPT_TOGETHER)
        keep_some(c, ids + i, keys + i, m - i < KEPT_TOGETHER ? m - i : KEPT_TOGETHER);
}

/* walk.c */
/* Makes a block of a scratch hold `want` items of `each` bytes; what is in it stays. */
int grow(void **block, uint32_t *size, uint32_t want, size_t each, mem_account *account);
#define GROW(s, field, want) grow((void **)&(s)->field, &(s)->field##_size, (want), sizeof *(s)->field, &ix->account)

typedef struct {
    uint32_t window, capacity;
    uint64_t deadline_ns;                       /* 0: none */
    label_set allowed;                          /* of filtered walks */
    float reach;                                /* range search: keys up to here are collected in s->found; -inf: none */
    uint64_t most_work;                         /* filtered walks: vectors scored and rows searched, beyond which they give up */
} walk_order;

/* What filtered walks say that have become dearer than a scan would be. */
enum { WALK_DEAR = 1 };

int clear_visited(vec_index *ix, scratch *s);
int note_found(vec_index *ix, scratch *s, uint32_t id);
/* Walks for s->query, whatever filter there is; deleted entries are walked through and marked BARRED. */
int walk_any(vec_index *ix, const store *st, scratch *s, const walk_order *o, uint32_t *n);
/* The same without any test of entries, collecting what is within o->reach. */
int walk_range(vec_index *ix, const store *st, scratch *s, const walk_order *o, uint32_t *n);

/* walk_filtered.c */
enum { NEAR = 32, MAX_MET = 1024 };
typedef struct {
    float local_share;                          /* of about the NEAR nearest of all, those that are allowed */
    int is_certain;                             /* every slot that is not in s->barred may be returned */
    uint32_t n, n_bridges, bridges[NEAR];       /* the nearest that are not allowed */
    entry entries[MAX_MET];                     /* allowed ones, in no order */
} entrance;

/* Looks what is near the query, and where the allowed vectors lie. */
int enter_filtered(vec_index *ix, const store *st, scratch *s, const walk_order *o, entrance *e);
/* Walks among them; WALK_DEAR: given up. */
int walk_filtered(vec_index *ix, const store *st, scratch *s, const walk_order *o, const entrance *e, uint32_t *n);

/* scan.c */
typedef struct {
    vec_index *ix;
    const store *st;
    scratch *s;
    uint32_t capacity, n, m;                    /* entries wanted; held in s->buffer, in no order; slots waiting to be scored */
    uint64_t deadline_ns, n_batches;
    float reach;                                /* range: every slot with a key up to here goes to s->found instead */
    int is_range;
    batch *batch;                               /* the queries of a batch, prepared and begun; NULL: s->query alone */
    uint32_t n_held[MOST_QUERIES];              /* entries of each of its queries, at s->held + query * scan_room(capacity) */
    float limits[MOST_QUERIES];                 /* keys that are worse cannot be among the best any more */
} scan;

/* Entries that a scan needs room for, beyond those it keeps: it throws the worst out many at a time. */
static inline size_t scan_room(uint32_t capacity) { return (size_t)capacity + (capacity > 64 ? capacity : 64); }
int scan_all(scan *c, const label_set *allowed);
int scan_allowed(scan *c, const label_set *allowed);
int scan_tail(scan *c, const label_set *allowed);

/* search.c */
/* What a search does: k, of which `sure` are to be found, window and candidates for exact distances, in what the index holds. */
typedef struct { uint32_t k, sure, window, wanted; int plan; } search_order;
/* Below this many vectors a scan in memory order beats a walk, which reads at random about 20 new neighbours per expansion. */
uint64_t scan_up_to(uint64_t window);
double scan_cost(const vec_index *ix, uint64_t m, uint32_t n_together);
uint64_t shown_to(const vec_index *ix, const vec_query *q);
search_order order_of(vec_index *ix, const store *st, vec_query *q, uint32_t n_together);
/* Learns from a filter's scan for so many queries what scans take. */
void note_scan(vec_index *ix, const vec_query *q, uint32_t window, uint32_t n_together, uint64_t ns);
uint32_t scan_capacity(vec_index *ix, const store *st, const vec_query *q, uint32_t wanted);
int scan_any(scan *c, const label_set *allowed, uint64_t n_allowed);
int prepare_query(vec_index *ix, scratch *s, const store *st, const uint8_t *given);
int prepare_into(const vec_index *ix, const store *st, const uint8_t *given, query *q);
int take_hits(vec_index *ix, const store *st, scratch *s, const label_set *allowed, const uint32_t *slots, uint32_t n,
              uint32_t *n_hits);
void sort_hits(hit *h, uint32_t n, uint32_t k);
/* Exact distances of the first `wanted` of the n entries in s->buffer that are not BARRED, appended to s->hits. */
int hits_of_buffer(vec_index *ix, const store *st, scratch *s, const label_set *allowed, uint32_t n, uint32_t wanted,
                   uint32_t *n_hits);
void prefetch_seeds(vec_index *ix, const store *st);
/* Counts n searches, and what was scored. */
void note_searches(scratch *s, uint64_t n);
/* Counts a search and leaves the epoch; finish_search gives the scratch back as well. */
void end_search(vec_index *ix, scratch *s, int plan);
void finish_search(vec_index *ix, scratch *s, int plan);

/* interleave.c */
/* Answers queries from *n_done on by plain walks, two at a time, as long as that is their plan; *n_done says how far it came. */
int search_interleaved(vec_index *ix, const char *queries, size_t n, vec_query *q, uint64_t *labels, double *distances,
                       uint32_t *counts, size_t *n_done);
#endif

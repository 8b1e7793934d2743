/* Searching. Every search runs the same three steps: gather candidates by key (a scan, a graph walk or a filter plan), take the exact
   distances of the best of them, sort by (distance, label).

   The walk keeps one sorted array of candidates, an exact bitset of the slots it has scored, and per expansion: the row is compacted to
   the ids not seen yet, all their codes are prefetched, while they fly the rows of the next two candidates are prefetched, then the
   codes are scored several at a time and inserted. What is worse than a full buffer's last is turned away by one comparison.

   With a filter, or deleted vectors in the graph, entries that may not be returned are kept and walked through but do not count: the
   keys of those that may are also kept in an array of their own, the window-th of which ends the walk and the capacity-th of which
   turns away what is worse. */
#include "index.h"

#include <math.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "kernels.h"

/* 1. Scratch. */

static int grow(void **block, uint32_t *size, uint32_t want, size_t each, mem_account *account) {
    if (*size >= want) return VEC_OK;
    uint32_t n = *size ? *size : 64;
    while (n < want) n *= 2;
    void *more = mem_resize(*block, account, VEC_MEM_SCRATCH, n * each);
    if (!more) return VEC_ENOMEM;
    *block = more, *size = n;
    return VEC_OK;
}
#define GROW(s, field, want) grow((void **)&(s)->field, &(s)->field##_size, (want), sizeof *(s)->field, &ix->account)

scratch *scratch_take(vec_index *ix) {
    static _Thread_local uint32_t hint;
    static _Atomic uint32_t n_threads;
    if (!hint) hint = 1 + atomic_fetch_add(&n_threads, 1);
    for (uint32_t i = hint;; i++) {
        scratch *s = &ix->scratches[i % N_SCRATCH];
        if (!atomic_load_explicit(&s->is_busy, memory_order_relaxed) && !atomic_exchange(&s->is_busy, 1)) return s;
        if (i - hint == 4 * N_SCRATCH) sched_yield(), i = hint;
    }
}

void scratch_give(scratch *s) { atomic_store_explicit(&s->is_busy, 0, memory_order_release); }

void scratch_free(scratch *s) {
    mem_free(s->query_block), mem_free(s->work), mem_free(s->visited), mem_free(s->buffer), mem_free(s->good), mem_free(s->found);
    mem_free(s->ids), mem_free(s->primaries), mem_free(s->residuals), mem_free(s->keys), mem_free(s->hits), mem_free(s->distances);
    prune_space_free(s->prune);
}

int scratch_shape(vec_index *ix, scratch *s, const store *st) {
    const vec_params *p = &ix->params;
    if (!s->query_block) {
        size_t dim = ((size_t)p->dim + 127) / 128 * 128 + 128, total = dim * (4 + 8 + 1 + 4 + 1 + 1 + 1);
        uint8_t *b = mem_zeroed(&ix->account, VEC_MEM_SCRATCH, total);
        if (!b) return VEC_ENOMEM;
        s->query_block = b;
        s->query.x64 = (double *)(void *)b, b += 8 * dim;
        s->query.x = (float *)(void *)b, b += 4 * dim;
        s->query.projected = (float *)(void *)b, b += 4 * dim;
        s->query.raw = b, b += dim;
        s->query.s8 = (int8_t *)b, b += dim;
        s->query.high = (int8_t *)b, b += dim;
        s->query.low = (int8_t *)b;
    }
    uint32_t batch = p->max_degree > 128 ? p->max_degree : 128;
    if (s->batch_size < batch) {
        s->ids = mem_alloc(&ix->account, VEC_MEM_SCRATCH, batch * sizeof *s->ids);
        s->primaries = mem_alloc(&ix->account, VEC_MEM_SCRATCH, batch * sizeof *s->primaries);
        s->residuals = mem_alloc(&ix->account, VEC_MEM_SCRATCH, batch * sizeof *s->residuals);
        s->keys = mem_alloc(&ix->account, VEC_MEM_SCRATCH, batch * sizeof *s->keys);
        if (!s->ids || !s->primaries || !s->residuals || !s->keys) return VEC_ENOMEM;
        s->batch_size = batch;
    }
    s->query.coder = st->coder;
    s->query.is_link = 0;
    return VEC_OK;
}

void reader_enter(vec_index *ix, scratch *s) {
    atomic_store(&s->epoch, atomic_load(&ix->epoch));
    atomic_thread_fence(memory_order_seq_cst);                  /* the epoch is seen before anything that is read under it */
}
void reader_leave(scratch *s) { atomic_store_explicit(&s->epoch, 0, memory_order_release); }

/* An empty bitset over all slots there are now; slots that come later are left to the next search. */
static int clear_visited(vec_index *ix, scratch *s) {
    s->n_slots = atomic_load_explicit(&ix->n_slots, memory_order_acquire);
    uint32_t words = (s->n_slots + 63) / 64;
    if (s->visited_words < words) {
        uint32_t size = words + words / 4 + 16;
        mem_free(s->visited);
        s->visited_words = 0;
        s->visited = mem_alloc(&ix->account, VEC_MEM_SCRATCH, size * sizeof *s->visited);
        if (!s->visited) return VEC_ENOMEM;
        s->visited_words = size;
    }
    if (words) memset(s->visited, 0, words * sizeof *s->visited);
    return VEC_OK;
}

/* 2. The buffer. */

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

static inline void insert_key(float *keys, uint32_t n, float key) {
    while (n > 128 && keys[n - 65] > key) {
        memmove(keys + n - 63, keys + n - 64, 64 * sizeof *keys);
        n -= 64;
    }
    for (; n && keys[n - 1] > key; n--) keys[n] = keys[n - 1];
    keys[n] = key;
}

typedef struct { const uint64_t *words; uint64_t n_words; } label_set;

static inline int may_return(const vec_index *ix, const label_set *allowed, uint32_t slot) {
    uint64_t meta = meta_get(ix, slot);
    if (!is_live(meta)) return 0;
    if (!allowed->words) return 1;
    uint64_t label = meta_label(meta), word = label >> 6;
    return word < allowed->n_words && (allowed->words[word] >> (label & 63) & 1);
}

/* Every line of a record, but of long ones only the first: the hardware's streamer takes over. */
static inline void prefetch_record(const uint8_t *p, size_t bytes) {
    const uint8_t *line = (const uint8_t *)((uintptr_t)p & ~(uintptr_t)63), *end = p + (bytes <= 512 ? bytes : 320);
    do __builtin_prefetch(line);
    while ((line += 64) < end);
}

/* 3. The walk. */

typedef struct {
    uint32_t window, capacity;
    uint64_t deadline_ns;                       /* 0: none */
    label_set allowed;
    float reach;                                /* range search: keys up to here are collected in s->found; -inf: none */
} walk_order;

static int note_found(vec_index *ix, scratch *s, uint32_t id) {
    if (GROW(s, found, s->n_found + 1) != VEC_OK) return VEC_ENOMEM;
    s->found[s->n_found++] = id;
    return VEC_OK;
}

/* `is_checked`: entries are tested for being returnable. A constant in each caller, so that the plain walk pays nothing. */
static inline __attribute__((always_inline)) int walk(vec_index *ix, const store *st, scratch *s, const walk_order *o, uint32_t *n_out,
                                                      const int is_checked, const int is_range) {
    uint64_t wide = o->capacity > 512 ? 32ull * o->capacity : 16384;
    uint32_t most = !is_checked ? o->capacity : wide < s->n_slots ? (uint32_t)wide : s->n_slots;
    if (GROW(s, buffer, most + 1) != VEC_OK || (is_checked && GROW(s, good, o->capacity + 1) != VEC_OK)) return VEC_ENOMEM;
    entry *buffer = s->buffer;
    uint64_t *visited = s->visited;
    uint32_t *ids = s->ids;
    const uint8_t **records = s->primaries;
    float *keys = s->keys;
    const uint32_t degree = ix->params.max_degree, n_slots = s->n_slots;
    const size_t n_bytes = st->coder->primary_bytes;
    const query *q = &s->query;
    void (*const score)(const query *, const uint8_t *const *, size_t, float *) = st->coder->codec->keys;
    uint32_t n = 0, n_good = 0, at = 0, n_expanded = 0, m = 0;
    float worst = INFINITY, last = INFINITY;    /* keys of the capacity-th and the window-th that may be returned */
    float *good = s->good;

    uint32_t n_seeds = atomic_load_explicit(&ix->n_seeds, memory_order_acquire);
    for (uint32_t i = 0; i < n_seeds; i++) {
        uint32_t v = atomic_load_explicit(&ix->seeds[i], memory_order_relaxed);
        if (v >= n_slots || (visited[v >> 6] >> (v & 63) & 1)) continue;
        visited[v >> 6] |= 1ull << (v & 63);
        ids[m] = v, records[m++] = slab_at(&st->primary, v);
    }
    for (;;) {
        /* Score what was gathered, keep what is good enough. */
        score(q, records, m, keys);
        s->n_scored += m;
        for (uint32_t i = 0; i < m; i++) {
            float key = keys[i];
            if (is_range && key <= o->reach && note_found(ix, s, ids[i]) != VEC_OK) return VEC_ENOMEM;
            if (!(key < worst)) continue;
            uint32_t id = ids[i];
            if (is_checked) {
                if (!may_return(ix, &o->allowed, id)) id |= BARRED;
                else {
                    if (n_good == o->capacity) n_good--;
                    insert_key(good, n_good++, key);
                    if (n_good >= o->window) last = good[o->window - 1];
                    if (n_good == o->capacity) worst = good[n_good - 1];
                }
                while (n && buffer[n - 1].key > worst) n--;
            }
            if (n == most) n--;
            uint32_t place = insert(buffer, n++, key, id);
            at = place < at ? place : at;
            if (n == most && buffer[n - 1].key < worst) worst = buffer[n - 1].key;
        }
        /* The best that is not expanded yet. */
        uint32_t limit = is_checked || n < o->window ? n : o->window;
        while (at < limit && (buffer[at].id & EXPANDED)) at++;
        if (at >= limit || (is_checked && buffer[at].key > last)) break;
        uint32_t slot = buffer[at].id & ID_MASK;
        buffer[at++].id |= EXPANDED;
        /* Its neighbours that were not scored yet; their codes start on their way. */
        const _Atomic uint32_t *row = row_at(ix, slot);
        m = 0;
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
        for (uint32_t i = 0; i < m; i++) {
            records[i] = slab_at(&st->primary, ids[i]);
            prefetch_record(records[i], n_bytes);
            if (is_checked) __builtin_prefetch(meta_at(ix, ids[i]));
        }
        /* While they do: the rows that will probably be read next. */
        for (uint32_t i = at, ahead = 0; i < limit && ahead < 2; i++)
            if (!(buffer[i].id & EXPANDED)) {
                const uint8_t *next = (const uint8_t *)row_at(ix, buffer[i].id & ID_MASK);
                __builtin_prefetch(next);
                __builtin_prefetch(next + 64);
                ahead++;
            }
        if (!(++n_expanded & 63) && o->deadline_ns && now_ns() > o->deadline_ns) return VEC_ETIMEOUT;
    }
    *n_out = n;
    return VEC_OK;
}

int walk_plain(vec_index *ix, const store *st, scratch *s, uint32_t window, uint32_t capacity, uint64_t deadline_ns, uint32_t *n) {
    walk_order o = {window, capacity > window ? capacity : window, deadline_ns, {NULL, 0}, -INFINITY};
    int rc = clear_visited(ix, s);
    return rc == VEC_OK ? walk(ix, st, s, &o, n, 0, 0) : rc;
}

static int walk_any(vec_index *ix, const store *st, scratch *s, const walk_order *o, uint32_t *n) {
    return o->allowed.words || atomic_load(&ix->n_deleted) ? walk(ix, st, s, o, n, 1, 0) : walk(ix, st, s, o, n, 0, 0);
}

/* 4. Scans. A scan keeps the best `capacity` of what it is shown. */

typedef struct {
    vec_index *ix;
    const store *st;
    scratch *s;
    uint32_t capacity, n, m;                    /* entries wanted and held; slots waiting to be scored */
    uint64_t deadline_ns, n_batches;
    float reach;                                /* range: every slot with a key up to here goes to s->found instead */
    int is_range;
} scan;

static int scan_flush(scan *c) {
    scratch *s = c->s;
    c->st->coder->codec->keys(&s->query, s->primaries, c->m, s->keys);
    s->n_scored += c->m;
    for (uint32_t i = 0; i < c->m; i++) {
        if (c->is_range) {
            if (s->keys[i] <= c->reach && note_found(c->ix, s, s->ids[i]) != VEC_OK) return VEC_ENOMEM;
            continue;
        }
        if (c->n == c->capacity) {
            if (!(s->keys[i] < s->buffer[c->n - 1].key)) continue;
            c->n--;
        }
        insert(s->buffer, c->n++, s->keys[i], s->ids[i]);
    }
    c->m = 0;
    return c->deadline_ns && !(++c->n_batches & 15) && now_ns() > c->deadline_ns ? VEC_ETIMEOUT : VEC_OK;
}

static inline int scan_show(scan *c, uint32_t slot) {
    const uint8_t *record = slab_at(&c->st->primary, slot);
    prefetch_record(record, 128);
    c->s->ids[c->m] = slot;
    c->s->primaries[c->m++] = record;
    return c->m == 64 ? scan_flush(c) : VEC_OK;
}

static int scan_all(scan *c, const label_set *allowed) {
    uint32_t n = atomic_load_explicit(&c->ix->n_slots, memory_order_acquire);
    int rc = VEC_OK;
    for (uint32_t slot = 0; slot < n && rc == VEC_OK; slot++)
        if (may_return(c->ix, allowed, slot)) rc = scan_show(c, slot);
    return rc == VEC_OK ? scan_flush(c) : rc;
}

/* The allowed labels, one by one through the label map. */
static int scan_allowed(scan *c, const label_set *allowed) {
    int rc = VEC_OK;
    for (uint64_t w = 0; w < allowed->n_words; w++)
        for (uint64_t bits = allowed->words[w]; bits && rc == VEC_OK; bits &= bits - 1) {
            uint64_t label = w * 64 + (uint64_t)__builtin_ctzll(bits);
            uint32_t slot = labels_find(&c->ix->labels, label);
            if (slot == NO_SLOT) continue;
            uint64_t meta = meta_get(c->ix, slot);
            if (is_live(meta) && meta_label(meta) == label) rc = scan_show(c, slot);
        }
    return rc == VEC_OK ? scan_flush(c) : rc;
}

/* What is stored and not linked yet; marks it as seen, since it may be linked while the walk is under way. */
static int scan_tail(scan *c, const label_set *allowed) {
    vec_index *ix = c->ix;
    uint64_t end = atomic_load_explicit(&ix->tail_end, memory_order_acquire);
    const tail_ring *t = atomic_load_explicit(&ix->tail, memory_order_acquire);
    uint64_t head = atomic_load_explicit(&ix->tail_head, memory_order_acquire);
    int rc = VEC_OK;
    for (uint64_t i = head; i < end && rc == VEC_OK; i++) {
        uint32_t slot = atomic_load_explicit(&((tail_ring *)t)->slot[i & t->mask], memory_order_relaxed);
        if (slot >= c->s->n_slots) continue;
        uint64_t bit = 1ull << (slot & 63), *word = &c->s->visited[slot >> 6];
        if (*word & bit || !may_return(ix, allowed, slot)) continue;
        *word |= bit;
        rc = scan_show(c, slot);
    }
    return rc == VEC_OK ? scan_flush(c) : rc;
}

/* 5. From candidates to hits. */

static int compare_hits(const void *a, const void *b) {
    const hit *x = a, *y = b;
    if (x->distance != y->distance) return x->distance < y->distance ? -1 : 1;
    return (x->label > y->label) - (x->label < y->label);
}

/* Puts the k first of n hits in order; the others are lost. */
static void sort_hits(hit *h, uint32_t n, uint32_t k) {
    if (n > 64 && k > 64) { qsort(h, n, sizeof *h, compare_hits); return; }
    for (uint32_t i = 1; i < n; i++) {
        hit x = h[i];
        if (i >= k && compare_hits(&x, &h[k - 1]) >= 0) continue;
        uint32_t j = i < k ? i : k - 1;
        for (; j && compare_hits(&x, &h[j - 1]) < 0; j--) h[j] = h[j - 1];
        h[j] = x;
    }
}

/* Exact distances of n slots, appended to s->hits; those that may no longer be returned are left out. */
static int take_hits(vec_index *ix, const store *st, scratch *s, const label_set *allowed, const uint32_t *slots, uint32_t n,
                     uint32_t *n_hits) {
    if (GROW(s, hits, *n_hits + n + 1) != VEC_OK) return VEC_ENOMEM;
    const coder *c = st->coder;
    double distances[64];
    for (uint32_t i = 0; i < n; i += 64) {
        uint32_t m = n - i < 64 ? n - i : 64;
        for (uint32_t j = 0; j < m; j++) {
            s->primaries[j] = slab_at(&st->primary, slots[i + j]);
            if (!c->residual_bytes) continue;
            s->residuals[j] = slab_at(&st->residual, slots[i + j]);
            prefetch_record(s->residuals[j], c->residual_bytes);
        }
        c->codec->exact(&s->query, s->primaries, s->residuals, m, distances);
        for (uint32_t j = 0; j < m; j++) {
            if (!may_return(ix, allowed, slots[i + j])) continue;
            s->hits[(*n_hits)++] = (hit){distances[j], meta_label(meta_get(ix, slots[i + j]))};
        }
    }
    return VEC_OK;
}

/* How many candidates get exact distances: enough that the first level's error does not cost a result. A projection to few dimensions
   has no bound to its error: there it is everything the walk kept; of many, 64 for ten results found no less than all of 96 did. */
static uint32_t rerank_count(const coder *c, uint32_t k, uint32_t window, uint32_t capacity) {
    if (!is_compressed(c->codec)) return k;
    uint32_t more = c->codec->is_two_level ? (k > 16 ? k : 16) : 8, n = k > UINT32_MAX - more ? k : k + more;
    if (!c->codec->reduces) return n;
    if (c->reduced >= 128 && window > 4 * (uint64_t)k + 24) window = 4 * k + 24;
    n = window > n ? window : n;
    return capacity > n ? capacity : n;
}

static int hits_of_buffer(vec_index *ix, const store *st, scratch *s, const label_set *allowed, uint32_t n, uint32_t wanted,
                          uint32_t *n_hits) {
    if (GROW(s, found, n + 1) != VEC_OK) return VEC_ENOMEM;
    uint32_t m = 0;
    for (uint32_t i = 0; i < n && m < wanted; i++)
        if (!(s->buffer[i].id & BARRED)) s->found[m++] = s->buffer[i].id & ID_MASK;
    return take_hits(ix, st, s, allowed, s->found, m, n_hits);
}

/* 6. Plans. */

enum { SCAN_RANGE_UP_TO = 20000, RERANK_ALL_UP_TO = 2048 };

uint32_t default_window(const vec_index *ix, uint32_t k) {
    uint32_t w = ix->params.search_window ? ix->params.search_window : atomic_load(&((vec_index *)ix)->auto_window);
    if (!ix->params.search_window) {
        if (!w) w = 40;                         /* not calibrated yet: enough for most data at a million vectors */
        if (k > 10) w = w + (k - 10) + (k - 10) / 4;
    }
    return w;
}

/* Below this many vectors a scan in memory order beats a walk, which reads at random about 20 new neighbours per expansion. */
static uint64_t scan_up_to(uint64_t window) { return 40 * window; }

/* What a filtered walk takes is about linear in this: it must pass n / m vectors for each that may be returned, after a way in. */
static double walk_units(uint64_t window, uint64_t n, uint64_t m) { return (double)window * (double)n / (double)m + 30; }

enum { TRY_OTHER_EVERY = 64 };

static int choose_plan(const vec_index *index, const vec_query *q, uint32_t window) {
    vec_index *ix = (vec_index *)index;
    uint64_t n = atomic_load(&ix->n_vectors), m = q->n_allowed < n ? q->n_allowed : n;
    if (!q->allowed) return ix->params.algorithm == VEC_FLAT || n <= scan_up_to(window) ? VEC_PLAN_SCAN : VEC_PLAN_GRAPH;
    if (ix->params.algorithm == VEC_FLAT || m <= scan_up_to(window)) return VEC_PLAN_FILTER_EXACT;
    if (m * 10 >= n * 9) return VEC_PLAN_FILTER_POST;
    float scan_ns = atomic_load_explicit(&ix->scan_ns, memory_order_relaxed);
    float walk_ns = atomic_load_explicit(&ix->walk_ns, memory_order_relaxed);
    double scan = (double)m * (scan_ns > 0 ? scan_ns : 15), walk = walk_units(window, n, m) * (walk_ns > 0 ? walk_ns : 600);
    /* Where it is close, now and then the other one: an estimate that is never used is never mended. */
    int other = atomic_load_explicit(&ix->n_searches, memory_order_relaxed) % TRY_OTHER_EVERY == 0 && scan < 2 * walk && walk < 2 * scan;
    return (scan <= walk) != other ? VEC_PLAN_FILTER_EXACT : VEC_PLAN_FILTER_WALK;
}

/* Moving averages; what took much longer than usual was interrupted and counts as a little longer. */
static void note_cost(_Atomic float *average, double ns) {
    float old = atomic_load_explicit(average, memory_order_relaxed), now = (float)ns;
    if (old > 0) now = old + ((now < 2 * old ? now : 2 * old) - old) / 16;
    atomic_store_explicit(average, now, memory_order_relaxed);
}

static int plan_exact(scan *c, const label_set *allowed, uint64_t n_allowed, uint32_t wanted, uint32_t *n_hits) {
    uint64_t n = atomic_load(&c->ix->n_vectors);
    uint64_t shown = allowed->words && n_allowed < n ? n_allowed : n;
    if (c->st->coder->codec->reduces && shown / 32 > wanted) wanted = (uint32_t)(shown / 32);
    c->capacity = wanted < n ? wanted : (uint32_t)n;
    if (!c->capacity) c->capacity = 1;
    c->n = c->m = 0;
    if (c->st->coder->codec->reduces && shown <= RERANK_ALL_UP_TO) {
        c->is_range = 1, c->reach = INFINITY, c->s->n_found = 0;
        int rc = allowed->words && n_allowed < n / 8 ? scan_allowed(c, allowed) : scan_all(c, allowed);
        c->is_range = 0;
        return rc == VEC_OK ? take_hits(c->ix, c->st, c->s, allowed, c->s->found, c->s->n_found, n_hits) : rc;
    }
    if (grow((void **)&c->s->buffer, &c->s->buffer_size, c->capacity + 1, sizeof(entry), &c->ix->account) != VEC_OK) return VEC_ENOMEM;
    int rc = allowed->words && n_allowed < n / 8 ? scan_allowed(c, allowed) : scan_all(c, allowed);
    return rc == VEC_OK ? hits_of_buffer(c->ix, c->st, c->s, allowed, c->n, wanted, n_hits) : rc;
}

static int plan_graph(scan *c, const label_set *allowed, const vec_query *q, uint32_t window, int plan, uint32_t wanted, uint32_t *n_hits) {
    vec_index *ix = c->ix;
    scratch *s = c->s;
    uint32_t n, capacity = q->capacity > wanted ? q->capacity : wanted;
    int rc = clear_visited(ix, s);
    /* The tail first: what is linked meanwhile is then found in one of the two. */
    if (rc == VEC_OK && atomic_load(&ix->tail_head) != atomic_load_explicit(&ix->tail_end, memory_order_acquire)) {
        c->capacity = wanted, c->n = c->m = 0;
        if (GROW(s, buffer, wanted + 1) != VEC_OK) return VEC_ENOMEM;
        rc = scan_tail(c, allowed);
        if (rc == VEC_OK) rc = hits_of_buffer(ix, c->st, s, allowed, c->n, wanted, n_hits);
    }
    walk_order o = {window, window > capacity ? window : capacity, c->deadline_ns, *allowed, -INFINITY};
    if (plan == VEC_PLAN_FILTER_POST) {         /* nearly all are allowed: walk plainly, a little wider */
        o.allowed.words = NULL;
        o.window += o.window / 4, o.capacity += o.capacity / 4;
    }
    if (rc == VEC_OK) rc = walk_any(ix, c->st, s, &o, &n);
    if (rc == VEC_OK && plan == VEC_PLAN_FILTER_POST)
        for (uint32_t i = 0; i < n; i++)
            if (!may_return(ix, allowed, s->buffer[i].id & ID_MASK)) s->buffer[i].id |= BARRED;
    return rc == VEC_OK ? hits_of_buffer(ix, c->st, s, allowed, n, q->capacity > wanted ? q->capacity : wanted, n_hits) : rc;
}

/* Reads the query into s->query. */
static int prepare(vec_index *ix, scratch *s, const store *st, const uint8_t *given) {
    const vec_params *p = &ix->params;
    const coder *c = st->coder;
    int is_raw = !is_compressed(c->codec);
    int rc = scratch_shape(ix, s, st);
    if (rc != VEC_OK) return rc;
    if (is_raw && p->dtype == VEC_FLOAT64) {
        if (is_nonfinite(p->dtype, given, p->dim)) return VEC_ENONFINITE;
    } else if (!is_raw || p->dtype < VEC_INT8) rc = ingest(p->dtype, p->metric, given, p->dim, s->query.x, &s->query.norm2);
    if (rc == VEC_OK) c->codec->prepare(c, s->query.x, given, &s->query);
    return rc;
}

int search_prepared(vec_index *ix, const store *st, scratch *s, vec_query *q, uint32_t *n_out) {
    uint64_t deadline = q->timeout_us ? now_ns() + 1000 * q->timeout_us : 0, n_vectors = atomic_load(&ix->n_vectors);
    uint32_t k = q->k < n_vectors ? q->k : (uint32_t)n_vectors, n_hits = 0;
    int rc;
    *n_out = 0;
    if (!k || (q->allowed && !q->n_allowed)) { q->plan = VEC_PLAN_NONE; return VEC_OK; }
    label_set allowed = {q->allowed, q->n_words};
    uint32_t window = q->window ? q->window : default_window(ix, k), wanted;
    if (window > n_vectors) window = (uint32_t)n_vectors;               /* wider is no better, and takes memory */
    if (window < k) window = k;
    if (q->capacity > n_vectors) q->capacity = (uint32_t)n_vectors;
    wanted = rerank_count(st->coder, k, window, q->capacity);
    if (q->plan == VEC_PLAN_NONE) q->plan = choose_plan(ix, q, window);
    const int first_plan = q->plan;
    const uint64_t start = q->allowed ? now_ns() : 0, matches = q->allowed && q->n_allowed < n_vectors ? q->n_allowed : n_vectors;
    scan c = {.ix = ix, .st = st, .s = s, .deadline_ns = deadline};
    if (q->plan == VEC_PLAN_SCAN || q->plan == VEC_PLAN_FILTER_EXACT) rc = plan_exact(&c, &allowed, q->n_allowed, wanted, &n_hits);
    else {
        rc = plan_graph(&c, &allowed, q, window, q->plan, wanted, &n_hits);
        if (rc == VEC_OK && n_hits < k && q->plan == VEC_PLAN_FILTER_POST) {
            n_hits = 0;
            q->plan = VEC_PLAN_FILTER_WALK;
            rc = plan_graph(&c, &allowed, q, window, q->plan, wanted, &n_hits);
        }
        if (rc == VEC_OK && n_hits < k && n_hits < matches) {           /* the graph did not lead to enough: make sure */
            n_hits = 0;
            q->plan = q->allowed ? VEC_PLAN_FILTER_EXACT : VEC_PLAN_SCAN;
            rc = plan_exact(&c, &allowed, q->n_allowed, wanted, &n_hits);
        }
    }
    if (rc != VEC_OK) return rc;
    if (first_plan == VEC_PLAN_FILTER_EXACT && matches >= 256) note_cost(&ix->scan_ns, (double)(now_ns() - start) / (double)matches);
    if (first_plan == VEC_PLAN_FILTER_WALK) note_cost(&ix->walk_ns, (double)(now_ns() - start) / walk_units(window, n_vectors, matches));
    sort_hits(s->hits, n_hits, k);
    *n_out = n_hits < q->k ? n_hits : q->k;
    return VEC_OK;
}

static void finish(vec_index *ix, scratch *s, int plan) {
    reader_leave(s);
    atomic_fetch_add_explicit(&ix->n_searches, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&ix->n_scored, s->n_scored, memory_order_relaxed);
    atomic_store_explicit(&ix->last_plan, plan, memory_order_relaxed);
    s->n_scored = 0;
    scratch_give(s);
}

int64_t vec_search(vec_index *ix, const char *given, vec_query *q, uint64_t *labels, double *distances) {
    uint32_t n;
    scratch *s = scratch_take(ix);
    reader_enter(ix, s);
    const store *st = atomic_load_explicit(&ix->store, memory_order_acquire);
    q->plan = VEC_PLAN_NONE;
    int rc = prepare(ix, s, st, (const uint8_t *)given);
    if (rc == VEC_OK) rc = search_prepared(ix, st, s, q, &n);
    if (rc == VEC_OK)
        for (uint32_t i = 0; i < n; i++) labels[i] = s->hits[i].label, distances[i] = s->hits[i].distance;
    finish(ix, s, q->plan);
    return rc == VEC_OK ? (int64_t)n : rc;
}

int64_t vec_search_one(vec_index *ix, const char *query, uint32_t k, uint32_t window, uint32_t capacity, uint64_t timeout_us,
                       uint64_t *labels, double *distances) {
    vec_query q = {.k = k, .window = window, .capacity = capacity, .timeout_us = timeout_us};
    return vec_search(ix, query, &q, labels, distances);
}

int vec_search_many(vec_index *ix, const char *queries, size_t n, vec_query *q, uint64_t *labels, double *distances, uint32_t *counts) {
    size_t bytes = ix->params.dim * dtype_bytes(ix->params.dtype);
    for (size_t i = 0; i < n; i++) {
        int64_t found = vec_search(ix, queries + i * bytes, q, labels + i * q->k, distances + i * q->k);
        if (found < 0) return (int)found;
        counts[i] = (uint32_t)found;
    }
    return VEC_OK;
}

int vec_distances(vec_index *ix, const char *given, const uint64_t *labels, size_t n, double *distances) {
    scratch *s = scratch_take(ix);
    reader_enter(ix, s);
    const store *st = atomic_load_explicit(&ix->store, memory_order_acquire);
    const coder *c = st->coder;
    int rc = prepare(ix, s, st, (const uint8_t *)given);
    for (size_t i = 0; i < n && rc == VEC_OK; i++) {
        uint32_t slot = labels[i] <= MAX_LABEL ? labels_find(&ix->labels, labels[i]) : NO_SLOT;
        distances[i] = NAN;
        if (slot == NO_SLOT || meta_label(meta_get(ix, slot)) != labels[i] || !is_live(meta_get(ix, slot))) continue;
        const uint8_t *primary = slab_at(&st->primary, slot), *residual = c->residual_bytes ? slab_at(&st->residual, slot) : NULL;
        c->codec->exact(&s->query, &primary, &residual, 1, &distances[i]);
        s->n_scored++;
    }
    finish(ix, s, atomic_load(&ix->last_plan));
    return rc;
}

/* 7. Range search: a walk to the region, then a flood through everything within reach; small indexes and small filters are scanned. */

/* Expands all of s->found until nothing new is within reach. */
static int flood(vec_index *ix, const store *st, scratch *s, float reach, uint64_t deadline_ns) {
    const uint32_t degree = ix->params.max_degree, n_slots = s->n_slots;
    for (uint32_t next = 0; next < s->n_found; next++) {
        const _Atomic uint32_t *row = row_at(ix, s->found[next]);
        uint32_t m = 0;
        for (uint32_t i = 0; i < degree; i++) {
            uint32_t v = atomic_load_explicit(&row[i], memory_order_relaxed);
            if (v == NO_EDGE) break;
            if (v >= n_slots || (s->visited[v >> 6] >> (v & 63) & 1)) continue;
            s->visited[v >> 6] |= 1ull << (v & 63);
            s->ids[m] = v;
            s->primaries[m] = slab_at(&st->primary, v);
            prefetch_record(s->primaries[m++], 256);
        }
        st->coder->codec->keys(&s->query, s->primaries, m, s->keys);
        s->n_scored += m;
        for (uint32_t i = 0; i < m; i++)
            if (s->keys[i] <= reach && note_found(ix, s, s->ids[i]) != VEC_OK) return VEC_ENOMEM;
        if (!(next & 63) && deadline_ns && now_ns() > deadline_ns) return VEC_ETIMEOUT;
    }
    return VEC_OK;
}

/* How far beyond the radius keys may lie: epsilon, and the error of keys against exact distances. */
static float reach_of(const coder *c, const query *q, const vec_query *order, double epsilon) {
    double r = order->radius, slack = 1e-5 * (1 + fabs(r));
    if (is_compressed(c->codec)) {
        double scale = c->metric == VEC_L2 ? sqrt(q->base) : 1;         /* first levels err in proportion to the vectors' size */
        slack = (c->bits1 == 4 ? 0.1 : 0.01) * (c->metric == VEC_L2 ? scale * scale + r : scale + fabs(r));
        if (c->codec->reduces) slack *= 4;
    }
    return (float)(r + fabs(r) * epsilon + slack);
}

static int range_hits(vec_index *ix, scratch *s, const char *given, vec_query *q, uint32_t *n_out) {
    const store *st = atomic_load_explicit(&ix->store, memory_order_acquire);
    uint64_t deadline = q->timeout_us ? now_ns() + 1000 * q->timeout_us : 0;
    int rc = prepare(ix, s, st, (const uint8_t *)given);
    if (rc != VEC_OK) return rc;
    uint64_t n_vectors = atomic_load(&ix->n_vectors);
    label_set allowed = {q->allowed, q->n_words};
    double epsilon = q->epsilon < 0 ? ix->params.epsilon : q->epsilon;
    float reach = reach_of(st->coder, &s->query, q, epsilon);
    scan c = {.ix = ix, .st = st, .s = s, .deadline_ns = deadline, .reach = reach, .is_range = 1};
    uint32_t n_hits = 0, n;
    s->n_found = 0;
    *n_out = 0;
    if (!n_vectors || (q->allowed && !q->n_allowed)) { q->plan = VEC_PLAN_NONE; return VEC_OK; }
    uint64_t matches = q->allowed && q->n_allowed < n_vectors ? q->n_allowed : n_vectors;
    if (ix->params.algorithm == VEC_FLAT || matches <= SCAN_RANGE_UP_TO) {
        q->plan = q->allowed ? VEC_PLAN_FILTER_EXACT : VEC_PLAN_SCAN;
        rc = q->allowed && matches < n_vectors / 8 ? scan_allowed(&c, &allowed) : scan_all(&c, &allowed);
    } else {
        q->plan = q->allowed ? VEC_PLAN_FILTER_POST : VEC_PLAN_GRAPH;
        uint32_t window = q->window ? q->window : default_window(ix, 10);
        label_set all = {NULL, 0};
        rc = clear_visited(ix, s);
        if (rc == VEC_OK) rc = scan_tail(&c, &all);
        walk_order o = {window < 32 ? 32 : window, window < 32 ? 32 : window, deadline, all, reach};
        if (rc == VEC_OK) rc = walk(ix, st, s, &o, &n, 0, 1);
        if (rc == VEC_OK) rc = flood(ix, st, s, reach, deadline);
    }
    if (rc == VEC_OK) rc = take_hits(ix, st, s, &allowed, s->found, s->n_found, &n_hits);
    if (rc != VEC_OK) return rc;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < n_hits; i++)
        if (s->hits[i].distance <= q->radius) s->hits[kept++] = s->hits[i];
    sort_hits(s->hits, kept, kept);
    *n_out = kept;
    return VEC_OK;
}

int64_t vec_range(vec_index *ix, const char *given, vec_query *q, uint64_t **labels, double **distances) {
    uint32_t n = 0;
    scratch *s = scratch_take(ix);
    reader_enter(ix, s);
    int rc = range_hits(ix, s, given, q, &n);
    *labels = NULL, *distances = NULL;
    if (rc == VEC_OK) {
        *labels = mem_alloc(NULL, 0, (n + 1) * sizeof **labels);
        *distances = mem_alloc(NULL, 0, (n + 1) * sizeof **distances);
        if (!*labels || !*distances) rc = VEC_ENOMEM;
        else for (uint32_t i = 0; i < n; i++) (*labels)[i] = s->hits[i].label, (*distances)[i] = s->hits[i].distance;
    }
    if (rc != VEC_OK) mem_free(*labels), mem_free(*distances), *labels = NULL, *distances = NULL;
    finish(ix, s, q->plan);
    return rc == VEC_OK ? (int64_t)n : rc;
}

void vec_release(void *memory) { mem_free(memory); }

/* The walk, and the scratch that every search takes for its duration.

   The walk keeps one sorted array of candidates, an exact bitset of the slots it has scored, and per expansion: the row is
   compacted to the ids not seen yet, all their codes are prefetched, while they fly the rows of the next two candidates are
   prefetched, then the codes are scored several at a time and inserted.
   What is worse than a full buffer's last is turned away by one comparison.

   With deleted vectors in the graph, entries that may not be returned are kept and walked through but do not count: the keys of
   those that may are also kept in an array of their own, the window-th of which ends the walk and the capacity-th of which turns
   away what is worse. */
#include "search.h"

#include <math.h>
#include <sched.h>
#include <stdlib.h>

/* 1. Scratch. */

int grow(void **block, uint32_t *size, uint32_t want, size_t each, mem_account *account) {
    if (*size >= want) return VEC_OK;
    uint32_t n = *size ? *size : 64;
    while (n < want) n *= 2;
    void *more = mem_resize(*block, account, VEC_MEM_SCRATCH, n * each);
    if (!more) return VEC_ENOMEM;
    *block = more, *size = n;
    return VEC_OK;
}

/* One that nobody has, or NULL. Threads start to look in different places, and find their own again. */
scratch *scratch_try(vec_index *ix) {
    static _Thread_local uint32_t hint;
    static _Atomic uint32_t n_threads;
    if (!hint) hint = 1 + 2 * atomic_fetch_add(&n_threads, 1);
    for (uint32_t i = hint; i < hint + N_SCRATCH; i++) {
        scratch *s = &ix->scratches[i % N_SCRATCH];
        if (!atomic_load_explicit(&s->is_busy, memory_order_relaxed) && !atomic_exchange(&s->is_busy, 1)) return s;
    }
    return NULL;
}

scratch *scratch_take(vec_index *ix) {
    scratch *s;
    while (!(s = scratch_try(ix))) sched_yield();
    return s;
}

void scratch_give(scratch *s) { atomic_store_explicit(&s->is_busy, 0, memory_order_release); }

void scratch_free(scratch *s) {
    mem_free(s->query_block), mem_free(s->query.table), mem_free(s->work), mem_free(s->visited), mem_free(s->barred);
    mem_free(s->buffer), mem_free(s->good), mem_free(s->found);
    mem_free(s->ids), mem_free(s->primaries), mem_free(s->residuals), mem_free(s->keys), mem_free(s->hits);
    mem_free(s->held);
    batch_free(s->batch);
    prune_space_free(s->prune);
}

uint64_t count_searches(const vec_index *index, uint64_t *n_compared) {
    vec_index *ix = (vec_index *)index;
    uint64_t n = 0;
    *n_compared = 0;
    for (int i = 0; i < N_SCRATCH; i++) {
        n += atomic_load_explicit(&ix->scratches[i].n_searches, memory_order_relaxed);
        *n_compared += atomic_load_explicit(&ix->scratches[i].n_compared, memory_order_relaxed);
    }
    return n;
}

/* Gives back what grew with the searches of another codec: one may keep several times as many candidates as the next. */
static void let_go(scratch *s) {
    mem_free(s->query.table), mem_free(s->buffer), mem_free(s->good), mem_free(s->found), mem_free(s->hits), mem_free(s->held);
    s->query.table = NULL, s->buffer = NULL, s->good = NULL, s->found = NULL, s->hits = NULL, s->held = NULL;
    s->buffer_size = s->good_size = s->found_size = s->hits_size = s->held_size = 0;
}

int scratch_shape(vec_index *ix, scratch *s, const store *st) {
    const vec_params *p = &ix->params;
    if (!s->query_block) {
        s->query_block = mem_zeroed(&ix->account, VEC_MEM_SCRATCH, query_bytes(p->dim));
        if (!s->query_block) return VEC_ENOMEM;
        query_place(&s->query, s->query_block, p->dim);
    }
    if (s->shaped_id != st->coder->id) {
        if (s->shaped_id) let_go(s);
        s->shaped_id = st->coder->id;
    }
    if (st->coder->table_entries && !s->query.table) {
        size_t entries = st->coder->table_entries;
        uint8_t *b = mem_alloc(&ix->account, VEC_MEM_SCRATCH, entries * 5 + entries / 256 * 4);
        if (!b) return VEC_ENOMEM;
        s->query.table = (float *)(void *)b, s->query.table_least = s->query.table + entries;
        s->query.table8 = (uint8_t *)(s->query.table_least + entries / 256);
    }
    uint32_t batch = p->max_degree + 2 > 128 ? p->max_degree + 2 : 128;         /* two more: see gather_round */
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
int clear_visited(vec_index *ix, scratch *s) {
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
    if (s->hidden && s->hidden <= s->n_slots) s->visited[(s->hidden - 1) >> 6] |= 1ull << ((s->hidden - 1) & 63);
    return VEC_OK;
}

/* 2. The walk. */

static inline void insert_key(float *keys, uint32_t n, float key) {
    while (n > 128 && keys[n - 65] > key) {
        memmove(keys + n - 63, keys + n - 64, 64 * sizeof *keys);
        n -= 64;
    }
    for (; n && keys[n - 1] > key; n--) keys[n] = keys[n - 1];
    keys[n] = key;
}

int note_found(vec_index *ix, scratch *s, uint32_t id) {
    if (GROW(s, found, s->n_found + 1) != VEC_OK) return VEC_ENOMEM;
    s->found[s->n_found++] = id;
    return VEC_OK;
}

static int leads_to(const _Atomic uint32_t *row, uint32_t degree, uint32_t slot) {
    for (uint32_t i = 0; i < degree; i++) {
        uint32_t v = atomic_load_explicit(&row[i], memory_order_relaxed);
        if (v == slot || v == NO_EDGE) return v == slot;
    }
    return 0;
}

/* Gathers the first two of the hidden slot's neighbours that were not seen yet: a way round it. */
static uint32_t gather_round(const vec_index *ix, scratch *s, uint32_t m) {
    const _Atomic uint32_t *row = row_at(ix, s->hidden - 1);
    for (uint32_t i = 0; i < 2 && i < ix->params.max_degree; i++) {
        uint32_t v = atomic_load_explicit(&row[i], memory_order_relaxed);
        if (v >= s->n_slots) break;
        uint64_t bit = 1ull << (v & 63), *word = &s->visited[v >> 6];
        if (!(*word & bit)) s->ids[m++] = v;
        *word |= bit;
    }
    return m;
}

/* `is_checked`: entries are tested for being returnable. A constant in each caller, so that the plain walk pays nothing. */
static inline __attribute__((always_inline)) int walk(vec_index *ix, const store *st, scratch *s, const walk_order *o,
                                                      uint32_t *n_out, const int is_checked, const int is_range,
                                                      const int is_hiding) {
    uint64_t wide = o->capacity > 512 ? 32ull * o->capacity : 16384;
    uint32_t most = !is_checked ? o->capacity : wide < s->n_slots ? (uint32_t)wide : s->n_slots;
    if (GROW(s, buffer, most + KEPT_TOGETHER) != VEC_OK || (is_checked && GROW(s, good, o->capacity + 1) != VEC_OK))
        return VEC_ENOMEM;
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
        for (uint32_t i = 0; is_range && i < m; i++)
            if (keys[i] <= o->reach && note_found(ix, s, ids[i]) != VEC_OK) return VEC_ENOMEM;
        if (!is_checked) {
            candidates c = {buffer, n, at, most, worst};
            keep_candidates(&c, ids, keys, m);
            n = c.n, at = c.at, worst = c.worst;
        }
        for (uint32_t i = 0; is_checked && i < m; i++) {
            float key = keys[i];
            if (!(key < worst)) continue;
            uint32_t id = ids[i];
            if (!is_live(meta_get(ix, id))) id |= BARRED;
            else {
                if (n_good == o->capacity) n_good--;
                insert_key(good, n_good++, key);
                if (n_good >= o->window) last = good[o->window - 1];
                if (n_good == o->capacity) worst = good[n_good - 1];
            }
            while (n && buffer[n - 1].key > worst) n--;
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
        m = gather_row(row, degree, n_slots, visited, ids, 0);
        if (is_hiding && leads_to(row, degree, s->hidden - 1)) m = gather_round(ix, s, m);
        for (uint32_t i = 0; i < m; i++) {
            records[i] = slab_at(&st->primary, ids[i]);
            prefetch_record(records[i], n_bytes);
            if (is_checked) __builtin_prefetch(meta_at(ix, ids[i]));
        }
        /* While they do: the rows that will probably be read next. */
        for (uint32_t i = at, ahead = 0; i < limit && ahead < 2; i++)
            if (!(buffer[i].id & EXPANDED)) {
                prefetch_row(ix, buffer[i].id & ID_MASK);
                ahead++;
            }
        if (!(++n_expanded & 63) && o->deadline_ns && now_ns() > o->deadline_ns) return VEC_ETIMEOUT;
    }
    *n_out = n;
    return VEC_OK;
}

int walk_plain(vec_index *ix, const store *st, scratch *s, uint32_t window, uint32_t capacity, uint64_t deadline_ns,
               uint32_t *n) {
    walk_order o = {window, capacity > window ? capacity : window, deadline_ns, {NULL, 0}, -INFINITY, UINT64_MAX};
    int rc = clear_visited(ix, s);
    return rc == VEC_OK ? walk(ix, st, s, &o, n, 0, 0, 0) : rc;
}

int walk_any(vec_index *ix, const store *st, scratch *s, const walk_order *o, uint32_t *n) {
    int is_checked = atomic_load(&ix->n_deleted) != 0;
    if (s->hidden) return walk(ix, st, s, o, n, is_checked, 0, 1);
    return is_checked ? walk(ix, st, s, o, n, 1, 0, 0) : walk(ix, st, s, o, n, 0, 0, 0);
}

int walk_range(vec_index *ix, const store *st, scratch *s, const walk_order *o, uint32_t *n) {
    return walk(ix, st, s, o, n, 0, 1, 0);
}

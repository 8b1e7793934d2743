/* Several queries at once on one thread: while one's row or codes are on their way from memory, another's are worked on.

   A walk is two steps again and again: gather the best candidate's unseen neighbours and send for their codes; score those, and
   send for the row of what is best then. Two walks take their steps by turns, so nothing is waited for that was asked for just
   before. Measured against one after the other: 1.06 to 1.15 times as many searches of 20,000 to 100,000 vectors in the
   third-level cache (384 and 768 dimensions, 128 of SIFT), 1.13 times of 700,000 x 128 in memory; four at once are no better. */
#include "search.h"

#include <math.h>

enum { AT_ONCE = 2 };
#define AGAIN UINT32_MAX                         /* for a count: too little was found */

typedef struct flight {
    scratch *s;                                 /* NULL: no query left for it */
    const store *st;
    search_order order;
    candidates c;
    size_t which;                               /* query */
    uint64_t deadline_ns;
    uint32_t m, n_expanded;                     /* of the ids gathered and not scored */
    int has_row;                                /* the next step is to gather */
} flight;

/* Begins a query: 1; 0: it is not one for a plain walk. */
static int take_off(vec_index *ix, flight *f, const char *given, const vec_query *wanted) {
    scratch *s = f->s;
    vec_query q = *wanted;
    q.plan = VEC_PLAN_NONE;
    reader_enter(ix, s);
    const store *st = f->st = atomic_load_explicit(&ix->store, memory_order_acquire);
    f->order = order_of(ix, st, &q, 1);
    if (f->order.plan != VEC_PLAN_GRAPH || atomic_load(&ix->n_deleted)
        || atomic_load(&ix->tail_head) != atomic_load_explicit(&ix->tail_end, memory_order_acquire)) {
        reader_leave(s);
        return 0;
    }
    prefetch_seeds(ix, st);
    uint32_t wide = f->order.wanted > q.capacity ? f->order.wanted : q.capacity, n_seeds;
    uint32_t capacity = f->order.window > wide ? f->order.window : wide;
    int rc = prepare_query(ix, s, st, (const uint8_t *)given);
    if (rc == VEC_OK) rc = clear_visited(ix, s);
    if (rc == VEC_OK) rc = GROW(s, buffer, capacity + KEPT_TOGETHER);
    if (rc != VEC_OK) {
        end_search(ix, s, VEC_PLAN_GRAPH);
        return rc;
    }
    f->c = (candidates){s->buffer, 0, 0, capacity, INFINITY};
    f->order.wanted = wide;
    f->m = f->n_expanded = 0, f->has_row = 0;
    f->deadline_ns = q.timeout_us ? now_ns() + 1000 * q.timeout_us : 0;
    n_seeds = atomic_load_explicit(&ix->n_seeds, memory_order_acquire);
    for (uint32_t i = 0; i < n_seeds; i++) {
        uint32_t v = atomic_load_explicit(&ix->seeds[i], memory_order_relaxed);
        if (v >= s->n_slots || (s->visited[v >> 6] >> (v & 63) & 1)) continue;
        s->visited[v >> 6] |= 1ull << (v & 63);
        s->ids[f->m] = v, s->primaries[f->m++] = slab_at(&st->primary, v);
    }
    return 1;
}

static inline void gather(const vec_index *ix, flight *f) {
    scratch *s = f->s;
    uint32_t slot = f->c.buffer[f->c.at].id & ID_MASK;
    f->c.buffer[f->c.at++].id |= EXPANDED;
    f->m = gather_row(row_at(ix, slot), ix->params.max_degree, s->n_slots, s->visited, s->ids, 0);
    for (uint32_t i = 0; i < f->m; i++) {
        s->primaries[i] = slab_at(&f->st->primary, s->ids[i]);
        prefetch_record(s->primaries[i], f->st->coder->primary_bytes);
    }
    f->has_row = 0;
}

/* 1: there is more to expand; 0: the walk has ended. */
static inline int score(const vec_index *ix, flight *f) {
    scratch *s = f->s;
    f->st->coder->codec->keys(&s->query, s->primaries, f->m, s->keys);
    s->n_scored += f->m;
    candidates c = f->c;
    keep_candidates(&c, s->ids, s->keys, f->m);
    uint32_t limit = c.n < f->order.window ? c.n : f->order.window;
    while (c.at < limit && (c.buffer[c.at].id & EXPANDED)) c.at++;
    f->c = c;
    if (c.at >= limit) return 0;
    prefetch_row(ix, c.buffer[c.at].id & ID_MASK);
    f->has_row = 1;
    return !(++f->n_expanded & 63) && f->deadline_ns && now_ns() > f->deadline_ns ? VEC_ETIMEOUT : 1;
}

/* The answer of a walk that has ended. 0: the graph did not lead to enough. */
static int land(vec_index *ix, flight *f, uint64_t *labels, double *distances, uint32_t *count) {
    scratch *s = f->s;
    const label_set all = {NULL, 0};
    uint32_t n = 0, k = f->order.k;
    int rc = hits_of_buffer(ix, f->st, s, &all, f->c.n, f->order.wanted, &n);
    int is_enough = n >= f->order.sure || n >= atomic_load(&ix->n_vectors);
    if (rc == VEC_OK) sort_hits(s->hits, n, k);
    *count = n < k ? n : k;
    for (uint32_t i = 0; rc == VEC_OK && i < *count; i++) labels[i] = s->hits[i].label, distances[i] = s->hits[i].distance;
    end_search(ix, s, VEC_PLAN_GRAPH);
    return rc == VEC_OK ? is_enough : rc;
}

int search_interleaved(vec_index *ix, const char *queries, size_t n, vec_query *q, uint64_t *labels, double *distances,
                       uint32_t *counts, size_t *n_done) {
    const size_t bytes = ix->params.dim * dtype_bytes(ix->params.dtype), stride = q->k;
    flight flights[AT_ONCE];
    size_t next = *n_done;
    uint32_t n_flying = 0;
    int rc = VEC_OK, is_over = 0;
    for (uint32_t i = 0; i < AT_ONCE; i++) {
        flights[i].s = n - next > i ? (i ? scratch_try(ix) : scratch_take(ix)) : NULL;
        flights[i].m = 0, flights[i].which = SIZE_MAX;
        n_flying += flights[i].s != NULL;
    }
    for (uint32_t i = 0; n_flying; i = (i + 1) % AT_ONCE) {
        flight *f = &flights[i];
        if (!f->s) continue;
        if (f->which == SIZE_MAX) {
            int is_off = rc == VEC_OK && !is_over && next < n ? take_off(ix, f, queries + next * bytes, q) : 0;
            if (is_off == 1) f->which = next++;
            else {
                if (is_off < 0) rc = is_off;
                is_over = 1;
                scratch_give(f->s);
                f->s = NULL, n_flying--;
            }
            continue;
        }
        if (f->has_row) { gather(ix, f); continue; }
        int going = rc == VEC_OK ? score(ix, f) : rc;
        if (going == 1) continue;
        size_t which = f->which;
        f->which = SIZE_MAX;
        if (going < 0) {
            end_search(ix, f->s, VEC_PLAN_GRAPH);
            rc = going;
            continue;
        }
        int is_enough = land(ix, f, labels + which * stride, distances + which * stride, &counts[which]);
        if (is_enough < 0) rc = is_enough;
        else if (!is_enough) counts[which] = AGAIN;
    }
    for (size_t i = *n_done; i < next && rc == VEC_OK; i++) {           /* now that no scratch is held that others may wait for */
        if (counts[i] != AGAIN) continue;
        int64_t found = vec_search(ix, queries + i * bytes, q, labels + i * stride, distances + i * stride);
        if (found < 0) rc = (int)found;
        else counts[i] = (uint32_t)found;
    }
    *n_done = next;
    q->plan = VEC_PLAN_GRAPH;
    return rc;
}

/* Many queries in one call. Those that scan (search.c's plans) go through the records together, MOST_QUERIES at a time: each
   block of records is read once and scored against all of them while it is in the cache. Plain walks run two at a time
   (interleave.c), the others one after another. */
#include "search.h"

#include <math.h>

/* Wider lists of candidates, one per query, would take much memory. */
enum { MOST_CAPACITY = 8192 };

static int prepare_batch(vec_index *ix, scratch *s, const store *st, const char *given, uint32_t n) {
    size_t bytes = ix->params.dim * dtype_bytes(ix->params.dtype);
    int rc = scratch_shape(ix, s, st);
    if (rc != VEC_OK) return rc;
    s->batch = batch_of(s->batch, st->coder, n, &ix->account);
    if (!s->batch) return VEC_ENOMEM;
    for (uint32_t j = 0; j < n && rc == VEC_OK; j++)
        rc = prepare_into(ix, st, (const uint8_t *)given + j * bytes, &s->batch->queries[j]);
    if (rc == VEC_OK) st->coder->codec->batch_begin(s->batch);
    return rc;
}

/* Exact distances of what one query of the batch holds, and its k best into the caller's rows. */
static int answer(scan *c, uint32_t j, const label_set *allowed, uint32_t k, uint64_t *labels, double *distances,
                  uint32_t *count) {
    scratch *s = c->s;
    const entry *held = s->held + j * scan_room(c->capacity);
    uint32_t n_hits = 0;
    vec_index *ix = c->ix;
    if (GROW(s, found, c->n_held[j] + 1) != VEC_OK) return VEC_ENOMEM;
    for (uint32_t i = 0; i < c->n_held[j]; i++) s->found[i] = held[i].id;
    query own = s->query;
    s->query = c->batch->queries[j];
    int rc = take_hits(ix, c->st, s, allowed, s->found, c->n_held[j], &n_hits);
    s->query = own;
    if (rc != VEC_OK) return rc;
    sort_hits(s->hits, n_hits, k);
    *count = n_hits < k ? n_hits : k;
    for (uint32_t i = 0; i < *count; i++) labels[i] = s->hits[i].label, distances[i] = s->hits[i].distance;
    return VEC_OK;
}

/* The n queries together, if their plan is a scan. *is_done: it was. */
static int search_batch(vec_index *ix, const char *given, uint32_t n, vec_query *q, uint64_t *labels, double *distances,
                        uint32_t *counts, int plan, int *is_done) {
    scratch *s = scratch_take(ix);
    reader_enter(ix, s);
    const store *st = atomic_load_explicit(&ix->store, memory_order_acquire);
    q->plan = plan;
    search_order o = order_of(ix, st, q, n);
    scan c = {.ix = ix, .st = st, .s = s, .capacity = scan_capacity(ix, st, q, o.wanted)};
    *is_done = st->coder->codec->batch_begin && (o.plan == VEC_PLAN_SCAN || o.plan == VEC_PLAN_FILTER_EXACT) &&
               c.capacity <= MOST_CAPACITY;
    if (!*is_done) {
        reader_leave(s);
        scratch_give(s);
        return VEC_OK;
    }
    q->plan = o.plan;
    /* each has its time, and they are answered together */
    if (q->timeout_us) c.deadline_ns = now_ns() + 1000 * q->timeout_us * n;
    label_set allowed = {q->allowed, q->n_words};
    const uint64_t start = q->allowed ? thread_ns() : 0;
    int rc = prepare_batch(ix, s, st, given, n);
    c.batch = s->batch;
    if (rc == VEC_OK) rc = scan_any(&c, &allowed, q->n_allowed);
    for (uint32_t j = 0; j < n && rc == VEC_OK; j++)
        rc = answer(&c, j, &allowed, o.k, labels + (size_t)j * q->k, distances + (size_t)j * q->k, &counts[j]);
    if (q->allowed && rc == VEC_OK) note_scan(ix, q, o.window, n, thread_ns() - start);
    note_searches(s, n - 1);
    finish_search(ix, s, q->plan);
    for (uint32_t j = 0; j < n && rc == VEC_OK; j++) {
        if (counts[j] >= o.k || counts[j] == c.n_held[j]) continue;             /* some were deleted before they were measured */
        int64_t found = vec_search(ix, given + j * ix->params.dim * dtype_bytes(ix->params.dtype), q, labels + (size_t)j * q->k,
                                   distances + (size_t)j * q->k);
        if (found < 0) return (int)found;
        counts[j] = (uint32_t)found;
    }
    return rc;
}

int vec_search_many(vec_index *ix, const char *queries, size_t n, vec_query *q, uint64_t *labels, double *distances,
                    uint32_t *counts) {
    size_t bytes = ix->params.dim * dtype_bytes(ix->params.dtype);
    int together = 1, plan = VEC_PLAN_NONE, n_walks = 0;
    double least_ns = 0;
    for (size_t i = 0; i < n;) {
        uint32_t m = n - i < MOST_QUERIES ? (uint32_t)(n - i) : MOST_QUERIES;
        if (together && m > 1) {
            int rc = search_batch(ix, queries + i * bytes, m, q, labels + i * q->k, distances + i * q->k, counts + i, plan,
                                  &together);
            if (rc != VEC_OK) return rc;
            if (together) { i += m; continue; }
        }
        size_t before = i;
        int rc = n - i > 1 ? search_interleaved(ix, queries, n, q, labels, distances, counts, &i) : VEC_OK;
        if (rc != VEC_OK) return rc;
        if (i != before) continue;
        const uint64_t start = q->allowed && n_walks < 2 ? thread_ns() : 0;
        int64_t found = vec_search(ix, queries + i * bytes, q, labels + i * q->k, distances + i * q->k);
        if (found < 0) return (int)found;
        counts[i++] = (uint32_t)found;
        if (!start || n - i < 2) continue;
        /* What a walk takes depends on how much the filter keeps away from the query. Queries that come together tend to be
           alike: where the first two took longer than one scan for the others will, that is what they get. */
        const double ns = (double)(thread_ns() - start);
        if (!n_walks++ || ns < least_ns) least_ns = ns;
        if (n_walks == 2 && least_ns > scan_cost(ix, shown_to(ix, q), n - i < MOST_QUERIES ? (uint32_t)(n - i) : MOST_QUERIES))
            together = 1, plan = VEC_PLAN_FILTER_EXACT;
    }
    return VEC_OK;
}

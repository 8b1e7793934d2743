/* Range search: a walk to the region, then a flood through everything within reach; small indexes and small filters are scanned,
   and so is everything when the region turns out to be a large part of it. */
#include "search.h"

#include <math.h>

/* A flood takes three to six times as long for a vector as a scan does: one that has seen a third of all is left. */
enum { SCAN_RANGE_UP_TO = 20000, FLOOD_SHARE = 3 };

/* Expands all of s->found until nothing new is within reach. WALK_DEAR: more than most_scored were looked at. */
static int flood(vec_index *ix, const store *st, scratch *s, float reach, uint64_t most_scored, uint64_t deadline_ns) {
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
        if (s->n_scored > most_scored) return WALK_DEAR;
        if (!(next & 63) && deadline_ns && now_ns() > deadline_ns) return VEC_ETIMEOUT;
    }
    return VEC_OK;
}

/* How far keys lie above exact distances at most, for this query: 4.5 standard deviations beyond the mean over the seeds, which
   are vectors at random. Negative: not known.
   Not for projections, whose error is not that of vectors at random near the query. */
static double error_of_keys(vec_index *ix, const store *st, scratch *s) {
    const coder *c = st->coder;
    uint32_t n = atomic_load_explicit(&ix->n_seeds, memory_order_acquire), n_slots = atomic_load(&ix->n_slots), m = 0;
    double exact[MAX_SEEDS], sum = 0, squares = 0;
    if (n < 16 || c->codec->reduces) return -1;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t v = atomic_load_explicit(&ix->seeds[i], memory_order_relaxed);
        if (v >= n_slots) continue;
        s->primaries[m] = slab_at(&st->primary, v);
        s->residuals[m++] = c->residual_bytes ? slab_at(&st->residual, v) : NULL;
    }
    c->codec->keys(&s->query, s->primaries, m, s->keys);
    c->codec->exact(&s->query, s->primaries, s->residuals, m, exact);
    for (uint32_t i = 0; i < m; i++) sum += s->keys[i] - exact[i];
    for (uint32_t i = 0; i < m; i++) squares += (s->keys[i] - exact[i] - sum / m) * (s->keys[i] - exact[i] - sum / m);
    double error = sum / m + 4.5 * sqrt(squares / m);
    return error > 0 ? error : 0;
}

/* How far beyond the radius keys may lie: epsilon, and the error of keys against exact distances. */
static float reach_of(const vec_index *ix, const coder *c, const query *q, const vec_query *order, double epsilon, double error) {
    double r = order->radius, slack = 1e-5 * (1 + fabs(r));
    if (is_compressed(c->codec) && error >= 0) {
        double least = 0.01 * (c->metric == VEC_L2 ? q->base + r : 1 + fabs(r));  /* it is also what a flood flows through */
        slack = error > least ? error : least;
    } else if (is_compressed(c->codec)) {
        /* first levels err in proportion to the vectors' sizes */
        double scale = c->metric == VEC_L2 ? q->base + r : 1 + fabs(r);
        if (c->metric == VEC_IP && most_norm2(ix) > 0) scale = sqrt(q->norm2 * most_norm2(ix)) + fabs(r);
        slack = (c->bits1 == 4 ? 0.1 : 0.01) * scale;
        if (c->codec->reduces) slack *= 4;
    }
    return (float)(r + fabs(r) * epsilon + slack);
}

static int range_hits(vec_index *ix, scratch *s, const char *given, vec_query *q, uint32_t *n_out) {
    const store *st = atomic_load_explicit(&ix->store, memory_order_acquire);
    uint64_t deadline = q->timeout_us ? now_ns() + 1000 * q->timeout_us : 0;
    int rc = prepare_query(ix, s, st, (const uint8_t *)given);
    if (rc != VEC_OK) return rc;
    uint64_t n_vectors = atomic_load(&ix->n_vectors);
    label_set allowed = {q->allowed, q->n_words};
    double epsilon = q->epsilon < 0 ? ix->params.epsilon : q->epsilon;
    float reach = reach_of(ix, st->coder, &s->query, q, epsilon, error_of_keys(ix, st, s));
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
        /* What is just within the radius is as hard to find as the last of ten. */
        uint32_t window = q->window ? q->window : default_window(ix, 10) + default_window(ix, 10) / 2,
                 least = q->window ? 32 : 48;
        const uint64_t most_scored = s->n_scored + n_vectors / FLOOD_SHARE;
        label_set all = {NULL, 0};
        rc = clear_visited(ix, s);
        if (rc == VEC_OK) rc = scan_tail(&c, &all);
        if (window < least) window = least;
        walk_order o = {window, window, deadline, all, reach, UINT64_MAX};
        if (rc == VEC_OK) rc = walk_range(ix, st, s, &o, &n);
        if (rc == VEC_OK) rc = flood(ix, st, s, reach, most_scored, deadline);
        if (rc == WALK_DEAR) {
            q->plan = q->allowed ? VEC_PLAN_FILTER_EXACT : VEC_PLAN_SCAN;
            s->n_found = 0;
            rc = scan_all(&c, &allowed);
        }
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
    finish_search(ix, s, q->plan);
    return rc == VEC_OK ? (int64_t)n : rc;
}

void vec_release(void *memory) { mem_free(memory); }

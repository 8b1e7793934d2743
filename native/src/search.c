/* The k nearest. Every search runs the same three steps: gather candidates by key (a scan, a graph walk or a filter plan), take
   the exact distances of the best of them, sort by (distance, label). */
#include "search.h"

#include <math.h>
#include <stdlib.h>

/* 1. From candidates to hits. */

static int compare_hits(const void *a, const void *b) {
    const hit *x = a, *y = b;
    if (x->distance != y->distance) return x->distance < y->distance ? -1 : 1;
    return (x->label > y->label) - (x->label < y->label);
}

/* Moves each to its place from behind, which is quick for what is nearly in order: a walk's hits are in that of their keys. 0:
   they are not, and it has been given up. */
static int sort_ordered(hit *h, uint32_t n) {
    uint64_t left = 16 * (uint64_t)n;
    for (uint32_t i = 1; i < n; i++) {
        hit x = h[i];
        uint32_t j = i;
        for (; j && compare_hits(&x, &h[j - 1]) < 0; j--) h[j] = h[j - 1];
        h[j] = x;
        if (i - j > left) return 0;
        left -= i - j;
    }
    return 1;
}

/* Puts the k first of n hits in order; the others are lost. */
void sort_hits(hit *h, uint32_t n, uint32_t k) {
    if (n > 64 && k > 64) {
        if (!sort_ordered(h, n)) qsort(h, n, sizeof *h, compare_hits);
        return;
    }
    for (uint32_t i = 1; i < n; i++) {
        hit x = h[i];
        if (i >= k && compare_hits(&x, &h[k - 1]) >= 0) continue;
        uint32_t j = i < k ? i : k - 1;
        for (; j && compare_hits(&x, &h[j - 1]) < 0; j--) h[j] = h[j - 1];
        h[j] = x;
    }
}

/* Exact distances of n slots, appended to s->hits; those that may no longer be returned are left out. */
int take_hits(vec_index *ix, const store *st, scratch *s, const label_set *allowed, const uint32_t *slots, uint32_t n,
              uint32_t *n_hits) {
    if (GROW(s, hits, *n_hits + n + 1) != VEC_OK) return VEC_ENOMEM;
    const coder *c = st->coder;
    double distances[64];
    for (uint32_t i = 0; i < n; i += 64) {
        uint32_t m = n - i < 64 ? n - i : 64;
        for (uint32_t j = 0; j < m; j++) {
            s->primaries[j] = slab_at(&st->primary, slots[i + j]);
            __builtin_prefetch(meta_at(ix, slots[i + j]));
            if (!c->residual_bytes) continue;
            s->residuals[j] = slab_at(&st->residual, slots[i + j]);
            prefetch_record(s->residuals[j], c->residual_bytes);
        }
        c->codec->exact(&s->query, s->primaries, s->residuals, m, distances);
        for (uint32_t j = 0; j < m; j++) {
            /* once: it may be deleted the next moment, and its label with it */
            const uint64_t meta = meta_get(ix, slots[i + j]);
            if (is_returned(allowed, meta)) s->hits[(*n_hits)++] = (hit){distances[j], meta_label(meta)};
        }
    }
    return VEC_OK;
}

/* How many candidates of a walk get exact distances: enough that the first level's error does not cost a result, and no more than
   the walk keeps anyway (keeping more than its window cost a fifth of the searches at recall 0.9). A projection to few dimensions
   has no bound to its error: there it is everything the walk kept; of many, 64 for ten results found no less than all of 96
   did. */
static uint32_t rerank_count(const coder *c, uint32_t k, uint32_t window, uint32_t capacity) {
    if (!is_compressed(c->codec)) return k;
    uint64_t n = (uint64_t)k + (c->codec->is_two_level ? k + 20 : 8);
    if (c->codec->reduces) n = c->reduced >= 128 ? 4 * (uint64_t)k + 24 : window;
    if (n > window) n = window;
    if (c->codec->reduces && n < capacity) n = capacity;
    return n < k ? k : (uint32_t)n;
}

int hits_of_buffer(vec_index *ix, const store *st, scratch *s, const label_set *allowed, uint32_t n, uint32_t wanted,
                   uint32_t *n_hits) {
    if (GROW(s, found, n + 1) != VEC_OK) return VEC_ENOMEM;
    uint32_t m = 0;
    for (uint32_t i = 0; i < n && m < wanted; i++)
        if (!(s->buffer[i].id & BARRED)) s->found[m++] = s->buffer[i].id & ID_MASK;
    return take_hits(ix, st, s, allowed, s->found, m, n_hits);
}

/* 2. Plans. */

enum { RERANK_ALL_UP_TO = 2048 };

uint32_t usual_window(const vec_index *ix, double target) {
    if (!(target > 0)) target = ix->params.target_recall;
    return target <= 0.96 ? 40 : target <= 0.98 ? 80 : 160;
}

uint32_t default_window(const vec_index *ix, uint32_t k) {
    uint32_t w = ix->params.search_window ? ix->params.search_window : atomic_load(&((vec_index *)ix)->auto_window);
    if (!ix->params.search_window) {
        if (!w) w = usual_window(ix, 0);
        if (k > 10) w = w + (k - 10) + (k - 10) / 4;
    }
    return w;
}

uint32_t vec_default_window(const vec_index *ix, uint32_t k) { return default_window(ix, k); }

uint64_t scan_up_to(uint64_t window) { return 40 * window; }

/* The window of a walk among the allowed, over that of an unfiltered one. */
#define FILTERED_WINDOW 1.1

/* What a filtered walk takes is about linear in this: the fewer are allowed, the more bridges it searches for them. */
static double walk_units(double window, double share) {
    double bridges = 0.1 / share;
    return 20 + window * (1 + 0.8 * (1 - share) + 0.25 * (bridges < 1 ? bridges : 1));
}

/* What filtered searches take here, in ns of this thread: for a vector that is scanned, alone or for several queries, and for a
   unit of walk_units. A scan for n queries takes about as long as BATCH_SHARE * n + 1 units of it. */
#define BATCH_SHARE 0.2

/* Until they are measured: as on one core of 2023 under load. */
void costs_expect(vec_index *ix, const coder *c) {
    double scan = 4 + (double)c->primary_bytes / 25;
    atomic_store(&ix->scan_ns, (float)scan);
    atomic_store(&ix->batch_ns, (float)(2 * scan));
    atomic_store(&ix->walk_ns, (float)(330 + (double)c->primary_bytes / 2));
}

static double cost_of(const _Atomic float *measured) {
    return atomic_load_explicit((_Atomic float *)measured, memory_order_relaxed);
}

/* For each of n queries. */
double scan_cost(const vec_index *ix, uint64_t m, uint32_t n_together) {
    return (double)m * (n_together < 2 ? cost_of(&ix->scan_ns) : cost_of(&ix->batch_ns) * (BATCH_SHARE + 1.0 / n_together));
}

static double walk_cost(const vec_index *ix, double units) { return units * cost_of(&ix->walk_ns); }

/* Moving averages. One search that found nothing in the caches must not decide what is done from then on. */
static void note_cost(_Atomic float *average, double ns) {
    double old = cost_of(average), now = ns < 2 * old ? ns : 2 * old;
    atomic_store_explicit(average, (float)(old + (now - old) / 16), memory_order_relaxed);
}

/* Whether to measure this one: asking for a thread's time takes up to a microsecond. */
static int is_sampled(void) {
    static _Thread_local uint32_t n;
    return !(n++ & 3);
}

void note_scan(vec_index *ix, const vec_query *q, uint32_t window, uint32_t n_together, uint64_t ns) {
    uint64_t n = atomic_load(&ix->n_vectors), m = q->n_allowed < n ? q->n_allowed : n;
    if (!q->allowed || m <= scan_up_to(window)) return;         /* of short ones, much is not the scan */
    double each = (double)ns / (double)m;
    if (n_together < 2) note_cost(&ix->scan_ns, each);
    else note_cost(&ix->batch_ns, each / (BATCH_SHARE * n_together + 1));
}

enum { TRY_OTHER_EVERY = 64 };

/* n_together: queries of the call, which a scan answers together. */
static int choose_plan(vec_index *ix, const vec_query *q, uint32_t window, uint32_t n_together) {
    uint64_t n = atomic_load(&ix->n_vectors), m = q->n_allowed < n ? q->n_allowed : n;
    if (!q->allowed) return ix->params.algorithm == VEC_FLAT || n <= scan_up_to(window) ? VEC_PLAN_SCAN : VEC_PLAN_GRAPH;
    if (ix->params.algorithm == VEC_FLAT || m <= scan_up_to(window)) return VEC_PLAN_FILTER_EXACT;
    if (m * 10 >= n * 9) return VEC_PLAN_FILTER_POST;
    double scan = scan_cost(ix, m, n_together), walk = walk_cost(ix, walk_units(FILTERED_WINDOW * window, (double)m / (double)n));
    /* Where it is close, now and then the other one: an estimate that is never used is never mended. */
    static _Thread_local uint32_t n_chosen;
    int other = n_chosen++ % TRY_OTHER_EVERY == 0 && scan < 2 * walk && walk < 2 * scan;
    return (scan <= walk) != other ? VEC_PLAN_FILTER_EXACT : VEC_PLAN_FILTER_WALK;
}

/* Vectors that a scan looks at. */
uint64_t shown_to(const vec_index *ix, const vec_query *q) {
    uint64_t n = atomic_load(&((vec_index *)ix)->n_vectors);
    return q->allowed && q->n_allowed < n ? q->n_allowed : n;
}

/* Candidates that a scan keeps: beyond `wanted`, what the caller asks to re-rank, what a projection may have misjudged, and a few
   that rounding keys to floats may have made equal. */
uint32_t scan_capacity(vec_index *ix, const store *st, const vec_query *q, uint32_t wanted) {
    uint64_t shown = shown_to(ix, q), n = wanted;
    const codec *codec = st->coder->codec;
    uint64_t least = (uint64_t)q->k + (codec->is_two_level ? 3 * (uint64_t)q->k + 24 : 8);  /* here more costs next to nothing */
    if (!is_compressed(codec)) n += 8;
    else if (n < least) n = least;
    if (codec->is_two_level && q->capacity > n) n = q->capacity;
    if (codec->reduces && shown <= RERANK_ALL_UP_TO) n = shown;
    if (codec->reduces && shown / 32 > n) n = shown / 32;
    if (n > shown) n = shown;
    return n ? (uint32_t)n : 1;
}

int scan_any(scan *c, const label_set *allowed, uint64_t n_allowed) {
    return allowed->words && n_allowed < atomic_load(&c->ix->n_vectors) / 8 ? scan_allowed(c, allowed) : scan_all(c, allowed);
}

/* What was found may be deleted before it is measured: where that leaves too few, the scan starts again and keeps more. */
static int plan_exact(scan *c, const label_set *allowed, const vec_query *q, uint32_t wanted, uint32_t *n_hits) {
    int rc = VEC_OK;
    c->capacity = scan_capacity(c->ix, c->st, q, wanted);
    for (int tries = 0; tries < 6 && rc == VEC_OK; tries++, c->capacity *= 4) {
        const uint64_t shown = shown_to(c->ix, q);
        if (tries && c->capacity > shown) c->capacity = shown ? (uint32_t)shown : 1;
        *n_hits = 0;
        rc = scan_any(c, allowed, q->n_allowed);
        if (rc == VEC_OK) rc = hits_of_buffer(c->ix, c->st, c->s, allowed, c->n, c->n, n_hits);
        if (*n_hits >= q->k || *n_hits == c->n) break;
    }
    return rc;
}

/* What a walk may do before a scan of all that is allowed would have been cheaper: what is scored or searched for allowed ones on
   a walk takes about five times as long as on a scan. A little more than twice what a scan takes is then the worst. */
static uint64_t work_of_scan(uint64_t n_matches) { return n_matches / 5 + 1000; }

/* Windows that nobody asked for are fitted to the filter. Where those near the query are allowed as often as any, a little more
   than the window without filter finds as much. Where they are allowed more rarely, down to not at all, up to seven times the
   window is needed: over filters at random, by directions and by clusters of three data sets it went about with the root of how
   much more rarely. */
static double fitted(double share, double local_share) {
    double wider = pow(share / (local_share + 0.01), 0.45);
    return FILTERED_WINDOW * (wider > 1 ? wider : 1);
}

static int walk_with_filter(vec_index *ix, const store *st, scratch *s, const vec_query *q, walk_order *o, uint32_t *n) {
    entrance e;
    uint64_t n_vectors = atomic_load(&ix->n_vectors), n_matches = q->n_allowed < n_vectors ? q->n_allowed : n_vectors;
    double share = n_vectors ? (double)n_matches / (double)n_vectors : 1;
    int rc = enter_filtered(ix, st, s, o, &e);
    if (rc != VEC_OK) return rc;
    if (!q->window && !ix->params.search_window) {
        double window = o->window * fitted(share, e.local_share);
        o->window = window < MAX_WINDOW ? (uint32_t)window : MAX_WINDOW;
        if (o->window > n_matches) o->window = (uint32_t)n_matches;
    }
    const double units = walk_units(o->window, share);
    if (walk_cost(ix, units) > scan_cost(ix, n_matches, 1)) return WALK_DEAR;
    if (o->capacity < o->window) o->capacity = o->window;
    o->most_work = work_of_scan(n_matches);
    const uint64_t start = is_sampled() ? thread_ns() : 0;
    rc = walk_filtered(ix, st, s, o, &e, n);
    if (rc == VEC_OK && start) note_cost(&ix->walk_ns, (double)(thread_ns() - start) / units);
    return rc;
}

/* From this share of allowed vectors on, a plain walk that leaves the barred ones out at its end takes less time than one among
   the allowed, as long as those near the query are allowed as often as any. */
#define WALK_ALL_FROM 0.35

/* Such a walk's window and capacity: nearly all are allowed, or a share s. For the k nearest of those, the k / s nearest of all
   are asked, for which a window is wide enough as for that k. Returns how many must be allowed of what is found; fewer are no
   answer. */
static uint32_t widen_past_barred(const vec_index *ix, const vec_query *q, walk_order *o) {
    const double n = (double)atomic_load(&((vec_index *)ix)->n_vectors), share = n > 0 ? (double)shown_to(ix, q) / n : 1;
    const uint32_t window = o->window, k = sure_of(q) < window ? sure_of(q) : window;
    if (share >= 0.9) {
        o->window += o->window / 4, o->capacity += o->capacity / 4;
        return o->window / 2;
    }
    double enough = window;
    if (!q->window && !ix->params.search_window) enough = window * share + 1.5 * k * (1 - share);
    enough = enough > window ? window : enough < k ? k : enough;
    const double wide = enough / share, capacity = o->capacity > window ? o->capacity / share : wide;
    o->window = wide < MAX_WINDOW ? (uint32_t)wide : MAX_WINDOW;
    o->capacity = capacity > o->window ? (uint32_t)capacity : o->window;
    return 0.65 * enough > k ? (uint32_t)(0.65 * enough) : k;
}

/* Whether to try that. Where it often fails, since queries look for what is barred, only now and then. */
static int walks_past_barred(vec_index *ix, uint64_t matches, uint64_t n_vectors) {
    static _Thread_local uint32_t n;
    return (double)matches >= WALK_ALL_FROM * (double)n_vectors &&
           (atomic_load_explicit(&ix->past_barred_fails, memory_order_relaxed) < 0.3f || !(n++ & 15));
}

static void note_past_barred(vec_index *ix, int fails) {
    float old = atomic_load_explicit(&ix->past_barred_fails, memory_order_relaxed);
    atomic_store_explicit(&ix->past_barred_fails, old + ((float)fails - old) / 16, memory_order_relaxed);
}

static int plan_graph(scan *c, const label_set *allowed, const vec_query *q, uint32_t window, int plan, uint32_t wanted,
                      uint32_t *n_hits) {
    vec_index *ix = c->ix;
    scratch *s = c->s;
    uint32_t n, capacity = q->capacity > wanted ? q->capacity : wanted;
    int rc = clear_visited(ix, s);
    /* The tail first: what is linked meanwhile is then found in one of the two. */
    if (rc == VEC_OK && atomic_load(&ix->tail_head) != atomic_load_explicit(&ix->tail_end, memory_order_acquire)) {
        c->capacity = wanted;
        rc = scan_tail(c, allowed);
        if (rc == VEC_OK) rc = hits_of_buffer(ix, c->st, s, allowed, c->n, wanted, n_hits);
    }
    walk_order o = {window, window > capacity ? window : capacity, c->deadline_ns, *allowed, -INFINITY, UINT64_MAX};
    uint32_t least = 0;
    if (plan == VEC_PLAN_FILTER_POST) least = widen_past_barred(ix, q, &o);
    if (rc == VEC_OK)
        rc = plan == VEC_PLAN_FILTER_WALK ? walk_with_filter(ix, c->st, s, q, &o, &n) : walk_any(ix, c->st, s, &o, &n);
    if (rc == VEC_OK && plan == VEC_PLAN_FILTER_POST) {
        uint32_t n_allowed = 0;
        for (uint32_t i = 0; i < n; i++)
            if (may_return(ix, allowed, s->buffer[i].id & ID_MASK)) n_allowed++;
            else s->buffer[i].id |= BARRED;
        if (n_allowed < least) {                /* those that are barred are those that are near: no answer */
            *n_hits = 0;
            return VEC_OK;
        }
    }
    return rc == VEC_OK ? hits_of_buffer(ix, c->st, s, allowed, n, q->capacity > wanted ? q->capacity : wanted, n_hits) : rc;
}

int prepare_into(const vec_index *ix, const store *st, const uint8_t *given, query *q) {
    const vec_params *p = &ix->params;
    const coder *c = st->coder;
    int is_raw = !is_compressed(c->codec), rc = VEC_OK;
    if (is_raw && p->dtype == VEC_FLOAT64) {
        if (is_nonfinite(p->dtype, given, p->dim)) return VEC_ENONFINITE;
    } else if (!is_raw || p->dtype < VEC_INT8) rc = ingest(p->dtype, p->metric, is_raw, given, p->dim, q->x, &q->norm2);
    if (rc == VEC_OK && atomic_load_explicit(&ix->learns_from_queries, memory_order_relaxed)) recent_note((vec_index *)ix, q->x);
    if (rc == VEC_OK) c->codec->prepare(c, q->x, given, q);
    return rc;
}

/* Reads the query into s->query. */
int prepare_query(vec_index *ix, scratch *s, const store *st, const uint8_t *given) {
    int rc = scratch_shape(ix, s, st);
    return rc == VEC_OK ? prepare_into(ix, st, given, &s->query) : rc;
}

/* A plan of NONE: there is nothing to find. Shortens q->capacity to what there is. */
search_order order_of(vec_index *ix, const store *st, vec_query *q, uint32_t n_together) {
    uint64_t n_vectors = atomic_load(&ix->n_vectors);
    search_order o = {.k = q->k < n_vectors ? q->k : (uint32_t)n_vectors, .plan = VEC_PLAN_NONE};
    if (!o.k || (q->allowed && !q->n_allowed)) return o;
    o.sure = sure_of(q) < o.k ? sure_of(q) : o.k;
    o.window = q->window ? q->window : default_window(ix, o.sure);
    if (o.window > n_vectors) o.window = (uint32_t)n_vectors;           /* wider is no better, and takes memory */
    if (o.window < o.sure) o.window = o.sure;
    if (q->capacity > n_vectors) q->capacity = (uint32_t)n_vectors;
    o.wanted = rerank_count(st->coder, o.k, o.window, q->capacity);
    o.plan = q->plan == VEC_PLAN_NONE ? choose_plan(ix, q, o.window, n_together) : q->plan;
    return o;
}

int search_prepared(vec_index *ix, const store *st, scratch *s, vec_query *q, uint32_t *n_out) {
    uint64_t deadline = q->timeout_us ? now_ns() + 1000 * q->timeout_us : 0, n_vectors = atomic_load(&ix->n_vectors);
    search_order o = order_of(ix, st, q, 1);
    uint32_t k = o.k, window = o.window, wanted = o.wanted, n_hits = 0;
    int rc;
    *n_out = 0;
    q->plan = o.plan;
    if (o.plan == VEC_PLAN_NONE) return VEC_OK;
    label_set allowed = {q->allowed, q->n_words};
    const uint64_t start = o.plan == VEC_PLAN_FILTER_EXACT && is_sampled() ? thread_ns() : 0,
                   matches = q->allowed && q->n_allowed < n_vectors ? q->n_allowed : n_vectors;
    scan c = {.ix = ix, .st = st, .s = s, .deadline_ns = deadline};
    if (q->plan == VEC_PLAN_SCAN || q->plan == VEC_PLAN_FILTER_EXACT) rc = plan_exact(&c, &allowed, q, wanted, &n_hits);
    else {
        int is_past = q->plan == VEC_PLAN_FILTER_WALK && walks_past_barred(ix, matches, n_vectors),
            plan = is_past ? VEC_PLAN_FILTER_POST : q->plan;
        rc = plan_graph(&c, &allowed, q, window, plan, wanted, &n_hits);
        if (rc == VEC_OK && is_past) note_past_barred(ix, n_hits < o.sure);
        if (rc == VEC_OK && n_hits < o.sure && plan == VEC_PLAN_FILTER_POST) {
            n_hits = 0;
            q->plan = VEC_PLAN_FILTER_WALK;
            rc = plan_graph(&c, &allowed, q, window, q->plan, wanted, &n_hits);
        }
        /* The graph did not lead to enough, or would have at too high a price: make sure. */
        if (rc == WALK_DEAR || (rc == VEC_OK && n_hits < o.sure && n_hits < matches)) {
            n_hits = 0;
            q->plan = q->allowed ? VEC_PLAN_FILTER_EXACT : VEC_PLAN_SCAN;
            rc = plan_exact(&c, &allowed, q, wanted, &n_hits);
        }
    }
    if (rc != VEC_OK) return rc;
    if (start) note_scan(ix, q, o.window, 1, thread_ns() - start);
    sort_hits(s->hits, n_hits, k);
    *n_out = n_hits < q->k ? n_hits : q->k;
    return VEC_OK;
}

void note_searches(scratch *s, uint64_t n) {     /* only the scratch's holder writes: no need to lock the line */
    atomic_store_explicit(&s->n_searches, atomic_load_explicit(&s->n_searches, memory_order_relaxed) + n, memory_order_relaxed);
    atomic_store_explicit(&s->n_compared, atomic_load_explicit(&s->n_compared, memory_order_relaxed) + s->n_scored,
                          memory_order_relaxed);
    s->n_scored = 0;
}

void end_search(vec_index *ix, scratch *s, int plan) {
    reader_leave(s);
    note_searches(s, 1);
    if (atomic_load_explicit(&ix->last_plan, memory_order_relaxed) != plan)
        atomic_store_explicit(&ix->last_plan, plan, memory_order_relaxed);
}

void finish_search(vec_index *ix, scratch *s, int plan) {
    end_search(ix, s, plan);
    scratch_give(s);
}

/* What every walk reads first starts on its way while the query is read: a lone search finds it far from the processor. */
void prefetch_seeds(vec_index *ix, const store *st) {
    uint32_t n_seeds = atomic_load_explicit(&ix->n_seeds, memory_order_acquire);
    for (uint32_t i = 0; i < n_seeds; i++)
        prefetch_record(slab_at(&st->primary, atomic_load_explicit(&ix->seeds[i], memory_order_relaxed)),
                        st->coder->primary_bytes);
}

int64_t vec_search(vec_index *ix, const char *given, vec_query *q, uint64_t *labels, double *distances) {
    uint32_t n;
    scratch *s = scratch_take(ix);
    reader_enter(ix, s);
    const store *st = atomic_load_explicit(&ix->store, memory_order_acquire);
    q->plan = VEC_PLAN_NONE;
    prefetch_seeds(ix, st);
    int rc = prepare_query(ix, s, st, (const uint8_t *)given);
    if (rc == VEC_OK) rc = search_prepared(ix, st, s, q, &n);
    if (rc == VEC_OK)
        for (uint32_t i = 0; i < n; i++) labels[i] = s->hits[i].label, distances[i] = s->hits[i].distance;
    finish_search(ix, s, q->plan);
    return rc == VEC_OK ? (int64_t)n : rc;
}

int64_t vec_search_one(vec_index *ix, const char *query, uint32_t k, uint32_t window, uint32_t capacity, uint64_t timeout_us,
                       uint64_t *labels, double *distances) {
    vec_query q = {.k = k, .window = window, .capacity = capacity, .timeout_us = timeout_us};
    return vec_search(ix, query, &q, labels, distances);
}

int vec_distances(vec_index *ix, const char *given, const uint64_t *labels, size_t n, double *distances) {
    scratch *s = scratch_take(ix);
    reader_enter(ix, s);
    const store *st = atomic_load_explicit(&ix->store, memory_order_acquire);
    const coder *c = st->coder;
    int rc = prepare_query(ix, s, st, (const uint8_t *)given);
    for (size_t i = 0; i < n && rc == VEC_OK; i++) {
        uint32_t slot = labels[i] <= MAX_LABEL ? labels_find(&ix->labels, labels[i]) : NO_SLOT;
        distances[i] = NAN;
        if (slot == NO_SLOT || meta_label(meta_get(ix, slot)) != labels[i] || !is_live(meta_get(ix, slot))) continue;
        const uint8_t *primary = slab_at(&st->primary, slot), *residual = c->residual_bytes ? slab_at(&st->residual, slot) : NULL;
        c->codec->exact(&s->query, &primary, &residual, 1, &distances[i]);
        s->n_scored++;
    }
    finish_search(ix, s, atomic_load(&ix->last_plan));
    return rc;
}

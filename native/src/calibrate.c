/* What recall each window gives, measured on the index itself; from it the window for any recall that is asked for.

   A query that was never stored is harder than a stored vector, which its own neighbours point to. So a stored vector is hidden
   while it is the query: it is neither scored nor returned, and where a row leads to it the walk goes on to the two nearest of
   its own neighbours instead, which is how a row is mended when a neighbour is deleted (Xu et al., IP-DiskANN, 2025, take three).
   On three data sets (text embeddings of 384 and 768 dimensions, SIFT) the recall of windows 10 .. 512 was within 0.005 of that
   of vectors held out of the index, and never more than 0.005 above that of real queries. Hidden without a substitute, the same
   vectors were up to 0.06 too hard; 0.7 x + 0.3 z of two of them up to 0.04 too easy where the window is small. */
#include "search.h"

#include <math.h>
#include <string.h>

#include "half.h"

enum { MOST_ASKED = 800, FEWEST_ASKED = 200, WIDE_ASKED = 200, WIDE = 48, LONG_RECORD = 1024, TEN = 10 };
#define SCANNED 80e6                            /* distances that the exact answers may take in all, but for FEWEST_ASKED */
#define DEFAULT_TARGET 0.95
/* A little more than the target is aimed at: this share of what may be missed, for the sample is small; at least what codes cost,
   for the answers that it is compared with are those of the codes. */
#define MARGIN 0.15
#define CODES_MISS 0.004
/* Where a target is out of reach: what the widest windows find more than this is not worth its time. */
#define NEGLIGIBLE 0.001

static const uint32_t ladder[N_RUNGS] = {10, 12, 14, 16, 18, 20, 24, 28, 32, 40, 48, 64, 80, 96, 128, 160, 192, 256, 384, 512};

typedef struct { uint32_t slot, n_nearest; uint64_t label, nearest[TEN]; } question;

typedef struct {
    vec_index *ix;
    scratch *s;
    float *vector;
    uint8_t *given;                             /* the query in the index's type */
    question *questions;
    uint32_t n;
} trial;

static int is_askable(const vec_index *ix, const question *q) { return meta_get(ix, q->slot) == meta_of(SLOT_LINKED, q->label); }

static void choose_questions(trial *t) {
    vec_index *ix = t->ix;
    uint64_t random = 1;
    uint32_t n_slots = atomic_load(&ix->n_slots);
    double most = SCANNED / n_slots / (ix->wanted->reduces ? 3 : 1);
    reader_enter(ix, t->s);
    /* of what takes longest */
    uint32_t at_most = atomic_load(&ix->store)->coder->primary_bytes > LONG_RECORD ? MOST_ASKED / 2 : MOST_ASKED;
    reader_leave(t->s);
    uint32_t wanted = most > at_most ? at_most : most < FEWEST_ASKED ? FEWEST_ASKED : (uint32_t)most;
    for (uint32_t tries = 0; t->n < wanted && tries < 20 * wanted; tries++) {
        question *q = &t->questions[t->n];
        q->slot = (uint32_t)(next_random(&random) % n_slots);
        q->label = meta_label(meta_get(ix, q->slot));
        t->n += (uint32_t)is_askable(ix, q);
    }
}

/* Raw codecs of other types read their query in that type. */
static const uint8_t *as_given(trial *t) {
    const vec_params *p = &t->ix->params;
    for (uint32_t i = 0; i < p->dim; i++) {
        double d = t->vector[i];
        if (p->dtype == VEC_FLOAT64) memcpy(t->given + 8 * i, &d, 8);
        else if (p->dtype == VEC_INT8 || p->dtype == VEC_UINT8) t->given[i] = (uint8_t)(int)lrintf(t->vector[i]);
    }
    return t->given;
}

/* A projection may lose what is near: its exact answers are those of the second level, for everything. */
static int scan_finest(vec_index *ix, const store *st, scratch *s, uint32_t *n_hits) {
    enum { PIECE = 1024 };
    const label_set all = {NULL, 0};
    uint32_t slots[PIECE], n_slots = atomic_load_explicit(&ix->n_slots, memory_order_acquire);
    for (uint32_t slot = 0; slot < n_slots;) {
        uint32_t m = 0;
        for (; slot < n_slots && m < PIECE; slot++)
            if (is_live(meta_get(ix, slot))) slots[m++] = slot;
        int rc = take_hits(ix, st, s, &all, slots, m, n_hits);
        if (rc != VEC_OK) return rc;
        sort_hits(s->hits, *n_hits, TEN + 1);
        if (*n_hits > TEN + 1) *n_hits = TEN + 1;
    }
    return VEC_OK;
}

/* One question by one plan, its own vector hidden: the labels of up to TEN hits. */
static uint32_t answer(trial *t, const question *x, uint32_t window, int plan, uint64_t *labels) {
    vec_index *ix = t->ix;
    scratch *s = t->s;
    vec_query q = {.k = TEN + 1, .window = window, .plan = plan};
    uint32_t n = 0, m = 0;
    reader_enter(ix, s);
    const store *st = atomic_load_explicit(&ix->store, memory_order_acquire);
    const coder *c = st->coder;
    if (plan == VEC_PLAN_GRAPH) q.k = TEN, s->hidden = x->slot + 1;
    if (scratch_shape(ix, s, st) == VEC_OK) {
        c->codec->decode(c, slab_at(&st->primary, x->slot), c->residual_bytes ? slab_at(&st->residual, x->slot) : NULL,
                         t->vector);
        c->codec->prepare(c, t->vector, as_given(t), &s->query);
        int rc = plan == VEC_PLAN_SCAN && c->codec->reduces ? scan_finest(ix, st, s, &n) : search_prepared(ix, st, s, &q, &n);
        if (rc != VEC_OK) n = 0;
    }
    s->hidden = 0;
    for (uint32_t i = 0; i < n && m < TEN; i++)
        if (s->hits[i].label != x->label) labels[m++] = s->hits[i].label;
    reader_leave(s);
    s->n_scored = 0;
    return m;
}

/* New vectors do not wait for this. 0: the index is being closed. */
static int give_way(vec_index *ix) {
    while (!ix->is_stopping && links_turn(ix) == 1) {}
    return !ix->is_stopping;
}

/* Recall of a window over questions[0 .. n-1], and over the first few of them; -1: the index is being closed. */
static double recall_of(trial *t, uint32_t window, uint32_t n, double *of_few) {
    uint64_t right = 0, all = 0, found[TEN];
    *of_few = 1;
    for (uint32_t i = 0; i < n; i++) {
        const question *q = &t->questions[i];
        if (!give_way(t->ix)) return -1;
        if (is_askable(t->ix, q)) {
            uint32_t m = answer(t, q, window, VEC_PLAN_GRAPH, found);
            all += q->n_nearest;
            for (uint32_t a = 0; a < m; a++)
                for (uint32_t b = 0; b < q->n_nearest; b++) right += found[a] == q->nearest[b];
        }
        if (all && (i + 1 == WIDE_ASKED || (i + 1 == n && n < WIDE_ASKED))) *of_few = (double)right / (double)all;
    }
    return all ? (double)right / (double)all : 1;
}

/* Fills the index's curve, smallest window first, as far as it still rises. Wide windows are asked fewer questions: what they
   find more than the last of the others, on the same questions, is added to what that found. */
static int measure(trial *t) {
    vec_index *ix = t->ix;
    double recall[N_RUNGS], base = 0, base_few = 0, few;
    uint32_t n = 0;
    for (uint32_t i = 0; i < t->n; i++) {
        if (!give_way(ix)) return 0;
        t->questions[i].n_nearest = answer(t, &t->questions[i], 0, VEC_PLAN_SCAN, t->questions[i].nearest);
    }
    for (; n < N_RUNGS; n++) {
        int is_wide = ladder[n] > WIDE && t->n > WIDE_ASKED;
        double r = recall_of(t, ladder[n], is_wide ? WIDE_ASKED : t->n, &few);
        if (r < 0) return 0;
        if (is_wide) r = base + r - base_few;
        else base = r, base_few = few;
        recall[n] = n && r < recall[n - 1] ? recall[n - 1] : r < 1 ? r : 1;
        if (recall[n] >= 0.9995 || (n >= 14 && recall[n] - recall[n - 3] < NEGLIGIBLE)) { n++; break; }
    }
    for (uint32_t i = 0; i < n; i++) atomic_store(&ix->curve[i], (float)recall[i]);
    atomic_store_explicit(&ix->n_rungs, n, memory_order_release);
    return 1;
}

void calibrate(vec_index *ix) {
    uint32_t dim = ix->params.dim;
    atomic_store(&ix->calibrated_at, atomic_load(&ix->n_linked));
    trial t = {.ix = ix, .s = &ix->link_scratch};
    t.questions = mem_alloc(&ix->account, VEC_MEM_SCRATCH, MOST_ASKED * sizeof *t.questions);
    t.vector = mem_alloc(&ix->account, VEC_MEM_SCRATCH, ((size_t)dim + 128) * sizeof *t.vector);
    t.given = mem_alloc(&ix->account, VEC_MEM_SCRATCH, 8 * (size_t)dim);
    if (t.questions && t.vector && t.given) {
        choose_questions(&t);
        if (t.n && measure(&t)) {
            atomic_store(&ix->auto_window, curve_window(ix, ix->params.target_recall));
            atomic_store(&ix->is_calibrated, 1);
        }
    }
    mem_free(t.questions), mem_free(t.vector), mem_free(t.given);
}

uint32_t curve_window(const vec_index *index, double target) {
    vec_index *ix = (vec_index *)index;
    uint32_t n = atomic_load_explicit(&ix->n_rungs, memory_order_acquire), i = 0;
    if (!n) return 0;
    if (!(target > 0)) target = DEFAULT_TARGET;
    double best = atomic_load(&ix->curve[n - 1]) - NEGLIGIBLE, more = MARGIN * (1 - target);
    if (is_compressed(ix->wanted) && more < CODES_MISS) more = CODES_MISS;
    double aim = target + more < best ? target + more : best;
    while (i + 1 < n && atomic_load(&ix->curve[i]) < aim) i++;
    if (!i) return ladder[0];
    double low = atomic_load(&ix->curve[i - 1]), high = atomic_load(&ix->curve[i]);
    double part = high > low ? (aim - low) / (high - low) : 1;
    return ladder[i - 1] + (uint32_t)ceil((part < 1 ? part : 1) * (ladder[i] - ladder[i - 1]));
}

double curve_recall(const vec_index *index, uint32_t window) {
    vec_index *ix = (vec_index *)index;
    uint32_t n = atomic_load_explicit(&ix->n_rungs, memory_order_acquire), i = 0;
    if (!n) return 0;
    while (i < n && ladder[i] < window) i++;
    if (!i || i == n) return atomic_load(&ix->curve[i ? n - 1 : 0]);
    double low = atomic_load(&ix->curve[i - 1]), high = atomic_load(&ix->curve[i]);
    return low + (high - low) * (window - ladder[i - 1]) / (ladder[i] - ladder[i - 1]);
}

void vec_recalibrate(vec_index *ix) {
    pthread_mutex_lock(&ix->lock);
    atomic_store(&ix->calibrated_at, 0);
    if (ix->has_writer) ix->is_idle = 0;
    pthread_cond_signal(&ix->wake);
    pthread_mutex_unlock(&ix->lock);
}

uint32_t vec_window(vec_index *ix, uint32_t k, double target) {
    uint32_t w = curve_window(ix, target);
    if (!w) {                                   /* not measured yet, or not in the image that this came from */
        if (!atomic_exchange(&ix->is_curve_wanted, 1)) {
            pthread_mutex_lock(&ix->lock);
            pthread_cond_signal(&ix->wake);
            pthread_mutex_unlock(&ix->lock);
        }
        w = usual_window(ix, target);
    }
    return k > TEN ? w + (k - TEN) + (k - TEN) / 4 : w;
}

int64_t vec_search_without(vec_index *ix, const char *given, uint64_t label, uint32_t k, uint32_t sure, uint32_t window,
                           uint64_t *labels, double *distances) {
    vec_query q = {.k = k + 1, .sure = sure ? sure + 1 : 0, .window = window ? window : default_window(ix, sure ? sure : k)};
    uint32_t n = 0, m = 0, slot = label <= MAX_LABEL ? labels_find(&ix->labels, label) : NO_SLOT;
    scratch *s = scratch_take(ix);
    reader_enter(ix, s);
    const store *st = atomic_load_explicit(&ix->store, memory_order_acquire);
    int rc = prepare_query(ix, s, st, (const uint8_t *)given);
    s->hidden = slot == NO_SLOT ? 0 : slot + 1;
    if (rc == VEC_OK) rc = search_prepared(ix, st, s, &q, &n);
    s->hidden = 0;
    for (uint32_t i = 0; i < n && m < k; i++)
        if (s->hits[i].label != label) labels[m] = s->hits[i].label, distances[m++] = s->hits[i].distance;
    finish_search(ix, s, q.plan);
    return rc == VEC_OK ? (int64_t)m : rc;
}

/* The batch iterator: all vectors from the nearest on, a batch at a time.

   It holds nothing of the index's: no slot, no epoch, no code. What it knows are the labels that it has given and the query. When
   the ones found ahead run out it searches again, for half as many more than were ever found: then the searches of a whole
   iteration take about three times what the last of them does, and adds, removals, sweeps and another coder between two batches
   need no care.
   Once everything is asked for, a search returns every live vector, and the iteration ends with what is left of it. */
#include "search.h"

#include <math.h>

typedef struct label_table { uint64_t *entries; uint64_t size, n; } label_table;        /* label plus one; 0: empty */

struct vec_iterator {
    vec_index *index;
    uint32_t window;
    label_table given;
    uint64_t *ahead;                            /* labels that were found and not given, nearest first */
    uint64_t n_ahead, at;
    uint64_t reach;                             /* the k of the last search */
    int is_ended;                               /* a search for everything found nothing new */
    char query[];
};

/* Where a label is, or the empty place for it. */
static uint64_t *place_of(const label_table *t, uint64_t label) {
    uint64_t i = (label + 1) * 0x9E3779B97F4A7C15u;
    for (i ^= i >> 32;; i++) {
        uint64_t *e = &t->entries[i & (t->size - 1)];
        if (!*e || *e == label + 1) return e;
    }
}

static int reserve_table(label_table *t, uint64_t more) {
    if (2 * (t->n + more) <= t->size) return VEC_OK;
    label_table bigger = {.size = t->size ? t->size : 64, .n = t->n};
    while (bigger.size < 2 * (t->n + more)) bigger.size *= 2;
    bigger.entries = mem_zeroed(NULL, 0, bigger.size * sizeof *bigger.entries);
    if (!bigger.entries) return VEC_ENOMEM;
    for (uint64_t i = 0; i < t->size; i++)
        if (t->entries[i]) *place_of(&bigger, t->entries[i] - 1) = t->entries[i];
    mem_free(t->entries);
    *t = bigger;
    return VEC_OK;
}

int vec_iterator_new(vec_index *ix, const char *query, uint32_t window, vec_iterator **out) {
    const size_t bytes = ix->params.dim * dtype_bytes(ix->params.dtype);
    if (is_nonfinite(ix->params.dtype, (const uint8_t *)query, ix->params.dim)) return VEC_ENONFINITE;
    vec_iterator *it = mem_zeroed(NULL, 0, sizeof *it + bytes);
    if (!it) return VEC_ENOMEM;
    it->index = ix, it->window = window;
    memcpy(it->query, query, bytes);
    *out = it;
    return VEC_OK;
}

void vec_iterator_free(vec_iterator *it) {
    if (!it) return;
    mem_free(it->given.entries), mem_free(it->ahead), mem_free(it);
}

/* Searches for `batch` more, or half as many again as the last time if that is more,
   and puts what was not given yet into it->ahead. */
static int search_ahead(vec_iterator *it, uint32_t batch, uint64_t timeout_us) {
    vec_index *ix = it->index;
    const uint64_t n_vectors = atomic_load(&ix->n_vectors), wanted = it->given.n + batch, more = it->reach + it->reach / 2;
    uint64_t k = wanted > more ? wanted : more;
    if (k > n_vectors - n_vectors / 4) k = n_vectors;  /* nearly everything: the rest comes at the price of a scan in any case */
    uint64_t *labels = mem_alloc(NULL, 0, (k + 1) * sizeof *labels);
    double *distances = mem_alloc(NULL, 0, (k + 1) * sizeof *distances);
    /* A window that was given is for the first batch: what comes on top of it is searched as well as that. */
    uint64_t window = it->window ? it->window + (k - (k < batch ? k : batch)) + (k - (k < batch ? k : batch)) / 4 : 0;
    vec_query q = {.k = (uint32_t)k, .window = window < MAX_WINDOW ? (uint32_t)window : MAX_WINDOW, .timeout_us = timeout_us};
    int64_t n = labels && distances ? vec_search(ix, it->query, &q, labels, distances) : VEC_ENOMEM;
    mem_free(distances);
    if (n < 0) {
        mem_free(labels);
        return (int)n;
    }
    uint64_t kept = 0;
    for (int64_t i = 0; i < n; i++)
        if (!it->given.size || !*place_of(&it->given, labels[i])) labels[kept++] = labels[i];
    mem_free(it->ahead);
    it->ahead = labels, it->n_ahead = kept, it->at = 0, it->reach = k;
    it->is_ended = !kept && k >= n_vectors;
    return VEC_OK;
}

/* Takes from it->ahead what is still there, with the distances that it has now. */
static int64_t take_ahead(vec_iterator *it, uint32_t batch, uint64_t *labels, double *distances) {
    int64_t n = 0;
    while (n < batch && it->at < it->n_ahead) {
        uint64_t left = it->n_ahead - it->at, m = (uint64_t)(batch - n) < left ? (uint64_t)(batch - n) : left;
        int rc = reserve_table(&it->given, m);
        if (rc == VEC_OK) rc = vec_distances(it->index, it->query, it->ahead + it->at, m, distances + n);
        if (rc != VEC_OK) return n ? n : rc;
        int64_t from = n;
        for (uint64_t i = 0; i < m; i++, it->at++) {
            uint64_t label = it->ahead[it->at], *place = place_of(&it->given, label);
            double d = distances[from + (int64_t)i];
            if (isnan(d) || *place) continue;
            *place = label + 1, it->given.n++;
            labels[n] = label, distances[n++] = d;
        }
    }
    return n;
}

int64_t vec_iterator_next(vec_iterator *it, uint32_t batch, uint64_t timeout_us, uint64_t *labels, double *distances) {
    int64_t n = 0;
    while (n < batch && !it->is_ended) {
        int rc = it->at < it->n_ahead ? VEC_OK : search_ahead(it, batch - (uint32_t)n, timeout_us);
        int64_t more = rc == VEC_OK ? take_ahead(it, batch - (uint32_t)n, labels + n, distances + n) : rc;
        if (more < 0) {
            if (!n) return more;
            break;                              /* what was taken counts as given */
        }
        n += more;
    }
    hit *hits = NULL;
    if (n > 1) hits = mem_alloc(NULL, 0, (uint64_t)n * sizeof *hits);
    if (!hits) return n;                        /* without memory: unsorted rather than lost */
    for (int64_t i = 0; i < n; i++) hits[i] = (hit){distances[i], labels[i]};
    sort_hits(hits, (uint32_t)n, (uint32_t)n);
    for (int64_t i = 0; i < n; i++) labels[i] = hits[i].label, distances[i] = hits[i].distance;
    mem_free(hits);
    return n;
}

#include "rescore.h"

#include <math.h>

#include "vec.h"

/* How many are measured without a look at the estimates; and then, from one look to the next. */
enum { FEWEST = 24, MORE = 8, AT_LEAST = 8 };

void rescoring_begin(rescoring *r, const double *estimates, const double *distances, double *nearest, size_t n, size_t k,
                     double slack) {
    *r = (rescoring){.estimates = estimates, .distances = distances, .nearest = nearest, .n = n, .slack = slack};
    r->k = k < n ? k : n;
}

/* Puts a distance into the heap of the k nearest. */
static void hold(rescoring *r, double d) {
    double *heap = r->nearest;
    size_t at;
    if (r->n_held < r->k) {
        for (at = r->n_held++; at && heap[(at - 1) / 2] < d; at = (at - 1) / 2) heap[at] = heap[(at - 1) / 2];
        heap[at] = d;
        return;
    }
    if (!(d < heap[0])) return;
    for (at = 0;;) {
        size_t child = 2 * at + 1;
        if (child >= r->k) break;
        if (child + 1 < r->k && heap[child + 1] > heap[child]) child++;
        if (!(heap[child] > d)) break;
        heap[at] = heap[child], at = child;
    }
    heap[at] = d;
}

static double distance_at(const rescoring *r, size_t i) { return isnan(r->distances[i]) ? r->estimates[i] : r->distances[i]; }

/* The scale of the errors of the first n. */
static double scale_of(const rescoring *r, size_t n) {
    double sum = 0, off = 0;
    for (size_t i = 0; i < n; i++) sum += r->estimates[i] - distance_at(r, i);
    for (size_t i = 0; i < n; i++) off += fabs(r->estimates[i] - distance_at(r, i) - sum / (double)n);
    return n ? off / (double)n : 0;
}

static int wants(const rescoring *r, double estimate) {
    return r->n_held < r->k || !(estimate > r->nearest[0] + r->slack * r->scale);
}

static size_t first_of(const rescoring *r) {
    const size_t first = r->k + AT_LEAST > FEWEST ? r->k + AT_LEAST : FEWEST;
    return !r->k ? 0 : isinf(r->slack) || r->n < first ? r->n : first;
}

/* Takes in what has been measured, and looks for up to `most` more. */
static size_t look(rescoring *r, size_t most) {
    size_t more = 0;
    if (!r->n_seen) r->scale = scale_of(r, first_of(r));
    for (; r->n_seen < r->n_measured; r->n_seen++) hold(r, distance_at(r, r->n_seen));
    while (more < most && r->n_measured + more < r->n && wants(r, r->estimates[r->n_measured + more])) more++;
    return more;
}

size_t rescoring_more(rescoring *r) {
    size_t more = !r->n_measured ? first_of(r) : r->n_measured < r->n ? look(r, MORE) : 0;
    r->n_measured += more;
    return more;
}

size_t vec_rescore_reach(const double *estimates, const double *distances, size_t n_measured, size_t n, size_t k, double slack,
                         double *room) {
    rescoring r;
    rescoring_begin(&r, estimates, distances, room, n, k, slack);
    r.n_measured = n_measured < n ? n_measured : n;
    const size_t first = first_of(&r);
    return r.n_measured < first ? first : r.n_measured + look(&r, n);
}

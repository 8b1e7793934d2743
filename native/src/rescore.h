/* Rescoring that ends when no candidate is likely any more to come among the k nearest.

   Candidates come in the order of their estimates. The first few are measured whatever they are: they tell how far estimates of
   this query lie from exact distances, as the mean deviation of the difference from its mean, which is their scale in any metric
   and for any length of the query. Then the next one is measured as long as its estimate is at most the k-th nearest distance so
   far and `slack` of these. RaBitQ's bound of the error (Gao and Long, SIGMOD 2024) has this form, with a scale from the lengths
   of query and vector; here it is measured, so that it holds for every codec, and the slack is what a share of the true nearest
   needs on the index's own data. */
#ifndef VAMANA_RESCORE_H
#define VAMANA_RESCORE_H

#include <stddef.h>

typedef struct {
    const double *estimates, *distances;        /* of n candidates; a distance that is nan counts as the estimate */
    double *nearest;                            /* the k nearest so far, a heap, the greatest first: room for k */
    size_t n, k, n_measured, n_seen, n_held;      /* seen: those whose distances were looked at */
    double slack, scale;
} rescoring;

/* slack: INFINITY for all. */
void rescoring_begin(rescoring *r, const double *estimates, const double *distances, double *nearest, size_t n, size_t k,
                     double slack);
/* How many to measure next, of those behind the first r->n_measured, all of which have their distances now; 0: enough. */
size_t rescoring_more(rescoring *r);

#endif

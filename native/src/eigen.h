/* Principal axes, for LeanVec. */
#ifndef EIGEN_H
#define EIGEN_H
#include <stddef.h>
#include <stdint.h>

#include "mem.h"

/* m orthonormal rows of dim floats into out: the span of the m strongest principal axes of n sample vectors around mean, in a
   random basis of that span. The result depends on the input only. VEC_ENOMEM. */
int principal_axes(const float *sample, size_t n, uint32_t dim, const float *mean, uint32_t m, float *out, mem_account *account);
/* m random orthonormal rows. VEC_ENOMEM. */
int random_axes(uint32_t dim, uint32_t m, float *out, mem_account *account);

/* Rows A (query) and B (data), m of dim floats each, such that <A q, B x> is as near to <q, x> as m products can be, for queries
   like these and vectors like the sample (LeanVec-Sphering, arXiv 2410.22347). With K = L L^T the products of the queries and U
   the strongest axes of L^T C L, C the sample's covariance: B = U^T L^T, A = U^T L^-1; L from Cholesky's decomposition does what
   K's symmetric root does, for any W with W^T W = K gives the same products. K is shrunk towards the identity by dim / (dim +
   n_queries), since a few hundred queries do not span the space; shrunk all the way this is PCA.

   Axis i of B is divided by the fourth root of its variance and A's multiplied by it, then both are rotated alike: among the
   pairs with the same products that one makes the error of coarse codes least, which is in proportion to the mean lengths of A q
   and B x. For keywords over sentences of 768 dimensions, at 384 and 4 bits, 0.93 of the true ten are then the first ten, 0.91
   without (PCA: 0.92); at 192 0.82, 0.82 and 0.78. VEC_ENOMEM. */
int query_axes(const float *sample, size_t n, uint32_t dim, const float *mean, const float *queries, size_t n_queries, uint32_t m,
               float *data, float *query, mem_account *account);
#endif

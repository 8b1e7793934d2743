/* Principal axes, for LeanVec. */
#ifndef EIGEN_H
#define EIGEN_H
#include <stddef.h>
#include <stdint.h>

#include "mem.h"

/* m orthonormal rows of dim floats into out: the span of the m strongest principal axes of n sample vectors around mean, in a random
   basis of that span. The result depends on the input only. VEC_ENOMEM. */
int principal_axes(const float *sample, size_t n, uint32_t dim, const float *mean, uint32_t m, float *out, mem_account *account);
#endif

/* Rows by what they are grouped by: the numbers of groups, counts and sums, each in one pass over the rows. */
#include "vec.h"

int64_t vec_group_rows(const vec_group_key *keys, uint64_t n_keys, const uint32_t *rows, uint64_t n, uint32_t *group_of, uint32_t *groups,
                       uint32_t *first) {
    uint32_t n_groups = 0;
    for (uint64_t i = 0; i < n; i++) {
        uint64_t code = 0;
        for (uint64_t k = 0; k < n_keys; k++) {
            if (rows[i] >= keys[k].n) return VEC_EARG;
            code = code * keys[k].n_values + keys[k].codes[rows[i]];
        }
        uint32_t group = group_of[code];
        if (!group) {
            first[n_groups] = rows[i];
            group_of[code] = group = ++n_groups;
        }
        groups[i] = group - 1;
    }
    for (uint32_t g = 0; g < n_groups; g++) {           /* the table as it was */
        uint64_t code = 0;
        for (uint64_t k = 0; k < n_keys; k++) code = code * keys[k].n_values + keys[k].codes[first[g]];
        group_of[code] = 0;
    }
    return n_groups;
}

void vec_group_add(const uint32_t *groups, const uint32_t *rows, uint64_t n, const double *column, uint64_t n_column, double *sums,
                   int64_t *counts) {
    if (!column) {
        for (uint64_t i = 0; i < n; i++) counts[groups[i]]++;
        return;
    }
    for (uint64_t i = 0; i < n; i++) {
        if (rows[i] >= n_column || column[rows[i]] != column[rows[i]]) continue;
        counts[groups[i]]++;
        sums[groups[i]] += column[rows[i]];
    }
}

int vec_are_ascending(const int64_t *values, const uint32_t *rows, uint64_t n) {
    for (uint64_t i = 1; i < n; i++)
        if (values[rows[i - 1]] >= values[rows[i]]) return 0;
    return 1;
}

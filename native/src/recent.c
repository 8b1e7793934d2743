/* Recent queries, for codecs that learn from them: a bounded sample that searches add to without waiting for anybody.

   The first 1,024 queries are all taken, later ones one in 16, each in the place of the oldest. A place is empty, held by one
   thread, or full; who finds it held goes on without. Vectors are kept in half floats at length 1, for their directions are what
   is asked for; lengths beside them, since L2 subtracts a mean. */
#include "index.h"

#include <math.h>

#include "half.h"
#include "kernels.h"

enum { N_RECENT = 1024, ONE_IN = 16, EMPTY = 0, HELD = 1, FULL = 2 };

struct recent {
    _Atomic uint32_t n_taken;
    _Atomic uint8_t state[N_RECENT];
    float length[N_RECENT];
    uint16_t vectors[];
};

static size_t size_of(const vec_params *p) { return sizeof(struct recent) + (size_t)N_RECENT * p->dim * 2; }

uint64_t recent_bytes(const vec_params *p) { return mem_bytes(size_of(p)); }

static struct recent *recent_of(vec_index *ix) {
    struct recent *r = atomic_load_explicit(&ix->recent, memory_order_acquire);
    if (r) return r;
    struct recent *fresh = mem_zeroed(&ix->account, VEC_MEM_OTHER, size_of(&ix->params));
    if (fresh && !atomic_compare_exchange_strong(&ix->recent, &r, fresh)) {
        mem_free(fresh);                        /* somebody was faster */
        return r;
    }
    return fresh;
}

void recent_note(vec_index *ix, const float *x) {
    uint32_t seen = atomic_fetch_add_explicit(&ix->n_noted, 1, memory_order_relaxed);
    if (seen >= N_RECENT && seen % ONE_IN) return;
    struct recent *r = recent_of(ix);
    uint32_t dim = ix->params.dim;
    double norm = sqrt(K.sum_squares(x, dim));
    if (!r || !(norm > 0)) return;
    uint32_t at = atomic_fetch_add_explicit(&r->n_taken, 1, memory_order_relaxed) % N_RECENT;
    if (atomic_exchange_explicit(&r->state[at], HELD, memory_order_acquire) == HELD) return;
    uint16_t *to = r->vectors + (size_t)at * dim;
    float inverse = (float)(1 / norm);
    for (uint32_t i = 0; i < dim; i++) to[i] = float_to_half(x[i] * inverse);
    r->length[at] = (float)norm;
    atomic_store_explicit(&r->state[at], FULL, memory_order_release);
}

uint32_t recent_count(const vec_index *ix) {
    struct recent *r = atomic_load_explicit(&((vec_index *)ix)->recent, memory_order_acquire);
    uint32_t n = r ? atomic_load_explicit(&r->n_taken, memory_order_relaxed) : 0;
    return n < N_RECENT ? n : N_RECENT;
}

int recent_take(vec_index *ix, float **queries, size_t *n) {
    struct recent *r = atomic_load_explicit(&ix->recent, memory_order_acquire);
    uint32_t dim = ix->params.dim;
    *n = 0, *queries = NULL;
    if (!r) return VEC_OK;
    *queries = mem_alloc(&ix->account, VEC_MEM_OTHER, (size_t)N_RECENT * dim * sizeof **queries);
    if (!*queries) return VEC_ENOMEM;
    for (uint32_t at = 0; at < N_RECENT; at++) {
        uint8_t state = FULL;
        if (!atomic_compare_exchange_strong_explicit(&r->state[at], &state, HELD, memory_order_acquire, memory_order_relaxed))
            continue;
        float *to = *queries + *n * dim, length = ix->params.metric == VEC_L2 ? r->length[at] : 1;
        for (uint32_t i = 0; i < dim; i++) to[i] = length * half_to_float(r->vectors[(size_t)at * dim + i]);
        ++*n;
        atomic_store_explicit(&r->state[at], FULL, memory_order_release);
    }
    return VEC_OK;
}

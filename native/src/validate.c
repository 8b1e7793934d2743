/* vec_validate: every invariant that can be checked from outside the algorithms. For tests and debugging; slow. */
#include <math.h>
#include <string.h>

#include "index.h"

static const char *check_labels(vec_index *ix) {
    uint64_t live = 0;
    for (uint32_t i = 0; i < atomic_load(&ix->n_slots); i++) {
        uint64_t meta = meta_get(ix, i);
        if (!is_live(meta)) continue;
        live++;
        if (labels_find(&ix->labels, meta_label(meta)) != i) return "a live slot is not its label's";
    }
    if (live != atomic_load(&ix->n_vectors)) return "live slots differ from n_vectors";
    if (ix->labels.n != live) return "labels differ from live slots";
    return NULL;
}

static const char *check_counts(vec_index *ix) {
    uint32_t n[4] = {0}, in_tail = 0, listed = 0;
    for (uint32_t i = 0; i < atomic_load(&ix->n_slots); i++) n[meta_state(meta_get(ix, i))]++;
    tail_ring *t = atomic_load(&ix->tail);
    for (uint64_t i = atomic_load(&ix->tail_head); i < atomic_load(&ix->tail_end); i++) {
        uint32_t slot = atomic_load(&t->slot[i & t->mask]);
        if (slot == NO_SLOT) continue;
        in_tail += meta_state(meta_get(ix, slot)) == SLOT_DELETED;
        listed += meta_state(meta_get(ix, slot)) == SLOT_TAIL;
    }
    if (ix->params.algorithm == VEC_GRAPH && listed != n[SLOT_TAIL]) return "slots in the tail differ from its list";
    if (n[SLOT_LINKED] != atomic_load(&ix->n_linked)) return "linked slots differ from n_linked";
    if (ix->params.algorithm == VEC_GRAPH && n[SLOT_DELETED] != atomic_load(&ix->n_deleted) + in_tail)
        return "deleted slots differ from n_deleted";
    for (uint32_t i = 0; i < ix->n_free; i++)
        if (meta_state(meta_get(ix, ix->free_slots[i])) != SLOT_FREE) return "a slot on the free list is not free";
    return NULL;
}

static const char *check_rows(vec_index *ix) {
    uint32_t n = atomic_load(&ix->n_slots), degree = ix->params.max_degree;
    for (uint32_t i = 0; i < n; i++) {
        int state = meta_state(meta_get(ix, i));
        if (state != SLOT_LINKED && state != SLOT_DELETED) continue;
        const _Atomic uint32_t *row = row_at(ix, i);
        for (uint32_t j = 0; j < degree && row[j] != NO_EDGE; j++) {
            uint32_t to = row[j];
            if (to >= n) return "an edge leads nowhere";
            if (to == i) return "a vector is its own neighbour";
            if (meta_state(meta_get(ix, to)) == SLOT_FREE) return "an edge leads to a free slot";
            for (uint32_t k = 0; k < j; k++)
                if (row[k] == to) return "an edge is there twice";
        }
    }
    for (uint32_t i = 0; i < atomic_load(&ix->n_seeds); i++)
        if (meta_state(meta_get(ix, atomic_load(&ix->seeds[i]))) == SLOT_FREE) return "a seed is a free slot";
    return NULL;
}

/* What walks cannot reach they cannot find. With fewer than four neighbours not everything can be kept in reach. */
static const char *check_reach(vec_index *ix) {
    uint32_t n = atomic_load(&ix->n_slots), degree = ix->params.max_degree, n_stack = 0, reached = 0;
    if (!atomic_load(&ix->n_linked)) return NULL;
    uint8_t *seen = mem_zeroed(NULL, 0, n);
    uint32_t *stack = mem_alloc(NULL, 0, n * sizeof *stack);
    if (!seen || !stack) { mem_free(seen), mem_free(stack); return "no memory to validate"; }
    for (uint32_t i = 0; i < atomic_load(&ix->n_seeds); i++) {
        uint32_t v = atomic_load(&ix->seeds[i]);
        if (!seen[v]) seen[v] = 1, stack[n_stack++] = v;
    }
    while (n_stack) {
        uint32_t v = stack[--n_stack];
        reached += meta_state(meta_get(ix, v)) == SLOT_LINKED;
        const _Atomic uint32_t *row = row_at(ix, v);
        for (uint32_t j = 0; j < degree && row[j] != NO_EDGE; j++)
            if (!seen[row[j]]) seen[row[j]] = 1, stack[n_stack++] = row[j];
    }
    mem_free(seen), mem_free(stack);
    uint32_t linked = atomic_load(&ix->n_linked);
    return degree > 3 && reached != linked ? "vectors are out of reach" : NULL;
}

static const char *check_codes(vec_index *ix) {
    const store *st = atomic_load(&ix->store);
    const coder *c = st->coder;
    for (uint32_t i = 0; i < atomic_load(&ix->n_slots); i++) {
        if (!is_live(meta_get(ix, i))) continue;
        c->codec->decode(c, slab_at(&st->primary, i), c->residual_bytes ? slab_at(&st->residual, i) : NULL, ix->add_vector);
        for (uint32_t j = 0; j < c->dim; j++)
            if (!isfinite(ix->add_vector[j])) return "a code decodes to nan or infinity";
    }
    return NULL;
}

int vec_validate(vec_index *ix, const char **what) {
    pthread_mutex_lock(&ix->lock);
    writer_pause(ix);
    *what = check_labels(ix);
    if (!*what) *what = check_counts(ix);
    if (!*what) *what = check_codes(ix);
    if (!*what && ix->params.algorithm == VEC_GRAPH) *what = check_rows(ix);
    if (!*what && ix->params.algorithm == VEC_GRAPH && ix->is_idle && is_mended(ix)) *what = check_reach(ix);
    writer_resume(ix);
    pthread_mutex_unlock(&ix->lock);
    return *what ? VEC_EINVARIANT : VEC_OK;
}

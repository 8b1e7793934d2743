/* The graph: one flat layer, Vamana (Subramanya et al., 2019), built in one pass.

   Linking x: walk for x with the construction window; prune what was found to at most R - slack neighbours; write x's row; add x
   to each neighbour's row, pruning that row when it is full. Pruning takes the nearest candidate p and drops every p' with
   alpha * |p - p'|^2 < |x - p'|^2, and so on. All candidates are first unpacked into one contiguous block, where a distance costs
   a few nanoseconds. All metrics prune in L2 (unit vectors for COSINE; IP with the coordinate that makes it one), so alpha means
   one thing; IP with differing norms also keeps edges to the greatest products, found by a second walk.

   Deviations: strictly less in the rule, and at most half a row for neighbours at distance 0, newest first, so that masses of
   equal vectors form a connected band instead of a clique without exits; a new vector always gets at least one edge towards it.

   Deleting: deleted vectors stay as stepping stones. A sweep then goes over all rows in slices: a row with doomed ids is pruned
   anew from its live neighbours and the live neighbours of the doomed ones. Afterwards nothing leads to
   the doomed slots and they are reused. */
#include "index.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct prune_space {
    uint32_t size;                              /* candidates */
    const coder *shaped_for;
    uint64_t shaped_id;                         /* its id: another may come to lie at the same address */
    entry *candidates;                          /* distance to the centre, slot */
    uint8_t *block;                             /* rows, the last for the centre */
    const uint8_t **later;                      /* rows still in the running */
    uint32_t *later_at;
    float *distances;
    uint8_t *is_out;
    int8_t *work;
    uint32_t *chosen;
} prune_space;

void prune_space_free(prune_space *p) {
    if (!p) return;
    mem_free(p->candidates), mem_free(p->block), mem_free(p->later), mem_free(p->later_at), mem_free(p->distances);
    mem_free(p->is_out), mem_free(p->work), mem_free(p->chosen), mem_free(p);
}

static uint32_t candidates_at_most(const vec_params *p) {
    uint32_t w = p->build_window > p->max_degree + 1 ? p->build_window : p->max_degree + 1;
    return w < 256 ? 512 : 2 * w;
}

uint64_t prune_bytes(const vec_params *params, const coder *c) {
    uint64_t n = candidates_at_most(params);
    return mem_bytes(sizeof(prune_space)) + mem_bytes(n * sizeof(entry)) + mem_bytes((n + 1) * c->row_bytes)
           + mem_bytes(n * sizeof(uint8_t *)) + 2 * mem_bytes(n * 4) + mem_bytes(n) + mem_bytes(c->padded + 64)
           + mem_bytes((params->max_degree + 1) * sizeof(uint32_t));
}

static prune_space *space_for(vec_index *ix, scratch *s, const coder *c) {
    prune_space *p = s->prune;
    if (p && p->shaped_id == c->id) return p;
    prune_space_free(p);
    s->prune = NULL;
    mem_account *a = &ix->account;
    p = mem_zeroed(a, VEC_MEM_SCRATCH, sizeof *p);
    if (!p) return NULL;
    uint32_t n = p->size = candidates_at_most(&ix->params);
    p->shaped_for = c, p->shaped_id = c->id;
    p->candidates = mem_alloc(a, VEC_MEM_SCRATCH, n * sizeof *p->candidates);
    p->block = mem_alloc(a, VEC_MEM_SCRATCH, (n + 1) * c->row_bytes);
    p->later = mem_alloc(a, VEC_MEM_SCRATCH, n * sizeof *p->later);
    p->later_at = mem_alloc(a, VEC_MEM_SCRATCH, n * sizeof *p->later_at);
    p->distances = mem_alloc(a, VEC_MEM_SCRATCH, n * sizeof *p->distances);
    p->is_out = mem_alloc(a, VEC_MEM_SCRATCH, n);
    p->work = mem_alloc(a, VEC_MEM_SCRATCH, c->padded + 64);
    p->chosen = mem_alloc(a, VEC_MEM_SCRATCH, (ix->params.max_degree + 1) * sizeof *p->chosen);
    if (!p->candidates || !p->block || !p->later || !p->later_at || !p->distances || !p->is_out || !p->work || !p->chosen) {
        prune_space_free(p);
        return NULL;
    }
    return s->prune = p;
}

static uint8_t *row_of(const prune_space *p, uint32_t i) { return p->block + (size_t)i * p->shaped_for->row_bytes; }

static void load_row(vec_index *ix, const store *st, uint32_t slot, uint8_t *row) {
    const coder *c = st->coder;
    c->codec->load_row(c, slab_at(&st->primary, slot), c->residual_bytes ? slab_at(&st->residual, slot) : NULL, most_norm2(ix),
                       row);
}

static int nearer(const void *a, const void *b) {
    const entry *x = a, *y = b;
    if (x->key != y->key) return x->key < y->key ? -1 : 1;
    return x->id < y->id ? 1 : -1;              /* equal: the newer slot */
}

/* Inner products of vectors whose norms differ: what a query's best are has little to do with what is near, and large vectors are
   the best of many. There half of a row is kept for those with the greatest product, whatever lies near. */
static int mixes_products(const vec_index *ix) {
    vec_index *x = (vec_index *)ix;
    return ix->params.metric == VEC_IP && atomic_load_explicit(&x->usual_norm2, memory_order_relaxed) < 0.97f * most_norm2(x);
}

/* Puts the slots of the greatest products with centre into p->chosen and marks their places in is_out. p->distances are the
   augmented ones, in which 2 <x, y> = 2 M^2 - d^2 - 2 e_x e_y. */
static uint32_t choose_products(vec_index *ix, const store *st, prune_space *p, uint32_t centre, uint32_t n, uint32_t limit) {
    const coder *c = st->coder;
    float most = most_norm2(ix), own = most - (float)c->codec->norm2(c, slab_at(&st->primary, centre)), best[512];
    uint32_t n_best = 0, wanted = limit / 2;
    for (uint32_t i = 0; i < n && wanted; i++) {
        float rest = most - (float)c->codec->norm2(c, slab_at(&st->primary, p->candidates[i].id));
        float key = p->distances[i] / 2 + sqrtf((own > 0 ? own : 0) * (rest > 0 ? rest : 0));   /* falls as the product grows */
        if (n_best == wanted && !(key < best[n_best - 1])) continue;
        uint32_t at = n_best < wanted ? n_best++ : n_best - 1;
        for (; at && best[at - 1] > key; at--) best[at] = best[at - 1], p->chosen[at] = p->chosen[at - 1];
        best[at] = key, p->chosen[at] = i;
    }
    for (uint32_t i = 0; i < n_best; i++) p->is_out[p->chosen[i]] = 1, p->chosen[i] = p->candidates[p->chosen[i]].id;
    return n_best;
}

/* Chooses at most `limit` of p->candidates[0 .. n-1] (slots; keys are set here) as neighbours of centre, into p->chosen. */
static uint32_t prune(vec_index *ix, const store *st, prune_space *p, uint32_t centre, uint32_t n, uint32_t limit) {
    const coder *c = st->coder;
    entry *candidates = p->candidates;
    uint8_t *own = row_of(p, p->size);
    load_row(ix, st, centre, own);
    for (uint32_t i = 0; i < n; i++) {
        if (i + 4 < n) __builtin_prefetch(slab_at(&st->primary, candidates[i + 4].id));
        load_row(ix, st, candidates[i].id, row_of(p, i));
        p->later[i] = row_of(p, i);
    }
    c->codec->row_distances(c, own, p->later, n, p->distances, p->work);
    memset(p->is_out, 0, n);
    uint32_t n_chosen = mixes_products(ix) ? choose_products(ix, st, p, centre, n, limit) : 0, n_left = 0;
    /* Sort by distance; from here on an entry's id is its place in the block, slots are kept aside. */
    uint32_t *slot_of = p->later_at;
    for (uint32_t i = 0; i < n; i++) {
        slot_of[i] = candidates[i].id;
        if (!p->is_out[i]) candidates[n_left++] = (entry){p->distances[i], i};
    }
    n = n_left;
    qsort(candidates, n, sizeof *candidates, nearer);
    memset(p->is_out, 0, n);
    uint32_t n_equal = 0, most_equal = limit / 2 > 0 ? limit / 2 : 1;
    for (uint32_t i = 0; i < n && n_chosen < limit; i++) {
        if (p->is_out[i]) continue;
        if (candidates[i].key <= 0 && ++n_equal > most_equal) continue;
        p->chosen[n_chosen++] = slot_of[candidates[i].id];
        uint32_t m = 0;
        for (uint32_t j = i + 1; j < n; j++)
            if (!p->is_out[j]) p->later[m++] = row_of(p, candidates[j].id);
        if (n_chosen == limit) break;
        c->codec->row_distances(c, row_of(p, candidates[i].id), p->later, m, p->distances, p->work);
        m = 0;
        for (uint32_t j = i + 1; j < n; j++)
            if (!p->is_out[j]) p->is_out[j] = ix->params.alpha * p->distances[m++] < candidates[j].key;
    }
    return n_chosen;
}

static uint32_t row_limit(const vec_params *p) {
    uint32_t slack = p->max_degree / 8 < SLACK ? p->max_degree / 8 : SLACK;
    return p->max_degree - slack;
}

static void write_row(vec_index *ix, uint32_t slot, const uint32_t *ids, uint32_t n) {
    _Atomic uint32_t *row = row_at(ix, slot);
    for (uint32_t i = 0; i < ix->params.max_degree; i++)
        atomic_store_explicit(&row[i], i < n ? ids[i] : NO_EDGE, memory_order_release);
}

static uint32_t read_row(const vec_index *ix, uint32_t slot, uint32_t *ids) {
    const _Atomic uint32_t *row = row_at(ix, slot);
    uint32_t n = 0;
    for (; n < ix->params.max_degree; n++)
        if ((ids[n] = atomic_load_explicit(&row[n], memory_order_relaxed)) == NO_EDGE) break;
    return n;
}

static int is_deleted(const vec_index *ix, uint32_t slot) { return !is_live(meta_get(ix, slot)); }

static pthread_mutex_t *row_lock(vec_index *ix, uint32_t slot) { return &ix->row_locks[slot % N_ROW_LOCKS]; }

/* Adds the edge from -> to; a full row is pruned. Returns whether the edge is there afterwards. Under the row's lock. */
static int add_edge_locked(vec_index *ix, const store *st, prune_space *p, uint32_t from, uint32_t to, uint32_t *ids) {
    const uint32_t degree = ix->params.max_degree;
    _Atomic uint32_t *row = row_at(ix, from);
    uint32_t n = read_row(ix, from, ids);
    for (uint32_t i = 0; i < n; i++)
        if (ids[i] == to) return 1;
    if (n < degree) {
        if (n + 1 < degree) atomic_store_explicit(&row[n + 1], NO_EDGE, memory_order_relaxed);
        atomic_store_explicit(&row[n], to, memory_order_release);
        return 1;
    }
    uint32_t m = 0;
    p->candidates[m++].id = to;
    for (uint32_t i = 0; i < n; i++)
        if (!is_deleted(ix, ids[i])) p->candidates[m++].id = ids[i];
    uint32_t n_chosen = prune(ix, st, p, from, m, row_limit(&ix->params));
    write_row(ix, from, p->chosen, n_chosen);
    for (uint32_t i = 0; i < n_chosen; i++)
        if (p->chosen[i] == to) return 1;
    return 0;
}

static int add_edge(vec_index *ix, const store *st, prune_space *p, uint32_t from, uint32_t to, uint32_t *ids) {
    pthread_mutex_lock(row_lock(ix, from));
    int is_there = add_edge_locked(ix, st, p, from, to, ids);
    pthread_mutex_unlock(row_lock(ix, from));
    return is_there;
}

/* Puts `to` behind `from` without taking anything out of reach: in a free place, or in place of the last neighbour, which `to`
   then leads to itself. Under both rows' locks. */
static void insert_behind_locked(vec_index *ix, uint32_t from, uint32_t to, uint32_t *ids) {
    const uint32_t degree = ix->params.max_degree;
    uint32_t n = read_row(ix, from, ids);
    for (uint32_t i = 0; i < n; i++)
        if (ids[i] == to) return;
    uint32_t place = n < degree ? n : degree - 1, moved = n < degree ? NO_EDGE : ids[place];
    if (moved != NO_EDGE && !(ix->sweep_end && is_deleted(ix, moved))) {  /* let go: a sweep may have passed to's row already */
        n = read_row(ix, to, ids);
        int is_there = moved == to;
        for (uint32_t i = 0; i < n; i++) is_there |= ids[i] == moved;
        if (!is_there) atomic_store_explicit(&row_at(ix, to)[n < degree ? n : degree - 1], moved, memory_order_release);
        if (!is_there && n + 1 < degree) atomic_store_explicit(&row_at(ix, to)[n + 1], NO_EDGE, memory_order_release);
    } else if (place + 1 < degree) atomic_store_explicit(&row_at(ix, from)[place + 1], NO_EDGE, memory_order_release);
    atomic_store_explicit(&row_at(ix, from)[place], to, memory_order_release);
}

static void insert_behind(vec_index *ix, uint32_t from, uint32_t to, uint32_t *ids) {
    pthread_mutex_t *a = row_lock(ix, from), *b = row_lock(ix, to);
    pthread_mutex_lock(a < b ? a : b);          /* always in one order */
    if (a != b) pthread_mutex_lock(a < b ? b : a);
    insert_behind_locked(ix, from, to, ids);
    if (a != b) pthread_mutex_unlock(b);
    pthread_mutex_unlock(a);
}

/* The stored vector of a slot as s->query. */
static int query_slot(vec_index *ix, scratch *s, const store *st, uint32_t slot) {
    const coder *c = st->coder;
    const uint8_t *primary = slab_at(&st->primary, slot);
    int rc = scratch_shape(ix, s, st);
    if (rc != VEC_OK) return rc;
    c->codec->decode(c, primary, c->residual_bytes ? slab_at(&st->residual, slot) : NULL, s->query.x);
    c->codec->prepare(c, s->query.x, primary, &s->query);
    if (c->metric == VEC_IP) {
        float most = most_norm2(ix), rest = most - (float)c->codec->norm2(c, primary);
        s->query.is_link = 1, s->query.most_norm2 = most, s->query.extra = sqrtf(rest > 0 ? rest : 0);
    }
    return VEC_OK;
}

int link_slot(vec_index *ix, scratch *s, uint32_t slot) {
    const vec_params *params = &ix->params;
    const store *st = link_store(ix);
    prune_space *p = space_for(ix, s, st->coder);
    const uint32_t window = ix->link_window;
    uint32_t n, m = 0, chosen[512], ids[512];
    if (!p) return VEC_ENOMEM;
    int rc = query_slot(ix, s, st, slot);
    if (rc == VEC_OK) rc = walk_plain(ix, st, s, window, window, 0, &n);
    if (rc != VEC_OK) return rc;
    for (uint32_t i = 0; i < n && m < p->size; i++) {
        uint32_t id = s->buffer[i].id & ID_MASK;
        if (id != slot && !is_deleted(ix, id)) p->candidates[m++].id = id;
    }
    if (mixes_products(ix)) {                   /* and those with the greatest products */
        uint32_t n_near = m;
        s->query.is_link = 0;
        rc = walk_plain(ix, st, s, window, window, 0, &n);
        if (rc != VEC_OK) return rc;
        for (uint32_t i = 0; i < n && m < p->size; i++) {
            uint32_t id = s->buffer[i].id & ID_MASK;
            int is_new = id != slot && !is_deleted(ix, id);
            for (uint32_t j = 0; j < n_near && is_new; j++) is_new = p->candidates[j].id != id;
            if (is_new) p->candidates[m++].id = id;
        }
    }
    uint32_t n_before = read_row(ix, slot, ids);                /* none, unless it is linked again */
    for (uint32_t i = 0, n_found = m; i < n_before && m < p->size; i++) {
        int is_new = !is_deleted(ix, ids[i]);
        for (uint32_t j = 0; j < n_found && is_new; j++) is_new = p->candidates[j].id != ids[i];
        if (is_new) p->candidates[m++].id = ids[i];
    }
    uint32_t n_chosen = prune(ix, st, p, slot, m, row_limit(params));
    memcpy(chosen, p->chosen, n_chosen * sizeof *chosen);
    write_row(ix, slot, chosen, n_chosen);      /* nothing leads here yet, or no other linker is at work */
    int is_reached = 0;
    for (uint32_t i = 0; i < n_chosen; i++) is_reached |= add_edge(ix, st, p, chosen[i], slot, ids);
    if (!is_reached && n_chosen) insert_behind(ix, chosen[0], slot, ids);
    return VEC_OK;
}

/* 2. Seeds: where walks start. */

uint64_t next_random(uint64_t *state) {
    *state += 0x9E3779B97F4A7C15u;
    uint64_t x = *state;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}

void choose_seeds(vec_index *ix) {
    uint32_t n_slots = atomic_load(&ix->n_slots), n_linked = atomic_load(&ix->n_linked);
    uint32_t wanted = n_linked / 16 + 1 < MAX_SEEDS ? n_linked / 16 + 1 : MAX_SEEDS, n = 0, seeds[MAX_SEEDS];
    uint64_t random = n_slots;
    for (uint32_t tries = 0; n < wanted && tries < 64 * MAX_SEEDS; tries++) {
        uint32_t slot = (uint32_t)(next_random(&random) % n_slots);
        int is_new = meta_state(meta_get(ix, slot)) == SLOT_LINKED;
        for (uint32_t i = 0; i < n; i++) is_new &= seeds[i] != slot;
        if (is_new) seeds[n++] = slot;
    }
    for (uint32_t slot = 0; !n && slot < n_slots; slot++)       /* nearly all deleted: any will do */
        if (meta_state(meta_get(ix, slot)) == SLOT_LINKED) seeds[n++] = slot;
    for (uint32_t i = 0; i < n; i++) atomic_store(&ix->seeds[i], seeds[i]);
    atomic_store_explicit(&ix->n_seeds, n, memory_order_release);
    ix->seeds_at = n_linked;
}

/* 3. Sweeping. */

static int is_doomed(const vec_index *ix, uint32_t slot) {
    return slot / 8 < ix->doomed_bits_size && (ix->doomed_bits[slot / 8] >> (slot % 8) & 1);
}

/* Only linkers and sweeps end a slot's DELETED state, and they wait meanwhile: no lock is needed to list them. */
int sweep_begin(vec_index *ix) {
    uint32_t n = atomic_load(&ix->n_slots), bytes = n / 8 + 1;
    mem_free(ix->doomed_bits);
    mem_free(ix->doomed);
    ix->n_doomed = 0;
    ix->doomed_size = atomic_load(&ix->n_deleted);
    ix->doomed_bits = mem_zeroed(&ix->account, VEC_MEM_OTHER, bytes);
    ix->doomed = mem_alloc(&ix->account, VEC_MEM_OTHER, ix->doomed_size * sizeof *ix->doomed);
    ix->doomed_bits_size = ix->doomed_bits ? bytes : 0;
    if (!ix->doomed_bits || !ix->doomed) return VEC_ENOMEM;
    reader_enter(ix, &ix->link_scratch);
    tail_ring *t = atomic_load_explicit(&ix->tail, memory_order_acquire);
    uint64_t end = atomic_load_explicit(&ix->tail_end, memory_order_acquire);
    uint32_t in_tail = 0;
    for (uint64_t i = atomic_load(&ix->tail_head); i < end; i++) {  /* deleted before they were linked: the tail's to drop */
        uint32_t slot = atomic_load(&t->slot[i & t->mask]);
        if (slot >= n) continue;
        ix->doomed_bits[slot / 8] |= (uint8_t)(1 << slot % 8);
        in_tail++;
    }
    for (uint32_t i = 0; i < n && ix->n_doomed < ix->doomed_size; i++)
        if (meta_state(meta_get(ix, i)) == SLOT_DELETED && !is_doomed(ix, i)) ix->doomed[ix->n_doomed++] = i;
    reader_leave(&ix->link_scratch);
    if (in_tail) memset(ix->doomed_bits, 0, bytes);
    for (uint32_t i = 0; i < ix->n_doomed; i++) ix->doomed_bits[ix->doomed[i] / 8] |= (uint8_t)(1 << ix->doomed[i] % 8);
    ix->sweep_at = 0, ix->sweep_end = n;
    return VEC_OK;
}

static int sweep_row(vec_index *ix, const store *st, prune_space *p, uint32_t slot) {
    uint32_t ids[512], theirs[512], m = 0, n = read_row(ix, slot, ids), n_doomed = 0;
    for (uint32_t i = 0; i < n; i++) n_doomed += (uint32_t)is_doomed(ix, ids[i]);
    if (!n_doomed) return VEC_OK;
    if (meta_state(meta_get(ix, slot)) == SLOT_DELETED) {       /* a later sweep's: only let go of the doomed */
        for (uint32_t i = 0; i < n; i++)
            if (!is_doomed(ix, ids[i])) ids[m++] = ids[i];
        write_row(ix, slot, ids, m);
        return VEC_OK;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (!is_deleted(ix, ids[i])) p->candidates[m++].id = ids[i];
        if (!is_doomed(ix, ids[i])) continue;
        uint32_t k = read_row(ix, ids[i], theirs);
        for (uint32_t j = 0; j < k && m < p->size - ix->params.max_degree; j++) {
            int is_new = theirs[j] != slot && !is_deleted(ix, theirs[j]);
            for (uint32_t l = 0; l < m && is_new; l++) is_new = p->candidates[l].id != theirs[j];
            for (uint32_t l = i + 1; l < n && is_new; l++) is_new = ids[l] != theirs[j];
            if (is_new) p->candidates[m++].id = theirs[j];
        }
    }
    uint32_t n_chosen = prune(ix, st, p, slot, m, row_limit(&ix->params));
    write_row(ix, slot, p->chosen, n_chosen);
    return VEC_OK;
}

/* All rows are clean: hands the doomed slots over for reuse. */
static void sweep_end(vec_index *ix) {
    int is_seed = 0;
    for (uint32_t i = 0; i < atomic_load(&ix->n_seeds); i++) is_seed |= is_doomed(ix, atomic_load(&ix->seeds[i]));
    if (is_seed) choose_seeds(ix);
    for (uint32_t i = 0; i < ix->n_doomed; i++) atomic_store(meta_at(ix, ix->doomed[i]), meta_of(SLOT_FREE, 0));
    pthread_mutex_lock(&ix->lock);
    retire_slots(ix, ix->doomed, ix->n_doomed);
    atomic_fetch_sub(&ix->n_deleted, ix->n_doomed);
    pthread_mutex_unlock(&ix->lock);
    mem_free(ix->doomed), mem_free(ix->doomed_bits);
    ix->doomed = NULL, ix->doomed_bits = NULL, ix->doomed_bits_size = 0, ix->n_doomed = 0, ix->sweep_end = 0;
}

int sweep_slice(vec_index *ix, uint32_t n_rows) {
    scratch *s = &ix->link_scratch;
    const store *st = link_store(ix);
    prune_space *p = space_for(ix, s, st->coder);
    if (!p) return VEC_ENOMEM;
    for (uint32_t i = 0; i < n_rows && ix->sweep_at < ix->sweep_end; i++, ix->sweep_at++) {
        uint32_t slot = ix->sweep_at;
        int state = meta_state(meta_get(ix, slot));
        if (state == SLOT_LINKED || (state == SLOT_DELETED && !is_doomed(ix, slot))) sweep_row(ix, st, p, slot);
    }
    if (ix->sweep_at < ix->sweep_end) return 1;
    sweep_end(ix);
    return 0;
}

/* 4. Linking again. */

int relink_slice(vec_index *ix, uint32_t n_rows) {
    int rc = VEC_OK;
    ix->link_window = ix->params.build_window;
    for (; n_rows && ix->relink_at < ix->relink_end && rc == VEC_OK; n_rows--, ix->relink_at++)
        if (meta_state(meta_get(ix, ix->relink_at)) == SLOT_LINKED) rc = link_slot(ix, &ix->link_scratch, ix->relink_at);
    if (rc == VEC_OK && ix->relink_at == ix->relink_end && --ix->n_relinkings) ix->relink_at = 0;
    int is_over = rc != VEC_OK || ix->relink_at == ix->relink_end;
    atomic_store(&ix->n_to_relink, is_over ? 0 : (uint32_t)ix->n_relinkings * ix->relink_end - ix->relink_at);
    if (!is_over) return 1;
    ix->relink_at = ix->relink_end = 0;
    return rc;
}

/* 5. Reach. */

/* Leads a walk to a slot again: an edge from the nearest that a walk finds, one with room if there is one close by. */
static int mend_slot(vec_index *ix, scratch *s, uint32_t slot) {
    const store *st = link_store(ix);
    uint32_t n, ids[512], nearest = NO_EDGE;
    int rc = query_slot(ix, s, st, slot);
    if (rc == VEC_OK) rc = walk_plain(ix, st, s, ix->params.build_window, ix->params.build_window, 0, &n);
    for (uint32_t i = 0, looked = 0; rc == VEC_OK && i < n && looked < 16; i++) {
        uint32_t id = s->buffer[i].id & ID_MASK;
        if (id == slot || meta_state(meta_get(ix, id)) != SLOT_LINKED) continue;
        if (nearest == NO_EDGE) nearest = id;
        if (read_row(ix, id, ids) < ix->params.max_degree) { nearest = id; break; }
        looked++;
    }
    if (rc == VEC_OK && nearest != NO_EDGE) insert_behind(ix, nearest, slot, ids);
    return rc;
}

static int is_seen(const vec_index *ix, uint32_t slot) { return ix->mending.seen[slot / 8] >> (slot % 8) & 1; }

static void see(vec_index *ix, uint32_t slot) {
    ix->mending.seen[slot / 8] |= (uint8_t)(1 << slot % 8);
    ix->mending.stack[ix->mending.n_stack++] = slot;
}

/* Starts at the seeds.
   Linking goes on between the slices; what comes later is linked with the others in sight and needs no look. */
int mend_begin(vec_index *ix) {
    uint32_t n = ix->mending.n_slots = atomic_load(&ix->n_slots);
    ix->mending.seen = mem_zeroed(&ix->account, VEC_MEM_OTHER, n / 8 + 1);
    ix->mending.stack = mem_alloc(&ix->account, VEC_MEM_OTHER, (n + 1) * sizeof *ix->mending.stack);
    ix->mending.n_stack = ix->mending.at = 0;
    if (!ix->mending.seen || !ix->mending.stack) {
        mem_free(ix->mending.seen), mem_free(ix->mending.stack);
        ix->mending.seen = NULL, ix->mending.stack = NULL;
        return VEC_ENOMEM;
    }
    for (uint32_t i = 0; i < atomic_load(&ix->n_seeds); i++) {
        uint32_t v = atomic_load(&ix->seeds[i]);
        if (v < n && !is_seen(ix, v)) see(ix, v);
    }
    return VEC_OK;
}

/* Follows the rows of what is reached;
   when nothing is left to follow, mends the next slot that was not reached and goes on there. */
int mend_slice(vec_index *ix, uint32_t n_rows) {
    uint32_t ids[512], n_slots = ix->mending.n_slots;
    int rc = VEC_OK;
    for (; n_rows && rc == VEC_OK && (ix->mending.n_stack || ix->mending.at < n_slots); n_rows--) {
        if (ix->mending.n_stack) {
            uint32_t n = read_row(ix, ix->mending.stack[--ix->mending.n_stack], ids);
            for (uint32_t i = 0; i < n; i++)
                if (ids[i] < n_slots && !is_seen(ix, ids[i])) see(ix, ids[i]);
            continue;
        }
        uint32_t v = ix->mending.at++;
        if (is_seen(ix, v) || meta_state(meta_get(ix, v)) != SLOT_LINKED) continue;
        rc = mend_slot(ix, &ix->link_scratch, v);
        see(ix, v);
    }
    if (rc == VEC_OK && (ix->mending.n_stack || ix->mending.at < n_slots)) return 1;
    mem_free(ix->mending.seen), mem_free(ix->mending.stack);
    ix->mending.seen = NULL, ix->mending.stack = NULL;
    return rc;
}

/* The index from outside: creation, ingestion, removal, statistics. */
#include "index.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels.h"

const char *vec_strerror(int code) {
    switch (code) {
    case VEC_OK: return "ok";
    case VEC_ENOMEM: return "out of memory";
    case VEC_EARG: return "argument out of range";
    case VEC_ENONFINITE: return "vector holds nan or infinity";
    case VEC_ETIMEOUT: return "timeout";
    case VEC_EUNAVAILABLE: return "not yet available";
    case VEC_EISA: return "instruction set not available";
    case VEC_ETHREAD: return "cannot start a thread";
    case VEC_EINVARIANT: return "invariant broken";
    case VEC_EIO: return "cannot read or write a file";
    case VEC_EBUSY: return "training is under way";
    case VEC_EIMAGE: return "damaged or foreign image";
    default: return "unknown error";
    }
}

int vec_start(const char **error) {
    *error = kernels_start(getenv("VAMANA_ISA"));
    return *error ? VEC_EISA : VEC_OK;
}

uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t thread_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* 1. Stores and retirement. */

store *store_new(vec_index *ix, coder *c, uint32_t n_slots) {
    store *s = c ? mem_zeroed(&ix->account, VEC_MEM_OTHER, sizeof *s) : NULL;
    if (!s) { coder_free(c); return NULL; }
    s->coder = c;
    slab_init(&s->primary, &ix->account, VEC_MEM_CODES, c->primary_bytes, 0);
    slab_init(&s->residual, &ix->account, VEC_MEM_RESIDUALS, c->residual_bytes, 0);
    if (slab_reserve(&s->primary, n_slots) != VEC_OK || (c->residual_bytes && slab_reserve(&s->residual, n_slots) != VEC_OK)) {
        store_free(s);
        return NULL;
    }
    return s;
}

void store_free(store *s) {
    if (!s) return;
    slab_free(&s->primary);
    slab_free(&s->residual);
    coder_free(s->coder);
    mem_free(s);
}

static void list_retired(vec_index *ix, void *block, store *s, const uint32_t *slots, uint32_t n_slots) {
    struct retired *r = mem_alloc(&ix->account, VEC_MEM_OTHER, sizeof *r + n_slots * sizeof *slots);
    if (!r) return;  /* out of memory: what cannot be listed is leaked to the index's end, never reused */
    r->next = ix->retired, r->epoch = atomic_fetch_add(&ix->epoch, 1);
    r->block = block, r->store = s, r->n_slots = n_slots;
    if (n_slots) memcpy(r->slots, slots, n_slots * sizeof *slots);
    if (!ix->retired) ix->first_retired = r->epoch;
    ix->retired = r;
}

void retire(vec_index *ix, void *block, store *s) { list_retired(ix, block, s, NULL, 0); }

void retire_slots(vec_index *ix, const uint32_t *slots, uint32_t n) { list_retired(ix, NULL, NULL, slots, n); }

static void retire_block(void *ix, void *block) { retire(ix, block, NULL); }

static void dispose(vec_index *ix, struct retired *r) {
    if (r->block) mem_free(r->block);
    else if (r->store) {
        if (atomic_load(&ix->other_store) == r->store) atomic_store(&ix->other_store, NULL);
        store_free(r->store);
    }
    else {
        uint32_t want = ix->n_free + r->n_slots;
        if (want > ix->free_size) {
            uint32_t size = 2 * want > 64 ? 2 * want : 64;
            uint32_t *more = mem_resize(ix->free_slots, &ix->account, VEC_MEM_OTHER, size * sizeof *more);
            if (more) ix->free_slots = more, ix->free_size = size;
        }
        if (want <= ix->free_size) {
            memcpy(ix->free_slots + ix->n_free, r->slots, r->n_slots * sizeof *r->slots);
            ix->n_free = want;
        }
    }
    mem_free(r);
}

static void note_epoch(scratch *s, uint64_t *oldest) {
    uint64_t e = atomic_load(&s->epoch);
    if (e && e < *oldest) *oldest = e;
}

void reclaim(vec_index *ix) {
    if (!ix->retired) return;
    atomic_thread_fence(memory_order_seq_cst);
    uint64_t oldest = UINT64_MAX;
    for (int i = 0; i < N_SCRATCH; i++) note_epoch(&ix->scratches[i], &oldest);
    note_epoch(&ix->link_scratch, &oldest);
    for (uint32_t i = 0; i < ix->n_linkers; i++) note_epoch(&ix->linkers[i].scratch, &oldest);
    if (ix->first_retired >= oldest) return;    /* nothing to gain: a long reader must not cost every add a walk over the list */
    ix->first_retired = UINT64_MAX;
    for (struct retired **at = &ix->retired, *r; (r = *at);)
        if (r->epoch < oldest) *at = r->next, dispose(ix, r);
        else ix->first_retired = r->epoch, at = &r->next;
}

/* 2. Creation. */

static int check_params(const vec_params *p, const codec **wanted) {
    if (p->dim < 1 || p->dim > 32768 || p->metric < VEC_L2 || p->metric > VEC_COSINE || p->dtype < VEC_FLOAT32
        || p->dtype > VEC_UINT8 || (p->algorithm != VEC_FLAT && p->algorithm != VEC_GRAPH) || p->reduce > p->dim
        || !(p->epsilon >= 0) || !(p->target_recall >= 0 && p->target_recall < 1) || p->reduction < VEC_REDUCE_PCA
        || p->reduction > VEC_REDUCE_RANDOM)
        return VEC_EARG;
    if (p->algorithm == VEC_GRAPH
        && (p->max_degree < 1 || p->max_degree > 512 || p->build_window < 1 || !(p->alpha >= 1) || p->threads < 1
            || p->threads > 64))
        return VEC_EARG;
    *wanted = p->compression && *p->compression ? codec_named(p->compression) : codec_of_dtype(p->dtype);
    if (*wanted && p->reduction && !(*wanted)->reduces) return VEC_EARG;
    return *wanted ? VEC_OK : VEC_EUNAVAILABLE;
}

/* 16 bits per dimension lose nothing that the codec to come would keep. */
const codec *first_codec(const codec *wanted) { return wanted->train ? &codec_lvq8x8 : wanted; }

int vec_create(const vec_params *params, vec_index **out) {
    const codec *wanted;
    int rc = check_params(params, &wanted);
    if (rc != VEC_OK) return rc;
    vec_index *ix = aligned_alloc(64, (sizeof *ix + 63) & ~(size_t)63);
    if (!ix) return VEC_ENOMEM;
    memset(ix, 0, sizeof *ix);
    ix->params = *params;
    ix->params.compression = NULL;
    if (ix->params.build_window > MAX_WINDOW) ix->params.build_window = MAX_WINDOW;
    if (ix->params.search_window > MAX_WINDOW) ix->params.search_window = MAX_WINDOW;
    ix->wanted = wanted;
    atomic_store(&ix->learns_from_queries, wanted->reduces);
    atomic_store(&ix->account.bytes[VEC_MEM_OTHER], (int64_t)((sizeof *ix + 63) & ~(size_t)63));
    pthread_mutex_init(&ix->lock, NULL);
    pthread_mutex_init(&ix->turn_lock, NULL);
    pthread_cond_init(&ix->turn_begins, NULL);
    pthread_cond_init(&ix->turn_ends, NULL);
    for (int i = 0; i < N_ROW_LOCKS; i++) pthread_mutex_init(&ix->row_locks[i], NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&ix->wake, &attr);
    pthread_cond_init(&ix->idle, &attr);
    pthread_condattr_destroy(&attr);
    atomic_store(&ix->epoch, 1);
    ix->is_idle = 1;
    slab_init(&ix->meta, &ix->account, VEC_MEM_LABELS, sizeof(uint64_t), 0);
    slab_init(&ix->bases, &ix->account, VEC_MEM_LABELS, sizeof(uint64_t), 0xFF);
    slab_init(&ix->rows, &ix->account, VEC_MEM_GRAPH, params->max_degree * sizeof(uint32_t), 0xFF);
    store *s = store_new(ix, coder_new(first_codec(wanted), params, &ix->account), 0);
    size_t floats = 8 * ((size_t)params->dim + 128);
    ix->add_vector = mem_alloc(&ix->account, VEC_MEM_SCRATCH, floats * sizeof(float));
    ix->add_work = mem_alloc(&ix->account, VEC_MEM_SCRATCH, floats * sizeof(float));
    tail_ring *tail = mem_alloc(&ix->account, VEC_MEM_TAIL, sizeof *tail + 64 * sizeof tail->slot[0]);
    if (tail) tail->mask = 63;
    atomic_store(&ix->store, s);
    if (s) costs_expect(ix, s->coder);
    atomic_store(&ix->tail, tail);
    if (!s || !tail || !ix->add_vector || !ix->add_work || labels_init(&ix->labels, &ix->account, retire_block, ix) != VEC_OK) {
        vec_free(ix);
        return VEC_ENOMEM;
    }
    *out = ix;
    return VEC_OK;
}

void vec_free(vec_index *ix) {
    if (!ix) return;
    struct timespec pause = {0, 1000000};
    while (atomic_load(&ix->n_pins)) nanosleep(&pause, NULL);
    pthread_mutex_lock(&ix->lock);
    ix->is_stopping = 1;
    pthread_mutex_unlock(&ix->lock);
    writer_stop(ix);
    if (ix->has_trainer) pthread_join(ix->trainer, NULL);
    for (struct retired *r = ix->retired, *next; r; r = next) next = r->next, dispose(ix, r);
    for (int i = 0; i < N_SCRATCH; i++) scratch_free(&ix->scratches[i]);
    scratch_free(&ix->link_scratch);
    for (uint32_t i = 0; i < ix->n_linkers; i++) scratch_free(&ix->linkers[i].scratch);
    mem_free(ix->linkers);
    store_free(atomic_load(&ix->store));
    store_free(atomic_load(&ix->other_store));
    if (atomic_load(&ix->labels.pages)) labels_free(&ix->labels);
    slab_free(&ix->meta);
    slab_free(&ix->bases);
    slab_free(&ix->rows);
    mem_free(atomic_load(&ix->tail));
    mem_free(atomic_load(&ix->recent));
    drift_free(ix->drift);
    drift_free(ix->next_drift);
    mem_free(ix->recoded);
    mem_free(ix->add_vector);
    mem_free(ix->add_work);
    mem_free(ix->free_slots);
    mem_free(ix->doomed);
    mem_free(ix->doomed_bits);
    sketch_free(ix);
    mem_free(ix->mending.seen);
    mem_free(ix->mending.stack);
    pthread_mutex_destroy(&ix->lock);
    pthread_mutex_destroy(&ix->turn_lock);
    pthread_cond_destroy(&ix->turn_begins);
    pthread_cond_destroy(&ix->turn_ends);
    for (int i = 0; i < N_ROW_LOCKS; i++) pthread_mutex_destroy(&ix->row_locks[i]);
    pthread_cond_destroy(&ix->wake);
    pthread_cond_destroy(&ix->idle);
    free(ix);
}

/* 3. Adding. */

static int reserve_store(store *s, uint32_t n) {
    int rc = slab_reserve(&s->primary, n);
    return rc == VEC_OK && s->coder->residual_bytes ? slab_reserve(&s->residual, n) : rc;
}

/* A slot to write: a freed one, or the next new one with everything that belongs to it addressable. */
static int take_slot(vec_index *ix, uint32_t *slot, int *is_new) {
    reclaim(ix);
    *is_new = !ix->n_free;
    if (ix->n_free) {
        *slot = ix->free_slots[--ix->n_free];
        return VEC_OK;
    }
    uint32_t n = atomic_load(&ix->n_slots);
    if (n == MAX_SLOTS) return VEC_ENOMEM;
    int rc = reserve_store(atomic_load(&ix->store), n + 1);
    store *other = atomic_load(&ix->other_store);
    if (rc == VEC_OK && other) rc = reserve_store(other, n + 1);
    if (rc == VEC_OK) rc = slab_reserve(&ix->meta, n + 1);
    if (rc == VEC_OK) rc = slab_reserve(&ix->bases, n / 64 + 1);
    if (rc == VEC_OK && ix->params.algorithm == VEC_GRAPH) rc = slab_reserve(&ix->rows, n + 1);
    *slot = n;
    return rc;
}

static int reserve_tail(vec_index *ix) {
    tail_ring *old = atomic_load(&ix->tail);
    uint64_t head = atomic_load(&ix->tail_head), end = atomic_load(&ix->tail_end);
    if (end - head <= old->mask) return VEC_OK;
    uint32_t size = 2 * (old->mask + 1);
    tail_ring *t = mem_alloc(&ix->account, VEC_MEM_TAIL, sizeof *t + size * sizeof t->slot[0]);
    if (!t) return VEC_ENOMEM;
    t->mask = size - 1;
    for (uint64_t i = head; i < end; i++) atomic_store(&t->slot[i & t->mask], atomic_load(&old->slot[i & old->mask]));
    atomic_store_explicit(&ix->tail, t, memory_order_release);
    retire(ix, old, NULL);
    return VEC_OK;
}

static void encode_into(const vec_index *ix, store *s, uint32_t slot, const uint8_t *given) {
    const coder *c = s->coder;
    c->codec->encode(c, ix->add_vector, given, slab_at(&s->primary, slot), c->residual_bytes ? slab_at(&s->residual, slot) : NULL,
                     ix->add_work);
}

void note_label(vec_index *ix, uint32_t slot, uint64_t label, int is_first) {
    _Atomic uint64_t *base = base_at(ix, slot / 64);
    if (is_first && label >= slot % 64) atomic_store_explicit(base, label - slot % 64, memory_order_relaxed);
    else if (atomic_load_explicit(base, memory_order_relaxed) + slot % 64 != label)
        atomic_store_explicit(base, NO_BASE, memory_order_relaxed);
}

/* Takes a slot out of the tail, unless the writer has it already. Were it kept until its turn, writes faster than the writer
   would take ever more slots. */
static int leave_tail(vec_index *ix, uint32_t slot) {
    if (ix->params.max_degree < 2) return 0;
    tail_ring *t = atomic_load(&ix->tail);
    uint64_t end = atomic_load(&ix->tail_end), place = end - (uint32_t)((uint32_t)end - atomic_load(row_at(ix, slot) + 1));
    /* Of a slot that the writer has, the row may say anything: what counts is whether the tail has the slot at that place. */
    if (place < ix->tail_taken || place >= end || atomic_load(&t->slot[place & t->mask]) != slot) return 0;
    atomic_store(meta_at(ix, slot), meta_of(SLOT_FREE, 0));
    atomic_store(&t->slot[place & t->mask], NO_SLOT);
    retire_slots(ix, &slot, 1);
    return 1;
}

/* Marks a slot deleted; it is out of every answer from here on. */
static void delete_slot(vec_index *ix, uint32_t slot) {
    _Atomic uint64_t *meta = meta_at(ix, slot);
    uint64_t old = atomic_load(meta);
    if (meta_state(old) == SLOT_TAIL && leave_tail(ix, slot)) {
        atomic_fetch_sub(&ix->n_vectors, 1);
        return;
    }
    while (!atomic_compare_exchange_weak(meta, &old, meta_of(SLOT_DELETED, meta_label(old)))) {}
    atomic_fetch_sub(&ix->n_vectors, 1);
    if (meta_state(old) != SLOT_LINKED) return;                 /* in the tail: the writer drops it when it gets there */
    atomic_fetch_sub(&ix->n_linked, 1);
    if (ix->params.algorithm == VEC_FLAT) {
        atomic_store(meta, meta_of(SLOT_FREE, 0));
        retire_slots(ix, &slot, 1);
    } else atomic_fetch_add(&ix->n_deleted, 1);
}

static void note_norm(vec_index *ix, const store *s, uint32_t slot) {
    union { float f; uint32_t bits; } u = {.f = (float)s->coder->codec->norm2(s->coder, slab_at(&s->primary, slot))};
    if (u.bits > atomic_load(&ix->most_norm2_bits)) atomic_store(&ix->most_norm2_bits, u.bits);
    float usual = atomic_load(&ix->usual_norm2);
    atomic_store(&ix->usual_norm2, usual > 0 ? usual + (u.f - usual) / 256 : u.f);
}

static int add_locked(vec_index *ix, uint64_t label, const uint8_t *given) {
    const vec_params *p = &ix->params;
    store *s = atomic_load(&ix->store), *other = atomic_load(&ix->other_store);
    int is_flat = p->algorithm == VEC_FLAT,
        is_raw = !is_compressed(s->coder->codec) && !(other && is_compressed(other->coder->codec));
    double norm2;
    if (label > MAX_LABEL) return VEC_EARG;
    /* 1. The vector, checked. */
    int rc = VEC_OK;
    if (is_raw && p->dtype == VEC_FLOAT64) rc = is_nonfinite(p->dtype, given, p->dim) ? VEC_ENONFINITE : VEC_OK;
    else if (!is_raw || p->dtype < VEC_INT8) rc = ingest(p->dtype, p->metric, is_raw, given, p->dim, ix->add_vector, &norm2);
    /* 2. Room for everything, so that nothing can fail half way. */
    uint32_t slot;
    int is_new;
    if (rc == VEC_OK) rc = labels_reserve(&ix->labels, label);
    if (rc == VEC_OK && !is_flat) rc = reserve_tail(ix);
    if (rc == VEC_OK && !is_flat && !ix->has_writer) rc = writer_start(ix);
    if (rc == VEC_OK) rc = take_slot(ix, &slot, &is_new);
    if (rc != VEC_OK) return rc;
    /* 3. Codes, then the slot's state, then the ways to it. */
    other = atomic_load(&ix->other_store);                      /* its last reader may have left meanwhile */
    encode_into(ix, s, slot, given);
    if (other) encode_into(ix, other, slot, given);
    note_recoded(ix, slot);
    if (ix->drift) drift_note(ix, s, slot, ix->add_vector);
    if (p->metric == VEC_IP) note_norm(ix, s, slot);
    if (!is_flat) note_place(ix, slot, atomic_load(&ix->tail_end));
    note_label(ix, slot, label, is_new && slot % 64 == 0);
    atomic_store_explicit(meta_at(ix, slot), meta_of(is_flat ? SLOT_LINKED : SLOT_TAIL, label), memory_order_release);
    if (is_new) atomic_store_explicit(&ix->n_slots, slot + 1, memory_order_release);
    atomic_fetch_add(&ix->n_vectors, 1);
    if (is_flat) atomic_fetch_add(&ix->n_linked, 1);
    else {
        tail_ring *t = atomic_load(&ix->tail);
        uint64_t end = atomic_load(&ix->tail_end);
        atomic_store_explicit(&t->slot[end & t->mask], slot, memory_order_relaxed);
        atomic_store_explicit(&ix->tail_end, end + 1, memory_order_release);
    }
    uint32_t old = labels_find(&ix->labels, label);
    labels_set(&ix->labels, label, slot);
    if (old != NO_SLOT) delete_slot(ix, old);
    if (ix->wanted->train && atomic_load(&ix->training) == VEC_TRAIN_IDLE && atomic_load(&ix->n_vectors) >= p->training_threshold)
        rc = train_start(ix);
    return rc;
}

int vec_add(vec_index *ix, const uint64_t *labels, const char *vectors, size_t n, size_t *n_done) {
    size_t bytes = ix->params.dim * dtype_bytes(ix->params.dtype), done = 0;
    int rc = VEC_OK;
    while (done < n && rc == VEC_OK) {
        size_t end = n - done > 256 ? done + 256 : n;           /* let others in now and then */
        lock_hurriedly(ix);
        for (; done < end && rc == VEC_OK; done += rc == VEC_OK)
            rc = add_locked(ix, labels[done], (const uint8_t *)vectors + done * bytes);
        ix->is_idle = ix->is_idle && !ix->has_writer;
        pthread_cond_signal(&ix->wake);
        pthread_mutex_unlock(&ix->lock);
    }
    *n_done = done;
    return rc;
}

int vec_add_one(vec_index *ix, uint64_t label, const char *vector) {
    size_t done;
    return vec_add(ix, &label, vector, 1, &done);
}

int vec_remove(vec_index *ix, const uint64_t *labels, size_t n, size_t *n_removed) {
    size_t removed = 0;
    lock_hurriedly(ix);
    for (size_t i = 0; i < n; i++) {
        uint32_t slot = labels[i] <= MAX_LABEL ? labels_find(&ix->labels, labels[i]) : NO_SLOT;
        if (slot == NO_SLOT) continue;
        labels_remove(&ix->labels, labels[i]);
        delete_slot(ix, slot);
        removed++;
    }
    if (removed) {
        ix->is_idle = ix->is_idle && !ix->has_writer;
        pthread_cond_signal(&ix->wake);
    }
    pthread_mutex_unlock(&ix->lock);
    *n_removed = removed;
    return VEC_OK;
}

int vec_wait(vec_index *ix, uint64_t timeout_us) {
    uint64_t until = now_ns() + timeout_us * 1000;
    struct timespec at = {(time_t)(until / 1000000000u), (long)(until % 1000000000u)};
    int rc = 0;
    pthread_mutex_lock(&ix->lock);
    ix->n_waiting++;
    if (ix->is_idle && ix->has_writer && !is_mended(ix)) {
        ix->is_idle = 0;
        pthread_cond_signal(&ix->wake);
    }
    while (rc == 0 && (!ix->is_idle || atomic_load(&ix->training) == VEC_TRAIN_RUNNING))
        rc = timeout_us ? pthread_cond_timedwait(&ix->idle, &ix->lock, &at) : pthread_cond_wait(&ix->idle, &ix->lock);
    ix->n_waiting--;
    pthread_mutex_unlock(&ix->lock);
    return rc ? VEC_ETIMEOUT : VEC_OK;
}

void vec_hold(vec_index *ix, int is_held) {
    pthread_mutex_lock(&ix->lock);
    if (is_held && !ix->is_held) writer_pause(ix);
    if (!is_held && ix->is_held) writer_resume(ix);
    ix->is_held = is_held != 0;
    pthread_mutex_unlock(&ix->lock);
}

void vec_describe(const vec_index *ix, vec_params *out) {
    *out = ix->params;
    out->compression = is_compressed(ix->wanted) ? ix->wanted->name : NULL;
}

void vec_stats(const vec_index *index, vec_stats_t *out) {
    vec_index *ix = (vec_index *)index;
    memset(out, 0, sizeof *out);
    lock_hurriedly(ix);                                         /* keeps the store from being replaced while it is described */
    const coder *c = atomic_load(&ix->store)->coder;
    strncpy(out->codec, c->effective, sizeof out->codec - 1);
    out->code_bytes = (uint32_t)c->primary_bytes;
    out->residual_bytes = (uint32_t)c->residual_bytes;
    out->reduction = c->codec->reduces ? (int)c->reduction : ix->params.reduction;
    out->n_queries = recent_count(ix);
    out->is_trained = is_trained(ix);
    out->n_vectors = atomic_load(&ix->n_vectors);
    out->n_linked = atomic_load(&ix->n_linked);
    out->n_tail = out->n_vectors > out->n_linked ? out->n_vectors - out->n_linked : 0;
    out->n_deleted = atomic_load(&ix->n_deleted);
    out->n_slots = atomic_load(&ix->n_slots);
    out->n_to_relink = atomic_load(&ix->n_to_relink) + (uint32_t)ix->wants_relinking * out->n_slots;
    drift_stats(ix, out);
    pthread_mutex_unlock(&ix->lock);
    out->n_linkings = atomic_load(&ix->n_linkings);
    out->link_ns = atomic_load(&ix->link_ns);
    out->n_searches = count_searches(ix, &out->n_scored);
    out->training = atomic_load(&ix->training);
    uint32_t total = atomic_load(&ix->n_to_encode);
    out->progress = out->training == VEC_TRAIN_DONE ? 1 : out->training == VEC_TRAIN_RUNNING && total
                  ? (double)atomic_load(&ix->n_encoded) / total : 0;
    out->window = default_window(ix, 10);
    out->is_calibrated = atomic_load(&ix->is_calibrated);
    out->target_recall = ix->params.target_recall > 0 ? ix->params.target_recall : 0.95;
    out->window_recall = curve_recall(ix, out->window);
    out->last_plan = atomic_load(&ix->last_plan);
    for (int i = 0; i < VEC_MEM_PARTS; i++) out->bytes[i] = (uint64_t)atomic_load(&ix->account.bytes[i]);
}

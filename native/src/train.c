/* Training: learn a coder from a sample, encode everything anew into a second store, replace the first in one step.

   Runs on a thread of its own. Searches go on reading the old store; adds write both (under the lock they hold anyway); the
   encoder takes that lock for a few dozen slots at a time. The old store is freed when its last reader has left.

   Training again is the same thing, from the codes that there are to another codec, or to the same with what has been learned
   since. What codes have lost stays lost; so a caller that has the vectors as they were given can begin with a sample of them
   (vec_retrain_begin), give them all (vec_recode), and end (vec_retrain_end):
   only what was not given is then taken from the codes. */
#include "index.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels.h"

enum { SLOTS_PER_LOCK = 4, SAMPLE_BYTES = 96 << 20 };

static void read_vector(const store *s, uint32_t slot, float *out) {
    const coder *c = s->coder;
    c->codec->decode(c, slab_at(&s->primary, slot), c->residual_bytes ? slab_at(&s->residual, slot) : NULL, out);
    if (c->metric != VEC_COSINE || !c->mean) return;
    double norm2 = K.sum_squares(out, c->dim);  /* coarse codes stand for vectors of other lengths than 1; 0 stays 0 */
    if (norm2 < 0.25) return;
    float inverse = (float)(1 / sqrt(norm2));
    for (uint32_t i = 0; i < c->dim; i++) out[i] *= inverse;
}

/* Up to `most` live vectors, spread evenly over the slots. Under the lock, a few at a time: a slot may be reused any moment. */
static size_t take_sample(vec_index *ix, const store *s, float *sample, size_t most) {
    uint32_t n_slots = atomic_load(&ix->n_slots);
    double step = n_slots > most ? (double)n_slots / (double)most : 1;
    size_t n = 0, n_steps = n_slots > most ? most : n_slots;
    for (size_t i = 0; i < n_steps;) {
        lock_patiently(ix);
        for (size_t end = n_steps - i > SLOTS_PER_LOCK ? i + SLOTS_PER_LOCK : n_steps; i < end; i++) {
            uint32_t slot = (uint32_t)((double)i * step);
            if (is_live(meta_get(ix, slot))) read_vector(s, slot, sample + n++ * s->coder->dim);
        }
        pthread_mutex_unlock(&ix->lock);
    }
    return n;
}

static int encode_all(vec_index *ix, const store *from, store *to, uint32_t n, float *vector, float *work) {
    const coder *c = to->coder;
    for (uint32_t slot = 0; slot < n;) {
        lock_patiently(ix);
        if (ix->is_stopping) { pthread_mutex_unlock(&ix->lock); return VEC_ETIMEOUT; }
        for (uint32_t end = n - slot > SLOTS_PER_LOCK ? slot + SLOTS_PER_LOCK : n; slot < end; slot++) {
            if (slot < ix->recoded_slots && ix->recoded[slot / 64] >> slot % 64 & 1) continue;
            read_vector(from, slot, vector);
            c->codec->encode(c, vector, NULL, slab_at(&to->primary, slot),
                             c->residual_bytes ? slab_at(&to->residual, slot) : NULL, work);
        }
        pthread_mutex_unlock(&ix->lock);
        atomic_store(&ix->n_encoded, slot);
    }
    return VEC_OK;
}

/* The last training's old store may still have readers. */
static int wait_for_room(vec_index *ix) {
    struct timespec pause = {0, 1000000};
    pthread_mutex_lock(&ix->lock);
    while (atomic_load(&ix->other_store) && !ix->is_stopping) {
        reclaim(ix);
        pthread_mutex_unlock(&ix->lock);
        nanosleep(&pause, NULL);
        pthread_mutex_lock(&ix->lock);
    }
    int is_stopping = ix->is_stopping;
    pthread_mutex_unlock(&ix->lock);
    return is_stopping ? VEC_ETIMEOUT : VEC_OK;
}

static size_t floats_of(const vec_index *ix) { return 8 * ((size_t)ix->params.dim + 128); }

static size_t sample_size(const vec_index *ix) {
    size_t most = SAMPLE_BYTES / (ix->params.dim * sizeof(float)), n = 2 * (size_t)ix->params.training_threshold;
    if (n > most) n = most;
    return n < 1024 ? 1024 : n;
}

/* The next coder and what its errors are, from the sample given, n x dim as ingested, or (NULL) one of the codes. */
static int learn(vec_index *ix, float *given, size_t n, coder **out, struct drift **drift) {
    mem_account *a = &ix->account;
    const store *old = atomic_load(&ix->store);
    const uint32_t dim = ix->params.dim;
    float *queries = NULL, *taken = NULL, *work = mem_alloc(a, VEC_MEM_OTHER, floats_of(ix) * sizeof *work);
    size_t n_queries = 0;
    coder *c = coder_new_like(ix->next, old->coder, ix->next_reduce, ix->next_reduction, a);
    int rc = work && c ? VEC_OK : VEC_ENOMEM;
    if (rc == VEC_OK && ix->next->train) {
        if (!given) {
            n = sample_size(ix);
            given = taken = mem_alloc(a, VEC_MEM_OTHER, n * dim * sizeof *taken);
            if (taken) n = take_sample(ix, old, taken, n);
            else rc = VEC_ENOMEM;
        }
        if (rc == VEC_OK && c->codec->reduces && ix->next_reduction == VEC_REDUCE_OOD) rc = recent_take(ix, &queries, &n_queries);
        size_t held = rc == VEC_OK ? drift_hold_out(given, n, dim) : 0, first = held ? n - held : 0;
        if (rc == VEC_OK) rc = n ? c->codec->train(c, given, n - held, queries, n_queries, a) : VEC_EARG;
        if (rc == VEC_OK
            && !(*drift = drift_begin(ix, c, given + first * dim, n - first, !taken || old->coder->codec->bits >= 12, work)))
            rc = VEC_ENOMEM;
    }
    mem_free(taken), mem_free(queries), mem_free(work);
    if (rc != VEC_OK) coder_free(c), c = NULL;
    *out = c;
    return rc;
}

/* From here on adds write the next store, too. Under the lock; takes the coder. */
static int install(vec_index *ix, coder *c) {
    uint32_t n_slots = atomic_load(&ix->n_slots);
    store *next = store_new(ix, c, n_slots);
    atomic_store(&ix->other_store, next);
    atomic_store(&ix->n_to_encode, n_slots);
    return next ? VEC_OK : VEC_ENOMEM;
}

/* Under the lock: forgets the next store, which nobody has read yet, if there is one. */
static void uninstall(vec_index *ix) {
    if (atomic_load(&ix->n_to_encode)) store_free(atomic_exchange(&ix->other_store, NULL));
    drift_free(ix->next_drift);
    mem_free(ix->recoded);
    ix->next_drift = NULL, ix->recoded = NULL, ix->recoded_slots = 0;
}

static void settle(vec_index *ix) {
    atomic_store(&ix->training, ix->wanted->train && is_trained(ix) ? VEC_TRAIN_DONE : VEC_TRAIN_IDLE);
    pthread_cond_broadcast(&ix->idle);
    pthread_cond_signal(&ix->wake);
}

/* Under the lock. */
static void replace(vec_index *ix) {
    store *old = atomic_exchange(&ix->store, atomic_load(&ix->other_store));
    costs_expect(ix, atomic_load(&ix->store)->coder);
    atomic_store(&ix->other_store, old);        /* its last readers may still come across a slot that is reused */
    retire(ix, NULL, old);
    if (ix->has_writer) ix->wants_relinking = drift_relinkings(ix->next_drift, ix->drift);
    drift_free(ix->drift);
    mem_free(ix->recoded);
    ix->drift = ix->next_drift, ix->n_epochs++;
    ix->next_drift = NULL, ix->recoded = NULL, ix->recoded_slots = 0;
    atomic_store(&ix->wanted, ix->next);
    ix->params.reduce = ix->next_reduce, ix->params.reduction = ix->next_reduction;
    atomic_store(&ix->learns_from_queries, ix->next->reduces);
    if (ix->has_writer) {                       /* other codes have another recall: measure again */
        atomic_store(&ix->calibrated_at, 0);
        ix->is_idle = 0;
        pthread_cond_signal(&ix->wake);
    }
}

static int train(vec_index *ix, float *vector, float *work) {
    int rc = vector && work ? VEC_OK : VEC_ENOMEM;
    if (rc == VEC_OK && !ix->recoded) {         /* otherwise vec_retrain_begin has been here */
        coder *c;
        rc = wait_for_room(ix);
        if (rc == VEC_OK) rc = learn(ix, NULL, 0, &c, &ix->next_drift);
        if (rc == VEC_OK) {
            pthread_mutex_lock(&ix->lock);
            rc = install(ix, c);
            pthread_mutex_unlock(&ix->lock);
        }
    }
    if (rc != VEC_OK) return rc;
    store *next = atomic_load(&ix->other_store);
    return encode_all(ix, atomic_load(&ix->store), next, atomic_load(&ix->n_to_encode), vector, work);
}

static void *run(void *arg) {
    vec_index *ix = arg;
    step_back();
    float *vector = mem_alloc(&ix->account, VEC_MEM_OTHER, floats_of(ix) * sizeof *vector);
    float *work = mem_alloc(&ix->account, VEC_MEM_OTHER, floats_of(ix) * sizeof *work);
    int rc = train(ix, vector, work);
    mem_free(vector), mem_free(work);
    pthread_mutex_lock(&ix->lock);
    if (rc == VEC_OK) replace(ix);
    else {                                      /* stays in the codec it has */
        uninstall(ix);
        if (!is_trained(ix)) ix->params.training_threshold = UINT32_MAX;
    }
    settle(ix);
    /* Without a writer nobody else would notice when the old store's last reader leaves. */
    while (ix->retired && !ix->has_writer && !ix->is_stopping) {
        struct timespec pause = {0, 1000000};
        reclaim(ix);
        pthread_mutex_unlock(&ix->lock);
        nanosleep(&pause, NULL);
        pthread_mutex_lock(&ix->lock);
    }
    pthread_mutex_unlock(&ix->lock);
    return NULL;
}

static int start(vec_index *ix) {
    atomic_store(&ix->training, VEC_TRAIN_RUNNING);
    if (pthread_create(&ix->trainer, NULL, run, ix)) return VEC_ETHREAD;
    ix->has_trainer = 1;
    return VEC_OK;
}

int train_start(vec_index *ix) {
    ix->next = ix->wanted, ix->next_reduce = ix->params.reduce, ix->next_reduction = ix->params.reduction;
    atomic_store(&ix->n_encoded, 0), atomic_store(&ix->n_to_encode, 0);
    int rc = start(ix);
    if (rc != VEC_OK) atomic_store(&ix->training, VEC_TRAIN_IDLE);
    return rc;
}

static int choose_next(vec_index *ix, const char *compression, uint32_t reduce, int reduction) {
    const codec *next = !compression || !*compression ? atomic_load(&ix->wanted)
                      : !strcmp(compression, "NONE") ? codec_of_dtype(ix->params.dtype) : codec_named(compression);
    if (!next) return VEC_EUNAVAILABLE;
    if ((!is_compressed(next) && (ix->params.dtype != VEC_FLOAT32 || next == ix->wanted))
        || (!next->reduces && (reduce || reduction >= 0)) || reduce > ix->params.dim || reduction < -1
        || reduction > VEC_REDUCE_RANDOM)
        return VEC_EARG;
    if (atomic_load(&ix->training) == VEC_TRAIN_RUNNING) return VEC_EBUSY;
    ix->next = next;
    ix->next_reduce = !next->reduces ? 0 : reduce ? reduce : ix->params.reduce;
    ix->next_reduction = !next->reduces ? VEC_REDUCE_PCA : reduction >= 0 ? reduction : ix->params.reduction;
    return VEC_OK;
}

/* Under the lock, which it lets go meanwhile: nobody else trains from here on, and the last one who did has gone. */
static void claim(vec_index *ix) {
    int has_trainer = ix->has_trainer;
    pthread_t trainer = ix->trainer;
    ix->has_trainer = 0;
    atomic_store(&ix->training, VEC_TRAIN_RUNNING);
    atomic_store(&ix->n_encoded, 0), atomic_store(&ix->n_to_encode, 0);
    pthread_mutex_unlock(&ix->lock);
    if (has_trainer) pthread_join(trainer, NULL);
    pthread_mutex_lock(&ix->lock);
}

int vec_retrain(vec_index *ix, const char *compression, uint32_t reduce, int reduction) {
    pthread_mutex_lock(&ix->lock);
    int rc = choose_next(ix, compression, reduce, reduction);
    if (rc == VEC_OK && !atomic_load(&ix->n_vectors)) {
        if (!is_trained(ix) && ix->next->train) {               /* nothing to learn from yet: when there is */
            atomic_store(&ix->wanted, ix->next);
            ix->params.reduce = ix->next_reduce, ix->params.reduction = ix->next_reduction;
            atomic_store(&ix->learns_from_queries, ix->next->reduces);
        } else rc = VEC_EARG;
    } else if (rc == VEC_OK) {
        claim(ix);
        rc = start(ix);
        if (rc != VEC_OK) settle(ix);
    }
    pthread_mutex_unlock(&ix->lock);
    return rc;
}

int vec_retrain_begin(vec_index *ix, const char *compression, uint32_t reduce, int reduction, const char *vectors, size_t n) {
    const vec_params *p = &ix->params;
    const size_t bytes = p->dim * dtype_bytes(p->dtype);
    pthread_mutex_lock(&ix->lock);
    int rc = choose_next(ix, compression, reduce, reduction);
    if (rc == VEC_OK && !n) rc = VEC_EARG;
    if (rc != VEC_OK) {
        pthread_mutex_unlock(&ix->lock);
        return rc;
    }
    claim(ix);
    pthread_mutex_unlock(&ix->lock);
    size_t n_given = n;
    if (n > sample_size(ix)) n = sample_size(ix);
    float *sample = mem_alloc(&ix->account, VEC_MEM_OTHER, (n * p->dim + 128) * sizeof *sample);
    coder *c = NULL;
    size_t n_good = 0;
    double norm2;
    if (!sample) rc = VEC_ENOMEM;
    for (size_t i = 0; i < n && sample; i++) {
        const uint8_t *given = (const uint8_t *)vectors + i * n_given / n * bytes;
        n_good += ingest(p->dtype, p->metric, 0, given, p->dim, sample + n_good * p->dim, &norm2) == VEC_OK;
    }
    if (rc == VEC_OK) rc = n_good ? wait_for_room(ix) : VEC_EARG;
    if (rc == VEC_OK) rc = learn(ix, sample, n_good, &c, &ix->next_drift);
    mem_free(sample);
    pthread_mutex_lock(&ix->lock);
    if (rc == VEC_OK) rc = install(ix, c);
    if (rc == VEC_OK) {
        ix->recoded_slots = atomic_load(&ix->n_slots);
        ix->recoded = mem_zeroed(&ix->account, VEC_MEM_OTHER, ((size_t)ix->recoded_slots / 64 + 1) * sizeof *ix->recoded);
        if (!ix->recoded) rc = VEC_ENOMEM;
    }
    if (rc != VEC_OK) {
        uninstall(ix);
        settle(ix);
    }
    pthread_mutex_unlock(&ix->lock);
    return rc;
}

int vec_recode(vec_index *ix, const uint64_t *labels, const char *vectors, size_t n) {
    const vec_params *p = &ix->params;
    const size_t bytes = p->dim * dtype_bytes(p->dtype);
    int rc = VEC_OK;
    for (size_t i = 0; i < n && rc == VEC_OK;) {
        lock_patiently(ix);
        store *to = ix->recoded ? atomic_load(&ix->other_store) : NULL;
        if (!to) rc = VEC_EARG;
        for (size_t end = n - i > SLOTS_PER_LOCK ? i + SLOTS_PER_LOCK : n; i < end && rc == VEC_OK; i++) {
            const uint8_t *given = (const uint8_t *)vectors + i * bytes;
            uint32_t slot = labels[i] <= MAX_LABEL ? labels_find(&ix->labels, labels[i]) : NO_SLOT;
            double norm2;
            /* What was added since the beginning is there already, and may be newer than what is given now. */
            if (slot >= ix->recoded_slots || ix->recoded[slot / 64] >> slot % 64 & 1) continue;
            /* its code is what there is */
            if (ingest(p->dtype, p->metric, 0, given, p->dim, ix->add_vector, &norm2) != VEC_OK) continue;
            to->coder->codec->encode(to->coder, ix->add_vector, given, slab_at(&to->primary, slot),
                                     to->coder->residual_bytes ? slab_at(&to->residual, slot) : NULL, ix->add_work);
            note_recoded(ix, slot);
            atomic_fetch_add(&ix->n_encoded, 1);
        }
        pthread_mutex_unlock(&ix->lock);
    }
    return rc;
}

int vec_retrain_end(vec_index *ix, int is_given_up) {
    pthread_mutex_lock(&ix->lock);
    int rc = ix->recoded ? VEC_OK : VEC_EARG;
    if (rc == VEC_OK && !is_given_up) rc = start(ix);
    if (ix->recoded && (is_given_up || rc != VEC_OK)) {
        uninstall(ix);
        settle(ix);
    }
    pthread_mutex_unlock(&ix->lock);
    return rc;
}

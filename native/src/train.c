/* Training: learn a coder from a sample, encode everything anew into a second store, replace the first in one step.

   Runs on a thread of its own. Searches go on reading the old store; adds write both (under the lock they hold anyway); the encoder
   takes that lock for a few dozen slots at a time. The old store is freed when its last reader has left.

   Training again is the same thing, from the codes that there are to another codec, or to the same with what has been learned since. */
#include "index.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels.h"

enum { SLOTS_PER_LOCK = 32, SAMPLE_BYTES = 96 << 20 };

static void read_vector(const store *s, uint32_t slot, float *out) {
    const coder *c = s->coder;
    c->codec->decode(c, slab_at(&s->primary, slot), c->residual_bytes ? slab_at(&s->residual, slot) : NULL, out);
    if (c->metric != VEC_COSINE || !c->mean) return;
    double norm2 = K.sum_squares(out, c->dim);                  /* coarse codes stand for vectors of other lengths than 1; 0 stays 0 */
    if (norm2 < 0.25) return;
    float inverse = (float)(1 / sqrt(norm2));
    for (uint32_t i = 0; i < c->dim; i++) out[i] *= inverse;
}

/* Up to `most` live vectors, spread evenly over the slots. Under the lock, a few dozen at a time: a slot may be reused any moment. */
static size_t take_sample(vec_index *ix, const store *s, float *sample, size_t most) {
    uint32_t n_slots = atomic_load(&ix->n_slots);
    double step = n_slots > most ? (double)n_slots / (double)most : 1;
    size_t n = 0, n_steps = n_slots > most ? most : n_slots;
    for (size_t i = 0; i < n_steps;) {
        pthread_mutex_lock(&ix->lock);
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
        pthread_mutex_lock(&ix->lock);
        if (ix->is_stopping) { pthread_mutex_unlock(&ix->lock); return VEC_ETIMEOUT; }
        for (uint32_t end = n - slot > SLOTS_PER_LOCK ? slot + SLOTS_PER_LOCK : n; slot < end; slot++) {
            read_vector(from, slot, vector);
            c->codec->encode(c, vector, NULL, slab_at(&to->primary, slot), c->residual_bytes ? slab_at(&to->residual, slot) : NULL, work);
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

static int train(vec_index *ix, store **out) {
    mem_account *a = &ix->account;
    int rc = wait_for_room(ix);
    if (rc != VEC_OK) return rc;
    store *old = atomic_load(&ix->store);
    float *queries = NULL;
    size_t n_queries = 0;
    const uint32_t dim = ix->params.dim;
    size_t most = SAMPLE_BYTES / (dim * sizeof(float)), n = 2 * (size_t)ix->params.training_threshold;
    if (n > most) n = most;
    if (n < 1024) n = 1024;
    float *sample = mem_alloc(a, VEC_MEM_OTHER, n * dim * sizeof *sample);
    float *vector = mem_alloc(a, VEC_MEM_OTHER, 8 * ((size_t)dim + 128) * sizeof *vector);
    float *work = mem_alloc(a, VEC_MEM_OTHER, 8 * ((size_t)dim + 128) * sizeof *work);
    coder *c = coder_new_like(ix->next, old->coder, ix->next_reduce, ix->next_reduction, a);
    rc = sample && vector && work && c ? VEC_OK : VEC_ENOMEM;
    if (rc == VEC_OK && c->codec->reduces && ix->next_reduction == VEC_REDUCE_OOD) rc = recent_take(ix, &queries, &n_queries);
    if (rc == VEC_OK) {
        n = take_sample(ix, old, sample, n);
        rc = n ? c->codec->train(c, sample, n, queries, n_queries, a) : VEC_EARG;
    }
    mem_free(sample), mem_free(queries);
    if (rc == VEC_OK) {
        pthread_mutex_lock(&ix->lock);
        uint32_t n_slots = atomic_load(&ix->n_slots);
        store *next = *out = store_new(ix, c, n_slots);
        atomic_store(&ix->other_store, next);
        atomic_store(&ix->n_to_encode, n_slots);
        pthread_mutex_unlock(&ix->lock);
        rc = next ? encode_all(ix, old, next, n_slots, vector, work) : VEC_ENOMEM;
    } else coder_free(c);
    mem_free(vector);
    mem_free(work);
    return rc;
}

static void *run(void *arg) {
    vec_index *ix = arg;
    step_back();
    store *next = NULL;
    int rc = train(ix, &next);
    pthread_mutex_lock(&ix->lock);
    if (rc == VEC_OK) {
        store *old = atomic_exchange(&ix->store, next);
        atomic_store(&ix->other_store, old);    /* its last readers may still come across a slot that is reused */
        retire(ix, NULL, old);
        atomic_store(&ix->wanted, ix->next);
        ix->params.reduce = ix->next_reduce, ix->params.reduction = ix->next_reduction;
        atomic_store(&ix->learns_from_queries, ix->next->reduces);
    } else {                                    /* stays in the codec it has */
        if (next) atomic_store(&ix->other_store, NULL), store_free(next);
        if (!is_trained(ix)) ix->params.training_threshold = UINT32_MAX;
    }
    atomic_store(&ix->training, is_trained(ix) ? VEC_TRAIN_DONE : VEC_TRAIN_IDLE);
    if (rc == VEC_OK && ix->has_writer) {       /* other codes have another recall: measure again */
        atomic_store(&ix->calibrated_at, 0);
        ix->is_idle = 0;
        pthread_cond_signal(&ix->wake);
    }
    pthread_cond_broadcast(&ix->idle);
    pthread_cond_signal(&ix->wake);
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
    int before = atomic_exchange(&ix->training, VEC_TRAIN_RUNNING);
    atomic_store(&ix->n_encoded, 0), atomic_store(&ix->n_to_encode, 0);
    if (pthread_create(&ix->trainer, NULL, run, ix)) {
        atomic_store(&ix->training, before);
        return VEC_ETHREAD;
    }
    ix->has_trainer = 1;
    return VEC_OK;
}

int train_start(vec_index *ix) {
    ix->next = ix->wanted, ix->next_reduce = ix->params.reduce, ix->next_reduction = ix->params.reduction;
    return start(ix);
}

int vec_retrain(vec_index *ix, const char *compression, uint32_t reduce, int reduction) {
    int rc = VEC_OK;
    pthread_mutex_lock(&ix->lock);
    const codec *now = ix->wanted, *next = compression && *compression ? codec_named(compression) : now;
    if (!next) rc = VEC_EUNAVAILABLE;
    else if (!is_compressed(now) || (!next->reduces && (reduce || reduction >= 0)) || reduce > ix->params.dim
             || reduction < -1 || reduction > VEC_REDUCE_RANDOM) rc = VEC_EARG;
    else if (atomic_load(&ix->training) == VEC_TRAIN_RUNNING) rc = VEC_EBUSY;
    if (rc == VEC_OK) {
        ix->next = next;
        ix->next_reduce = !next->reduces ? 0 : reduce ? reduce : ix->params.reduce;
        ix->next_reduction = !next->reduces ? VEC_REDUCE_PCA : reduction >= 0 ? reduction : ix->params.reduction;
        if (!atomic_load(&ix->n_vectors) && !is_trained(ix)) {                  /* nothing to learn from yet: when there is */
            atomic_store(&ix->wanted, next);
            ix->params.reduce = ix->next_reduce, ix->params.reduction = ix->next_reduction;
            atomic_store(&ix->learns_from_queries, next->reduces);
        } else if (!atomic_load(&ix->n_vectors)) rc = VEC_EARG;
        else {
            int has_trainer = ix->has_trainer;
            pthread_t trainer = ix->trainer;
            ix->has_trainer = 0;
            atomic_store(&ix->training, VEC_TRAIN_RUNNING);                     /* nobody else starts one */
            pthread_mutex_unlock(&ix->lock);
            if (has_trainer) pthread_join(trainer, NULL);
            pthread_mutex_lock(&ix->lock);
            rc = start(ix);
            if (rc != VEC_OK) atomic_store(&ix->training, is_trained(ix) ? VEC_TRAIN_DONE : VEC_TRAIN_IDLE);
        }
    }
    pthread_mutex_unlock(&ix->lock);
    return rc;
}

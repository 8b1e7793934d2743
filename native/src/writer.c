/* The background thread of a graph index: links the tail in order, sweeps out deleted vectors in slices, calibrates the window.
   Started by the first add; sleeps when there is nothing to do. */
#include "index.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LINKS_PER_TURN = 32, ROWS_PER_TURN = 1024 };

static uint64_t thread_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void drop_slot(vec_index *ix, uint32_t slot) {
    pthread_mutex_lock(&ix->lock);
    atomic_store(meta_at(ix, slot), meta_of(SLOT_FREE, 0));
    retire(ix, NULL, NULL, slot);
    pthread_mutex_unlock(&ix->lock);
}

/* Links the oldest slot of the tail. 0: the tail is empty; negative: it stays where it is. */
static int link_next(vec_index *ix) {
    scratch *s = &ix->link_scratch;
    uint64_t head = atomic_load(&ix->tail_head);
    if (head == atomic_load_explicit(&ix->tail_end, memory_order_acquire)) return 0;
    reader_enter(ix, s);
    tail_ring *t = atomic_load_explicit(&ix->tail, memory_order_acquire);
    uint32_t slot = atomic_load(&t->slot[head & t->mask]);
    uint64_t meta = meta_get(ix, slot);
    int rc = VEC_OK;
    if (meta_state(meta) == SLOT_DELETED) drop_slot(ix, slot);
    else if ((rc = link_slot(ix, s, slot)) == VEC_OK) {
        atomic_fetch_add(&ix->n_linked, 1);
        if (!atomic_compare_exchange_strong(meta_at(ix, slot), &meta, meta_of(SLOT_LINKED, meta_label(meta)))) {
            atomic_fetch_sub(&ix->n_linked, 1);                 /* deleted meanwhile: it is in the graph, to be swept out */
            atomic_fetch_add(&ix->n_deleted, 1);
        }
        atomic_fetch_add(&ix->n_linkings, 1);
    }
    if (rc == VEC_OK) atomic_store_explicit(&ix->tail_head, head + 1, memory_order_release);
    reader_leave(s);
    return rc == VEC_OK ? 1 : rc;
}

int links_turn(vec_index *ix) {
    uint64_t start = thread_ns();
    int rc = 1;
    for (int i = 0; i < LINKS_PER_TURN && rc == 1; i++) {
        rc = link_next(ix);
        uint32_t n = atomic_load(&ix->n_linked);
        if (rc == 1 && n && (n <= 1 || !atomic_load(&ix->n_seeds) || n >= ix->seeds_at + ix->seeds_at / 2 + 1)) choose_seeds(ix);
    }
    atomic_fetch_add(&ix->link_ns, thread_ns() - start);
    return rc;
}

/* Sweeping costs a pass over all rows: worth it from 5 % deleted on, or a few when there is nothing else to do. */
static int wants_sweep(const vec_index *ix, int is_quiet) {
    uint64_t deleted = atomic_load(&((vec_index *)ix)->n_deleted), live = atomic_load(&((vec_index *)ix)->n_linked);
    return deleted && (deleted >= live / 20 + 64 || (is_quiet && deleted >= live / 100));
}

static int wants_mending(const vec_index *ix) {
    uint32_t n = atomic_load(&((vec_index *)ix)->n_linked);
    return n >= 1000 && n >= ix->mended_at + ix->mended_at / 2;
}

static int mend(vec_index *ix) {
    ix->mended_at = atomic_load(&ix->n_linked);
    reader_enter(ix, &ix->link_scratch);
    int rc = mend_reach(ix);
    reader_leave(&ix->link_scratch);
    return rc;
}

static int wants_calibration(const vec_index *ix) {
    uint32_t n = atomic_load(&((vec_index *)ix)->n_linked);
    return !ix->params.search_window && n >= 2000 && n >= ix->calibrated_at + ix->calibrated_at / 2 + 1;
}

static void *run(void *arg) {
    vec_index *ix = arg;
    pthread_mutex_lock(&ix->lock);
    while (!ix->is_stopping) {
        int has_tail = atomic_load(&ix->tail_head) != atomic_load(&ix->tail_end);
        int is_sweeping = ix->sweep_end != 0, rc = VEC_OK;
        int sweeps = is_sweeping || wants_sweep(ix, !has_tail), calibrates = !has_tail && wants_calibration(ix);
        int mends = !has_tail && wants_mending(ix);
        if (!has_tail && !sweeps && !calibrates && !mends) {
            reclaim(ix);
            ix->is_idle = 1;
            pthread_cond_broadcast(&ix->idle);
            if (!ix->retired) pthread_cond_wait(&ix->wake, &ix->lock);
            else {                              /* a reader still holds something: look again soon */
                struct timespec at;
                clock_gettime(CLOCK_MONOTONIC, &at);
                at.tv_nsec += 20000000;
                at.tv_sec += at.tv_nsec / 1000000000, at.tv_nsec %= 1000000000;
                pthread_cond_timedwait(&ix->wake, &ix->lock, &at);
            }
            continue;
        }
        pthread_mutex_unlock(&ix->lock);
        if (has_tail) rc = links_turn(ix);
        if (rc >= 0 && sweeps) {
            if (!is_sweeping) rc = sweep_begin(ix);
            if (rc >= 0) {
                reader_enter(ix, &ix->link_scratch);
                rc = sweep_slice(ix, ROWS_PER_TURN);
                reader_leave(&ix->link_scratch);
                mends |= rc == 0;
            }
        }
        if (rc >= 0 && mends) rc = mend(ix);
        if (rc >= 0 && calibrates) calibrate(ix);
        if (rc < 0) {                           /* out of memory: the tail is searched as it is; try again later */
            struct timespec pause = {0, 50000000};
            nanosleep(&pause, NULL);
        }
        pthread_mutex_lock(&ix->lock);
    }
    pthread_mutex_unlock(&ix->lock);
    return NULL;
}

int writer_start(vec_index *ix) {
    if (pthread_create(&ix->writer, NULL, run, ix)) return VEC_ETHREAD;
    ix->has_writer = 1;
    return VEC_OK;
}

void writer_stop(vec_index *ix) {
    if (!ix->has_writer) return;
    pthread_mutex_lock(&ix->lock);
    ix->is_stopping = 1;
    pthread_cond_broadcast(&ix->wake);
    pthread_mutex_unlock(&ix->lock);
    pthread_join(ix->writer, NULL);
    ix->has_writer = 0;
}

/* The background thread of a graph index: links the tail in order, sweeps out deleted vectors in slices, calibrates the window.
   Started by the first add; sleeps when there is nothing to do.

   Linking goes in turns over the oldest few dozen slots of the tail. With more threads than one, helpers take slots of the same
   turn; they walk and prune side by side and write rows under sharded locks. Everything else happens between turns, alone. */
#include "index.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { ROWS_PER_TURN = 1024, SHORT_TAIL = 2048 };

void step_back(void) {
#ifdef __linux__                                /* where a thread has a priority of its own */
    struct sched_param none = {0};
    id_t self = (id_t)syscall(SYS_gettid);
    (void)pthread_setschedparam(pthread_self(), SCHED_BATCH, &none);
    (void)setpriority(PRIO_PROCESS, self, getpriority(PRIO_PROCESS, self) + 3);
#endif
}

static void drop_slot(vec_index *ix, uint32_t slot) {
    pthread_mutex_lock(&ix->lock);
    atomic_store(meta_at(ix, slot), meta_of(SLOT_FREE, 0));
    retire_slots(ix, &slot, 1);
    pthread_mutex_unlock(&ix->lock);
}

/* Links one slot of the tail, or drops it if it was deleted there. */
static int link_one(vec_index *ix, scratch *s, uint32_t slot) {
    uint64_t meta = meta_get(ix, slot);
    int rc = VEC_OK;
    reader_enter(ix, s);
    if (meta_state(meta) == SLOT_DELETED) drop_slot(ix, slot);
    else if ((rc = link_slot(ix, s, slot)) == VEC_OK) {
        atomic_fetch_add(&ix->n_linked, 1);
        if (!atomic_compare_exchange_strong(meta_at(ix, slot), &meta, meta_of(SLOT_LINKED, meta_label(meta)))) {
            atomic_fetch_sub(&ix->n_linked, 1);                 /* deleted meanwhile: it is in the graph, to be swept out */
            atomic_fetch_add(&ix->n_deleted, 1);
        }
        atomic_fetch_add(&ix->n_linkings, 1);
    }
    reader_leave(s);
    return rc;
}

/* Takes slots of the turn one by one until none is left. */
static void link_some(vec_index *ix, scratch *s) {
    turn *t = &ix->turn;
    uint64_t start = thread_ns();
    for (uint32_t i; (i = atomic_fetch_add(&t->next, 1)) < t->n;) {
        if (t->is_done[i]) continue;
        int rc = link_one(ix, s, t->slots[i]);
        t->is_done[i] = rc == VEC_OK;
        if (rc != VEC_OK) atomic_store(&t->code, rc);
    }
    atomic_fetch_add(&ix->link_ns, thread_ns() - start);
}

static void *help(void *arg) {
    linker *l = arg;
    vec_index *ix = l->index;
    uint64_t seen = 0;
    step_back();
    pthread_mutex_lock(&ix->turn_lock);
    for (;;) {
        while (ix->turn.number == seen && !ix->turn.is_over) pthread_cond_wait(&ix->turn_begins, &ix->turn_lock);
        if (ix->turn.is_over) break;
        seen = ix->turn.number;
        ix->turn.n_working++;
        pthread_mutex_unlock(&ix->turn_lock);
        link_some(ix, &l->scratch);
        pthread_mutex_lock(&ix->turn_lock);
        if (!--ix->turn.n_working) pthread_cond_signal(&ix->turn_ends);
    }
    pthread_mutex_unlock(&ix->turn_lock);
    return NULL;
}

/* Starts the other linkers once; with fewer than wanted it goes on with those there are. */
static void start_linkers(vec_index *ix) {
    uint32_t wanted = ix->params.threads - 1;
    if (ix->linkers || !wanted) return;
    linker *l = mem_zeroed(&ix->account, VEC_MEM_SCRATCH, wanted * sizeof *l);
    if (!l) return;
    pthread_mutex_lock(&ix->lock);
    ix->linkers = l;
    for (uint32_t i = 0; i < wanted; i++) {
        l[i].index = ix;
        if (pthread_create(&l[i].thread, NULL, help, &l[i])) break;
        ix->n_linkers++;
    }
    pthread_mutex_unlock(&ix->lock);
}

static void stop_linkers(vec_index *ix) {
    pthread_mutex_lock(&ix->turn_lock);
    ix->turn.is_over = 1;
    pthread_cond_broadcast(&ix->turn_begins);
    pthread_mutex_unlock(&ix->turn_lock);
    for (uint32_t i = 0; i < ix->n_linkers; i++) pthread_join(ix->linkers[i].thread, NULL);
}

/* Fills the turn from the tail; what a turn left over for want of memory comes first. In a small graph a turn is short: those
   that are linked at the same time do not see each other. */
static int fill_turn(vec_index *ix) {
    turn *t = &ix->turn;
    uint32_t n_linked = atomic_load(&ix->n_linked), most = LINKS_PER_TURN * (n_linked < 1000 ? 1 : ix->params.threads);
    if (most > n_linked / 2) most = n_linked / 2 ? n_linked / 2 : 1;
    if (!t->is_left) {
        t->n = 0, t->span = 0;
        pthread_mutex_lock(&ix->lock);          /* from here on deletions leave these slots to the linkers */
        uint64_t head = atomic_load(&ix->tail_head), end = atomic_load(&ix->tail_end);
        const tail_ring *ring = atomic_load(&ix->tail);
        for (; t->n < most && head + t->span < end; t->span++) {
            uint32_t slot = atomic_load(&((tail_ring *)ring)->slot[(head + t->span) & ring->mask]);
            if (slot != NO_SLOT) t->slots[t->n++] = slot;
        }
        ix->tail_taken = head + t->span;
        pthread_mutex_unlock(&ix->lock);
        memset(t->is_done, 0, t->n);
        if (!t->n) atomic_fetch_add_explicit(&ix->tail_head, t->span, memory_order_release);
    }
    atomic_store(&t->code, VEC_OK);
    return t->n != 0;
}

enum { LONG_TAIL = 2048, LEAST_WINDOW = 48 };

/* Every search scans the tail. While there are searches and it is long, a smaller window shortens it sooner: a third of the
   window links twice as many, at 0.01 less recall of the same search window, half of it 1.5 times as many. */
static uint32_t window_of_turn(vec_index *ix) {
    uint64_t n_compared, n_searches = count_searches(ix, &n_compared), n_new = n_searches - ix->n_searches_then;
    uint64_t n_vectors = atomic_load(&ix->n_vectors), n_linked = atomic_load(&ix->n_linked),
             n_tail = n_vectors > n_linked ? n_vectors - n_linked : 0;
    uint32_t most = ix->params.build_window, pressed = n_tail > 8 * LONG_TAIL ? most / 3 : most / 2;
    if (pressed < LEAST_WINDOW) pressed = LEAST_WINDOW;
    ix->n_searches_then = n_searches;
    return n_tail > LONG_TAIL && n_new && pressed < most ? pressed : most;
}

int links_turn(vec_index *ix) {
    turn *t = &ix->turn;
    pthread_mutex_lock(&ix->turn_lock);
    while (t->n_working) pthread_cond_wait(&ix->turn_ends, &ix->turn_lock);
    int is_any = fill_turn(ix);
    const uint64_t start = thread_ns();
    if (is_any) sketch_turn(ix, t->slots, t->n);
    atomic_fetch_add(&ix->link_ns, thread_ns() - start);
    ix->link_window = window_of_turn(ix);
    if (is_any && t->n >= 2 * LINKS_PER_TURN) start_linkers(ix);
    atomic_store(&t->next, 0);
    if (is_any && t->n > 1 && ix->n_linkers) {
        t->number++;
        pthread_cond_broadcast(&ix->turn_begins);
    }
    pthread_mutex_unlock(&ix->turn_lock);
    if (!is_any) return 0;
    link_some(ix, &ix->link_scratch);
    pthread_mutex_lock(&ix->turn_lock);
    while (t->n_working) pthread_cond_wait(&ix->turn_ends, &ix->turn_lock);
    atomic_store(&t->next, t->n);               /* a helper that wakes only now finds nothing */
    pthread_mutex_unlock(&ix->turn_lock);
    t->is_left = atomic_load(&t->code) != VEC_OK;
    if (t->is_left) return atomic_load(&t->code);
    atomic_fetch_add_explicit(&ix->tail_head, t->span, memory_order_release);
    uint32_t n = atomic_load(&ix->n_linked);
    if (n && (n <= 1 || !atomic_load(&ix->n_seeds) || n >= ix->seeds_at + ix->seeds_at / 2 + 1)) choose_seeds(ix);
    return 1;
}

/* Sweeping costs a pass over all rows: worth it from 5 % deleted on, or a few when there is nothing else to do. */
static int wants_sweep(const vec_index *ix, int is_quiet) {
    uint64_t deleted = atomic_load(&((vec_index *)ix)->n_deleted), live = atomic_load(&((vec_index *)ix)->n_linked);
    return deleted && (deleted >= live / 20 + 64 || (is_quiet && deleted >= live / 100));
}

int is_mended(const vec_index *ix) {
    return !ix->is_swept && !ix->mending.seen
           && atomic_load(&((vec_index *)ix)->n_linkings) == atomic_load(&((vec_index *)ix)->mended_at);
}

/* Every edge that pruning drops may have been the only one to its end, or to many. A look at all rows costs about what linking
   one of a thousand does: it follows when that is little, or nobody else wants anything. */
enum { FEW = 1024, LINKS_PER_LOOK = 64 };
static int wants_mending(const vec_index *ix) {
    uint64_t n = atomic_load(&((vec_index *)ix)->n_linked);
    uint64_t unseen = atomic_load(&((vec_index *)ix)->n_linkings) - atomic_load(&((vec_index *)ix)->mended_at);
    return unseen > n / LINKS_PER_LOOK || (unseen && (n < FEW || ix->n_waiting || ix->is_quiet));
}

static int mend(vec_index *ix) {
    int rc = VEC_OK;
    reader_enter(ix, &ix->link_scratch);
    if (!ix->mending.seen) {
        atomic_store(&ix->mended_at, atomic_load(&ix->n_linkings));
        rc = mend_begin(ix);
    }
    if (rc == VEC_OK) rc = mend_slice(ix, ROWS_PER_TURN);
    reader_leave(&ix->link_scratch);
    return rc;
}

static int wants_calibration(const vec_index *ix) {
    uint32_t n = atomic_load(&((vec_index *)ix)->n_linked);
    uint32_t then = atomic_load(&((vec_index *)ix)->calibrated_at);
    if (n < 2000) return 0;
    if (!atomic_load(&((vec_index *)ix)->n_rungs) && atomic_load(&((vec_index *)ix)->is_curve_wanted)) return 1;
    return (!ix->params.search_window || atomic_load(&((vec_index *)ix)->is_curve_wanted)) && n >= then + then / 2 + 1;
}

/* Under the lock. A reader that still holds something is looked at again soon; what was not mended is after a while of quiet,
   which is the longer the more there is to look at. */
static void sleep_idle(vec_index *ix) {
    if (!ix->retired && is_mended(ix)) { pthread_cond_wait(&ix->wake, &ix->lock); return; }
    uint64_t ns = 20000000, quiet = 2000 * (uint64_t)atomic_load(&ix->n_linked);
    if (!ix->retired && quiet > ns) ns = quiet;
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    ns += (uint64_t)at.tv_nsec;
    at.tv_sec += (time_t)(ns / 1000000000), at.tv_nsec = (long)(ns % 1000000000);
    ix->is_quiet = pthread_cond_timedwait(&ix->wake, &ix->lock, &at) == ETIMEDOUT && !ix->retired;
}

static void *run(void *arg) {
    vec_index *ix = arg;
    step_back();
    pthread_mutex_lock(&ix->lock);
    while (!ix->is_stopping) {
        while (ix->n_pausing && !ix->is_stopping) pthread_cond_wait(&ix->wake, &ix->lock);
        int has_tail = atomic_load(&ix->tail_head) != atomic_load(&ix->tail_end);
        int is_sweeping = ix->sweep_end != 0, rc = VEC_OK;
        if (ix->wants_relinking) {
            ix->n_relinkings = ix->wants_relinking, ix->wants_relinking = 0;
            ix->relink_at = 0, ix->relink_end = atomic_load(&ix->n_slots);
            atomic_store(&ix->n_to_relink, (uint32_t)ix->n_relinkings * ix->relink_end);
        }
        /* A tail that never empties must not keep it from being done for ever. */
        int relinks = ix->relink_end && atomic_load(&ix->tail_end) - atomic_load(&ix->tail_head) < SHORT_TAIL,
            sweeps = is_sweeping || wants_sweep(ix, !has_tail);
        int calibrates = !has_tail && !relinks && wants_calibration(ix);
        int mends = ix->mending.seen || (!has_tail && (ix->is_swept || wants_mending(ix)));
        int is_over = !has_tail && ix->sketch.store;
        if (!has_tail && !sweeps && !calibrates && !mends && !relinks && !is_over) {
            reclaim(ix);
            ix->is_idle = 1;
            pthread_cond_broadcast(&ix->idle);
            sleep_idle(ix);
            continue;
        }
        ix->is_working = 1, ix->is_idle = ix->is_quiet = 0;
        pthread_mutex_unlock(&ix->lock);
        if (is_over) sketch_free(ix);
        if (has_tail) rc = links_turn(ix);
        if (rc >= 0 && sweeps) {
            if (!is_sweeping) rc = sweep_begin(ix);
            if (rc >= 0) {
                reader_enter(ix, &ix->link_scratch);
                rc = sweep_slice(ix, ROWS_PER_TURN);
                reader_leave(&ix->link_scratch);
                ix->is_swept |= rc == 0;        /* rows were pruned: look what is still in reach */
            }
        }
        if (rc >= 0 && relinks) {
            reader_enter(ix, &ix->link_scratch);
            rc = relink_slice(ix, LINKS_PER_TURN);
            reader_leave(&ix->link_scratch);
            ix->is_swept |= rc == 0;
        }
        if (rc >= 0 && mends) {
            if (!ix->mending.seen) ix->is_swept = 0;
            rc = mend(ix);
        }
        if (rc >= 0 && calibrates) calibrate(ix);
        if (rc < 0) {                           /* out of memory: the tail is searched as it is; try again later */
            struct timespec pause = {0, 50000000};
            nanosleep(&pause, NULL);
        }
        pthread_mutex_lock(&ix->lock);
        ix->is_working = 0;
        if (ix->n_pausing) pthread_cond_broadcast(&ix->idle);
    }
    pthread_mutex_unlock(&ix->lock);
    return NULL;
}

void writer_pause(vec_index *ix) {
    ix->n_pausing++;
    while (ix->is_working) pthread_cond_wait(&ix->idle, &ix->lock);
}

void writer_resume(vec_index *ix) {
    ix->n_pausing--;
    pthread_cond_broadcast(&ix->wake);
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
    stop_linkers(ix);
    ix->has_writer = 0;
}

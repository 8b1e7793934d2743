/* A crew: threads that help the caller's with the searches of one call.

   Each takes the next few searches until none is left, so a helper that comes late leaves more to the others. One that is
   interrupted (it has no processor of its own) is not waited for longer than its searches take: the caller then does these too
   and the helper's results are dropped.
   So helpers work in memory of their own, and a task lives until the last of them has let it go.

   Helpers that have just worked look out for the next call for a few tens of microseconds before they sleep: waking a thread
   takes about as long as a search. The word `n_calls` is what they look at, and what they sleep on. */
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "crew.h"
#include "index.h"

enum { TAKEN, WRITING, DONE, DROPPED };         /* a share of the searches */

/* Two run faster together than one after the other (interleave.c); scans gain from more (many.c). */
enum { MOST_TOGETHER = 32 };

typedef struct {
    _Atomic uint32_t n_users;
    vec_index *index;
    const char *queries;
    size_t n, share, query_bytes;
    vec_query query;                            /* its k is the length of rows */
    const vec_query *each;                      /* of every search; NULL: `query` is that of all */
    uint64_t *labels;
    double *distances;
    int64_t *counts;
    _Atomic size_t next;
    _Atomic uint8_t states[];
} task;

struct vec_crew {
    _Atomic uint32_t n_calls;                   /* grows with every call */
    _Atomic uint32_t n_asleep;
    _Atomic(task *) task;
    _Atomic(vec_lanes *) lanes;
    _Alignas(64) _Atomic uint32_t n_reaching;   /* helpers between reading `task` and being one of its users */
    _Atomic uint32_t n_tasks;                   /* that still have users */
    _Atomic int is_stopping;
    uint64_t spin_ns;
    uint32_t n_threads;
    pthread_t threads[];
};

enum { LOOKS_PER_CLOCK = 32 };

static void futex(_Atomic uint32_t *word, int what, uint32_t value) {
    syscall(SYS_futex, word, what | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0);
}

static void release(vec_crew *c, task *t) {
    if (atomic_fetch_sub(&t->n_users, 1) > 1) return;
    atomic_fetch_sub(&t->index->n_pins, 1);
    free(t);
    atomic_fetch_sub(&c->n_tasks, 1);
}

static size_t n_shares(const task *t) { return (t->n + t->share - 1) / t->share; }

static size_t share_size(const task *t, size_t i) { return (i + 1) * t->share <= t->n ? t->share : t->n - i * t->share; }

/* The i-th share's searches; results into rows of k. */
static void search_share(const task *t, size_t i, uint64_t *labels, double *distances, int64_t *counts) {
    const char *queries = t->queries + i * t->share * t->query_bytes;
    size_t n = share_size(t, i);
    vec_query q = t->query;
    uint32_t found[MOST_TOGETHER];
    if (t->each) {                              /* alone in its share */
        q = t->each[i];
        counts[0] = vec_search(t->index, queries, &q, labels, distances);
        return;
    }
    if (n > 1 && vec_search_many(t->index, queries, n, &q, labels, distances, found) == VEC_OK) {
        for (size_t j = 0; j < n; j++) counts[j] = found[j];
        return;
    }
    for (size_t j = 0; j < n; j++) {            /* one of them may have an error of its own */
        q = t->query;
        counts[j] = vec_search(t->index, queries + j * t->query_bytes, &q, labels + j * q.k, distances + j * q.k);
    }
}

static void search_into_place(task *t, size_t i) {
    size_t first = i * t->share;
    search_share(t, i, t->labels + first * t->query.k, t->distances + first * t->query.k, t->counts + first);
}

int has_room(room *r, size_t n, size_t n_bytes) {
    if (r->n < n) {
        free(r->labels), free(r->distances);
        r->labels = malloc(n * sizeof *r->labels), r->distances = malloc(n * sizeof *r->distances);
        r->n = r->labels && r->distances ? n : 0;
    }
    if (r->n_bytes < n_bytes) {
        free(r->queries);
        r->queries = malloc(n_bytes);
        r->n_bytes = r->queries ? n_bytes : 0;
    }
    return r->n >= n && r->n_bytes >= n_bytes;
}

void free_room(room *r) {
    free(r->labels), free(r->distances), free(r->queries);
    *r = (room){0};
}

static void take_part(task *t, room *r) {
    const size_t k = t->query.k, n = n_shares(t);
    if (!has_room(r, k * t->share, 0)) return;
    for (size_t i; (i = atomic_fetch_add_explicit(&t->next, 1, memory_order_relaxed)) < n;) {
        int64_t counts[MOST_TOGETHER];
        search_share(t, i, r->labels, r->distances, counts);
        uint8_t state = TAKEN;
        if (!atomic_compare_exchange_strong(&t->states[i], &state, WRITING)) return;
        for (size_t j = 0; j < share_size(t, i); j++) {
            size_t at = i * t->share + j;
            for (int64_t m = 0; m < counts[j]; m++) {
                t->labels[at * k + (size_t)m] = r->labels[j * k + (size_t)m];
                t->distances[at * k + (size_t)m] = r->distances[j * k + (size_t)m];
            }
            t->counts[at] = counts[j];
        }
        atomic_store(&t->states[i], DONE);
    }
}

/* The task at hand, which then has one user more; NULL: there is none. */
static task *reach_task(vec_crew *c) {
    atomic_fetch_add(&c->n_reaching, 1);        /* before the look: who has taken the task away then sees us reach */
    task *t = atomic_load(&c->task);
    if (t) atomic_fetch_add(&t->n_users, 1);
    atomic_fetch_sub(&c->n_reaching, 1);
    return t;
}

static void await_call(vec_crew *c, uint32_t seen) {
    uint64_t end = now_ns() + c->spin_ns;
    do {
        for (int i = 0; i < LOOKS_PER_CLOCK; i++) {
            if (atomic_load_explicit(&c->n_calls, memory_order_acquire) != seen) return;
            relax();
        }
        sched_yield();                          /* whoever else wants this processor has something to do */
    } while (now_ns() < end);
    atomic_fetch_add(&c->n_asleep, 1);
    while (atomic_load(&c->n_calls) == seen) futex(&c->n_calls, FUTEX_WAIT, seen);
    atomic_fetch_sub(&c->n_asleep, 1);
}

static void *help(void *arg) {
    vec_crew *c = arg;
    room r = {0};
    for (uint32_t seen = 0;;) {
        await_call(c, seen);
        if (atomic_load(&c->is_stopping)) break;
        seen = atomic_load(&c->n_calls);
        task *t = reach_task(c);
        if (t) take_part(t, &r), release(c, t);
        vec_lanes *lanes = atomic_load(&c->lanes);
        while (lanes && lanes_help(lanes, c->n_threads + 1, &r));
    }
    free_room(&r);
    return NULL;
}

int vec_crew_create(uint32_t threads, uint64_t spin_us, vec_crew **out) {
    if (threads < 1 || threads > 256) return VEC_EARG;
    size_t bytes = (sizeof(vec_crew) + threads * sizeof(pthread_t) + 63) / 64 * 64;
    vec_crew *c = aligned_alloc(64, bytes);
    if (!c) return VEC_ENOMEM;
    memset(c, 0, bytes);
    c->spin_ns = 1000 * spin_us;
    while (c->n_threads < threads && !pthread_create(&c->threads[c->n_threads], NULL, help, c)) c->n_threads++;
    if (c->n_threads < threads) {
        vec_crew_free(c);
        return VEC_ETHREAD;
    }
    *out = c;
    return VEC_OK;
}

void vec_crew_free(vec_crew *c) {
    if (!c) return;
    atomic_store(&c->is_stopping, 1);
    atomic_fetch_add(&c->n_calls, 1);
    futex(&c->n_calls, FUTEX_WAKE, INT_MAX);
    for (uint32_t i = 0; i < c->n_threads; i++) pthread_join(c->threads[i], NULL);
    free(c);
}

void crew_call(vec_crew *c, size_t n_wanted) {
    atomic_fetch_add(&c->n_calls, 1);
    if (atomic_load(&c->n_asleep)) futex(&c->n_calls, FUTEX_WAKE, n_wanted < INT_MAX ? (uint32_t)n_wanted : INT_MAX);
}

void vec_crew_alert(vec_crew *c) { crew_call(c, 1); }

uint32_t crew_size(const vec_crew *c) { return c ? c->n_threads : 0; }

void crew_watch(vec_crew *c, vec_lanes *lanes) { atomic_store(&c->lanes, lanes); }

/* Such that each thread has two shares to take where there are enough searches, which evens out when they come. */
static size_t share_of(const vec_crew *c, size_t n) {
    size_t n_threads = c ? c->n_threads + 1 : 1, share = n / (2 * n_threads);
    if (n_threads == 1) share = n;
    if (share < 2) share = n >= 2 * n_threads ? 2 : 1;
    return share < MOST_TOGETHER ? share : MOST_TOGETHER;
}

static size_t at_query(size_t n) {
    return (sizeof(task) + n + _Alignof(vec_query) - 1) / _Alignof(vec_query) * _Alignof(vec_query);
}

static uint32_t search_all(vec_crew *c, vec_index *ix, const char *queries, size_t n, const vec_query *q, const vec_query *each,
                           uint64_t *labels, double *distances, int64_t *counts) {
    task alone, *t = c && n > 1 ? calloc(1, at_query(n) + (each ? n * sizeof *each : 0)) : NULL;
    const int has_help = t != NULL;
    if (!has_help) t = &alone;
    t->index = ix, t->queries = queries, t->n = n, t->query_bytes = ix->params.dim * dtype_bytes(ix->params.dtype), t->query = *q;
    t->labels = labels, t->distances = distances, t->counts = counts, t->share = each ? 1 : share_of(has_help ? c : NULL, n);
    t->each = each;
    if (has_help && each) t->each = memcpy((char *)t + at_query(n), each, n * sizeof *each);     /* a helper may come late */
    const size_t shares = n ? n_shares(t) : 0;
    if (!has_help) {
        for (size_t i = 0; i < shares; i++) search_into_place(t, i);
        return c ? atomic_load(&c->n_tasks) : 0;
    }
    atomic_store(&t->n_users, 1);
    atomic_fetch_add(&ix->n_pins, 1);
    atomic_fetch_add(&c->n_tasks, 1);
    atomic_store(&c->task, t);
    crew_call(c, shares - 1);
    uint64_t start = now_ns(), now;
    size_t i, n_own = 0;
    for (; (i = atomic_fetch_add_explicit(&t->next, 1, memory_order_relaxed)) < shares; n_own++) {
        search_into_place(t, i);
        atomic_store_explicit(&t->states[i], DONE, memory_order_relaxed);
    }
    atomic_store(&c->task, NULL);
    now = now_ns();
    const uint64_t patience = now + (n_own ? (now - start) / n_own : c->spin_ns);
    for (i = 0; i < shares; i++)
        for (int turn = 1; atomic_load(&t->states[i]) != DONE; turn++) {
            uint8_t state = TAKEN;
            if (now_ns() > patience && atomic_compare_exchange_strong(&t->states[i], &state, DROPPED)) {
                search_into_place(t, i);
                break;
            }
            wait_a_little(turn);
        }
    for (int turn = 1; atomic_load(&c->n_reaching); turn++) wait_a_little(turn);
    release(c, t);
    return atomic_load(&c->n_tasks);
}

uint32_t vec_search_together(vec_crew *c, vec_index *ix, const char *queries, size_t n, const vec_query *q, uint64_t *labels,
                             double *distances, int64_t *counts) {
    return search_all(c, ix, queries, n, q, NULL, labels, distances, counts);
}

uint32_t vec_search_each(vec_crew *c, vec_index *ix, const char *queries, size_t n, const vec_query *each, uint32_t k,
                         uint64_t *labels, double *distances, int64_t *counts) {
    const vec_query rows = {.k = k};
    return search_all(c, ix, queries, n, &rows, each, labels, distances, counts);
}

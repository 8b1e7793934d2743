/* The pool: threads that take whole jobs off a list, and an eventfd that becomes readable when one is done. A job carries its
   queries and results; the filter bitmap stays the caller's. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "index.h"

typedef struct job {
    struct job *next;
    uint64_t id;
    vec_index *index;
    vec_query query;
    size_t n;
    char *queries;
    uint64_t *labels;
    double *distances;
    uint32_t *counts;
    uint64_t took_ns;                           /* of its thread */
    int code, is_range;
} job;

struct vec_pool {
    pthread_mutex_t lock;
    pthread_cond_t wake, done;
    job *first, *last;                          /* waiting */
    job *done_first, *done_last;                /* finished, not taken */
    job *taken;                                 /* given to the caller, not dropped */
    job *running;                               /* list */
    uint64_t next_id;
    int fd, is_stopping;
    uint32_t n_threads;
    pthread_t threads[];
};

/* The job needs its index no longer: vec_free waits for this, maybe in the thread that would take the job's result. */
static void unpin(job *j) {
    if (j->index) atomic_fetch_sub(&j->index->n_pins, 1);
    j->index = NULL;
}

static void free_job(job *j) {
    unpin(j);
    mem_free(j->queries), mem_free(j->labels), mem_free(j->distances), mem_free(j->counts), mem_free(j);
}

static void unlink_job(job **list, job *j) {
    while (*list && *list != j) list = &(*list)->next;
    if (*list) *list = j->next;
}

static void append_done(vec_pool *p, job *j) {
    j->next = NULL;
    if (p->done_last) p->done_last->next = j;
    else p->done_first = j;
    p->done_last = j;
}

/* What lies within a radius makes its own room, a row as long as it needs. */
static void search_range(job *j) {
    int64_t n = vec_range(j->index, j->queries, &j->query, &j->labels, &j->distances);
    j->code = n < 0 ? (int)n : VEC_OK;
    j->query.k = j->counts[0] = n < 0 ? 0 : (uint32_t)n;
}

static void *work(void *arg) {
    vec_pool *p = arg;
    pthread_mutex_lock(&p->lock);
    for (;;) {
        while (!p->first && !p->is_stopping) pthread_cond_wait(&p->wake, &p->lock);
        if (p->is_stopping) break;
        job *j = p->first;
        p->first = j->next;
        if (!p->first) p->last = NULL;
        j->next = p->running, p->running = j;
        pthread_mutex_unlock(&p->lock);
        const uint64_t start = thread_ns();
        if (j->is_range) search_range(j);
        else j->code = vec_search_many(j->index, j->queries, j->n, &j->query, j->labels, j->distances, j->counts);
        j->took_ns = thread_ns() - start;
        unpin(j);
        pthread_mutex_lock(&p->lock);
        unlink_job(&p->running, j);
        append_done(p, j);
        pthread_cond_broadcast(&p->done);
        uint64_t one = 1;
        ssize_t written = write(p->fd, &one, sizeof one);
        (void)written;                          /* full only after 2^64 - 2 unread jobs */
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

int vec_pool_create(uint32_t threads, vec_pool **out) {
    if (threads < 1 || threads > 256) return VEC_EARG;
    vec_pool *p = mem_zeroed(NULL, 0, sizeof *p + threads * sizeof p->threads[0]);
    if (!p) return VEC_ENOMEM;
    p->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    p->next_id = 1;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    pthread_cond_init(&p->done, NULL);
    while (p->fd >= 0 && p->n_threads < threads && !pthread_create(&p->threads[p->n_threads], NULL, work, p)) p->n_threads++;
    if (p->n_threads < threads) {
        vec_pool_free(p);
        return VEC_ETHREAD;
    }
    *out = p;
    return VEC_OK;
}

void vec_pool_free(vec_pool *p) {
    if (!p) return;
    pthread_mutex_lock(&p->lock);
    p->is_stopping = 1;
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
    for (uint32_t i = 0; i < p->n_threads; i++) pthread_join(p->threads[i], NULL);
    job *lists[] = {p->first, p->done_first, p->taken};
    for (int i = 0; i < 3; i++)
        for (job *j = lists[i], *next; j; j = next) next = j->next, free_job(j);
    if (p->fd >= 0) close(p->fd);
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->wake);
    pthread_cond_destroy(&p->done);
    mem_free(p);
}

int vec_pool_fd(const vec_pool *p) { return p->fd; }

/* A job with room for its queries, or NULL; its index stays until it is done. */
static job *new_job(vec_index *ix, const char *queries, size_t n, vec_query query) {
    size_t bytes = n * ix->params.dim * dtype_bytes(ix->params.dtype);
    job *j = mem_zeroed(NULL, 0, sizeof *j);
    if (!j) return NULL;
    j->index = ix, j->n = n, j->query = query;
    atomic_fetch_add(&ix->n_pins, 1);
    j->queries = mem_alloc(NULL, 0, bytes);
    j->counts = mem_zeroed(NULL, 0, n * sizeof *j->counts);
    if (!j->queries || !j->counts) {
        free_job(j);
        return NULL;
    }
    memcpy(j->queries, queries, bytes);
    return j;
}

static int queue(vec_pool *p, job *j, uint64_t *id) {
    pthread_mutex_lock(&p->lock);
    *id = j->id = p->next_id++;
    if (p->last) p->last->next = j;
    else p->first = j;
    p->last = j;
    pthread_cond_signal(&p->wake);
    pthread_mutex_unlock(&p->lock);
    return VEC_OK;
}

int vec_pool_submit(vec_pool *p, vec_index *ix, const char *queries, size_t n, const vec_query *q, uint64_t *id) {
    uint64_t n_vectors = atomic_load(&ix->n_vectors);
    vec_query query = *q;
    if (query.k > n_vectors) query.k = (uint32_t)n_vectors;     /* no rows longer than there can be results */
    size_t cells = n * query.k;
    job *j = new_job(ix, queries, n, query);
    if (!j) return VEC_ENOMEM;
    j->labels = mem_alloc(NULL, 0, cells * sizeof *j->labels);
    j->distances = mem_alloc(NULL, 0, cells * sizeof *j->distances);
    if (!j->labels || !j->distances) {
        free_job(j);
        return VEC_ENOMEM;
    }
    return queue(p, j, id);
}

int vec_pool_range(vec_pool *p, vec_index *ix, const char *blob, const vec_query *q, uint64_t *id) {
    job *j = new_job(ix, blob, 1, *q);
    if (!j) return VEC_ENOMEM;
    j->is_range = 1;
    return queue(p, j, id);
}

int vec_pool_next(vec_pool *p, uint64_t *id, int *code, uint64_t *n, uint32_t *k, uint64_t *took_ns, const uint64_t **labels,
                  const double **distances, const uint32_t **counts) {
    pthread_mutex_lock(&p->lock);
    job *j = p->done_first;
    if (j) {
        p->done_first = j->next;
        if (!p->done_first) p->done_last = NULL;
        j->next = p->taken, p->taken = j;
        *id = j->id, *code = j->code, *n = j->n, *k = j->query.k, *took_ns = j->took_ns;
        *labels = j->labels, *distances = j->distances, *counts = j->counts;
    } else {
        uint64_t count;
        ssize_t got = read(p->fd, &count, sizeof count);        /* under the lock: what finishes later makes it readable again */
        (void)got;
    }
    pthread_mutex_unlock(&p->lock);
    return j != NULL;
}

void vec_pool_drop(vec_pool *p, uint64_t id) {
    pthread_mutex_lock(&p->lock);
    job *j = p->taken;
    while (j && j->id != id) j = j->next;
    if (j) unlink_job(&p->taken, j), free_job(j);
    pthread_mutex_unlock(&p->lock);
}

static int has_job(const job *list, uint64_t id) {
    while (list && list->id != id) list = list->next;
    return list != NULL;
}

int vec_pool_wait(vec_pool *p, uint64_t id) {
    pthread_mutex_lock(&p->lock);
    while (has_job(p->first, id) || has_job(p->running, id)) pthread_cond_wait(&p->done, &p->lock);
    job **at = &p->done_first;
    while (*at && (*at)->id != id) at = &(*at)->next;
    job *j = *at;
    if (j && j != p->done_first) {              /* to the front */
        *at = j->next;
        if (p->done_last == j) {
            p->done_last = p->done_first;
            while (p->done_last->next) p->done_last = p->done_last->next;
        }
        j->next = p->done_first, p->done_first = j;
    }
    pthread_mutex_unlock(&p->lock);
    return j ? VEC_OK : VEC_EARG;
}

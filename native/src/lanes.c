/* Lanes: requests that differ in nothing but a vector, served from the socket to the reply.

   The caller's thread reads what has come on any connection, compares it with what its lane expects, and queues it; it searches, answers
   and sends. A crew's helpers take queued searches, too, from the moment that the first is there; their results are answered by the
   caller's thread. So what a client sees is made by one thread, and helpers touch nothing but searches.

   A helper that is interrupted (it has no processor of its own) is not waited for longer than a few searches take: the caller does its
   search, too, and drops what the helper finds. A search's memory is its own until the helper has let it go. */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "crew.h"
#include "index.h"
#include "slots.h"

/* Searches under way at most, and connections read between two looks at them. */
enum { MOST_FLYING = 1024, MOST_READ = 128, MOST_RESULTS = 1 << 16 };
/* A helper's search is waited for so many times as long as one takes, and so much longer. */
enum { PATIENCE = 4, PATIENCE_NS = 20000, LOOKS_PER_READ = 20 };

enum { FREE, QUEUED, TAKEN, DONE, DROPPED, STALLED };       /* STALLED: the places of some of its candidates are not known */

typedef struct errand {
    _Atomic uint32_t state;
    _Atomic uint64_t taken_ns;
    struct errand *next;                        /* in its lane's list of free ones, or of dropped ones */
    vec_lane *lane;
    vec_index *index;
    vec_query query;
    uint32_t connection, version, room;         /* room: results that it can hold */
    uint64_t began_ns;
    int64_t count;
    uint64_t *labels;
    double *distances;
    char *request;                              /* one byte more than requests have */
} errand;

typedef struct {
    vec_lane *lane;                             /* NULL: not in use */
    errand *errand;                             /* the one under way */
    char *partial;                              /* the begin of a request */
    uint64_t tag, n, in, out;
    uint32_t n_partial;
    int fd;
} connection;

struct vec_lane {
    vec_lanes *lanes;
    char *head, *tail;
    uint32_t n_head, n_tail, vector_bytes, request_bytes;
    uint32_t version;                           /* grows when it is set */
    uint32_t wanted;                            /* results that an errand has room for */
    vec_index *index;
    vec_query query;
    const vec_names *names;
    const vec_form *form;
    const int64_t *order;
    vec_ruler *ruler;
    const vec_places *places;
    uint32_t n_rescored, k;
    errand *free, *dropped;
    double search_ns;                           /* running mean of what one takes */
    uint64_t n_recent;
    char *recent;                               /* the latest VEC_LANE_RECENT vectors */
    vec_lane_stats stats;
};

struct vec_lanes {
    int epoll;
    connection *connections;
    uint32_t n_connections, n_free;
    uint32_t *free, *dirty, n_dirty;            /* numbers not in use; those with something to tally */
    errand *flying[MOST_FLYING];
    uint32_t n_flying;
    vec_lane_event *events;
    size_t n_events, events_size;
    uint64_t *missing;
    size_t n_missing, missing_size;
    const vec_lane *missing_lane;
    char *out;
    size_t out_size;
    room room;                                  /* the caller's */
    vec_crew *crew;
    struct measured *measured;
    _Alignas(64) _Atomic uint64_t n_queued;
    _Atomic uint64_t n_taken;
    _Atomic(errand *) ring[MOST_FLYING];
};

/* 1. Where vectors are. */

/* An even number is the address of a vector, or NOWHERE; an odd one is twice a slot, and one more; 0 is unknown. */
struct vec_places {
    uintptr_t *at;
    uint64_t n;
    vec_slots *slots;
};

static const _Alignas(2) char NOWHERE;

int vec_places_create(vec_places **out) {
    *out = calloc(1, sizeof **out);
    return *out ? VEC_OK : VEC_ENOMEM;
}

void vec_places_free(vec_places *p) {
    if (p) free(p->at);
    free(p);
}

static int put_place(vec_places *p, uint64_t label, uintptr_t place) {
    if (label >= p->n) {
        uint64_t n = p->n ? p->n : 64;
        while (n <= label) n += n / 4 + 1;
        uintptr_t *more = realloc(p->at, n * sizeof *more);
        if (!more) return VEC_ENOMEM;
        memset(more + p->n, 0, (n - p->n) * sizeof *more);
        p->at = more, p->n = n;
    }
    p->at[label] = place;
    return VEC_OK;
}

int vec_places_set(vec_places *p, uint64_t label, const char *vector) {
    uintptr_t place = (uintptr_t)(vector ? vector : &NOWHERE);
    return place & 1 ? VEC_EARG : put_place(p, label, place);
}

int vec_places_set_slot(vec_places *p, uint64_t label, vec_slots *slots, uint32_t slot) {
    if (p->slots && p->slots != slots) return VEC_EARG;
    p->slots = slots;
    return put_place(p, label, (uintptr_t)slot << 1 | 1);
}

void vec_places_forget(vec_places *p, uint64_t label) {
    if (label < p->n) p->at[label] = 0;
}

void vec_places_clear(vec_places *p) {
    free(p->at);
    *p = (vec_places){.at = NULL};
}

/* 2. Lanes and their errands. */

int vec_lane_create(vec_lanes *lanes, const char *head, uint32_t n_head, const char *tail, uint32_t n_tail, uint32_t vector_bytes,
                    vec_lane **out) {
    vec_lane *l = calloc(1, sizeof *l);
    if (!l) return VEC_ENOMEM;
    l->lanes = lanes, l->n_head = n_head, l->n_tail = n_tail, l->vector_bytes = vector_bytes;
    l->request_bytes = n_head + vector_bytes + n_tail;
    l->head = malloc((size_t)n_head + 1), l->tail = malloc((size_t)n_tail + 1);
    l->recent = malloc((size_t)VEC_LANE_RECENT * vector_bytes + 1);
    if (!l->head || !l->tail || !l->recent) {
        vec_lane_free(l);
        return VEC_ENOMEM;
    }
    memcpy(l->head, head, n_head), memcpy(l->tail, tail, n_tail);
    *out = l;
    return VEC_OK;
}

/* Waits for helpers that still read what this lane's errands point to. */
static void await_dropped(const vec_lane *l) {
    const struct timespec pause = {0, 50000};
    for (errand *e = l->dropped; e; e = e->next)
        while (atomic_load(&e->state) == DROPPED) nanosleep(&pause, NULL);
}

static void free_errands(vec_lane *l) {
    await_dropped(l);
    for (errand *lists[] = {l->free, l->dropped}, **list = lists; list < lists + 2; list++)
        for (errand *e = *list, *next; e; e = next) next = e->next, free(e);
    l->free = l->dropped = NULL;
}

void vec_lane_free(vec_lane *l) {
    if (!l) return;
    free_errands(l);
    free(l->head), free(l->tail), free(l->recent);
    free(l);
}

int vec_lane_set(vec_lane *l, vec_index *index, const vec_query *query, const vec_names *names, const vec_form *form, const int64_t *order,
                 vec_ruler *ruler, const vec_places *places, uint32_t n_rescored, uint32_t k) {
    if (query->k > MOST_RESULTS) return VEC_EARG;
    await_dropped(l);
    if (query->k > l->wanted) free_errands(l), l->wanted = query->k;
    l->index = index, l->query = *query, l->names = names, l->form = form, l->order = order;
    l->ruler = ruler, l->places = places, l->n_rescored = n_rescored, l->k = k;
    l->version++;
    return VEC_OK;
}

void vec_lane_take_stats(vec_lane *l, vec_lane_stats *out) {
    l->stats.n_recent = l->n_recent < VEC_LANE_RECENT ? (uint32_t)l->n_recent : VEC_LANE_RECENT;
    l->stats.recent = l->recent;
    *out = l->stats;
    memset(&l->stats, 0, sizeof l->stats);
    l->n_recent = 0;
}

static errand *errand_of(vec_lane *l) {
    errand *e = l->free;
    if (e) {
        l->free = e->next;
        return e;
    }
    for (errand **at = &l->dropped; (e = *at); at = &e->next)
        if (atomic_load_explicit(&e->state, memory_order_acquire) == FREE) {
            *at = e->next;
            return e;
        }
    size_t results = l->wanted * (sizeof(uint64_t) + sizeof(double));
    e = malloc(sizeof *e + results + l->request_bytes + 1);
    if (!e) return NULL;
    atomic_init(&e->state, FREE);
    atomic_init(&e->taken_ns, 0);
    e->lane = l, e->room = l->wanted;
    e->labels = (uint64_t *)(void *)(e + 1), e->distances = (double *)(void *)(e->labels + l->wanted);
    e->request = (char *)(e->distances + l->wanted);
    return e;
}

static void give_errand(errand *e) {
    if (e->room < e->lane->wanted) {
        free(e);
        return;
    }
    atomic_store_explicit(&e->state, FREE, memory_order_relaxed);
    e->next = e->lane->free, e->lane->free = e;
}

/* 3. Connections and events. */

int vec_lanes_create(vec_lanes **out) {
    vec_lanes *l = aligned_alloc(64, (sizeof *l + 63) / 64 * 64);
    if (!l) return VEC_ENOMEM;
    memset(l, 0, sizeof *l);
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (l->epoll < 0) {
        free(l);
        return VEC_EIO;
    }
    *out = l;
    return VEC_OK;
}

static void clear_events(vec_lanes *l) {
    for (size_t i = 0; i < l->n_events; i++)
        if (l->events[i].what != VEC_LANE_MISSING) free(l->events[i].bytes);
    l->n_events = l->n_missing = 0;
}

void vec_lanes_free(vec_lanes *l) {
    if (!l) return;
    clear_events(l);
    free_room(&l->room);
    free(l->connections), free(l->free), free(l->dirty), free(l->events), free(l->missing), free(l->out), free(l->measured);
    close(l->epoll);
    free(l);
}

int vec_lanes_fd(const vec_lanes *l) { return l->epoll; }

/* Makes room for n connections. */
static int has_connections(vec_lanes *l, uint32_t n) {
    connection *more = realloc(l->connections, n * sizeof *more);
    if (more) l->connections = more;
    uint32_t *numbers = realloc(l->free, n * sizeof *numbers);
    if (numbers) l->free = numbers;
    uint32_t *dirty = realloc(l->dirty, n * sizeof *dirty);
    if (dirty) l->dirty = dirty;
    if (!more || !numbers || !dirty) return 0;
    while (l->n_connections < n) {
        l->connections[l->n_connections] = (connection){.lane = NULL, .fd = -1};
        l->free[l->n_free++] = l->n_connections++;
    }
    return 1;
}

int64_t vec_lanes_join(vec_lane *lane, int fd, uint64_t tag) {
    vec_lanes *l = lane->lanes;
    if (!l->n_free && !has_connections(l, l->n_connections ? 2 * l->n_connections : 16)) return VEC_ENOMEM;
    uint32_t number = l->free[l->n_free - 1];
    struct epoll_event wanted = {.events = EPOLLIN | EPOLLRDHUP, .data.u32 = number};
    if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd, &wanted)) return VEC_EIO;
    l->n_free--;
    l->connections[number] = (connection){.lane = lane, .fd = fd, .tag = tag};
    return number;
}

static vec_lane_event *note(vec_lanes *l, int what, uint64_t tag, const char *bytes, size_t n_bytes) {
    if (l->n_events == l->events_size) {
        size_t size = l->events_size ? 2 * l->events_size : 16;
        vec_lane_event *more = realloc(l->events, size * sizeof *more);
        if (!more) return NULL;
        l->events = more, l->events_size = size;
    }
    char *copy = malloc(n_bytes + 1);
    if (!copy) return NULL;
    if (bytes && n_bytes) memcpy(copy, bytes, n_bytes);
    vec_lane_event *e = &l->events[l->n_events++];
    *e = (vec_lane_event){.what = what, .tag = tag, .bytes = copy, .n_bytes = n_bytes};
    return e;
}

/* Takes a connection off its lane. Without memory for the event the client is lost: its socket is shut, which its owner sees. */
static void leave(vec_lanes *l, uint32_t number, int what, const char *bytes, size_t n_bytes) {
    connection *c = &l->connections[number];
    vec_lane_event *e = note(l, what, c->tag, bytes, n_bytes);
    if (e) e->n = c->n, e->in = c->in, e->out = c->out;
    else shutdown(c->fd, SHUT_RDWR);
    epoll_ctl(l->epoll, EPOLL_CTL_DEL, c->fd, NULL);
    free(c->partial);
    if (c->n)
        for (uint32_t i = 0; i < l->n_dirty; i++)
            if (l->dirty[i] == number) {
                l->dirty[i] = l->dirty[--l->n_dirty];
                break;
            }
    *c = (connection){.lane = NULL, .fd = -1};
    l->free[l->n_free++] = number;
}

/* Only what is STALLED is under way between two turns. */
const vec_lane_event *vec_lanes_leave(vec_lanes *l, int64_t number) {
    clear_events(l);
    connection *c = &l->connections[number];
    errand *e = c->errand;
    if (e) {
        for (uint32_t i = 0; i < l->n_flying; i++)
            if (l->flying[i] == e) {
                l->flying[i] = l->flying[--l->n_flying];
                break;
            }
        leave(l, (uint32_t)number, VEC_LANE_GIVEN, e->request, c->lane->request_bytes);
        give_errand(e);
    } else leave(l, (uint32_t)number, VEC_LANE_GIVEN, c->partial, c->n_partial);
    return l->n_events ? l->events : NULL;
}

const vec_lane_event *vec_lanes_events(const vec_lanes *l) { return l->events; }

int64_t vec_lanes_tallies(vec_lanes *l, vec_lane_tally *out, size_t most) {
    size_t n = 0;
    for (; n < most && l->n_dirty; n++) {
        connection *c = &l->connections[l->dirty[--l->n_dirty]];
        out[n] = (vec_lane_tally){c->tag, c->n, c->in, c->out};
        c->n = c->in = c->out = 0;
    }
    return (int64_t)n;
}

/* 4. Reading. */

/* Whether the first n bytes of a request are those of this lane's. */
static int is_like(const vec_lane *l, const char *request, size_t n) {
    size_t before = n < l->n_head ? n : l->n_head, behind = (size_t)l->n_head + l->vector_bytes;
    return !memcmp(request, l->head, before) && (n <= behind || !memcmp(request + behind, l->tail, n - behind));
}

static void queue(vec_lanes *l, errand *e) {
    atomic_store_explicit(&e->state, QUEUED, memory_order_relaxed);
    uint64_t at = atomic_load_explicit(&l->n_queued, memory_order_relaxed);
    atomic_store_explicit(&l->ring[at % MOST_FLYING], e, memory_order_relaxed);
    atomic_store_explicit(&l->n_queued, at + 1, memory_order_release);
    l->flying[l->n_flying++] = e;
}

/* Returns whether a search was queued. */
static int read_request(vec_lanes *l, uint32_t number, uint64_t now) {
    connection *c = &l->connections[number];
    vec_lane *lane = c->lane;
    if (!lane || c->errand) return 0;
    errand *e = errand_of(lane);
    if (!e) {
        leave(l, number, VEC_LANE_GIVEN, c->partial, c->n_partial);
        return 0;
    }
    size_t have = c->n_partial, size = lane->request_bytes;
    if (have) memcpy(e->request, c->partial, have);
    ssize_t got = recv(c->fd, e->request + have, size + 1 - have, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        give_errand(e);
        return 0;
    }
    if (got > 0) have += (size_t)got;
    if (got <= 0 || have > size || !is_like(lane, e->request, have)) {     /* at the end, too: its owner reads that again */
        leave(l, number, VEC_LANE_GIVEN, e->request, have);
        give_errand(e);
        return 0;
    }
    if (have < size) {
        if (!c->partial) c->partial = malloc(size);
        if (c->partial) memcpy(c->partial, e->request, have), c->n_partial = (uint32_t)have;
        else leave(l, number, VEC_LANE_GIVEN, e->request, have);
        give_errand(e);
        return 0;
    }
    c->n_partial = 0;
    c->errand = e;
    e->connection = number, e->began_ns = now, e->version = lane->version;
    e->index = lane->index, e->query = lane->query;
    memcpy(lane->recent + lane->n_recent++ % VEC_LANE_RECENT * lane->vector_bytes, e->request + lane->n_head, lane->vector_bytes);
    queue(l, e);
    return 1;
}

/* Reads what has come; returns how many searches that makes. */
static uint32_t read_all(vec_lanes *l, vec_crew *crew) {
    struct epoll_event events[MOST_READ];
    uint32_t room_left = MOST_FLYING - l->n_flying, n_queued = 0;
    int n = room_left ? epoll_wait(l->epoll, events, room_left < MOST_READ ? (int)room_left : MOST_READ, 0) : 0;
    uint64_t now = n > 0 ? now_ns() : 0;
    for (int i = 0; i < n; i++) {
        n_queued += (uint32_t)read_request(l, events[i].data.u32, now);
        if (crew_size(crew) && n_queued == 2 && i + 1 < n) crew_call(crew, 1);     /* it begins while the rest is read */
    }
    if (crew_size(crew) && n_queued > 1) crew_call(crew, n_queued - 1);
    return n_queued;
}

/* 5. Searching: by any thread. */

/* Takes one search, or two where there are enough for all threads: they run faster together (interleave.c). */
static uint32_t take(vec_lanes *l, uint32_t n_threads, errand **out) {
    uint64_t at = atomic_load_explicit(&l->n_taken, memory_order_acquire), end;
    uint32_t n;
    do {
        end = atomic_load_explicit(&l->n_queued, memory_order_acquire);
        if (at >= end) return 0;
        n = end - at > n_threads ? 2 : 1;
        for (uint32_t i = 0; i < n; i++) out[i] = atomic_load_explicit(&l->ring[(at + i) % MOST_FLYING], memory_order_relaxed);
    } while (!atomic_compare_exchange_weak(&l->n_taken, &at, at + n));
    return n;
}

static void search_one(errand *e, uint64_t *labels, double *distances, int64_t *count) {
    vec_query q = e->query;
    *count = vec_search(e->index, e->request + e->lane->n_head, &q, labels, distances);
}

static int search_two(errand **two, room *r) {
    errand *a = two[0], *b = two[1];
    const size_t bytes = a->lane->vector_bytes, k = a->query.k;
    if (a->lane != b->lane || a->version != b->version || !has_room(r, 2 * k, 2 * bytes)) return 0;
    vec_query q = a->query;
    uint32_t counts[2];
    memcpy(r->queries, a->request + a->lane->n_head, bytes);
    memcpy(r->queries + bytes, b->request + b->lane->n_head, bytes);
    if (vec_search_many(a->index, r->queries, 2, &q, r->labels, r->distances, counts) != VEC_OK) return 0;
    for (size_t i = 0; i < 2; i++) {
        errand *e = two[i];
        memcpy(e->labels, r->labels + i * k, counts[i] * sizeof *e->labels);
        memcpy(e->distances, r->distances + i * k, counts[i] * sizeof *e->distances);
        e->count = counts[i];
    }
    return 1;
}

static uint32_t search_some(vec_lanes *l, uint32_t n_threads, room *r, errand **taken) {
    uint32_t n = take(l, n_threads, taken);
    if (!n) return 0;
    uint64_t now = now_ns();
    for (uint32_t i = 0; i < n; i++) {
        atomic_store_explicit(&taken[i]->taken_ns, now, memory_order_relaxed);
        atomic_store_explicit(&taken[i]->state, TAKEN, memory_order_release);
    }
    if (n == 1 || !search_two(taken, r))        /* one of them may have an error of its own */
        for (uint32_t i = 0; i < n; i++) search_one(taken[i], taken[i]->labels, taken[i]->distances, &taken[i]->count);
    return n;
}

int lanes_help(vec_lanes *l, uint32_t n_threads, room *r) {
    errand *taken[2];
    uint32_t n = search_some(l, n_threads, r, taken);
    for (uint32_t i = 0; i < n; i++) {
        vec_index *index = taken[i]->index;
        uint32_t state = TAKEN;
        if (atomic_compare_exchange_strong(&taken[i]->state, &state, DONE)) continue;
        atomic_store(&taken[i]->state, FREE);
        atomic_fetch_sub(&index->n_pins, 1);
    }
    return n > 0;
}

/* 6. Answering. */

/* Room for the candidates of one search. */
typedef struct measured {
    size_t size, n_in_file;
    double *exact, *by_slot;                    /* of all; of those in slots */
    const char **addresses;                     /* NULL: in a slot, or nowhere */
    uint32_t *slots, *which;                    /* the slots, and whose they are */
} measured;

static measured *room_for(vec_lanes *l, size_t n) {
    measured *m = l->measured;
    if (m && m->size >= n) return m;
    free(m);
    m = l->measured = malloc(sizeof *m + n * (2 * sizeof *m->exact + sizeof *m->addresses + sizeof *m->slots + sizeof *m->which));
    if (!m) return NULL;
    m->size = n, m->exact = (double *)(void *)(m + 1), m->by_slot = m->exact + n;
    m->addresses = (const char **)(void *)(m->by_slot + n);
    m->slots = (uint32_t *)(void *)(m->addresses + n), m->which = m->slots + n;
    return m;
}

static int note_missing(vec_lanes *l, const vec_lane *lane, uint64_t label) {
    if (l->missing_lane != lane && l->n_missing) return 1;     /* another lane's turn comes */
    l->missing_lane = lane;
    if (l->n_missing == l->missing_size) {
        size_t size = l->missing_size ? 2 * l->missing_size : 256;
        uint64_t *more = realloc(l->missing, size * sizeof *more);
        if (!more) return 0;
        l->missing = more, l->missing_size = size;
    }
    l->missing[l->n_missing++] = label;
    return 1;
}

enum { RESCORED, LACKING, FAILED };

static uintptr_t place_of(const vec_places *p, uint64_t label) { return label < p->n ? p->at[label] : 0; }

static size_t n_to_measure(const errand *e) {
    return e->count < 0 ? 0 : (size_t)e->count < e->lane->n_rescored ? (size_t)e->count : e->lane->n_rescored;
}

/* Asks the disk for what the rescoring of this search will read: for all searches before the first of them waits. */
static void look_ahead(vec_lanes *l, const errand *e) {
    const vec_lane *lane = e->lane;
    if (!lane->ruler || !lane->places->slots) return;
    size_t n = n_to_measure(e), n_in_file = 0;
    measured *m = room_for(l, n + 1);
    for (size_t i = 0; m && i < n; i++) {
        uintptr_t at = place_of(lane->places, e->labels[i]);
        if (at & 1) m->slots[n_in_file++] = (uint32_t)(at >> 1);
    }
    if (n_in_file) slots_ask(lane->places->slots, m->slots, n_in_file);
}

/* Exact distances to the first n candidates, nan where there is none. */
static int measure(vec_lanes *l, errand *e, size_t n, measured *m) {
    const vec_lane *lane = e->lane;
    const char *asked = e->request + lane->n_head;
    size_t n_missing = 0;
    m->n_in_file = 0;
    for (size_t i = 0; i < n; i++) {
        uintptr_t at = place_of(lane->places, e->labels[i]);
        m->addresses[i] = NULL;
        if (!at && (n_missing++, !note_missing(l, lane, e->labels[i]))) return FAILED;
        if (at & 1) m->slots[m->n_in_file] = (uint32_t)(at >> 1), m->which[m->n_in_file++] = (uint32_t)i;
        else if (at && at != (uintptr_t)&NOWHERE) __builtin_prefetch(m->addresses[i] = (const char *)at);
    }
    if (n_missing) return LACKING;
    if (m->n_in_file < n) {
        if (vec_ruler_measure(lane->ruler, asked, m->addresses, n, m->exact) != VEC_OK) return FAILED;
    }
    if (m->n_in_file) {                         /* a damaged one is for the usual way, which tells of it */
        if (slots_measure(lane->places->slots, m->slots, m->n_in_file, lane->ruler, asked, m->by_slot)) return FAILED;
        for (size_t j = 0; j < m->n_in_file; j++) m->exact[m->which[j]] = m->by_slot[j];
    }
    return RESCORED;
}

/* Measures the first candidates with their own vectors, where there is one, and keeps the k nearest. */
static int rescore(vec_lanes *l, errand *e) {
    vec_lane *lane = e->lane;
    uint64_t *labels = e->labels;
    double *distances = e->distances;
    const size_t n = n_to_measure(e);
    measured *m = room_for(l, n + 1);
    int state = m ? measure(l, e, n, m) : FAILED;
    if (state != RESCORED) return state;
    for (size_t i = 0; i < n; i++) {
        double d = m->exact[i] == m->exact[i] ? m->exact[i] : distances[i];
        uint64_t label = labels[i];
        size_t j = i;
        for (; j && (distances[j - 1] > d || (distances[j - 1] == d && labels[j - 1] > label)); j--)
            distances[j] = distances[j - 1], labels[j] = labels[j - 1];
        distances[j] = d, labels[j] = label;
    }
    if (e->count > lane->k) e->count = lane->k;
    return RESCORED;
}

/* Writes the reply into l->out; its length (0: the form cannot be filled in), or a negative code. */
static int64_t write_reply(vec_lanes *l, errand *e) {
    const vec_lane *lane = e->lane;
    uint64_t end;
    int64_t n;
    while ((n = vec_write_replies(lane->names, lane->form, lane->order, 1, e->query.k, e->labels, e->distances, &e->count, l->out,
                                  l->out_size, &end)) < 0) {
        char *more = realloc(l->out, (size_t)-n);
        if (!more) return VEC_ENOMEM;
        l->out = more, l->out_size = (size_t)-n;
    }
    return n;
}

static void count_served(vec_lanes *l, const errand *e, size_t n_out, uint64_t watch_ns) {
    connection *c = &l->connections[e->connection];
    vec_lane_stats *s = &e->lane->stats;
    uint64_t took = now_ns() - e->began_ns;
    s->n++, s->ns += took;
    s->histogram[took ? 64 - __builtin_clzll(took) : 0]++;
    if (!c->n++) l->dirty[l->n_dirty++] = e->connection;
    c->in += e->lane->request_bytes, c->out += n_out;
    if (took < watch_ns) return;
    vec_lane_event *event = note(l, VEC_LANE_SLOW, c->tag, e->request, e->lane->request_bytes);
    if (event) event->took_ns = took;
}

/* Tells what was found, for the caller to write the reply. */
static int64_t tell_found(vec_lanes *l, const errand *e) {
    size_t bytes = (size_t)e->count * sizeof(uint64_t);
    vec_lane_event *event = note(l, VEC_LANE_FOUND, l->connections[e->connection].tag, NULL, 2 * bytes);
    if (!event) return VEC_ENOMEM;
    memcpy(event->bytes, e->labels, bytes), memcpy(event->bytes + bytes, e->distances, bytes);
    return 0;
}

/* Answers a search that is done. 0: it is STALLED, otherwise over. */
static int answer(vec_lanes *l, errand *e, uint64_t watch_ns) {
    connection *c = &l->connections[e->connection];
    vec_lane *lane = e->lane;
    int state = e->version != lane->version ? FAILED : e->count >= 0 && lane->ruler ? rescore(l, e) : RESCORED;
    if (state == LACKING) {
        atomic_store_explicit(&e->state, STALLED, memory_order_relaxed);
        return 0;
    }
    int64_t n = e->count < 0 || state == FAILED ? VEC_ENOMEM : lane->form ? write_reply(l, e) : 0;
    const int is_told = n == 0;
    if (is_told) n = tell_found(l, e);
    c->errand = NULL;
    if (n < 0) leave(l, e->connection, VEC_LANE_GIVEN, e->request, lane->request_bytes);    /* its owner finds the same, and the words */
    else if (is_told) count_served(l, e, 0, watch_ns);
    else {
        ssize_t sent = send(c->fd, l->out, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0) sent = 0;                 /* no room at all, or the client has gone: which its owner finds out */
        count_served(l, e, (size_t)n, watch_ns);
        if (sent < n) leave(l, e->connection, VEC_LANE_UNSENT, l->out + sent, (size_t)(n - sent));
    }
    give_errand(e);
    return 1;
}

/* Does a search that a helper has not come back with, in an errand of its own: the other's memory is the helper's until that is back. */
static void do_over(vec_lanes *l, errand **place) {
    errand *e = *place, *own = errand_of(e->lane);
    if (!own) return;
    uint32_t state = TAKEN;
    atomic_fetch_add(&e->index->n_pins, 1);
    if (!atomic_compare_exchange_strong(&e->state, &state, DROPPED)) {
        atomic_fetch_sub(&e->index->n_pins, 1);
        give_errand(own);
        return;
    }
    memcpy(own->request, e->request, e->lane->request_bytes);
    own->index = e->index, own->query = e->query, own->version = e->version;
    own->connection = e->connection, own->began_ns = e->began_ns;
    e->next = e->lane->dropped, e->lane->dropped = e;
    *place = l->connections[own->connection].errand = own;
    search_one(own, own->labels, own->distances, &own->count);
    atomic_store_explicit(&own->state, DONE, memory_order_relaxed);
}

/* Answers what is done and does over what takes too long; returns how many searches are left, without those that are STALLED. */
static uint32_t answer_all(vec_lanes *l, uint64_t watch_ns, uint32_t *n_answered) {
    uint32_t kept = 0, n_left = 0;
    uint64_t now = 0;
    for (uint32_t i = 0; i < l->n_flying; i++)
        if (atomic_load_explicit(&l->flying[i]->state, memory_order_acquire) == DONE) look_ahead(l, l->flying[i]);
    for (uint32_t i = 0; i < l->n_flying; i++) {
        uint32_t state = atomic_load_explicit(&l->flying[i]->state, memory_order_acquire);
        if (state == TAKEN) {
            errand *e = l->flying[i];
            if (!now) now = now_ns();
            uint64_t since = atomic_load_explicit(&e->taken_ns, memory_order_relaxed);
            if (now > since && (double)(now - since) > PATIENCE * e->lane->search_ns + PATIENCE_NS) do_over(l, &l->flying[i]);
            state = atomic_load_explicit(&l->flying[i]->state, memory_order_acquire);
        }
        if (state == DONE && answer(l, l->flying[i], watch_ns)) {
            ++*n_answered;
            continue;
        }
        n_left += state != DONE && state != STALLED;
        l->flying[kept++] = l->flying[i];
    }
    l->n_flying = kept;
    return n_left;
}

static void note_own(errand **taken, uint32_t n, uint64_t took) {
    for (uint32_t i = 0; i < n; i++) {
        vec_lane *lane = taken[i]->lane;
        double each = (double)took / n;
        lane->search_ns += lane->search_ns > 0 ? 0.05 * (each - lane->search_ns) : each;
        lane->stats.n_own++, lane->stats.own_ns += took / n;
        atomic_store_explicit(&taken[i]->state, DONE, memory_order_relaxed);
    }
}

int64_t vec_lanes_turn(vec_lanes *l, vec_crew *crew, uint64_t budget_ns, uint64_t watch_ns) {
    const uint32_t n_threads = crew_size(crew) + 1;
    const uint64_t end = now_ns() + budget_ns;
    clear_events(l);
    if (crew && crew != l->crew) crew_watch(crew, l);
    l->crew = crew;
    for (uint32_t i = 0; i < l->n_flying; i++) atomic_store_explicit(&l->flying[i]->state, DONE, memory_order_relaxed);
    for (int idle = 0, is_reading = 1;;) {
        errand *taken[2];
        uint32_t n_read = is_reading ? read_all(l, crew) : 0;
        uint64_t before = now_ns();
        uint32_t n_taken = search_some(l, n_threads, &l->room, taken), n_answered = 0;
        if (n_taken) note_own(taken, n_taken, now_ns() - before);
        uint32_t n_left = answer_all(l, watch_ns, &n_answered);
        is_reading = is_reading && !l->n_events && !l->n_missing && before < end;
        if (!n_left && (!is_reading || !(n_read || n_answered))) break;
        idle = n_taken || n_answered ? 0 : idle + 1;
        for (int i = 0; idle && i < LOOKS_PER_READ; i++) wait_a_little(idle * LOOKS_PER_READ + i);
    }
    if (l->n_missing) {
        vec_lane_event *e = note(l, VEC_LANE_MISSING, (uint64_t)(uintptr_t)l->missing_lane, NULL, 0);
        if (e) {
            free(e->bytes);
            e->bytes = (char *)l->missing, e->n_bytes = l->n_missing * sizeof *l->missing;
        }
    }
    return (int64_t)l->n_events;
}

/* Lanes: requests that are known but for a vector, served from the socket to the reply.

   The caller's thread reads what has come on any connection, finds the road that it is a request of (roads.c), and queues it; it
   searches, answers (lane_replies.c) and sends. A crew's helpers take queued searches, too, from the moment that the first is
   there; their results are answered by the caller's thread. So what a client sees is made by one thread, and helpers touch
   nothing but searches.

   What a road was set to may have become wrong since the turn before. A lane that may have such roads is in doubt: requests on
   those wait until the caller, who is told of them, has set or confirmed them.

   A helper that is interrupted (it has no processor of its own) is not waited for longer than a few searches take: the caller
   does its search, too, and drops what the helper finds. A search's memory is its own until the helper has let it go. */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lanes.h"

/* A helper's search is waited for so many times as long as one takes, and so much longer. */
enum { PATIENCE = 4, PATIENCE_NS = 20000, LOOKS_PER_READ = 20 };
/* What a search takes of a processor is measured for each so many: asking takes time. */
enum { TURNS_PER_SAMPLE = 3 };

/* 1. Connections and events. */

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

vec_lane_event *note_event(vec_lanes *l, int what, uint64_t tag, const char *bytes, size_t n_bytes) {
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

/* Without memory for the event the client is lost: its socket is shut, which its owner sees. */
void leave_lane(vec_lanes *l, uint32_t number, int what, const char *bytes, size_t n_bytes) {
    connection *c = &l->connections[number];
    vec_lane_event *e = note_event(l, what, c->tag, bytes, n_bytes);
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

/* Gives a connection back with the request that is under way. */
static void leave_with(vec_lanes *l, errand *e) {
    leave_lane(l, e->connection, VEC_LANE_GIVEN, e->request, e->road->request_bytes);
    give_errand(e);
}

/* Only what is STALLED or WAITING is under way between two turns. */
const vec_lane_event *vec_lanes_leave(vec_lanes *l, int64_t number) {
    clear_events(l);
    connection *c = &l->connections[number];
    errand *e = c->errand;
    if (!c->lane) return NULL;
    if (e) {
        for (uint32_t i = 0; i < l->n_flying; i++)
            if (l->flying[i] == e) {
                l->flying[i] = l->flying[--l->n_flying];
                break;
            }
        leave_with(l, e);
    } else leave_lane(l, (uint32_t)number, VEC_LANE_GIVEN, c->partial, c->n_partial);
    return l->n_events ? l->events : NULL;
}

int64_t vec_road_leave(vec_road *r) {
    vec_lanes *l = r->lane->lanes;
    clear_events(l);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < l->n_flying; i++) {
        errand *e = l->flying[i];
        if (e->road != r) l->flying[kept++] = e;
        else leave_with(l, e);
    }
    l->n_flying = kept;
    return (int64_t)l->n_events;
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

/* 2. Reading. */

/* Queues a search of an errand that is, or comes, among those under way. */
static void queue(vec_lanes *l, errand *e) {
    vec_lane *lane = e->lane;
    e->version = e->road->version, e->index = e->road->index, e->query = e->road->query;
    e->vector = e->request + e->road->n_head;
    memcpy(lane->recent + lane->n_recent++ % VEC_LANE_RECENT * lane->vector_bytes, e->vector, lane->vector_bytes);
    atomic_store_explicit(&e->state, QUEUED, memory_order_relaxed);
    uint64_t at = atomic_load_explicit(&l->n_queued, memory_order_relaxed);
    atomic_store_explicit(&l->ring[at % MOST_FLYING], e, memory_order_relaxed);
    atomic_store_explicit(&l->n_queued, at + 1, memory_order_release);
}

/* Keeps the begin of a request; 0: there is no memory. */
static int keep(connection *c, const char *bytes, size_t n) {
    char *more = realloc(c->partial, n + 1);
    if (!more) return 0;
    memcpy(more, bytes, n);
    c->partial = more, c->n_partial = (uint32_t)n;
    return 1;
}

static void wait_for_road(vec_lanes *l, errand *e) {
    atomic_store_explicit(&e->state, WAITING, memory_order_relaxed);
    if (!e->road->is_asked_for) e->road->is_asked_for = note_event(l, VEC_LANE_DOUBTED, e->road->tag, NULL, 0) != NULL;
}

/* Returns whether a search was queued. */
static int read_request(vec_lanes *l, uint32_t number, uint64_t now) {
    connection *c = &l->connections[number];
    vec_lane *lane = c->lane;
    if (!lane || c->errand) return 0;
    errand *e = errand_of(lane);
    if (!e) {
        leave_lane(l, number, VEC_LANE_GIVEN, c->partial, c->n_partial);
        return 0;
    }
    size_t have = c->n_partial;
    if (have) memcpy(e->request, c->partial, have);
    ssize_t got = recv(c->fd, e->request + have, lane->request_room + 1 - have, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        give_errand(e);
        return 0;
    }
    int state = STRANGE;                        /* at the end, too: its owner reads that again */
    if (got > 0) {
        have += (size_t)got;
        state = c->road && is_on_road(c->road, e->request, have) ? KNOWN : find_road(lane, e->request, have, &c->road);
    }
    if (state == STRANGE || (state == UNFINISHED && !keep(c, e->request, have)))
        leave_lane(l, number, VEC_LANE_GIVEN, e->request, have);
    if (state != KNOWN) {
        give_errand(e);
        return 0;
    }
    c->n_partial = 0;
    c->errand = e;
    e->road = c->road, e->connection = number, e->began_ns = now;
    l->flying[l->n_flying++] = e;
    if (e->road->epoch == lane->epoch) queue(l, e);
    else wait_for_road(l, e);
    return atomic_load_explicit(&e->state, memory_order_relaxed) == QUEUED;
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

/* 3. Searching: by any thread. */

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
    *count = vec_search(e->index, e->vector, &q, labels, distances);
}

static int search_two(errand **two, room *r) {
    errand *a = two[0], *b = two[1];
    const size_t bytes = a->lane->vector_bytes, k = a->query.k;
    if (a->road != b->road || a->version != b->version || !has_room(r, 2 * k, 2 * bytes)) return 0;
    vec_query q = a->query;
    uint32_t counts[2];
    memcpy(r->queries, a->vector, bytes);
    memcpy(r->queries + bytes, b->vector, bytes);
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

/* 4. Turns. */

/* Does a search that a helper has not come back with, in an errand of its own: the other's memory is the helper's until that is
   back. */
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
    memcpy(own->request, e->request, e->road->request_bytes);
    own->road = e->road, own->vector = own->request + e->road->n_head;
    own->index = e->index, own->query = e->query, own->version = e->version;
    own->connection = e->connection, own->began_ns = e->began_ns;
    e->next = e->lane->dropped, e->lane->dropped = e;
    *place = l->connections[own->connection].errand = own;
    search_one(own, own->labels, own->distances, &own->count);
    atomic_store_explicit(&own->state, DONE, memory_order_relaxed);
}

/* What a search of a road should take at most. */
static double patience(const vec_road *road) { return PATIENCE * road->search_ns + PATIENCE_NS; }

/* Answers what is done and does over what takes too long; returns how many searches are left, without those that are STALLED or
   WAITING. */
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
            if (now > since && (double)(now - since) > patience(e->road)) do_over(l, &l->flying[i]);
            state = atomic_load_explicit(&l->flying[i]->state, memory_order_acquire);
        }
        if (state == DONE && answer(l, l->flying[i], watch_ns)) {
            ++*n_answered;
            continue;
        }
        n_left += state == QUEUED || state == TAKEN;
        l->flying[kept++] = l->flying[i];
    }
    l->n_flying = kept;
    return n_left;
}

static void follow(double *mean, double latest) { *mean += *mean > 0 ? 0.05 * (latest - *mean) : latest; }

/* took: by the clock; busy: of a processor, 0 where that was not asked. */
static void note_own(errand **taken, uint32_t n, uint64_t took, uint64_t busy) {
    for (uint32_t i = 0; i < n; i++) {
        vec_road *road = taken[i]->road;
        double each = (double)busy / n, most = patience(road);
        if (each > most && road->search_ns > 0) each = most;       /* nothing was in the caches, say */
        if (busy) follow(&road->search_ns, each), follow(&road->lane->search_ns, each);
        road->n_own++, road->own_ns += took / n;
        atomic_store_explicit(&taken[i]->state, DONE, memory_order_relaxed);
    }
}

/* Goes on with what the turn before has left. */
static void resume(vec_lanes *l) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < l->n_flying; i++) {
        errand *e = l->flying[i];
        if (e->road->epoch != e->lane->epoch || e->road->query.k > e->room) {
            e->road->is_asked_for = 0;
            leave_with(l, e);
            continue;
        }
        if (atomic_load_explicit(&e->state, memory_order_relaxed) == WAITING) queue(l, e);
        else atomic_store_explicit(&e->state, DONE, memory_order_relaxed);
        l->flying[kept++] = e;
    }
    l->n_flying = kept;
}

int64_t vec_lanes_turn(vec_lanes *l, vec_crew *crew, uint64_t budget_ns, uint64_t watch_ns) {
    const uint32_t n_threads = crew_size(crew) + 1;
    const uint64_t end = now_ns() + budget_ns;
    clear_events(l);
    if (crew && crew != l->crew) crew_watch(crew, l);
    l->crew = crew;
    resume(l);
    for (int idle = 0, is_reading = budget_ns > 0;;) {
        errand *taken[2];
        uint32_t n_read = is_reading ? read_all(l, crew) : 0;
        uint64_t before = now_ns(), busy = l->n_turned++ % TURNS_PER_SAMPLE ? 0 : thread_ns();
        uint32_t n_taken = search_some(l, n_threads, &l->room, taken), n_answered = 0;
        if (n_taken) note_own(taken, n_taken, now_ns() - before, busy ? thread_ns() - busy : 0);
        uint32_t n_left = answer_all(l, watch_ns, &n_answered);
        is_reading = is_reading && !l->n_events && !l->n_missing && before < end;
        if (!n_left && (!is_reading || !(n_read || n_answered))) break;
        idle = n_taken || n_answered ? 0 : idle + 1;
        for (int i = 0; idle && i < LOOKS_PER_READ; i++) wait_a_little(idle * LOOKS_PER_READ + i);
    }
    if (l->n_missing) {
        vec_lane_event *e = note_event(l, VEC_LANE_MISSING, l->missing_road->tag, NULL, 0);
        if (e) {
            free(e->bytes);
            e->bytes = (char *)l->missing, e->n_bytes = l->n_missing * sizeof *l->missing;
        }
    }
    return (int64_t)l->n_events;
}

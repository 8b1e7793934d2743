/* What becomes of a lane's search that is done: candidates measured again where that is wanted, the reply, what is counted. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lanes.h"
#include "rescore.h"

/* Room for the candidates of one search. */
typedef struct measured {
    size_t size;
    double *exact, *by_slot, *nearest;          /* of all; of those in slots; for the rescoring */
    const char **addresses;                     /* NULL: in a slot, or nowhere */
    uint32_t *slots, *which;                    /* the slots, and whose they are */
} measured;

static measured *room_for(vec_lanes *l, size_t n) {
    measured *m = l->measured;
    if (m && m->size >= n) return m;
    free(m);
    m = l->measured = malloc(sizeof *m + n * (3 * sizeof *m->exact + sizeof *m->addresses + sizeof *m->slots + sizeof *m->which));
    if (!m) return NULL;
    m->size = n, m->exact = (double *)(void *)(m + 1), m->by_slot = m->exact + n;
    m->nearest = m->by_slot + n, m->addresses = (const char **)(void *)(m->nearest + n);
    m->slots = (uint32_t *)(void *)(m->addresses + n), m->which = m->slots + n;
    return m;
}

static int note_missing(vec_lanes *l, const vec_road *road, uint64_t label) {
    if (l->n_missing && l->missing_road->places != road->places) return 1;      /* another's turn comes */
    l->missing_road = road;
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

static size_t n_to_measure(const errand *e) {
    return e->count < 0 ? 0 : (size_t)e->count < e->road->rescore.n ? (size_t)e->count : e->road->rescore.n;
}

/* Those of the candidates a .. b - 1 that are in the file: their slots, and whose they are. */
static size_t in_file(const errand *e, size_t a, size_t b, measured *m) {
    size_t n = 0;
    for (size_t i = a; i < b; i++) {
        uintptr_t at = place_of(e->road->places, e->labels[i]);
        if (at & 1) m->slots[n] = (uint32_t)(at >> 1), m->which[n++] = (uint32_t)i;
    }
    return n;
}

void look_ahead(vec_lanes *l, const errand *e) {
    const vec_road *road = e->road;
    if (!road->ruler || !road->places->slots) return;
    size_t n = n_to_measure(e);
    measured *m = room_for(l, n + 1);
    if (n > road->rescore.usual) n = road->rescore.usual;
    if (m && (n = in_file(e, 0, n, m))) slots_ask(road->places->slots, m->slots, n);
}

/* Where the first n candidates are. */
static int locate(vec_lanes *l, const errand *e, size_t n, measured *m) {
    const vec_road *road = e->road;
    size_t n_missing = 0;
    for (size_t i = 0; i < n; i++) {
        uintptr_t at = place_of(road->places, e->labels[i]);
        m->addresses[i] = NULL;
        if (!at && (n_missing++, !note_missing(l, road, e->labels[i]))) return FAILED;
        if (at && !(at & 1) && at != (uintptr_t)NOWHERE) m->addresses[i] = (const char *)at;
    }
    return n_missing ? LACKING : RESCORED;
}

/* Exact distances to the candidates a .. b - 1, nan where there is none. 0: the usual way has to do it, and tells of what
   is damaged. */
static int measure(const errand *e, size_t a, size_t b, measured *m) {
    const vec_road *road = e->road;
    const char *asked = e->vector;
    const size_t n = road->places->slots ? in_file(e, a, b, m) : 0;
    for (size_t i = a; i < b && n < b - a; i++)
        if (m->addresses[i]) __builtin_prefetch(m->addresses[i]);
    if (n < b - a && vec_ruler_measure(road->ruler, asked, m->addresses + a, b - a, m->exact + a) != VEC_OK) return 0;
    if (!n) return 1;
    if (a >= road->rescore.usual && slots_ask(road->places->slots, m->slots, n) != VEC_OK) return 0;
    if (slots_measure(road->places->slots, m->slots, n, road->ruler, asked, m->by_slot)) return 0;
    for (size_t j = 0; j < n; j++) m->exact[m->which[j]] = m->by_slot[j];
    return 1;
}

/* Measures the first candidates with their own vectors, where there is one, and keeps the k nearest. */
static int rescore(vec_lanes *l, errand *e) {
    vec_road *road = e->road;
    uint64_t *labels = e->labels;
    double *distances = e->distances;
    const size_t n = n_to_measure(e);
    measured *m = room_for(l, n + 1);
    int state = m ? locate(l, e, n, m) : FAILED;
    if (state != RESCORED) return state;
    rescoring r;
    rescoring_begin(&r, distances, m->exact, m->nearest, n, road->k, road->rescore.slack);
    for (size_t at = 0, more; (more = rescoring_more(&r)); at += more)
        if (!measure(e, at, at + more, m)) return FAILED;
    for (size_t i = 0; i < r.n_measured; i++) {
        double d = m->exact[i] == m->exact[i] ? m->exact[i] : distances[i];
        uint64_t label = labels[i];
        size_t j = i;
        for (; j && (distances[j - 1] > d || (distances[j - 1] == d && labels[j - 1] > label)); j--)
            distances[j] = distances[j - 1], labels[j] = labels[j - 1];
        distances[j] = d, labels[j] = label;
    }
    if (e->count > road->k) e->count = road->k;
    return RESCORED;
}

/* Writes the reply into l->out; its length (0: the form cannot be filled in), or a negative code. */
static int64_t write_reply(vec_lanes *l, errand *e) {
    const vec_road *road = e->road;
    uint64_t end;
    int64_t n;
    while ((n = vec_write_replies(road->names, road->form, road->order, 1, e->query.k, e->labels, e->distances, &e->count, l->out,
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
    c->in += e->road->request_bytes, c->out += n_out;
    if (!e->road->is_served) {
        e->road->next_served = e->lane->served;
        e->lane->served = e->road, e->road->is_served = 1;
    }
    if (took < watch_ns) return;
    vec_lane_event *event = note_event(l, VEC_LANE_SLOW, c->tag, e->request, e->road->request_bytes);
    if (event) event->took_ns = took;
}

/* Tells what was found, for the caller to write the reply. */
static int64_t tell_found(vec_lanes *l, const errand *e) {
    size_t bytes = (size_t)e->count * sizeof(uint64_t);
    vec_lane_event *event = note_event(l, VEC_LANE_FOUND, l->connections[e->connection].tag, NULL, 2 * bytes);
    if (!event) return VEC_ENOMEM;
    event->road = e->road->tag;
    memcpy(event->bytes, e->labels, bytes), memcpy(event->bytes + bytes, e->distances, bytes);
    return 0;
}

int answer(vec_lanes *l, errand *e, uint64_t watch_ns) {
    connection *c = &l->connections[e->connection];
    vec_road *road = e->road;
    int state = e->version != road->version ? FAILED : e->count >= 0 && road->ruler ? rescore(l, e) : RESCORED;
    if (state == LACKING) {
        atomic_store_explicit(&e->state, STALLED, memory_order_relaxed);
        return 0;
    }
    int64_t n = e->count < 0 || state == FAILED ? VEC_ENOMEM : road->form ? write_reply(l, e) : 0;
    const int is_told = n == 0;
    if (is_told) n = tell_found(l, e);
    c->errand = NULL;
    if (n < 0)                                  /* its owner finds the same, and the words for it */
        leave_lane(l, e->connection, VEC_LANE_GIVEN, e->request, road->request_bytes);
    else if (is_told) count_served(l, e, 0, watch_ns);
    else {
        ssize_t sent = send(c->fd, l->out, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0) sent = 0;                 /* no room at all, or the client has gone: which its owner finds out */
        count_served(l, e, (size_t)n, watch_ns);
        if (sent < n) leave_lane(l, e->connection, VEC_LANE_UNSENT, l->out + sent, (size_t)(n - sent));
    }
    give_errand(e);
    return 1;
}


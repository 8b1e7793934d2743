/* Roads: the requests that a lane knows by the bytes around their vector, what is done for each, and the errands that do it. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lanes.h"

/* 1. Finding. */

static uint64_t hash_of(const char *bytes, size_t n, uint64_t h) {
    const uint64_t odd = 0x9E3779B97F4A7C15u;
    uint64_t word = n;
    for (;; bytes += sizeof word, n -= sizeof word) {
        h = (h ^ word) * odd, h ^= h >> 29;
        if (n < sizeof word) break;
        memcpy(&word, bytes, sizeof word);
    }
    word = 0;
    if (n) memcpy(&word, bytes, n);
    h = (h ^ word) * odd;
    return h ^ h >> 32;
}

static uint64_t hash_of_request(const char *head, size_t n_head, const char *tail, size_t n_tail) {
    return hash_of(tail, n_tail, hash_of(head, n_head, 0));
}

/* Reads what announces a word at *at, which then is where that begins; returns KNOWN, UNFINISHED or STRANGE. */
static int read_length(const char *p, size_t n, size_t *at, size_t *length) {
    size_t i = *at;
    if (i >= n) return UNFINISHED;
    if (p[i++] != '$') return STRANGE;
    for (*length = 0; i < n && p[i] >= '0' && p[i] <= '9'; i++) {
        *length = 10 * *length + (size_t)(p[i] - '0');
        if (*length > INT32_MAX) return STRANGE;
    }
    if (i < n && p[i] != '\r') return STRANGE;
    if (i + 1 < n && p[i + 1] != '\n') return STRANGE;
    *at = i + 2;
    return i + 1 < n ? KNOWN : UNFINISHED;
}

int is_on_road(const vec_road *r, const char *request, size_t n) {
    return n == r->request_bytes && !memcmp(request, r->bytes, r->n_head) &&
           !memcmp(request + n - r->n_tail, r->bytes + r->n_head, r->n_tail);
}

int find_road(const vec_lane *l, const char *request, size_t n, vec_road **out) {
    if (memcmp(request, l->prefix, n < l->n_prefix ? n : l->n_prefix)) return STRANGE;
    size_t at = l->n_prefix, length = 0, n_head = 0;
    for (uint32_t i = 0, n_words = l->n_before + 1 + l->n_behind; i < n_words; i++) {
        int state = read_length(request, n, &at, &length);
        if (state != KNOWN) return state;
        if (i == l->n_before) n_head = at;
        if (i == l->n_before && length != l->vector_bytes) return STRANGE;
        at += length + 2;
        if (at > l->request_room) return STRANGE;
        if (at > n) return UNFINISHED;
    }
    if (at != n) return STRANGE;
    const char *tail = request + n_head + l->vector_bytes;
    const uint64_t hash = hash_of_request(request, n_head, tail, n - n_head - l->vector_bytes);
    for (vec_road *r = l->chains[hash % N_CHAINS]; r; r = r->next)
        if (r->hash == hash && r->n_head == n_head && is_on_road(r, request, n)) {
            *out = r;
            return KNOWN;
        }
    return STRANGE;
}

/* 2. Lanes and roads. */

int vec_lane_create(vec_lanes *lanes, const char *prefix, uint32_t n_prefix, uint32_t n_before, uint32_t n_behind,
                    uint32_t vector_bytes, vec_lane **out) {
    vec_lane *l = calloc(1, sizeof *l);
    if (!l) return VEC_ENOMEM;
    l->lanes = lanes, l->n_prefix = n_prefix, l->n_before = n_before, l->n_behind = n_behind, l->vector_bytes = vector_bytes;
    l->epoch = 1;
    l->prefix = malloc((size_t)n_prefix + 1);
    l->recent = malloc((size_t)VEC_LANE_RECENT * vector_bytes + 1);
    if (!l->prefix || !l->recent) {
        vec_lane_free(l);
        return VEC_ENOMEM;
    }
    memcpy(l->prefix, prefix, n_prefix);
    *out = l;
    return VEC_OK;
}

/* Waits for helpers that still read what this road's errands point to; NULL: any of the lane's. */
static void await_dropped(const vec_lane *l, const vec_road *road) {
    const struct timespec pause = {0, 50000};
    for (errand *e = l->dropped; e; e = e->next)
        while ((!road || e->road == road) && atomic_load(&e->state) == DROPPED) nanosleep(&pause, NULL);
}

static void free_errands(vec_lane *l) {
    await_dropped(l, NULL);
    for (errand *lists[] = {l->free, l->dropped}, **list = lists; list < lists + 2; list++)
        for (errand *e = *list, *next; e; e = next) next = e->next, free(e);
    l->free = l->dropped = NULL;
}

void vec_lane_free(vec_lane *l) {
    if (!l) return;
    free_errands(l);
    free(l->prefix), free(l->recent);
    free(l);
}

void vec_lane_doubt(vec_lane *l) { l->epoch++; }

int vec_road_create(vec_lane *lane, uint64_t tag, const char *head, uint32_t n_head, const char *tail, uint32_t n_tail,
                    vec_road **out) {
    const uint64_t hash = hash_of_request(head, n_head, tail, n_tail);
    vec_road **chain = &lane->chains[hash % N_CHAINS];
    for (vec_road *r = *chain; r; r = r->next)
        if (r->n_head == n_head && r->n_tail == n_tail && !memcmp(r->bytes, head, n_head) &&
            !memcmp(r->bytes + n_head, tail, n_tail))
            return VEC_EARG;
    vec_road *r = malloc(sizeof *r + n_head + n_tail);
    if (!r) return VEC_ENOMEM;
    *r = (vec_road){.lane = lane, .next = *chain, .tag = tag, .hash = hash, .n_head = n_head, .n_tail = n_tail,
                    .request_bytes = n_head + lane->vector_bytes + n_tail, .search_ns = lane->search_ns};
    memcpy(r->bytes, head, n_head), memcpy(r->bytes + n_head, tail, n_tail);
    if (r->request_bytes > lane->request_room) free_errands(lane), lane->request_room = r->request_bytes;
    *out = *chain = r;
    return VEC_OK;
}

void vec_road_free(vec_road *r) {
    if (!r) return;
    vec_lane *lane = r->lane;
    vec_lanes *l = lane->lanes;
    await_dropped(lane, r);
    vec_road **at = &lane->chains[r->hash % N_CHAINS];
    while (*at != r) at = &(*at)->next;
    *at = r->next;
    if (r->is_served) {
        for (at = &lane->served; *at != r;) at = &(*at)->next_served;
        *at = r->next_served;
    }
    for (uint32_t i = 0; i < l->n_connections; i++)
        if (l->connections[i].road == r) l->connections[i].road = NULL;
    free(r);
}

int vec_road_set(vec_road *r, vec_index *index, const vec_query *query, const vec_names *names, const vec_form *form,
                 const int64_t *order, vec_ruler *ruler, const vec_places *places, const vec_rescore *rescore,
                 uint32_t k) {
    vec_lane *lane = r->lane;
    if (query->k > MOST_RESULTS) return VEC_EARG;
    await_dropped(lane, r);
    if (query->k > lane->wanted) free_errands(lane), lane->wanted = query->k;
    r->index = index, r->query = *query, r->names = names, r->form = form, r->order = order;
    r->ruler = ruler, r->places = places, r->rescore = *rescore, r->k = k;
    r->version++;
    vec_road_confirm(r);
    return VEC_OK;
}

void vec_road_confirm(vec_road *r) {
    r->epoch = r->lane->epoch;
    r->is_asked_for = 0;
}

void vec_lane_take_stats(vec_lane *l, vec_lane_stats *out) {
    l->stats.n_recent = l->n_recent < VEC_LANE_RECENT ? (uint32_t)l->n_recent : VEC_LANE_RECENT;
    l->stats.recent = l->recent;
    *out = l->stats;
    memset(&l->stats, 0, sizeof l->stats);
    l->n_recent = 0;
}

int64_t vec_lane_costs(vec_lane *l, vec_road_cost *out, size_t most) {
    size_t n = 0;
    for (vec_road *r; n < most && (r = l->served); n++) {
        l->served = r->next_served;
        out[n] = (vec_road_cost){r->tag, r->n_own, r->own_ns, r->search_ns};
        r->n_own = r->own_ns = 0, r->is_served = 0;
    }
    return (int64_t)n;
}

/* 3. Errands. */

errand *errand_of(vec_lane *l) {
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
    e = malloc(sizeof *e + results + l->request_room + 1);
    if (!e) return NULL;
    atomic_init(&e->state, FREE);
    atomic_init(&e->taken_ns, 0);
    e->lane = l, e->room = l->wanted, e->request_room = l->request_room;
    e->labels = (uint64_t *)(void *)(e + 1), e->distances = (double *)(void *)(e->labels + l->wanted);
    e->request = (char *)(e->distances + l->wanted);
    return e;
}

void give_errand(errand *e) {
    if (e->room < e->lane->wanted || e->request_room < e->lane->request_room) {
        free(e);
        return;
    }
    atomic_store_explicit(&e->state, FREE, memory_order_relaxed);
    e->next = e->lane->free, e->lane->free = e;
}

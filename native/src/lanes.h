/* What lanes (lanes.c) are made of: shared with their roads (roads.c) and replies (lane_replies.c). */
#ifndef LANES_H
#define LANES_H
#include "crew.h"
#include "index.h"
#include "slots.h"

/* Searches under way at most, connections read between two looks at them, and chains of a lane's roads. */
enum { MOST_FLYING = 1024, MOST_READ = 128, MOST_RESULTS = 1 << 16, N_CHAINS = 2048 };

/* STALLED: the places of some of its candidates are not known; WAITING: its road is in doubt. */
enum { FREE, QUEUED, TAKEN, DONE, DROPPED, STALLED, WAITING };

/* An even number is the address of a vector, or NOWHERE; an odd one is twice a slot, and one more; 0 is unknown. */
struct vec_places {
    uintptr_t *at;
    uint64_t n;
    vec_slots *slots;
};

extern const char NOWHERE[2];

static inline uintptr_t place_of(const vec_places *p, uint64_t label) { return label < p->n ? p->at[label] : 0; }

/* A request, and its search. */
typedef struct errand {
    _Atomic uint32_t state;
    _Atomic uint64_t taken_ns;
    struct errand *next;                        /* in its lane's list of free ones, or of dropped ones */
    vec_lane *lane;
    vec_road *road;
    vec_index *index;
    vec_query query;
    uint32_t connection, version, room, request_room;   /* room: results that it can hold */
    uint64_t began_ns;
    int64_t count;
    uint64_t *labels;
    double *distances;
    const char *vector;                         /* in the request */
    char *request;                              /* one byte more than request_room */
} errand;

typedef struct {
    vec_lane *lane;                             /* NULL: not in use */
    vec_road *road;                             /* the one that it was last on, or NULL */
    errand *errand;                             /* the one under way */
    char *partial;                              /* the begin of a request */
    uint64_t tag, n, in, out;
    uint32_t n_partial;
    int fd;
} connection;

struct vec_road {
    vec_lane *lane;
    vec_road *next, *next_served;               /* in its chain; in the lane's list of those with a cost to tell */
    uint64_t tag, hash, epoch;                  /* epoch: the lane's, when what it was set to was last right; 0: it is not set */
    uint32_t n_head, n_tail, request_bytes;
    uint32_t version;                           /* grows when it is set */
    int is_asked_for, is_served;                /* DOUBTED was told; it is in that list */
    vec_index *index;
    vec_query query;
    const vec_names *names;
    const vec_form *form;
    const int64_t *order;
    vec_ruler *ruler;
    const vec_places *places;
    vec_rescore rescore;
    uint32_t k;
    double search_ns;                           /* running mean of what one takes */
    uint64_t n_own, own_ns;
    char bytes[];                               /* head and tail */
};

struct vec_lane {
    vec_lanes *lanes;
    char *prefix;
    uint32_t n_prefix, n_before, n_behind, vector_bytes;
    uint32_t wanted, request_room;              /* results and bytes of a request that an errand has room for */
    uint64_t epoch;
    errand *free, *dropped;
    double search_ns;                           /* as of a road, over all of them */
    uint64_t n_recent;
    char *recent;                               /* the latest VEC_LANE_RECENT vectors */
    vec_lane_stats stats;
    vec_road *served;
    vec_road *chains[N_CHAINS];
};

struct vec_lanes {
    int epoll;
    connection *connections;
    uint32_t n_connections, n_free;
    uint32_t *free, *dirty, n_dirty;            /* numbers not in use; those with something to tally */
    errand *flying[MOST_FLYING];
    uint32_t n_flying, n_turned;
    vec_lane_event *events;
    size_t n_events, events_size;
    uint64_t *missing;
    size_t n_missing, missing_size;
    const vec_road *missing_road;
    char *out;
    size_t out_size;
    room room;                                  /* the caller's */
    vec_crew *crew;
    struct measured *measured;
    _Alignas(64) _Atomic uint64_t n_queued;
    _Atomic uint64_t n_taken;
    _Atomic(errand *) ring[MOST_FLYING];
};

/* roads.c: */

/* Whose road the n bytes are a request of. */
enum { KNOWN, UNFINISHED, STRANGE };
int find_road(const vec_lane *l, const char *request, size_t n, vec_road **out);
/* Whether they are a request of this one. */
int is_on_road(const vec_road *r, const char *request, size_t n);
/* An errand of a lane, NULL without memory; and back. */
errand *errand_of(vec_lane *l);
void give_errand(errand *e);

/* lanes.c: */

/* A new event with a copy of these bytes (NULL: room for so many); NULL without memory. */
vec_lane_event *note_event(vec_lanes *l, int what, uint64_t tag, const char *bytes, size_t n_bytes);
/* Takes a connection off its lane, without events. */
void leave_lane(vec_lanes *l, uint32_t number, int what, const char *bytes, size_t n_bytes);

/* lane_replies.c: */

/* Asks the disk for what the rescoring of this search will read: for all searches before the first of them waits. */
void look_ahead(vec_lanes *l, const errand *e);
/* Answers a search that is done. 0: it is STALLED, otherwise over. */
int answer(vec_lanes *l, errand *e, uint64_t watch_ns);
#endif

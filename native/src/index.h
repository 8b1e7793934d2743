/* The index as its own files see it. What it knows beyond its slots and has to survive a restart goes into image.h's header, too.
   Who owns what:
     vec.c      creation, ingestion, labels, removal, statistics      (callers' threads, under ix->lock)
     walk.c, walk_filtered.c, scan.c, search.c, range.c, many.c, interleave.c   every kind of search
                                                                 (any thread, no lock; search.h is theirs)
     iterator.c batches from the nearest on, by searches              (knows nothing of slots)
     graph.c    linking (all linkers at once), pruning, sweeping out deleted vectors and mending reach (the writer alone)
     sketch.c   8-bit codes by which floats are linked               (the writer alone)
     writer.c   the background thread and its helpers: tail, sweeps, calibration
     drift.c    whether new vectors are like the training sample      (callers' threads, under ix->lock)
     recent.c   a sample of queries, for codecs that learn from them
     train.c    learning a coder and re-encoding into a fresh store   (a thread of its own while it runs)

   A slot's life: FREE -> TAIL (stored, found by scanning the tail) -> LINKED (in the graph) -> DELETED (still walked through,
   never returned) -> swept out of every row -> after the last reader that may hold it has left -> FREE. FLAT: FREE -> LINKED ->
   DELETED -> FREE. What is deleted while it waits in the tail is FREE as soon as readers have left;
   its place in the tail stays, empty.

   Readers announce an epoch while they search. What a writer replaces (a store, a table, a slot) is retired under the epoch of
   that moment and reused once every active reader is younger. */
#ifndef INDEX_H
#define INDEX_H
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "codec.h"
#include "labels.h"
#include "mem.h"
#include "vec.h"

#define NO_EDGE UINT32_MAX
enum { N_RUNGS = 20, MAX_SEEDS = 32, N_SCRATCH = 64, SLACK = 4, MAX_LINKERS = 64, N_ROW_LOCKS = 128, LINKS_PER_TURN = 32 };
#define MAX_WINDOW (1u << 20)                   /* candidates a walk may keep */
#define MAX_SLOTS (1u << 30)                    /* two bits of an id mark buffer entries */

/* Slot states, in the two top bits of a meta word; the label below. */
enum { SLOT_FREE = 0, SLOT_TAIL = 1, SLOT_LINKED = 2, SLOT_DELETED = 3 };
#define MAX_LABEL ((1ull << 62) - 1)
static inline int meta_state(uint64_t meta) { return (int)(meta >> 62); }
static inline uint64_t meta_label(uint64_t meta) { return meta & MAX_LABEL; }
static inline uint64_t meta_of(int state, uint64_t label) { return (uint64_t)state << 62 | label; }
static inline int is_live(uint64_t meta) { return meta_state(meta) == SLOT_TAIL || meta_state(meta) == SLOT_LINKED; }

/* Codes and the coder that made them: replaced as one. */
typedef struct store {
    coder *coder;
    slab primary, residual;
} store;

typedef struct { float key; uint32_t id; } entry;
#define EXPANDED 0x80000000u
#define BARRED 0x40000000u                      /* walked through, not to be returned */
#define ID_MASK 0x3FFFFFFFu

typedef struct { double distance; uint64_t label; } hit;

/* What one search needs; taken from the index for its duration, so that searching allocates nothing once it is warm. */
typedef struct scratch {
    _Alignas(64) _Atomic int is_busy;
    _Atomic uint64_t epoch;                     /* 0: not reading */
    _Atomic uint64_t n_searches, n_compared;    /* done with this one: counters for all would be in every thread's way */
    query query;
    void *query_block;
    float *work;                                /* dim floats and code bytes, for encoding */
    uint64_t *visited;
    uint64_t *barred;                           /* filtered walks: two bitsets over the slots */
    uint32_t barred_size;
    uint32_t visited_words, n_slots;            /* slots there were when the bitset was cleared; later ones are not looked at */
    entry *buffer;
    uint32_t buffer_size;
    float *good;                                /* keys of those in it that may be returned, in order */
    uint32_t good_size;
    uint32_t *found;                            /* range: slots within reach */
    uint32_t n_found, found_size;
    uint32_t *ids;                              /* one batch of neighbours */
    const uint8_t **primaries, **residuals;
    float *keys;
    uint32_t batch_size;
    hit *hits;
    uint32_t hits_size;
    uint32_t hidden;                            /* a slot plus one that walks treat as if it were not there; 0: none */
    uint64_t n_scored;
    struct batch *batch;                        /* of searches that come many at a time */
    entry *held;                                /* the candidates of each of its queries */
    uint32_t held_size;
    struct prune_space *prune;                  /* the writer's: see graph.c */
    uint64_t shaped_id;                         /* id of the coder that it was used with last; 0: none */
} scratch;

typedef struct tail_ring { uint32_t mask; _Atomic uint32_t slot[]; } tail_ring;

struct retired { struct retired *next; uint64_t epoch; void *block; store *store; uint32_t n_slots, slots[]; };

/* A turn: the oldest slots of the tail, linked by all linkers at once.
   Filled and ended by the writer while none of them works. */
typedef struct turn {
    int is_left;                                /* it ended early: the same slots again */
    uint32_t n, slots[MAX_LINKERS * LINKS_PER_TURN];
    uint64_t span;                              /* places of the tail that they come from, with those that were deleted there */
    uint8_t is_done[MAX_LINKERS * LINKS_PER_TURN];
    _Atomic uint32_t next;                      /* the first that nobody has taken */
    _Atomic int code;                           /* what went wrong */
    uint64_t number;                            /* this and what follows: under turn_lock */
    uint32_t n_working;                         /* helpers at it */
    int is_over;                                /* no more turns */
} turn;

/* A thread that links beside the writer. */
typedef struct linker {
    scratch scratch;
    struct vec_index *index;
    pthread_t thread;
} linker;

struct vec_index {
    vec_params params;
    char compression[24];
    mem_account account;

    _Alignas(64) _Atomic(store *) store;        /* searches read what follows; what precedes it changes with every allocation */
    store *_Atomic other_store;                 /* written by adds, too: the next one while it is encoded, then the
                                                   last one until its readers have left */
    _Atomic(const codec *) wanted;              /* the codec asked for; in effect once trained */
    const codec *next;                          /* the one that training is about, and its projection; under the lock */
    uint32_t next_reduce;
    int next_reduction;
    _Atomic int learns_from_queries;
    _Atomic uint32_t n_noted;                   /* queries that recent.c was shown */
    struct recent *_Atomic recent;
    struct drift *drift, *next_drift;           /* under the lock; NULL until something was learned */
    uint32_t n_epochs;                          /* trainings that came to an end */
    uint64_t *recoded;                          /* under the lock; while originals are given: slots that
                                                   the next store has from them */
    uint32_t recoded_slots;

    slab meta;                                  /* uint64: state and label */
    slab bases;                                 /* uint64 for 64 slots: the first one's label, where the
                                                   others' follow it; or NO_BASE */
    slab rows;                                  /* graph: max_degree ids, NO_EDGE after the last */
    label_map labels;
    _Atomic uint32_t n_slots;                   /* slots ever used */
    _Atomic uint32_t n_linked, n_deleted;       /* in the graph: live, and deleted but not swept out */
    _Atomic uint64_t n_vectors;
    uint32_t *free_slots, n_free, free_size;
    float *add_vector, *add_work;               /* of the add under way */

    _Atomic(tail_ring *) tail;
    _Atomic uint64_t tail_head, tail_end;
    uint64_t tail_taken;                        /* of the tail, what lies before is in the writer's hands; under the lock */

    _Atomic uint32_t seeds[MAX_SEEDS];
    _Atomic uint32_t n_seeds;
    _Atomic uint64_t mended_at;                 /* n_linkings when everything was last seen to be in reach */
    uint32_t seeds_at;                          /* n_linked when they were last chosen */
    _Atomic float usual_norm2;                  /* IP: a moving average of |x|^2 */
    _Atomic uint32_t most_norm2_bits;           /* IP: greatest |x|^2 seen, as float bits (positive floats order as integers) */

    _Atomic uint64_t epoch;
    scratch scratches[N_SCRATCH];
    struct retired *retired;
    uint64_t first_retired;                     /* the oldest epoch on that list */

    pthread_mutex_t lock;                       /* adds, removals, labels, free slots, retirement */
    pthread_cond_t wake, idle;                  /* work for the writer; the writer has none left */
    pthread_t writer;
    int has_writer, is_stopping, is_idle;
    int is_working, is_quiet;                   /* the writer is at a turn; it had nothing to do for a while */
    uint32_t n_waiting;                         /* who waits for it to have done everything */
    atomic_uint n_hurried;                      /* who waits for the lock and should not: see lock_patiently */
    uint32_t n_pausing;                         /* who wants it to wait after this turn */
    int is_held;                                /* vec_hold's is one of them */
    scratch link_scratch;                       /* the writer's own */
    linker *linkers;                            /* those beside the writer; started when there is a lot to link */
    uint32_t n_linkers;
    pthread_mutex_t turn_lock;
    pthread_cond_t turn_begins, turn_ends;
    turn turn;
    uint32_t link_window;                       /* of this turn */
    uint64_t n_searches_then;                   /* at the last turn */
    pthread_mutex_t row_locks[N_ROW_LOCKS];     /* held by who changes a row; readers hold none */
    uint32_t sweep_at, sweep_end;               /* slots left of a sweep under way */
    uint32_t *doomed, n_doomed, doomed_size;    /* what it sweeps out */
    uint8_t *doomed_bits;
    uint32_t doomed_bits_size;
    int is_swept;                               /* since the last look at what is in reach */
    int wants_relinking;                        /* under the lock: how often; codes have come that are much better than those
                                                   that links were chosen by */
    uint32_t relink_at, relink_end;             /* slots left of that */
    int n_relinkings;
    atomic_uint n_to_relink;                    /* in all of them */
    struct {                                    /* codes to link by, while many vectors wait: see sketch.c */
        store *store;
        uint32_t at, end;                       /* of what was linked before: coded, and to be */
        int is_ready;
        uint32_t refused_at;                    /* n_linked when codes were too coarse */
        float *vector, *work;
    } sketch;
    struct {                                    /* a look at what the seeds reach, under way while seen is there */
        uint8_t *seen;
        uint32_t *stack, n_stack, n_slots, at;
    } mending;

    pthread_t trainer;
    int has_trainer;
    _Atomic int training;
    _Atomic uint32_t n_encoded, n_to_encode;

    _Atomic uint32_t auto_window;               /* calibrated for k = 10 */
    _Atomic int is_calibrated;
    _Atomic uint32_t calibrated_at;             /* n_linked then; 0: it has to be done again */
    _Atomic float curve[N_RUNGS];               /* recall of the windows of calibrate.c's ladder */
    _Atomic uint32_t n_rungs;                   /* of these are known */
    _Atomic int is_curve_wanted;                /* though the default window is given */

    _Alignas(64) _Atomic uint64_t n_linkings, link_ns;      /* from here on written while others search */
    _Atomic float scan_ns, batch_ns, walk_ns;   /* of filtered searches (search.c): per vector scanned, alone and for several
                                                   queries; per unit of a walk */
    _Atomic float past_barred_fails;            /* of walks that leave what is barred out at their end:
                                                   the share that found too little */
    _Atomic int last_plan;
    _Atomic uint32_t n_pins;                    /* jobs in pools */
};

static inline _Atomic uint64_t *meta_at(const vec_index *ix, uint32_t slot) {
    return (_Atomic uint64_t *)(void *)slab_at(&ix->meta, slot);
}
#define NO_BASE UINT64_MAX
static inline _Atomic uint64_t *base_at(const vec_index *ix, uint32_t block) {
    return (_Atomic uint64_t *)(void *)slab_at(&ix->bases, block);
}
static inline uint64_t meta_get(const vec_index *ix, uint32_t slot) {
    return atomic_load_explicit(meta_at(ix, slot), memory_order_acquire);
}
static inline _Atomic uint32_t *row_at(const vec_index *ix, uint32_t slot) {
    return (_Atomic uint32_t *)(void *)slab_at(&ix->rows, slot);
}
/* The row of a slot in the tail is empty and, where it has room, notes the slot's place there: its lower 32 bits. */
static inline void note_place(const vec_index *ix, uint32_t slot, uint64_t place) {
    atomic_store_explicit(row_at(ix, slot), NO_EDGE, memory_order_relaxed);
    if (ix->params.max_degree > 1) atomic_store_explicit(row_at(ix, slot) + 1, (uint32_t)place, memory_order_relaxed);
}
static inline float most_norm2(const vec_index *ix) {
    union { uint32_t bits; float f; } u = {atomic_load_explicit(&((vec_index *)ix)->most_norm2_bits, memory_order_relaxed)};
    return u.f;
}

static inline int is_trained(const vec_index *ix) {                     /* under the lock, or of what was so a moment ago */
    return !((vec_index *)ix)->wanted->train || atomic_load(&((vec_index *)ix)->store)->coder->mean
        || atomic_load(&((vec_index *)ix)->store)->coder->table_entries;
}

/* drift.c */
/* What the coder's errors are on its training sample, n x dim; is_exact: it is not from coarse codes;
   work as for encode. NULL: no memory. */
struct drift *drift_begin(vec_index *ix, const coder *c, const float *sample, size_t n, int is_exact, float *work);
/* Puts vectors of a sample, n x dim, at its end that training is not to see; how many. */
size_t drift_hold_out(float *sample, size_t n, uint32_t dim);
/* What an image keeps of it. NULL: no memory. */
struct drift *drift_resume(vec_index *ix, const coder *c, double error, double energy, uint32_t n_added);
/* How often links are worth choosing again because the new codes' distances are so much better than the old ones' that they were
   chosen by. */
int drift_relinkings(const struct drift *new, const struct drift *old);
void drift_free(struct drift *d);
uint64_t drift_bytes(const coder *c);                                           /* what they count */
/* under the lock; x as ingested, just stored there */
void drift_note(vec_index *ix, const store *s, uint32_t slot, const float *x);
void drift_stats(const vec_index *ix, vec_stats_t *out);                        /* under the lock */

/* recent.c */
void recent_note(vec_index *ix, const float *x);                        /* x as ingested */
uint32_t recent_count(const vec_index *ix);
uint64_t recent_bytes(const vec_params *p);                             /* what they count */
int recent_take(vec_index *ix, float **queries, size_t *n);             /* n x dim floats, to be freed; NULL if there are none */

/* vec.c */
/* The codec that vectors have until the wanted one has learned. */
const codec *first_codec(const codec *wanted);
store *store_new(vec_index *ix, coder *c, uint32_t n_slots);
void store_free(store *s);
/* Takes down that a slot holds a label. is_first: no slot of its block held one before. */
void note_label(vec_index *ix, uint32_t slot, uint64_t label, int is_first);
void retire(vec_index *ix, void *block, store *s);                      /* under ix->lock; one of the two */
void retire_slots(vec_index *ix, const uint32_t *slots, uint32_t n);    /* under ix->lock; they are FREE already */
void reclaim(vec_index *ix);                                          /* under ix->lock */
uint64_t now_ns(void);
uint64_t thread_ns(void);                                              /* of this thread */

/* walk.c, search.c */
scratch *scratch_take(vec_index *ix);
scratch *scratch_try(vec_index *ix);
void scratch_give(scratch *s);
int scratch_shape(vec_index *ix, scratch *s, const store *st);
void scratch_free(scratch *s);
/* Searches done so far, and vectors they compared. */
uint64_t count_searches(const vec_index *ix, uint64_t *n_compared);
void reader_enter(vec_index *ix, scratch *s);
void reader_leave(scratch *s);
/* Walks the graph for s->query with this window; the buffer then holds *n entries, best first. */
int walk_plain(vec_index *ix, const store *st, scratch *s, uint32_t window, uint32_t capacity, uint64_t deadline_ns, uint32_t *n);
/* Answers q for the prepared s->query into s->hits; q->plan, unless NONE, is the plan to use. */
int search_prepared(vec_index *ix, const store *st, scratch *s, vec_query *q, uint32_t *n_out);
/* A window that is wide enough for most data at a million vectors. */
uint32_t usual_window(const vec_index *ix, double target);
uint32_t default_window(const vec_index *ix, uint32_t k);
/* What filtered searches over such codes will take, until that is measured. */
void costs_expect(vec_index *ix, const coder *c);

/* graph.c */
void prune_space_free(struct prune_space *space);
uint64_t prune_bytes(const vec_params *p, const coder *c);            /* what a linker's counts */
int link_slot(vec_index *ix, scratch *s, uint32_t slot);
void choose_seeds(vec_index *ix);
int sweep_begin(vec_index *ix);
int sweep_slice(vec_index *ix, uint32_t n_rows);                      /* 1: more to do; 0: done */
int relink_slice(vec_index *ix, uint32_t n_rows);                     /* likewise */

/* Links again what the seeds do not reach. 1: more to do; 0: done. */
int mend_begin(vec_index *ix);
int mend_slice(vec_index *ix, uint32_t n_rows);

/* The lock, for what a client waits for; and for long work that takes it again and again:
   a mutex is not fair, those others go first. */
static inline void lock_hurriedly(vec_index *ix) {
    if (!pthread_mutex_trylock(&ix->lock)) return;
    atomic_fetch_add(&ix->n_hurried, 1);
    pthread_mutex_lock(&ix->lock);
    atomic_fetch_sub(&ix->n_hurried, 1);
}
static inline void lock_patiently(vec_index *ix) {
    while (atomic_load_explicit(&ix->n_hurried, memory_order_relaxed)) sched_yield();
    pthread_mutex_lock(&ix->lock);
}

/* sketch.c */
/* What linking, sweeping and mending read vectors from. */
const store *link_store(const vec_index *ix);
/* Before a turn over these slots. */
void sketch_turn(vec_index *ix, const uint32_t *slots, uint32_t n);
void sketch_free(vec_index *ix);

/* writer.c */
int writer_start(vec_index *ix);                                      /* under ix->lock */
void writer_stop(vec_index *ix);
/* For threads that work in the background: where processors are short, this one lets those go first that answer. */
void step_back(void);
/* Keeps the writer from working, between two turns, until it may go on. Under ix->lock, which waiting gives up for a while. */
void writer_pause(vec_index *ix);
void writer_resume(vec_index *ix);
/* Whether every edge was looked at since the last that was written. */
int is_mended(const vec_index *ix);                                     /* under ix->lock while it is idle, or by the writer */
int links_turn(vec_index *ix);                                        /* links some of the tail; 0: it is empty */

/* calibrate.c */
void calibrate(vec_index *ix);
/* The least window whose measured recall reaches the target (0: 0.95) or comes as near to it as is worth while; 0: nothing
   measured. */
uint32_t curve_window(const vec_index *ix, double target);
double curve_recall(const vec_index *ix, uint32_t window);           /* 0: nothing measured */
uint64_t next_random(uint64_t *state);

/* train.c */
int train_start(vec_index *ix);                                       /* under ix->lock */
/* Under the lock: the next store holds a slot's vector as it was given. */
static inline void note_recoded(vec_index *ix, uint32_t slot) {
    if (slot < ix->recoded_slots) ix->recoded[slot / 64] |= 1ull << slot % 64;
}
#endif

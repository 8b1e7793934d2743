/* vec.h: the vector engine's one public header.

   One index is one vector field: parameters, a codec, a flat single-layer Vamana graph (or none, for FLAT), a label map, a tail
   of vectors that are stored but not linked yet, training state and statistics.

   Threads: vec_search*, vec_range, vec_distances and vec_stats may run from any number of threads at once, beside everything
   else except vec_free, and take no lock. vec_add and vec_remove may be called from any thread; they exclude each other for
   microseconds. Each index starts one background thread when it has something to link, train or clean up.

   Vectors are DIM elements of the index's type, little endian, at any alignment. Distances are what Redis defines: squared L2,
   1 - dot for IP, 1 - cosine for COSINE. Every function that can fail returns VEC_OK (0) or a negative code; vec_strerror names
   it.

   The text between the two markers is also the cffi declaration: prototypes, enums and plain structs only. */
#ifndef VEC_H
#define VEC_H
#include <stddef.h>
#include <stdint.h>

/* cffi: begin */
enum { VEC_OK = 0, VEC_ENOMEM = -1, VEC_EARG = -2, VEC_ENONFINITE = -3, VEC_ETIMEOUT = -4, VEC_EUNAVAILABLE = -5, VEC_EISA = -6,
       VEC_ETHREAD = -7, VEC_EINVARIANT = -8, VEC_EIO = -9, VEC_EIMAGE = -10, VEC_EBUSY = -11 };
enum { VEC_L2 = 0, VEC_IP = 1, VEC_COSINE = 2 };
enum { VEC_FLOAT32 = 0, VEC_FLOAT64 = 1, VEC_FLOAT16 = 2, VEC_BFLOAT16 = 3, VEC_INT8 = 4, VEC_UINT8 = 5 };
enum { VEC_FLAT = 0, VEC_GRAPH = 1 };
/* How a search was answered: a scan of everything, a graph walk, or one of the three filter plans. */
enum { VEC_PLAN_NONE = 0, VEC_PLAN_SCAN = 1, VEC_PLAN_GRAPH = 2, VEC_PLAN_FILTER_EXACT = 3, VEC_PLAN_FILTER_WALK = 4,
       VEC_PLAN_FILTER_POST = 5 };
/* What LeanVec's projection is made of: the strongest axes of the data, those that matter to recent queries, the first dimensions
   (for embeddings trained so that these suffice), or random ones. */
enum { VEC_REDUCE_PCA = 0, VEC_REDUCE_OOD = 1, VEC_REDUCE_PREFIX = 2, VEC_REDUCE_RANDOM = 3 };
enum { VEC_TRAIN_IDLE = 0, VEC_TRAIN_RUNNING = 1, VEC_TRAIN_DONE = 2 };
/* The parts that vec_stats counts allocated bytes by. */
enum { VEC_MEM_CODES = 0, VEC_MEM_RESIDUALS = 1, VEC_MEM_GRAPH = 2, VEC_MEM_LABELS = 3, VEC_MEM_TAIL = 4, VEC_MEM_SCRATCH = 5,
       VEC_MEM_CODEC = 6, VEC_MEM_OTHER = 7, VEC_MEM_PARTS = 8 };

typedef struct vec_index vec_index;
typedef struct vec_pool vec_pool;
typedef struct vec_saver vec_saver;
typedef struct vec_crew vec_crew;
typedef struct vec_names vec_names;
typedef struct vec_ruler vec_ruler;
typedef struct vec_iterator vec_iterator;
typedef struct vec_slots vec_slots;
typedef struct vec_places vec_places;
typedef struct vec_lane vec_lane;
typedef struct vec_lanes vec_lanes;
typedef struct vec_road vec_road;

typedef struct {
    uint32_t dim;                   /* elements per vector, 1 .. 32768 */
    int metric;                     /* VEC_L2 | VEC_IP | VEC_COSINE */
    int dtype;                      /* VEC_FLOAT32 ...: what vectors and queries look like */
    int algorithm;                  /* VEC_FLAT | VEC_GRAPH */
    const char *compression;        /* a codec's name, or NULL: stored in the given type */
    uint32_t reduce;                /* LeanVec: dimensions of the traversed projection; 0: dim / 2 */
    uint32_t training_threshold;    /* vectors at which the codec learns from what is stored */
    uint32_t max_degree;            /* graph: edges per vector, 1 .. 512 */
    uint32_t build_window;          /* graph: candidates looked at when linking; 2^20 at most */
    uint32_t search_window;         /* default window of a search; 0: calibrated by the index */
    double epsilon;                 /* range search: how far beyond the radius the walk still expands, relative */
    float alpha;                    /* pruning, on squared distances; 1.1 to 1.2 is usual */
    uint32_t threads;               /* 1 .. 64 that link at the same time */
    double target_recall;           /* what the calibrated default window is to find of the ten nearest, below 1; 0: 0.95 */
    int reduction;                  /* LeanVec: VEC_REDUCE_* */
} vec_params;

typedef struct {
    uint32_t k;                     /* results wanted; range search ignores it */
    uint32_t sure;                  /* of the k, so many are to be the nearest, for which the window is wide enough; the others
                                       only come near, as candidates to be scored again by their originals; 0: all */
    uint32_t window;                /* 0: the index's default */
    uint32_t capacity;              /* candidates kept for the re-rank; 0: chosen; never below window */
    double radius, epsilon;         /* range search only; epsilon < 0: the index's */
    const uint64_t *allowed;        /* bitmap over labels, or NULL: all; read until the call (or the job) ends */
    uint64_t n_words;               /* of allowed; labels beyond it are not allowed */
    uint64_t n_allowed;             /* bits set in allowed */
    uint64_t timeout_us;            /* 0: none */
    int plan;                       /* out: VEC_PLAN_* */
} vec_query;
/* Sets the bits of n labels in a bitmap that has room for them. */
void vec_set_bits(uint64_t *bitmap, const uint32_t *labels, uint64_t n);

typedef struct {
    uint64_t n_vectors, n_linked, n_tail, n_deleted, n_slots;
    uint64_t n_linkings, link_ns;   /* vectors linked since the start, and the CPU time that took */
    uint64_t n_searches, n_scored;  /* searches, and vectors whose distance they took */
    int training, is_trained;       /* VEC_TRAIN_* */
    double progress;                /* of the training under way, 0 .. 1 */
    char codec[24];                 /* in effect now; before training it may differ from the compression asked for */
    uint32_t window;                /* the default in effect for k = 10 */
    int is_calibrated;              /* whether it was measured on this index */
    double target_recall, window_recall; /* what it is to reach, and what it was measured to reach
                                            (against the codes); 0: not measured */
    uint32_t code_bytes, residual_bytes; /* per vector, with padding */
    int last_plan;
    int reduction;                  /* VEC_REDUCE_* in effect; OOD with too few queries is PCA until it is trained again */
    uint32_t n_queries;             /* recent ones at hand for OOD */
    uint32_t n_epochs, n_since_training; /* trainings so far; vectors added since the last */
    uint32_t n_to_relink;               /* vectors that are still to be linked again, by codes that
                                           are much better than those before */
    double drift;                   /* the error of traversal distances on what is added now over
                                       that of the training sample; 1: as then */
    double distance_error, trained_error; /* both errors: root mean square, relative to the standard
                                             deviation of distances; 0: unknown */
    double energy, trained_energy;  /* the share of |x - mean|^2 that LeanVec's first level keeps; -1: unknown */
    double clipped;                 /* the share of coordinates outside SQ8's range */
    double mean_shift;              /* how far the mean of what is added now is from the trained
                                       one, in standard deviations of vectors */
    uint64_t bytes[8];              /* allocated now, by VEC_MEM_* */
} vec_stats_t;

const char *vec_strerror(int code);
/* Chooses the instruction set (VAMANA_ISA forces one); to be called once before anything else. VEC_EISA: *error says why. */
int vec_start(const char **error);
const char *vec_isa(void);
/* From now on large blocks of memory are not there in processes that are forked off: a fork has that much less to copy, and what
   is written afterwards needs no copy. Such a process must not touch an index. */
void vec_keep_from_children(void);
/* Name of the i-th codec (NULL: no more), its bits per dimension over both levels,
   whether it reduces, whether it is implemented. */
const char *vec_codec_name(int i, int *bits, int *reduces);
/* What the codes of one vector take, with constants and padding, both levels, without graph and labels; reads dim, metric, dtype,
   compression and reduce. Negative: a code. */
int64_t vec_bytes_per_vector(const vec_params *params);

/* What vec_stats will count of an index with these parameters, filled with n vectors in one go under labels 0 .. n-1, by
   VEC_MEM_*; the most that it takes meanwhile if during its training as many come again as were there, and the most while all of
   it is trained again. */
typedef struct { uint32_t threads, widest; } vec_searchers;      /* that search at the same time; one of them with this window */
int vec_estimate(const vec_params *params, uint64_t n, const vec_searchers *by, uint64_t bytes[8], uint64_t *peak_training,
                 uint64_t *peak_retraining);

int vec_create(const vec_params *params, vec_index **out);
/* Stops the background work, waits for pending jobs of pools, frees everything. No other call may be under way. */
void vec_free(vec_index *index);
/* Stores n vectors; a label that exists is replaced. *n_done of them were stored when an error stops it. */
int vec_add(vec_index *index, const uint64_t *labels, const char *vectors, size_t n, size_t *n_done);
int vec_add_one(vec_index *index, uint64_t label, const char *vector);
/* Forgets labels; unknown ones are ignored. *n_removed counts the known ones. */
int vec_remove(vec_index *index, const uint64_t *labels, size_t n, size_t *n_removed);
/* Blocks until everything is linked, trained and cleaned up, or timeout_us have passed (0: no limit): VEC_ETIMEOUT. */
int vec_wait(vec_index *index, uint64_t timeout_us);
/* Has the background wait with linking, cleaning up and measuring until it is called with 0; returns when its turn under way is
   done. Meanwhile vec_wait waits for it. Calls do not add up. */
void vec_hold(vec_index *index, int is_held);
/* Learns anew from what is stored (the finest codes), and from recent queries for OOD, then encodes everything again, in the
   background; searches, additions and removals go on. compression: another codec's name, or NULL for the same; reduce: dimensions
   of LeanVec's projection, or 0 for the same; reduction: VEC_REDUCE_*, or -1 for the same. What codes have lost stays lost.
   compression "NONE": the vectors as they are, of FLOAT32 only. VEC_EARG: a reduction for other codecs than LeanVec, or no
   compression before and after. VEC_EBUSY: it is training already. */
int vec_retrain(vec_index *index, const char *compression, uint32_t reduce, int reduction);
/* The same from the vectors as they were given, by whoever has them: begins with a sample of n, from which it learns before it
   returns; vec_recode then gives vectors under their labels, each once, in any order and from any thread; labels that are unknown
   or have been stored anew meanwhile are passed over. vec_retrain_end lets the background take what was not given from the codes
   and the new codes into effect, or forgets the whole thing. Until then the index counts as training, for vec_wait, too. */
int vec_retrain_begin(vec_index *index, const char *compression, uint32_t reduce, int reduction, const char *sample, size_t n);
int vec_recode(vec_index *index, const uint64_t *labels, const char *vectors, size_t n);
int vec_retrain_end(vec_index *index, int is_given_up);
void vec_stats(const vec_index *index, vec_stats_t *out);
/* The least window that was measured to find `target` (above 0, below 1; 0: the default) of the k nearest, or as near to it as
   more work brings. Before it is measured a wide one; the measurement is then made when nothing else is to do. */
uint32_t vec_window(vec_index *index, uint32_t k, double target);
/* Has the background measure anew what recall each window gives. */
void vec_recalibrate(vec_index *index);
/* The parameters that the index was created with; compression is the codec's own name. */
void vec_describe(const vec_index *index, vec_params *out);
/* Checks every invariant of the graph, maps and counters; nothing may run beside it.
   VEC_EINVARIANT: *what names the broken one. */
int vec_validate(vec_index *index, const char **what);

/* The k nearest, nearest first, ties by label, into labels[k] and distances[k]. Returns how many, or a negative code. */
int64_t vec_search(vec_index *index, const char *query, vec_query *q, uint64_t *labels, double *distances);
/* The same for k < 2^32 - 1 as if the vector of this label were not stored: a walk goes round it; k, sure and window as in a
   vec_query. labels and distances hold k + 1. */
int64_t vec_search_without(vec_index *index, const char *query, uint64_t label, uint32_t k, uint32_t sure, uint32_t window,
                           uint64_t *labels, double *distances);
/* The same with plain arguments, for the shortest way in. */
int64_t vec_search_one(vec_index *index, const char *query, uint32_t k, uint32_t window, uint32_t capacity, uint64_t timeout_us,
                       uint64_t *labels, double *distances);
/* The window of a search for k that names none. */
uint32_t vec_default_window(const vec_index *index, uint32_t k);
/* n queries on this thread: labels and distances are n rows of k, counts[n]. The same answers as one by one; those that scan do
   so together, which is several times as fast, and their timeouts add up. */
int vec_search_many(vec_index *index, const char *queries, size_t n, vec_query *q, uint64_t *labels, double *distances,
                    uint32_t *counts);
/* All within q->radius; *labels and *distances are allocated, to be freed with vec_release. Returns how many. */
int64_t vec_range(vec_index *index, const char *query, vec_query *q, uint64_t **labels, double **distances);
void vec_release(void *memory);
/* Gives all vectors, batch by batch from the nearest on; no label twice. window: 0: the index's default; it grows with what was
   given. Each batch is in order; a later one may hold what an earlier search missed. The index may change between batches: what
   is removed meanwhile does not come, what is added may. Calls for one iterator exclude each other; it may be freed after its
   index. */
int vec_iterator_new(vec_index *index, const char *query, uint32_t window, vec_iterator **out);
/* The next `batch` at most, into labels and distances. Returns how many, 0 at the end, or a negative code; after VEC_ETIMEOUT the
   call may be repeated. */
int64_t vec_iterator_next(vec_iterator *iterator, uint32_t batch, uint64_t timeout_us, uint64_t *labels, double *distances);
void vec_iterator_free(vec_iterator *iterator);
/* Distances of known labels, nan for others. */
int vec_distances(vec_index *index, const char *query, const uint64_t *labels, size_t n, double *distances);

/* Threads that help with the searches of one call.
   Having worked they look out for the next call for spin_us before they sleep. */
int vec_crew_create(uint32_t threads, uint64_t spin_us, vec_crew **out);
/* Ends the threads; no call may be under way. */
void vec_crew_free(vec_crew *crew);
/* Searches are about to come: wakes one thread if it sleeps. */
void vec_crew_alert(vec_crew *crew);
/* n queries behind one another, by this thread and the crew's (NULL: by this one alone): labels and distances are n rows of q->k;
   counts[n], each a number of results or a negative code. One call at a time per crew. While it returns more than 0, threads that
   were interrupted may still read queries and filters of this and earlier calls (but write nowhere): these must not be freed. The
   index may be. */
uint32_t vec_search_together(vec_crew *crew, vec_index *index, const char *queries, size_t n, const vec_query *q,
                             uint64_t *labels, double *distances, int64_t *counts);
/* The same for searches of different kinds: each[n], none for more than k results, which rows have room for. */
uint32_t vec_search_each(vec_crew *crew, vec_index *index, const char *queries, size_t n, const vec_query *each, uint32_t k,
                         uint64_t *labels, double *distances, int64_t *counts);

/* Names of labels: the bytes that stand for them in replies. Not for several threads at a time. */
int vec_names_create(vec_names **out);
void vec_names_free(vec_names *names);
/* Names a label, or with n = 0 forgets its name. */
int vec_names_set(vec_names *names, uint64_t label, const char *text, uint32_t n);
/* Names labels 0 .. n - 1 by their keys, as bulk strings:
   the keys one after the other in text, of these lengths; UINT32_MAX: no name. */
int vec_names_fill(vec_names *names, const char *text, const uint32_t *lengths, uint64_t n);
/* How many bytes a label's name has, and where they are until the next vec_names_set; 0: it has none. */
uint32_t vec_names_get(const vec_names *names, uint64_t label, const char **text);
uint64_t vec_names_bytes(const vec_names *names);
/* What that will be with names of this length for the labels 0 .. n-1. */
uint64_t vec_names_bytes_of(uint64_t n, uint64_t length);
/* Forgets all of them and gives their memory back. */
void vec_names_clear(vec_names *names);

/* The form of a reply: START count AFTER_COUNT, [total AFTER_TOTAL,] rows, [BEFORE_TOTAL total AFTER_TOTAL]. The total is first
   or last and is the number of rows; the count is per_row times that, and one more where the total is first. A row: BEFORE_ROW
   name, BEFORE_DISTANCE and behind it the distance as a bulk string where there is one, what `rest` says of the label,
   AFTER_ROW. */
enum { VEC_START = 0, VEC_AFTER_COUNT = 1, VEC_BEFORE_ROW = 2, VEC_BEFORE_DISTANCE = 3, VEC_AFTER_ROW = 4, VEC_BEFORE_TOTAL = 5,
       VEC_AFTER_TOTAL = 6, VEC_FORM_PIECES = 7 };
typedef struct {
    const char *pieces;             /* behind one another */
    uint32_t lengths[7];
    uint32_t per_row;
    int is_total_first, has_distance;
    const vec_names *rest;          /* NULL: nothing; a search that finds a label of which it says nothing gets no reply */
} vec_form;
/* Writes the replies of n searches behind one another and where each ends; a search that failed (a negative count) gets none: 0
   bytes. Labels with equal distances come by what `order` says of them. Returns the bytes written; if `size` may be too small
   nothing is written and what is needed returned as a negative number. labels and distances are n rows of k. */
int64_t vec_write_replies(const vec_names *names, const vec_form *form, const int64_t *order, size_t n, size_t k,
                          uint64_t *labels, const double *distances, const int64_t *counts, char *out, size_t size,
                          uint64_t *ends);
/* Writes the reply with these n rows of `total` that were found, in a form without distances. Returns the bytes written; 0 where
   `rest` says nothing of a row; if `size` may be too small nothing is written and what is needed returned as a negative
   number. */
int64_t vec_write_page(const vec_names *names, const vec_form *form, uint64_t total, const uint32_t *rows, uint64_t n, char *out,
                       size_t size);
/* A distance as replies show it: whole numbers without a point, others with 12 significant digits.
   Returns its length, 31 at most. */
uint32_t vec_distance_text(double distance, char *out);
/* Exact distances to vectors outside any index; reads dim, metric and dtype. One thread at a time. */
int vec_ruler_create(const vec_params *params, vec_ruler **out);
void vec_ruler_free(vec_ruler *ruler);
/* From the query to n vectors, one behind the other; nan for a vector that holds nan or infinity.
   VEC_ENONFINITE: the query does. */
int vec_ruler_distances(vec_ruler *ruler, const char *query, const char *vectors, size_t n, double *distances);
/* The same for vectors that lie here and there; nan for NULL. */
int vec_ruler_measure(vec_ruler *ruler, const char *query, const char *const *vectors, size_t n, double *distances);
/* Rescoring that ends early. Of n candidates in the order of their estimates the first n_measured have their distances (nan:
   there is none, and the estimate counts): up to where are they to be measured so that none is left out whose estimate is within
   `slack` of the k-th nearest? slack: in mean errors of the first few estimates, see rescore.h; infinity: to the end. room: k
numbers. */ typedef struct {
    uint32_t n, usual;              /* candidates at most; how many it usually takes: the disk is asked for those at once */
    double slack;
} vec_rescore;
size_t vec_rescore_reach(const double *estimates, const double *distances, size_t n_measured, size_t n, size_t k, double slack,
                         double *room);
/* The k nearest of the n candidates of each query, rows of `vectors` (-1: none), by their exact distances: labels and distances,
   -1 and inf where there are fewer; equal ones as they came. estimates: of each, ascending, for `slack` as above; NULL: all are
   measured. Returns how many were, or a negative code. */
int64_t vec_ruler_rescore(vec_ruler *ruler, const char *queries, size_t n_queries, const char *vectors, const int64_t *candidates,
                          const double *estimates, size_t n, size_t k, double slack, int64_t *labels, double *distances);

/* Where the vectors of labels lie, as far as the caller has said so; it also keeps them there. One thread. */
int vec_places_create(vec_places **out);
void vec_places_free(vec_places *places);
/* A label's vector is there, at an even address (otherwise VEC_EARG); NULL: it has none. */
int vec_places_set(vec_places *places, uint64_t label, const char *vector);
/* A label's vector is in a slot of a file, which must stay open until vec_places_clear;
   VEC_EARG: there are some of another file. */
int vec_places_set_slot(vec_places *places, uint64_t label, vec_slots *slots, uint32_t slot);
/* Nobody knows any more where a label's vector is. */
void vec_places_forget(vec_places *places, uint64_t label);
/* The same of all labels. */
void vec_places_clear(vec_places *places);

/* Lanes: connections whose requests are known but for a vector are served from the socket to the reply by one call for all of
   them, in which a crew's helpers search beside the caller. A lane is one shape of request: a command of so many words that
   begins with `prefix`, bulk strings all, then has n_before other words, the vector, and n_behind words. A road is one request of
   a lane's: the bytes before the vector and behind it, and what is done for it. A connection is on a lane and sends requests of
   any road of that. Everything is to be called by one thread. The descriptor becomes readable when vec_lanes_turn has something
   to do. */
int vec_lanes_create(vec_lanes **out);
/* After its lanes, and after the crews that it was used with. */
void vec_lanes_free(vec_lanes *lanes);
int vec_lanes_fd(const vec_lanes *lanes);
int vec_lane_create(vec_lanes *lanes, const char *prefix, uint32_t n_prefix, uint32_t n_before, uint32_t n_behind,
                    uint32_t vector_bytes, vec_lane **out);
/* When no connection is on it any more, and after its roads. */
void vec_lane_free(vec_lane *lane);
/* What the lane's roads were set to may no longer be right:
   none is searched on before vec_road_set or vec_road_confirm, see DOUBTED. */
void vec_lane_doubt(vec_lane *lane);
/* head: from the begin of the prefix to the vector's first byte; tail: all behind its last. VEC_EARG: there is such a road. `tag`
   names it in events. */
int vec_road_create(vec_lane *lane, uint64_t tag, const char *head, uint32_t n_head, const char *tail, uint32_t n_tail,
                    vec_road **out);
/* After vec_road_leave. */
void vec_road_free(vec_road *road);
/* What is done for a request from now on: the search, for query->k results, and the form of the reply. ruler not NULL: the
   results are candidates, of which the first rescore->n, or fewer, are measured again with their vectors at `places`, and the k
   nearest answered. form NULL: the caller writes the replies, see FOUND; so it does where the form's rest does not know a row.
   All of it but `rescore` must live until the next vec_road_set or vec_road_free. VEC_EARG: more than 2^16 results. */
int vec_road_set(vec_road *road, vec_index *index, const vec_query *query, const vec_names *names, const vec_form *form,
                 const int64_t *order, vec_ruler *ruler, const vec_places *places, const vec_rescore *rescore, uint32_t k);
/* What it was set to is right. */
void vec_road_confirm(vec_road *road);
/* Takes off their lane the connections that wait for an answer on this road:
   as many events GIVEN as it returns, at vec_lanes_events. */
int64_t vec_road_leave(vec_road *road);
/* Serves a connected socket, which nobody else reads meanwhile; returns its number, or a negative code.
   `tag` names it in events. */
int64_t vec_lanes_join(vec_lane *lane, int fd, uint64_t tag);

/* What became of a connection, or is to be done for it. GIVEN: it is off its lane; the bytes were read and not answered (a
   request that is another, or more than one, or could not be answered). UNSENT: it is off; the bytes are the rest of a reply.
   SLOW: the bytes are a request that took took_ns. MISSING: the bytes are labels, uint64_t, whose places have to be set before
   the next turn; the tag is the road's. FOUND: the caller is to send the reply before the next turn; the bytes are labels,
   uint64_t, then as many distances, double; `road` is the road's tag. DOUBTED: the tag is that of a road that is wanted; who
   waits there is given with the next turn unless it is set or confirmed. n, in and out: requests answered, and their and the
   replies' bytes, that no tally has said before; of a connection that is off. */
enum { VEC_LANE_GIVEN = 0, VEC_LANE_UNSENT = 1, VEC_LANE_SLOW = 2, VEC_LANE_MISSING = 3, VEC_LANE_FOUND = 4,
       VEC_LANE_DOUBTED = 5 };
typedef struct {
    int what;
    uint64_t tag, road, n, in, out, took_ns, n_bytes;
    char *bytes;
} vec_lane_event;
/* Serves what has arrived, and what arrives meanwhile for about budget_ns; 0: only what was left by the turn before. Requests
   that take watch_ns or longer become events. Returns how many events there are; they live until the next call for any of the
   lanes. */
int64_t vec_lanes_turn(vec_lanes *lanes, vec_crew *crew, uint64_t budget_ns, uint64_t watch_ns);
const vec_lane_event *vec_lanes_events(const vec_lanes *lanes);
/* Takes a connection off its lane: an event GIVEN. NULL: it is on none, or there is no memory. */
const vec_lane_event *vec_lanes_leave(vec_lanes *lanes, int64_t connection);
typedef struct { uint64_t tag, n, in, out; } vec_lane_tally;
/* What was served since the last time, for up to `most` connections; returns how many it says it of. */
int64_t vec_lanes_tallies(vec_lanes *lanes, vec_lane_tally *out, size_t most);
/* Of one lane since the last time: requests answered, nanoseconds from their arrival to the reply, requests by the bit length of
   that; and the latest vectors asked for, one behind the other. */
enum { VEC_LANE_RECENT = 512 };
typedef struct {
    uint64_t n, ns, histogram[64];
    uint32_t n_recent;
    const char *recent;
} vec_lane_stats;
void vec_lane_take_stats(vec_lane *lane, vec_lane_stats *out);
/* Of roads that were searched on since the last time: searches on the caller's thread, their time, and the running mean of what
   one takes of a processor, in which single ones that took much longer count little. Says it of up to `most`, and returns of how
   many. */
typedef struct {
    uint64_t tag, n_own, own_ns;
    double search_ns;
} vec_road_cost;
int64_t vec_lane_costs(vec_lane *lane, vec_road_cost *out, size_t most);

/* A reader of values of `width` bytes in an open file of slots, `stride` bytes from one to the next, that begins at `base`. */
int vec_slots_open(int fd, uint64_t base, uint32_t stride, uint32_t width, vec_slots **out);
void vec_slots_close(vec_slots *slots);
/* n values, one behind the other into values[n * width]; while reading waits for the disk, it is asked for all of a batch at
   once. states[i]: 1, or 0 for a slot that is damaged or cannot be read. Returns how many those are. One thread at a time. */
int vec_slots_read(vec_slots *slots, const uint32_t *numbers, size_t n, char *values, char *states);
/* The distances of n values, vectors of the ruler's type and width, to a query; nan for one that is damaged or cannot be read, or
   holds nan or infinity. Returns how many are damaged or cannot be read, or a negative code. One thread at a time. */
int vec_slots_measure(vec_slots *slots, const uint32_t *numbers, size_t n, vec_ruler *ruler, const char *query,
                      double *distances);
/* To be called now and then: lets go of the pages that were read, unless that was since the last time;
   the system may keep them. */
void vec_slots_rest(vec_slots *slots);

/* Hashes that follow one another in a snapshot and are alike: a byte `type`, a key, then for each field lengths[i] bytes that say
   what it is, the same for all and behind one another in names, and its value, of more than VEC_HASH_INLINE bytes where is_own[i]
   (n_own of them). */
enum { VEC_HASH_INLINE = 255 };
typedef struct {
    const char *names;
    const uint32_t *lengths;
    const char *is_own;
    uint32_t n_fields, n_own;
    uint8_t type;
} vec_hash_form;
/* Reads up to `most` of them from *at on, which it moves behind the last one; data ends at `end`. places has 3 + 2 n_own numbers
   of each: where in data its key begins and ends, where in text (which has room for `size` bytes) what it has there ends, and
   where in data each value that is_own begins and ends. In text: a byte with the length of each value, 0 for one that is_own, and
   the other values. Returns how many it read: the next record is another, damaged, or one too many. */
uint64_t vec_scan_hashes(const char *data, uint64_t end, uint64_t *at, const vec_hash_form *form, uint64_t most, uint64_t *places,
                         char *text, uint64_t size);
/* Places rows in 2^depth hash tables of `slots` (a power of two) numbers by linear probing: the low bits of a row's code say in
   which one, the bits from the 40th on where. tables: -1 for what is free; counts: rows in each. VEC_EARG: a table is full. */
int vec_place_rows(const int64_t *codes, const int32_t *rows, uint64_t n, uint32_t depth, uint32_t slots, int32_t *tables,
                   uint32_t *counts);

/* Documents by words. The columns of a text index: by number of a document its row (UINT32_MAX: none) and length, and where its
   words begin; by row its number (-1: none) and doc id. */
typedef struct {
    const uint32_t *row_of, *lengths, *words;
    const uint64_t *starts;
    const int64_t *number_of, *doc_ids;
    uint64_t n_rows, n_ids;         /* of number_of, of doc_ids */
    double mean_length, k1, b;
    double own;                     /* what every score is multiplied with */
    const double *keys;             /* by row, NaN for none: what results are ordered by
                                       instead; NULL: by score, the best first */
    uint64_t n_keys, is_descending; /* the greatest keys first, and of equal ones the latest documents; those without come last */
} vec_text_docs;
/* Postings of a term, number << 32 | set of fields << 16 | frequency, ascending; or ROWS that stand for documents that have
   something once, which are a SET if they ascend; or EACH row that has what the groups before want, not in the first group.
   fits[set of fields]: whether that will do (NULL: any). column: of ROWS, which may then be named twice, or EACH only those whose
   number of n_column lies in low .. high count (NULL: all). */
enum { VEC_TEXT_POSTINGS = 0, VEC_TEXT_ROWS = 1, VEC_TEXT_EACH = 2, VEC_TEXT_SET = 3 };
typedef struct {
    const void *postings;
    const uint8_t *fits;
    uint64_t n;
    uint64_t what;
    double weight;
    const double *column;
    uint64_t n_column;
    double low, high;
} vec_text_leaf;
/* What a row must have of a group of leaves: one at least (ANY: all count, FIRST: the first one does), none, or whatever there is
   (all count). The first group is an ANY or FIRST, and NOT comes behind these; 250 groups at most. */
enum { VEC_TEXT_ANY = 0, VEC_TEXT_FIRST = 1, VEC_TEXT_NOT = 2, VEC_TEXT_PERHAPS = 3 };
typedef struct vec_text vec_text;
/* Working memory for one thread at a time. */
int vec_text_create(vec_text **out);
void vec_text_free(vec_text *text);
/* The k best rows that match all groups (kind and number of leaves, each) and hold all phrases (a number of terms and these,
   each; n_phrases of these words), equal ones by doc id, and their scores: *n_rows of them. Returns how many match in all, or
   VEC_ENOMEM. */
int64_t vec_text_top(vec_text *text, const vec_text_docs *docs, const vec_text_leaf *leaves, const uint32_t *groups,
                     uint64_t n_groups, const uint32_t *phrases, uint64_t n_phrases, uint64_t k, uint32_t *rows, double *scores,
                     uint64_t *n_rows);
/* All rows that match, as vec_text_top says, without phrases where n_phrases is 0: their number, and *rows by doc id, until the
   next call. VEC_ENOMEM as there. */
int64_t vec_text_rows(vec_text *text, const vec_text_docs *docs, const vec_text_leaf *leaves, const uint32_t *groups,
                      uint64_t n_groups, const uint32_t *phrases, uint64_t n_phrases, const uint32_t **rows);
/* What a field says of rows: numbers that stand for its values (0: none), by row or in the order of the rows that are given; or
   numbers (NaN: none). Beyond n there is nothing. names: of the values, bulk strings; needed where groups are put in order or
   written. */
typedef struct {
    const int32_t *codes;
    const double *column;           /* where codes is NULL */
    uint64_t n;
    int is_in_order;                /* of the rows that are given */
    const vec_names *names;
} vec_group_field;
/* What becomes of the rows of a group: how many there are, or of the numbers that a field says of them the sum, mean, least,
   greatest, sample standard deviation (B. P. Welford, Note on a method for calculating corrected sums of squares and products,
   1962) or the smallest that a `share` of them does not exceed; or how many different values it says. */
enum { VEC_GROUP_COUNT = 0, VEC_GROUP_SUM = 1, VEC_GROUP_MEAN = 2, VEC_GROUP_LEAST = 3, VEC_GROUP_GREATEST = 4,
       VEC_GROUP_DEVIATION = 5, VEC_GROUP_QUANTILE = 6, VEC_GROUP_DIFFERENT = 7 };
typedef struct {
    int what;
    double share;
} vec_group_reducer;
/* Rows by groups. Not for several threads at a time. */
typedef struct vec_groups vec_groups;
int vec_groups_create(vec_groups **out);
void vec_groups_free(vec_groups *groups);
/* Begins anew: what rows are grouped by are n_keys fields. VEC_ENOMEM. */
int vec_groups_begin(vec_groups *groups, uint32_t n_keys, const vec_group_reducer *reducers, uint32_t n_reducers);
/* Takes rows, in their order: first the fields of the keys, then those of the reducers (of COUNT: any). Rows belong to a group if
   all keys have the same value; 0 is -0. Returns how many groups there are, in the order in which they first came, or
   VEC_ENOMEM. */
int64_t vec_groups_add(vec_groups *groups, const vec_group_field *fields, const uint32_t *rows, uint64_t n);
/* The number of the group of each row that was added last. */
const uint32_t *vec_groups_of_rows(const vec_groups *groups);
/* To be called when there are no more rows. results[reducer * number of groups + group]: where there is no number the sum, mean
   and quantile are NaN, the least inf and the greatest -inf. Likewise keys: of a field with codes the code, else the number. */
int vec_groups_end(vec_groups *groups, const double **keys, const double **results);
/* Which groups come first .. last - 1 by these columns (keys, then reducers), ascending or not: nothing, numbers and texts ascend
   in this order, NaN among what is computed comes last either way; equal ones by their keys, ascending, and then as they came.
   Returns how many there are, or VEC_ENOMEM. fields: of the keys. */
typedef struct { uint32_t column; int is_descending; } vec_group_order;
int64_t vec_groups_sort(vec_groups *groups, const vec_group_field *fields, const vec_group_order *by, uint32_t n_by,
                        uint64_t first, uint64_t last, const uint32_t **order);
/* Those groups as rows of a reply (order NULL: the n from `first` on): head, for each of the columns its name and its value,
   tail. Numbers as text: whole ones without a point, others with 12 significant digits. Returns its length, or VEC_ENOMEM. */
typedef struct { uint32_t column, n_name; const char *name; } vec_group_column;
typedef struct {
    const char *head, *tail, *nil;
    uint32_t n_head, n_tail, n_nil, n_columns;
    const vec_group_column *columns;
} vec_group_form;
int64_t vec_groups_write(vec_groups *groups, const vec_group_field *fields, const vec_group_form *form, const uint32_t *order,
                         uint64_t first, uint64_t n, const char **text);
/* Whether the values of rows ascend, each greater than the one before. */
int vec_are_ascending(const int64_t *values, const uint32_t *rows, uint64_t n);
/* The k rows with the least values, in any order. Returns how many there are: k, or n. */
uint64_t vec_first_rows(const int64_t *values, const uint32_t *rows, uint64_t n, uint64_t k, uint32_t *out);
/* The places of those words, of n_words ascending ones, that `distance` or fewer insertions, deletions and replacements of
   characters make of the target: the first `most` into out. Word i begins at words[starts[i]] and ends one byte before
   starts[i + 1]. Bytes that are not UTF-8 count as U+FFFD; two characters that changed places at the end of a word are one edit.
   Returns how many, VEC_ENOMEM, or VEC_EARG: a distance above 200. */
int64_t vec_words_near(const char *words, const uint64_t *starts, uint64_t n_words, const char *target, uint32_t n_target,
                       uint32_t distance, uint32_t *out, uint64_t most);
/* Extends a CRC-32C (0 at the start) by n bytes. */
uint32_t vec_crc32c(uint32_t crc, const char *bytes, size_t n);
/* CRC-64 of n bytes as Redis has it (Jones), going on from crc, which begins as 0. */
uint64_t vec_crc64(uint64_t crc, const char *bytes, size_t n);

/* A pool of threads for searches; a job is n queries on one index. */
int vec_pool_create(uint32_t threads, vec_pool **out);
void vec_pool_free(vec_pool *pool);
/* A descriptor that is readable when finished jobs wait to be taken; reading it is vec_pool_next's business. */
int vec_pool_fd(const vec_pool *pool);
int vec_pool_submit(vec_pool *pool, vec_index *index, const char *queries, size_t n, const vec_query *q, uint64_t *job);
/* Likewise, for all within q->radius of one query: the row is as long as there are results. */
int vec_pool_range(vec_pool *pool, vec_index *index, const char *query, const vec_query *q, uint64_t *job);
/* The oldest finished job: 1 and its id, result code, number of queries, row length and what its thread took of a processor; 0:
   none. Its rows stay until vec_pool_drop. */
int vec_pool_next(vec_pool *pool, uint64_t *job, int *code, uint64_t *n, uint32_t *k, uint64_t *took_ns, const uint64_t **labels,
                  const double **distances, const uint32_t **counts);
void vec_pool_drop(vec_pool *pool, uint64_t job);
/* Blocks until that job has finished; it is then the next that vec_pool_next gives. VEC_EARG: unknown job. */
int vec_pool_wait(vec_pool *pool, uint64_t job);

/* Writes the index as it is at one moment of the call into a file that replaces path when it is complete; everything else may go
   on meanwhile. On an error (VEC_EIO, VEC_ENOMEM) the reason is in why[why_size] and path is as it was. */
int vec_save(vec_index *index, const char *path, char *why, size_t why_size);
/* The same in three steps: memory is made ready, up to 20 ms per million slots; then there is the moment, a millisecond per
   million; then the writing. The first and the last may be done by other threads. What vec_save_prepare gave needs a
   vec_save_end; path NULL: nothing is written. The index must not be freed in between by the thread that is to call it. */
int vec_save_prepare(vec_index *index, vec_saver **out);
int vec_save_begin(vec_saver *saver);
int vec_save_end(vec_saver *saver, const char *path, char *why, size_t why_size);
enum { VEC_LOAD_UNCHECKED = 1, VEC_LOAD_COPY = 2 };
/* An index from such a file. The file is mapped, privately: it must not be written to while the index lives (replacing it by
   rename is fine). flags: VEC_LOAD_UNCHECKED leaves out the check sums of the two code sections, the bulk of the file;
   VEC_LOAD_COPY reads everything into memory of its own. A file that is not an intact image is refused: VEC_EIMAGE, the reason in
   why[why_size]. */
int vec_load(const char *path, int flags, vec_index **out, char *why, size_t why_size);

/* For tests: runs one kernel of one instruction set. VEC_EISA: this machine or build lacks it; VEC_EARG: no such kernel. */
int vec_run_kernel(const char *isa, const char *kernel, const char *query, const char *records, size_t stride, size_t n,
                   size_t dim, char *out);
/* The same for a block kernel: up to 32 queries (16 of floats) and 64 records; out in rows of 16 queries: every record's of the
   first 16, then every record's of the others. */
int vec_run_block(const char *isa, const char *kernel, const char *queries, size_t query_stride, size_t n_queries,
                  const char *records, size_t stride, size_t n, size_t dim, char *out);
const char *vec_isa_name(int i);
const char *vec_kernel_name(int i);
/* cffi: end */
#endif

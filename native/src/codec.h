/* Codecs: how a vector is stored and how distances are taken on what is stored. A codec is one const struct; a coder is one
   trained instance of it (dimension, metric, mean, matrices), immutable once it is published.

   A record has two levels: the primary, which the traversal reads, and the residual (may be 0 bytes), which the re-rank adds.
   Adding a codec: one file, one line in CODEC_LIST.

   Keys are float approximations of the distance (traversal); exact() gives the distance a client sees. Pruning works on rows: a
   neighbour's vector unpacked into a contiguous block, squared L2 between rows; for unnormalised IP rows carry one more
   coordinate that turns maximum inner product into nearest neighbour (e = sqrt(M^2 - |x|^2)). */
#ifndef CODEC_H
#define CODEC_H
#include <stddef.h>
#include <stdint.h>

#include "mem.h"
#include "vec.h"

static inline size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

typedef struct codec codec;
typedef struct batch batch;                     /* batch.h */

typedef struct coder {
    const codec *codec;
    uint32_t dim;
    int metric, dtype;
    int bits1, bits2;               /* LVQ: bits of the two levels; bits2 may be 0 */
    uint32_t padded;                /* dimensions after padding, as the kernels want them */
    uint32_t reduced, reduced_padded; /* LeanVec: dimensions of the primary */
    size_t primary_bytes, residual_bytes; /* strides */
    size_t code_bytes;              /* of the primary, before its constants */
    size_t residual_code_bytes;
    size_t row_bytes;               /* of a pruning row */
    uint32_t is_integral;           /* vectors of integers: the mean is one, too */
    float *mean;                    /* dim floats, or NULL: zero */
    double mean_norm2;
    uint32_t wanted_reduction, reduction; /* LeanVec: VEC_REDUCE_*, as asked for and as learned */
    float *matrix;                  /* LeanVec: reduced x dim, for what is stored; NULL: the first dimensions */
    uint8_t *matrix_codes;          /* the one for queries in LVQ8: reduced x padded, and l, D of
                                       each row. The same matrix but for OOD */
    float *matrix_constants;
    uint32_t table_entries;         /* PQ: of the table that a query brings; 0: none */
    uint64_t id;                    /* no two coders have the same, whatever their addresses */
    float range[2];                 /* SQ8: value of code 0, and the step */
    const char *effective;          /* name to report */
} coder;

/* One prepared query; every array belongs to the scratch that holds it. */
typedef struct query {
    const coder *coder;
    float *x;                       /* dim floats: normalised, centred for L2 */
    double *x64;                    /* FLOAT64 */
    uint8_t *raw;                   /* INT8, UINT8: as given */
    float *projected;               /* LeanVec */
    int8_t *s8, *high, *low;        /* quantised for the primary; two digits for the re-rank */
    float scale;                    /* of s8 */
    int32_t sum;                    /* of s8 */
    float fine_scale;               /* of the digits; low = 1, high = 128 */
    double fine_sum;                /* sum of 128 * high + low */
    double base, fine_base;         /* metric constant: L2: |q'|^2, else 1 - <q, mean>; for the key and for the exact distance */
    double norm2;                   /* of the query as given */
    float *table, *table_least;     /* PQ: the distance of every centroid; the least of each group */
    uint8_t *table8;                /* the same, less that, in steps of table_step */
    float table_step;
    int is_link;                    /* a stored IP vector looking for neighbours: keys are the augmented L2 */
    float extra, most_norm2;        /* then: its extra coordinate, M^2 */
} query;

struct codec {
    const char *name;
    int bits, reduces, is_two_level;
    int bits1, bits2;
    /* Fills strides and row size of a coder whose dim, metric, dtype are set. */
    void (*shape)(coder *c);
    /* Learns from n decoded vectors (n x dim floats) and n_queries recent queries, as ingested. NULL: nothing to learn. */
    int (*train)(coder *c, const float *sample, size_t n, const float *queries, size_t n_queries, mem_account *account);
    /* vector: dim floats (normalised if COSINE), except for raw codecs of other types, which take their own type from `given`. */
    void (*encode)(const coder *c, const float *vector, const uint8_t *given, uint8_t *primary, uint8_t *residual, float *work);
    void (*decode)(const coder *c, const uint8_t *primary, const uint8_t *residual, float *vector);
    void (*prepare)(const coder *c, const float *vector, const uint8_t *given, query *q);
    void (*keys)(const query *q, const uint8_t *const *primaries, size_t n, float *keys);
    void (*exact)(const query *q, const uint8_t *const *primaries, const uint8_t *const *residuals, size_t n, double *distances);
    /* The keys of several queries at once, the same to the bit: see batch.h. NULL: one query at a time. */
    void (*batch_begin)(batch *b);
    void (*batch_keys)(const batch *b, const uint8_t *const *primaries, size_t n, float *keys);
    /* Unpacks one record into a row; most_norm2 is M^2 for unnormalised IP. */
    void (*load_row)(const coder *c, const uint8_t *primary, const uint8_t *residual, float most_norm2, uint8_t *row);
    /* Squared L2 from row to n rows; work: padded bytes. */
    void (*row_distances)(const coder *c, const uint8_t *row, const uint8_t *const *rows, size_t n, float *out, int8_t *work);
    /* |x|^2 as stored, where the metric needs it. */
    double (*norm2)(const coder *c, const uint8_t *primary);
};

#define CODEC_LIST(X) X(lvq4) X(lvq8) X(lvq4x4) X(lvq4x8) X(lvq8x8) X(leanvec4x8) X(leanvec8x8) X(sq8) X(bin) X(pq)
#define X(c) extern const codec codec_##c;
X(raw_f32) X(raw_f64) X(raw_f16) X(raw_bf16) X(raw_i8) X(raw_u8)
CODEC_LIST(X)
#undef X

const codec *codec_named(const char *name);
const codec *codec_of_dtype(int dtype);
static inline int is_compressed(const codec *c) { return c->bits1 != 0; }

/* Allocates and shapes a coder. */
coder *coder_new(const codec *codec, const vec_params *p, mem_account *account);
coder *coder_new_like(const codec *codec, const coder *like, uint32_t reduce, int reduction, mem_account *account);
void coder_free(coder *c);
/* What training left in a coder, piece by piece, for images: either bytes of the coder itself, or blocks that it points to (NULL
   where the codec has none). A coder that learns something new lists it here. */
typedef struct { void *at; int is_block; size_t bytes; } coder_part;
enum { CODER_PARTS = 8 };
void coder_parts(coder *c, coder_part parts[CODER_PARTS]);
/* Whether everything is there that a trained coder works with, for one that was put together from parts. */
int coder_is_whole(const coder *c);

size_t dtype_bytes(int dtype);
/* Reads a vector of any type into floats, dividing by its norm if metric is COSINE (a zero vector stays zero); under IP, and
   under L2 but for raw codecs, one longer than 1e18 is shortened to that length, so that squares stay finite. VEC_ENONFINITE: it
   holds nan or infinity. *norm2: of the vector as it is returned, COSINE's before scaling being lost. */
int ingest(int dtype, int metric, int is_raw, const uint8_t *given, uint32_t dim, float *out, double *norm2);
/* The same for the raw FLOAT64 codec, in doubles; the length is then 1e150. */
int ingest_f64(int metric, const uint8_t *given, uint32_t dim, double *out, double *norm2);
int is_nonfinite(int dtype, const uint8_t *given, uint32_t dim);
#endif

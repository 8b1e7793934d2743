/* Drift: whether what comes in still is what the coder was trained on.

   One vector in 16 that is added after training is compared with some of the last ones of these: its distance to them by key, the
   way a walk takes it, against the distance of the vectors as given. The variance of the error, divided by that of the distances,
   is what disturbs the order of a walk's candidates, whatever the codec: truncation by a projection, a clipped range, foreign
   centroids, a mean that has moved. The same figure was taken of the training sample;
   the score is the root of their ratio: 1 is as trained.

   Beside it, for those who want to know why: how far the mean has moved, the share of |x - mean|^2 that LeanVec's projection
   keeps, and the share of coordinates outside SQ8's range. */
#include "index.h"

#include <math.h>
#include <string.h>

#include "batch.h"
#include "kernels.h"

/* Errors below this, in standard deviations of the distances, hardly change an order: they do not count as drift. */
#define HARMLESS 0.02
/* A single error's square counts for at most so many times the usual. */
#define WILDEST 16
/* How much better codes must be for the graph to be linked again, and for walks on it to be so bad that once is not enough. */
#define MUCH 1.4
#define VERY_MUCH 4.0

enum { RING = 16, ONE_IN = 16, BASE_SAMPLES = 1024, MEMORY = 256, FEWEST = 64 };

/* Moving averages over the last MEMORY vectors compared, and their pairs. */
typedef struct { double bias, error2, mean, variance, spread2, energy, clipped; uint64_t n, n_pairs; } figures;

struct drift {
    const coder *coder;
    uint32_t n_added;                           /* since training */
    uint32_t n_ring;
    uint64_t random;
    figures now;
    double trained_ratio, trained_energy;
    float *vectors;                             /* RING x dim, normalised if COSINE */
    uint8_t *records;                           /* RING primaries */
    float *average, *centred;
    query query;
    void *query_block, *table_block;
};

void drift_free(struct drift *d) {
    if (!d) return;
    mem_free(d->vectors), mem_free(d->records), mem_free(d->average), mem_free(d->centred);
    mem_free(d->query_block), mem_free(d->table_block);
    mem_free(d);
}

static uint64_t table_bytes(const coder *c) { return c->table_entries * 5ull + c->table_entries / 256 * 4; }

uint64_t drift_bytes(const coder *c) {
    return mem_bytes(sizeof(struct drift)) + mem_bytes((uint64_t)RING * c->dim * sizeof(float))
           + mem_bytes((uint64_t)RING * c->primary_bytes) + 2 * mem_bytes(c->dim * sizeof(float)) + mem_bytes(query_bytes(c->dim))
           + (c->table_entries ? mem_bytes(table_bytes(c)) : 0);
}

static struct drift *drift_new(vec_index *ix, const coder *c) {
    mem_account *a = &ix->account;
    struct drift *d = mem_zeroed(a, VEC_MEM_OTHER, sizeof *d);
    if (!d) return NULL;
    size_t entries = c->table_entries;
    d->coder = c, d->random = 1;
    d->vectors = mem_alloc(a, VEC_MEM_OTHER, (size_t)RING * c->dim * sizeof *d->vectors);
    d->records = mem_alloc(a, VEC_MEM_OTHER, RING * c->primary_bytes);
    d->average = mem_zeroed(a, VEC_MEM_OTHER, c->dim * sizeof *d->average);
    d->centred = mem_zeroed(a, VEC_MEM_OTHER, c->dim * sizeof *d->centred);
    d->query_block = mem_zeroed(a, VEC_MEM_OTHER, query_bytes(c->dim));
    if (entries) d->table_block = mem_alloc(a, VEC_MEM_OTHER, table_bytes(c));
    if (!d->vectors || !d->records || !d->average || !d->centred || !d->query_block || (entries && !d->table_block)) {
        drift_free(d);
        return NULL;
    }
    query_place(&d->query, d->query_block, c->dim);
    if (entries) {
        d->query.table = d->table_block, d->query.table_least = d->query.table + entries;
        d->query.table8 = (uint8_t *)(d->query.table_least + entries / 256);
    }
    d->query.coder = c;
    return d;
}

static double distance_of(const coder *c, const float *x, const float *y) {
    double sum = 0;
    if (c->metric == VEC_L2) for (uint32_t i = 0; i < c->dim; i++) sum += ((double)x[i] - y[i]) * ((double)x[i] - y[i]);
    else for (uint32_t i = 0; i < c->dim; i++) sum -= (double)x[i] * y[i];
    return c->metric == VEC_L2 ? sum : 1 + sum;
}

/* The share of |y|^2 that the first level of a LeanVec code keeps; -1 where that is not what it was made for. */
static double energy_of(const coder *c, const float *y) {
    if (!c->codec->reduces || c->reduction == VEC_REDUCE_OOD) return -1;
    double whole = K.sum_squares(y, c->dim), kept = c->matrix ? 0 : K.sum_squares(y, c->reduced);
    for (uint32_t i = 0; c->matrix && i < c->reduced; i++) {
        const uint8_t *row = (const uint8_t *)(c->matrix + (size_t)i * c->dim);
        float along;
        K.dot_f32(y, &row, 1, c->dim, &along);
        kept += (double)along * along;
    }
    return whole > 0 ? kept / whole : 1;
}

static double clipped_of(const coder *c, const float *y) {
    if (!(c->range[1] > 0)) return 0;
    float least = c->range[0] - c->range[1] / 2, most = c->range[0] + c->range[1] * 255.5f;
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->dim; i++) n += y[i] < least || y[i] > most;
    return (double)n / c->dim;
}

/* Compares a vector with those in the ring, then takes it in. */
static void feed(struct drift *d, const float *x, const uint8_t *primary) {
    const coder *c = d->coder;
    figures *f = &d->now;
    const uint8_t *records[RING];
    float keys[RING];
    double weight = 1.0 / (double)(++f->n < MEMORY ? f->n : MEMORY);
    c->codec->prepare(c, x, NULL, &d->query);
    for (uint32_t j = 0; j < d->n_ring; j++) records[j] = d->records + j * c->primary_bytes;
    c->codec->keys(&d->query, records, d->n_ring, keys);
    for (uint32_t j = 0; j < d->n_ring; j++) {
        double distance = distance_of(c, x, d->vectors + (size_t)j * c->dim), error = keys[j] - distance;
        double of_pair = 1.0 / (double)(++f->n_pairs < MEMORY * RING ? f->n_pairs : MEMORY * RING);
        double off = f->n_pairs > 1 ? distance - f->mean : (f->mean = distance, 0);
        double odd = f->n_pairs > 1 ? error - f->bias : (f->bias = error, 0);
        f->bias += of_pair * odd;
        double square = odd * odd;
        if (f->n_pairs > 64 && square > WILDEST * f->error2) square = WILDEST * f->error2;
        f->error2 += of_pair * (square - f->error2);
        f->mean += of_pair * off;
        f->variance += of_pair * (off * off - f->variance);
    }
    for (uint32_t i = 0; i < c->dim; i++) {
        d->average[i] += (float)(weight * ((double)x[i] - d->average[i]));
        d->centred[i] = x[i] - (c->mean ? c->mean[i] : 0);
    }
    f->spread2 += weight * (K.sum_squares(d->centred, c->dim) - f->spread2);
    f->energy += weight * (energy_of(c, d->centred) - f->energy);
    f->clipped += weight * (clipped_of(c, d->centred) - f->clipped);
    /* One chosen at random makes room: what comes together is often alike, and would look closer than it is on the whole. */
    uint32_t at = d->n_ring < RING ? d->n_ring++ : (uint32_t)(next_random(&d->random) % RING);
    memcpy(d->vectors + (size_t)at * c->dim, x, c->dim * sizeof *x);
    memcpy(d->records + at * c->primary_bytes, primary, c->primary_bytes);
}

static double ratio(const figures *f) { return f->variance > 0 ? f->error2 / f->variance : 0; }

/* Moves about every eighth to the end, where training does not look: what it has learned by heart would seem to fit too well. */
size_t drift_hold_out(float *sample, size_t n, uint32_t dim) {
    size_t held = n / 8;
    if (n < 2 * BASE_SAMPLES) return 0;
    for (size_t i = 0; i < held; i++) {
        float *a = sample + 8 * i * dim, *b = sample + (n - 1 - i) * dim;
        for (uint32_t j = 0; j < dim && a < b; j++) {
            float t = a[j];
            a[j] = b[j], b[j] = t;
        }
    }
    return held;
}

struct drift *drift_begin(vec_index *ix, const coder *c, const float *sample, size_t n, int is_exact, float *work) {
    struct drift *d = drift_new(ix, c);
    uint8_t *primary = mem_zeroed(&ix->account, VEC_MEM_OTHER, c->primary_bytes + 64);
    uint8_t *residual = mem_zeroed(&ix->account, VEC_MEM_OTHER, c->residual_bytes + 64);
    if (!d || !primary || !residual) drift_free(d), d = NULL;
    size_t most = n < BASE_SAMPLES ? n : BASE_SAMPLES;
    figures sums = {0};
    for (size_t i = 0; d && i < most; i++) {
        const float *x = sample + i * n / most * c->dim;
        c->codec->encode(c, x, NULL, primary, residual, work);
        feed(d, x, primary);
        if (i < RING) continue;
        double weight = 1.0 / (double)(i - RING + 1);           /* of all of it, not of the last */
        sums.error2 += weight * (d->now.error2 - sums.error2), sums.variance += weight * (d->now.variance - sums.variance);
        sums.energy += weight * (d->now.energy - sums.energy);
    }
    mem_free(primary), mem_free(residual);
    if (d) {
        d->trained_ratio = ratio(most > 2 * RING ? &sums : &d->now);
        d->trained_energy = most > 2 * RING ? sums.energy : d->now.energy;
        if (!is_exact && ix->drift && ix->drift->coder->codec == c->codec) {
            d->trained_ratio = ix->drift->trained_ratio;        /* what codes have lost already is not lost again */
            d->trained_energy = ix->drift->trained_energy;
        }
        d->now = (figures){0}, d->n_ring = 0;                   /* what comes is compared with what comes */
        memset(d->average, 0, c->dim * sizeof *d->average);
    }
    return d;
}

struct drift *drift_resume(vec_index *ix, const coder *c, double error, double energy, uint32_t n_added) {
    struct drift *d = drift_new(ix, c);
    if (d) d->trained_ratio = error * error, d->trained_energy = energy, d->n_added = n_added;
    return d;
}

int drift_relinkings(const struct drift *new, const struct drift *old) {
    if (!old) return 0;
    double before = old->now.n >= FEWEST ? ratio(&old->now) : old->trained_ratio, after = new ? new->trained_ratio : 0;
    double gain = (before + HARMLESS * HARMLESS) / (after + HARMLESS * HARMLESS);
    return gain > VERY_MUCH * VERY_MUCH ? 2 : gain > MUCH * MUCH;
}

void drift_note(vec_index *ix, const store *s, uint32_t slot, const float *x) {
    struct drift *d = ix->drift;
    if (!d || d->coder != s->coder || d->n_added++ % ONE_IN) return;
    feed(d, x, slab_at(&s->primary, slot));
}

void drift_stats(const vec_index *ix, vec_stats_t *out) {
    const struct drift *d = ix->drift;
    out->n_epochs = ix->n_epochs, out->n_since_training = 0;
    out->drift = 1, out->energy = out->trained_energy = -1;
    out->distance_error = out->trained_error = out->clipped = out->mean_shift = 0;
    if (!d) return;
    const figures *f = &d->now;
    out->n_since_training = d->n_added;
    out->trained_error = sqrt(d->trained_ratio), out->trained_energy = d->trained_energy;
    if (f->n < FEWEST) return;
    out->distance_error = sqrt(ratio(f)), out->energy = f->energy, out->clipped = f->clipped;
    out->drift = sqrt((ratio(f) + HARMLESS * HARMLESS) / (d->trained_ratio + HARMLESS * HARMLESS));
    if (!d->coder->mean) return;
    double shift = 0;
    for (uint32_t i = 0; i < d->coder->dim; i++) {
        double moved = (double)d->average[i] - d->coder->mean[i];
        shift += moved * moved;
    }
    out->mean_shift = f->spread2 > shift ? sqrt(shift / (f->spread2 - shift)) : 0;
}

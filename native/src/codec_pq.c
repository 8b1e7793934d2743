/* PQ: product quantisation (Jegou, Douze, Schmid, "Product Quantization for Nearest Neighbor Search", PAMI 2011), four dimensions
   to a byte: a sixteenth of FLOAT32. Each group of four dimensions has 256 centroids of its own, found by k-means on the sample.

   Distances add up one table entry per byte: |q - c|^2 or -<q, c> of each group. The traversal reads entries rounded to 8 bits,
   with one step for all groups so that integers can be added; what is returned adds the floats. Only the order is PQ's: with so
   few bytes the nearest want to be scored again with the originals.

   Record: codes, then (IP) |x|^2, float32. Rows are decoded floats and the extra coordinate of IP. The centroids of a group lie
   by dimension, so that one query element meets 256 of them in a row. */
#include <math.h>
#include <string.h>

#include "codec.h"
#include "kernels.h"

enum { WIDTH = 4, CENTROIDS = 256, MAX_SAMPLE = 8192, ROUNDS = 8 };

static uint32_t n_groups(const coder *c) { return (c->dim + WIDTH - 1) / WIDTH; }
static uint32_t width_of(const coder *c, uint32_t group) {
    return c->dim - WIDTH * group < WIDTH ? c->dim - WIDTH * group : WIDTH;
}
static const float *centroids_of(const coder *c, uint32_t group) { return c->matrix + (size_t)CENTROIDS * WIDTH * group; }

static void shape(coder *c) {
    c->reduced = CENTROIDS;                     /* the matrix: 256 x dim floats */
    c->padded = c->dim;
    c->code_bytes = n_groups(c);
    c->primary_bytes = round_up(round_up(c->code_bytes, c->metric == VEC_IP ? 4 : 1) + (c->metric == VEC_IP ? 4 : 0),
                                c->code_bytes >= 64 ? 16 : 4);
    c->row_bytes = round_up((c->dim + 1) * sizeof(float), 64);
    c->table_entries = CENTROIDS * n_groups(c);
}

static float norm2_of(const coder *c, const uint8_t *primary) {
    float n = 1;
    if (c->metric == VEC_IP) memcpy(&n, primary + round_up(c->code_bytes, 4), 4);
    return n;
}

/* Lloyd's algorithm on one group; points are n x width. An empty cell takes over a point of the sample. */
static void cluster(float *centroids, const float *points, size_t n, uint32_t width, uint8_t *cell, uint32_t *count,
                    double *sums) {
    for (uint32_t j = 0; j < CENTROIDS; j++)
        for (uint32_t d = 0; d < width; d++) centroids[d * CENTROIDS + j] = points[(j * n / CENTROIDS) * width + d];
    for (int round = 0; round < ROUNDS; round++) {
        memset(count, 0, CENTROIDS * sizeof *count);
        memset(sums, 0, CENTROIDS * WIDTH * sizeof *sums);
        for (size_t i = 0; i < n; i++) {
            cell[i] = (uint8_t)K.nearest(points + i * width, width, centroids);
            count[cell[i]]++;
            for (uint32_t d = 0; d < width; d++) sums[d * CENTROIDS + cell[i]] += points[i * width + d];
        }
        for (uint32_t j = 0; j < CENTROIDS; j++)
            for (uint32_t d = 0; d < width; d++)
                centroids[d * CENTROIDS + j] = count[j] ? (float)(sums[d * CENTROIDS + j] / count[j])
                                                        : points[((j * 2654435761u + (uint32_t)round) % n) * width + d];
    }
}

static int train(coder *c, const float *sample, size_t n, const float *queries, size_t n_queries, mem_account *account) {
    (void)queries, (void)n_queries;
    size_t m = n < MAX_SAMPLE ? n : MAX_SAMPLE;
    c->matrix = mem_alloc(account, VEC_MEM_CODEC, (size_t)CENTROIDS * c->dim * sizeof *c->matrix);
    float *points = mem_alloc(account, VEC_MEM_OTHER, m * WIDTH * sizeof *points);
    uint8_t *cell = mem_alloc(account, VEC_MEM_OTHER, m);
    uint32_t *count = mem_alloc(account, VEC_MEM_OTHER, CENTROIDS * sizeof *count);
    double *sums = mem_alloc(account, VEC_MEM_OTHER, CENTROIDS * WIDTH * sizeof *sums);
    int rc = c->matrix && points && cell && count && sums ? VEC_OK : VEC_ENOMEM;
    for (uint32_t g = 0; rc == VEC_OK && g < n_groups(c); g++) {
        uint32_t width = width_of(c, g);
        for (size_t i = 0; i < m; i++)
            memcpy(points + i * width, sample + (i * n / m) * c->dim + WIDTH * g, width * sizeof *points);
        cluster(c->matrix + (size_t)CENTROIDS * WIDTH * g, points, m, width, cell, count, sums);
    }
    mem_free(points), mem_free(cell), mem_free(count), mem_free(sums);
    return rc;
}

static void encode(const coder *c, const float *v, const uint8_t *given, uint8_t *primary, uint8_t *residual, float *work) {
    (void)given, (void)residual, (void)work;
    double norm2 = 0;
    for (uint32_t g = 0; g < n_groups(c); g++) primary[g] = (uint8_t)K.nearest(v + WIDTH * g, width_of(c, g), centroids_of(c, g));
    if (c->metric != VEC_IP) return;
    for (uint32_t i = 0; i < c->dim; i++) norm2 += (double)v[i] * v[i];
    float n = (float)norm2;
    memcpy(primary + round_up(c->code_bytes, 4), &n, 4);
}

static void decode(const coder *c, const uint8_t *primary, const uint8_t *residual, float *v) {
    (void)residual;
    for (uint32_t g = 0; g < n_groups(c); g++)
        for (uint32_t d = 0; d < width_of(c, g); d++) v[WIDTH * g + d] = centroids_of(c, g)[d * CENTROIDS + primary[g]];
}

static void prepare(const coder *c, const float *v, const uint8_t *given, query *q) {
    (void)given;
    if (v != q->x) memcpy(q->x, v, c->dim * sizeof *v);
    float widest = 0, base = 0;
    for (uint32_t g = 0; g < n_groups(c); g++) {
        float least, most, *table = q->table + CENTROIDS * g;
        K.table(q->x + WIDTH * g, width_of(c, g), centroids_of(c, g), c->metric == VEC_L2, table);
        K.range(table, CENTROIDS, &least, &most);
        widest = most - least > widest ? most - least : widest;
        q->table_least[g] = least;
        base += least;
    }
    q->table_step = widest > 0 ? widest / 255 : 1;
    q->base = base + (c->metric == VEC_L2 ? 0 : 1);
    for (uint32_t g = 0; g < n_groups(c); g++)
        K.quantise(q->table + CENTROIDS * g, CENTROIDS, q->table_least[g], 1 / q->table_step, 255, q->table8 + CENTROIDS * g);
}

static void keys(const query *q, const uint8_t *const *primaries, size_t n, float *out) {
    const coder *c = q->coder;
    const uint32_t groups = n_groups(c);
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {                /* four sums at once, for the loads to overlap */
        const uint8_t *a = primaries[i], *b = primaries[i + 1], *d = primaries[i + 2], *e = primaries[i + 3], *t = q->table8;
        uint32_t sums[4] = {0};
        for (uint32_t g = 0; g < groups; g++, t += CENTROIDS)
            sums[0] += t[a[g]], sums[1] += t[b[g]], sums[2] += t[d[g]], sums[3] += t[e[g]];
        for (int j = 0; j < 4; j++) out[i + (size_t)j] = (float)q->base + q->table_step * (float)sums[j];
    }
    for (; i < n; i++) {
        uint32_t sum = 0;
        for (uint32_t g = 0; g < groups; g++) sum += q->table8[CENTROIDS * g + primaries[i][g]];
        out[i] = (float)q->base + q->table_step * (float)sum;
    }
    if (!q->is_link || c->metric != VEC_IP) return;
    for (i = 0; i < n; i++) {
        float rest = q->most_norm2 - norm2_of(c, primaries[i]);
        out[i] += q->most_norm2 - 1 - q->extra * sqrtf(rest > 0 ? rest : 0);
    }
}

static void exact(const query *q, const uint8_t *const *primaries, const uint8_t *const *residuals, size_t n, double *distances) {
    (void)residuals;
    const coder *c = q->coder;
    for (size_t i = 0; i < n; i++) {
        double sum = 0;
        for (uint32_t g = 0; g < n_groups(c); g++) sum += (double)q->table[CENTROIDS * g + primaries[i][g]];
        distances[i] = c->metric == VEC_L2 ? sum : 1 + sum;
    }
}

static void load_row(const coder *c, const uint8_t *primary, const uint8_t *residual, float most_norm2, uint8_t *row) {
    float *out = (float *)(void *)row, rest = c->metric == VEC_IP ? most_norm2 - norm2_of(c, primary) : 0;
    decode(c, primary, residual, out);
    out[c->dim] = sqrtf(rest > 0 ? rest : 0);
}

static void row_distances(const coder *c, const uint8_t *row, const uint8_t *const *rows, size_t n, float *out, int8_t *work) {
    (void)work;
    K.l2_f32(row, rows, n, c->dim + (c->metric == VEC_IP), out);
}

static double norm2(const coder *c, const uint8_t *primary) { return norm2_of(c, primary); }

const codec codec_pq = {.name = "PQ", .bits = 2, .bits1 = 2, .shape = shape, .train = train, .encode = encode, .decode = decode,
                        .prepare = prepare, .keys = keys, .exact = exact, .load_row = load_row, .row_distances = row_distances,
                        .norm2 = norm2};

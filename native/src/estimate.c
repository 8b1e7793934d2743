/* What an index will take, before there is one: the same sums as the counting allocator's, from the parameters and the number of
   vectors. Sizes that have a formula of their own elsewhere (slabs, label maps, codes, a query's block) are asked there. */
#include <string.h>

#include "search.h"

enum { SAMPLE_BYTES = 96 << 20 };               /* as train.c limits it */

static uint64_t pow2_of(uint64_t n, uint64_t least) {
    while (least < n) least *= 2;
    return least;
}

static int scans(const vec_params *p, uint64_t n, uint64_t window) { return p->algorithm == VEC_FLAT || n <= scan_up_to(window); }

/* What a scratch holds once it has walked a graph of n slots with this window, or scanned it for as many results. */
static uint64_t scratch_bytes(const vec_params *p, const coder *c, uint64_t n, uint32_t window) {
    uint64_t words = (n + 63) / 64, batch = p->max_degree + 2 > 128 ? p->max_degree + 2 : 128, kept = window + 8;
    if (c->codec->is_two_level && scans(p, n, window)) kept = 4ull * window + 24;
    uint64_t most = kept < n ? kept : n, wide = pow2_of(most, 64),
             room = pow2_of(scans(p, n, window) ? 2 * kept : most + KEPT_TOGETHER, 64);
    uint64_t sum = mem_bytes(query_bytes(p->dim)) + 2 * mem_bytes(batch * 8) + 2 * mem_bytes(batch * 4)
                   + mem_bytes((words + words / 4 + 16) * 8);
    if (c->table_entries) sum += mem_bytes((uint64_t)c->table_entries * 5 + c->table_entries / 256 * 4);
    return sum + mem_bytes(room * sizeof(entry)) + mem_bytes(wide * sizeof(hit)) + mem_bytes(wide * sizeof(uint32_t));
}

static uint64_t coder_bytes(const coder *c, int is_trained) {
    uint64_t sum = mem_bytes(sizeof *c);
    if (!c->codec->train || !is_trained) return sum;
    sum += c->table_entries ? mem_bytes(256ull * c->dim * sizeof *c->matrix) : mem_bytes(c->dim * sizeof *c->mean);
    if (c->codec->reduces && c->wanted_reduction != VEC_REDUCE_PREFIX)
        sum += mem_bytes((uint64_t)c->reduced * c->dim * sizeof *c->matrix) + mem_bytes((uint64_t)c->reduced * c->padded)
             + mem_bytes(2ull * c->reduced * sizeof *c->matrix_constants);
    return sum;
}

static uint64_t codes_bytes(const coder *c, uint64_t n, uint64_t *residuals) {
    *residuals = c->residual_bytes ? slab_bytes(c->residual_bytes, n) : 0;
    return slab_bytes(c->primary_bytes, n);
}

static uint64_t sum_of(const uint64_t *bytes) {
    uint64_t sum = 0;
    for (int i = 0; i < VEC_MEM_PARTS; i++) sum += bytes[i];
    return sum;
}

static void estimate(const vec_params *p, const coder *c, int is_trained, uint64_t n, const vec_searchers *by, uint64_t *bytes) {
    int is_flat = p->algorithm == VEC_FLAT;
    memset(bytes, 0, VEC_MEM_PARTS * sizeof *bytes);
    bytes[VEC_MEM_CODES] = codes_bytes(c, n, &bytes[VEC_MEM_RESIDUALS]);
    bytes[VEC_MEM_GRAPH] = is_flat ? 0 : slab_bytes(p->max_degree * sizeof(uint32_t), n);
    bytes[VEC_MEM_LABELS] = slab_bytes(sizeof(uint64_t), n) + slab_bytes(sizeof(uint64_t), n ? (n - 1) / 64 + 1 : 0)
                            + labels_bytes(n);
    /* The ring of what waits never shrinks. A bulk load comes several times as fast as it is linked. */
    bytes[VEC_MEM_TAIL] = mem_bytes(sizeof(tail_ring) + (is_flat ? 64 : pow2_of(n / 4 * 3, 64)) * sizeof(uint32_t));
    bytes[VEC_MEM_SCRATCH] = 2 * mem_bytes(8 * ((uint64_t)p->dim + 128) * sizeof(float));
    if (n) bytes[VEC_MEM_SCRATCH] += scratch_bytes(p, c, n, by->widest) + (by->threads - 1) * scratch_bytes(p, c, n, 64);
    if (n && !is_flat) {
        bytes[VEC_MEM_SCRATCH] += scratch_bytes(p, c, n, p->build_window) + prune_bytes(p, c);
        if (p->threads > 1)
            bytes[VEC_MEM_SCRATCH] += (p->threads - 1) * (scratch_bytes(p, c, n, p->build_window) + prune_bytes(p, c))
                                    + mem_bytes((p->threads - 1) * sizeof(linker));
    }
    bytes[VEC_MEM_CODEC] = coder_bytes(c, is_trained);
    bytes[VEC_MEM_OTHER] = ((sizeof(vec_index) + 63) & ~(uint64_t)63) + mem_bytes(sizeof(store));
}

int vec_estimate(const vec_params *params, uint64_t n, const vec_searchers *by, uint64_t bytes[8], uint64_t *peak_training,
                 uint64_t *peak_retraining) {
    vec_params p = *params;
    if (p.dim < 1 || p.dim > 32768 || p.dtype < VEC_FLOAT32 || p.dtype > VEC_UINT8 || p.metric < VEC_L2 || p.metric > VEC_COSINE
        || (p.algorithm != VEC_FLAT && (p.max_degree < 1 || p.max_degree > 512 || p.threads < 1 || p.threads > 64))
        || n > MAX_SLOTS || by->threads < 1 || by->threads > N_SCRATCH)
        return VEC_EARG;
    if (p.build_window > MAX_WINDOW) p.build_window = MAX_WINDOW;
    const codec *wanted = p.compression && *p.compression ? codec_named(p.compression) : codec_of_dtype(p.dtype);
    if (!wanted) return VEC_EUNAVAILABLE;
    coder *first = coder_new(first_codec(wanted), &p, NULL), *last = coder_new(wanted, &p, NULL);
    if (!first || !last) {
        coder_free(first), coder_free(last);
        return VEC_ENOMEM;
    }
    int trains = wanted->train && n >= p.training_threshold;
    estimate(&p, trains || !wanted->train ? last : first, trains, n, by, bytes);
    if (wanted->reduces && n) bytes[VEC_MEM_OTHER] += recent_bytes(&p);
    if (trains) bytes[VEC_MEM_OTHER] += drift_bytes(last);
    *peak_training = *peak_retraining = sum_of(bytes);
    if (trains) {
        uint64_t then[VEC_MEM_PARTS], residuals, codes;
        uint64_t most = SAMPLE_BYTES / (p.dim * sizeof(float)), sample = 2ull * p.training_threshold;
        uint64_t n_then = n < sample ? n : sample;
        if (sample > most) sample = most;
        if (sample < 1024) sample = 1024;
        sample = mem_bytes(sample * p.dim * sizeof(float)) + 2 * mem_bytes(8 * ((uint64_t)p.dim + 128) * sizeof(float))
                 + coder_bytes(last, 1);
        estimate(&p, first, 0, n_then, by, then);
        codes = codes_bytes(last, n_then, &residuals);
        uint64_t during = sum_of(then) + sample + codes + residuals;
        if (during > *peak_training) *peak_training = during;
        codes = codes_bytes(last, n, &residuals);
        *peak_retraining += sample + codes + residuals;
    }
    coder_free(first), coder_free(last);
    return VEC_OK;
}

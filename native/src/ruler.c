/* A ruler: exact distances between a query and vectors that lie outside any index, in an index's type and metric. FLOAT16 and
   BFLOAT16 are measured in float, which holds them exactly; distances are those that an uncompressed index of the type gives. */
#include "codec.h"

#include <math.h>

#include "kernels.h"
#include "rescore.h"
#include "search.h"

struct vec_ruler {
    coder *coder;
    uint32_t dim;
    int metric, dtype;
    float *query_floats, *vector;
    double *query_doubles;
    uint8_t *query_raw, *record;
};

void vec_ruler_free(vec_ruler *r) {
    if (!r) return;
    coder_free(r->coder);
    mem_free(r->query_floats), mem_free(r->vector), mem_free(r->query_doubles), mem_free(r->query_raw), mem_free(r->record);
    mem_free(r);
}

int vec_ruler_create(const vec_params *p, vec_ruler **out) {
    if (p->dim < 1 || p->dim > 32768 || p->dtype < VEC_FLOAT32 || p->dtype > VEC_UINT8 || p->metric < VEC_L2
        || p->metric > VEC_COSINE)
        return VEC_EARG;
    vec_ruler *r = mem_zeroed(NULL, 0, sizeof *r);
    if (!r) return VEC_ENOMEM;
    vec_params like = *p;
    if (p->dtype == VEC_FLOAT16 || p->dtype == VEC_BFLOAT16) like.dtype = VEC_FLOAT32;
    r->dim = p->dim, r->metric = p->metric, r->dtype = p->dtype;
    r->coder = coder_new(codec_of_dtype(like.dtype), &like, NULL);
    size_t dim = (size_t)p->dim + 16;
    r->query_floats = mem_zeroed(NULL, 0, dim * sizeof(float));
    r->query_doubles = mem_zeroed(NULL, 0, dim * sizeof(double));
    r->query_raw = mem_zeroed(NULL, 0, dim);
    r->vector = mem_zeroed(NULL, 0, dim * sizeof(float));
    r->record = r->coder ? mem_zeroed(NULL, 0, r->coder->primary_bytes + 64) : NULL;
    if (!r->coder || !r->query_floats || !r->query_doubles || !r->query_raw || !r->vector || !r->record) {
        vec_ruler_free(r);
        return VEC_ENOMEM;
    }
    *out = r;
    return VEC_OK;
}

/* Reads one vector into floats where the raw codec wants those. */
static int read_floats(const vec_ruler *r, const uint8_t *given, float *out) {
    double norm2;
    if (r->dtype == VEC_FLOAT64) return is_nonfinite(r->dtype, given, r->dim) ? VEC_ENONFINITE : VEC_OK;
    return r->dtype < VEC_INT8 ? ingest(r->dtype, r->metric, 1, given, r->dim, out, &norm2) : VEC_OK;
}

/* Vectors that are measured where they lie come so many at a time: while one's bytes are on their way, another's are added up. */
enum { TOGETHER = 4 };

static int begin(vec_ruler *r, const char *given, query *q) {
    *q = (query){.coder = r->coder, .x = r->query_floats, .x64 = r->query_doubles, .raw = r->query_raw};
    int rc = read_floats(r, (const uint8_t *)given, r->query_floats);
    if (rc == VEC_OK) r->coder->codec->prepare(r->coder, r->query_floats, (const uint8_t *)given, q);
    return rc;
}

static void measure(vec_ruler *r, const query *q, const char *const *vectors, size_t n, double *distances) {
    const codec *codec = r->coder->codec;
    /* Floats are their own record. Those that need no scaling are measured where they lie; if the sum is not finite, the vector
       may not be: reading it tells. */
    const int is_float = r->dtype == VEC_FLOAT32, is_as_given = is_float && r->metric != VEC_COSINE;
    const uint8_t *record = is_float ? (const uint8_t *)r->vector : r->record;
    const size_t bytes = r->dim * dtype_bytes(r->dtype);
    for (size_t i = 0, m; i < n; i += m) {
        const uint8_t *together[TOGETHER];
        for (m = 0; is_as_given && m < TOGETHER && i + m < n && vectors[i + m]; m++)
            together[m] = (const uint8_t *)vectors[i + m];
        for (size_t j = i + (m ? m : 2); j < i + (m ? 2 * m : 3) && j < n; j++)
            if (vectors[j]) prefetch_record((const uint8_t *)vectors[j], bytes);
        if (m) codec->exact(q, together, NULL, m, distances + i);
        else distances[i] = NAN, m = 1;
        for (size_t j = i; j < i + m; j++) {
            const uint8_t *vector = (const uint8_t *)vectors[j];
            if (isfinite(distances[j])) continue;
            if (!vector || read_floats(r, vector, r->vector) != VEC_OK) { distances[j] = NAN; continue; }
            if (!is_float) codec->encode(r->coder, r->vector, vector, r->record, NULL, r->vector);
            codec->exact(q, &record, NULL, 1, &distances[j]);
        }
    }
}

int vec_ruler_measure(vec_ruler *r, const char *given, const char *const *vectors, size_t n, double *distances) {
    query q;
    int rc = begin(r, given, &q);
    if (rc == VEC_OK) measure(r, &q, vectors, n, distances);
    return rc;
}

int vec_ruler_distances(vec_ruler *r, const char *given, const char *vectors, size_t n, double *distances) {
    enum { PIECE = 64 };
    const size_t bytes = r->dim * dtype_bytes(r->dtype);
    const char *places[PIECE];
    int rc = VEC_OK;
    for (size_t i = 0; (i < n || !n) && rc == VEC_OK; i += PIECE) {      /* at least once: the query may be refused */
        size_t m = n - i < PIECE ? n - i : PIECE;
        for (size_t j = 0; j < m; j++) places[j] = vectors + (i + j) * bytes;
        rc = vec_ruler_measure(r, given, places, m, distances + i);
        if (!n) break;
    }
    return rc;
}

/* Of one query; sorted by distance, equal ones as they came. */
static void keep_nearest(const int64_t *candidates, const double *distances, size_t n, size_t k, int64_t *labels,
                         double *nearest) {
    size_t n_kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (isnan(distances[i]) || (n_kept == k && !(distances[i] < nearest[k - 1]))) continue;
        size_t at = n_kept < k ? n_kept++ : k - 1;
        for (; at && nearest[at - 1] > distances[i]; at--) nearest[at] = nearest[at - 1], labels[at] = labels[at - 1];
        nearest[at] = distances[i], labels[at] = candidates[i];
    }
    for (; n_kept < k; n_kept++) nearest[n_kept] = INFINITY, labels[n_kept] = -1;
}

int64_t vec_ruler_rescore(vec_ruler *r, const char *given, size_t n_queries, const char *vectors, const int64_t *candidates,
                          const double *estimates, size_t n, size_t k, double slack, int64_t *labels, double *distances) {
    const size_t bytes = r->dim * dtype_bytes(r->dtype);
    if (!estimates) slack = INFINITY;
    int64_t n_measured = 0;
    int rc = VEC_OK;
    const char **places = mem_alloc(NULL, 0, (n + 1) * sizeof *places);
    double *exact = mem_alloc(NULL, 0, (n + k + 1) * sizeof *exact);
    if (!places || !exact) rc = VEC_ENOMEM;
    for (size_t i = 0; i < n_queries && rc == VEC_OK; i++) {
        const int64_t *own = candidates + i * n;
        query q;
        rescoring scores;
        rc = begin(r, given + i * bytes, &q);
        for (size_t j = 0; j < n; j++) places[j] = own[j] < 0 ? NULL : vectors + (size_t)own[j] * bytes, exact[j] = NAN;
        rescoring_begin(&scores, estimates ? estimates + i * n : exact, exact, exact + n, n, k, slack);
        for (size_t at = 0, more; rc == VEC_OK && (more = rescoring_more(&scores)); at += more)
            measure(r, &q, places + at, more, exact + at);
        n_measured += (int64_t)scores.n_measured;
        if (rc == VEC_OK) keep_nearest(own, exact, scores.n_measured, k, labels + i * k, distances + i * k);
    }
    mem_free(places), mem_free(exact);
    return rc == VEC_OK ? n_measured : rc;
}

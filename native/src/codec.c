/* The list of codecs, coders, and the way in for vectors of every type. */
#include "codec.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "half.h"
#include "kernels.h"

static const codec *const codecs[] = {
#define X(c) &codec_##c,
    CODEC_LIST(X)
#undef X
};
enum { N_CODECS = sizeof codecs / sizeof *codecs };

const codec *codec_named(const char *name) {
    for (int i = 0; i < N_CODECS; i++)
        if (!strcmp(codecs[i]->name, name)) return codecs[i];
    return NULL;
}

const codec *codec_of_dtype(int dtype) {
    static const codec *const raw[] = {&codec_raw_f32,  &codec_raw_f64, &codec_raw_f16,
                                       &codec_raw_bf16, &codec_raw_i8,  &codec_raw_u8};
    return raw[dtype];
}

const char *vec_codec_name(int i, int *bits, int *reduces) {
    if (i < 0 || i >= N_CODECS) return NULL;
    *bits = codecs[i]->bits, *reduces = codecs[i]->reduces;
    return codecs[i]->name;
}

static coder *new_coder(const codec *codec, uint32_t dim, int metric, int dtype, uint32_t reduce, int reduction,
                        mem_account *account) {
    static _Atomic uint64_t n_coders;
    coder *c = mem_zeroed(account, VEC_MEM_CODEC, sizeof *c);
    if (!c) return NULL;
    c->codec = codec, c->dim = dim, c->metric = metric, c->dtype = dtype;
    c->bits1 = codec->bits1, c->bits2 = codec->bits2;
    c->reduced = reduce && reduce < dim ? reduce : (dim + 1) / 2;
    c->effective = codec->name;
    c->wanted_reduction = c->reduction = (uint32_t)reduction;
    c->id = ++n_coders;
    codec->shape(c);
    return c;
}

coder *coder_new(const codec *codec, const vec_params *p, mem_account *account) {
    return new_coder(codec, p->dim, p->metric, p->dtype, p->reduce, p->reduction, account);
}

coder *coder_new_like(const codec *codec, const coder *like, uint32_t reduce, int reduction, mem_account *account) {
    return new_coder(codec, like->dim, like->metric, like->dtype, reduce, reduction, account);
}

void coder_free(coder *c) {
    if (!c) return;
    mem_free(c->mean);
    mem_free(c->matrix);
    mem_free(c->matrix_codes);
    mem_free(c->matrix_constants);
    mem_free(c);
}

int64_t vec_bytes_per_vector(const vec_params *p) {
    if (p->dim < 1 || p->dim > 32768 || p->dtype < VEC_FLOAT32 || p->dtype > VEC_UINT8 || p->metric < VEC_L2
        || p->metric > VEC_COSINE)
        return VEC_EARG;
    const codec *codec = p->compression && *p->compression ? codec_named(p->compression) : codec_of_dtype(p->dtype);
    coder *c = codec ? coder_new(codec, p, NULL) : NULL;
    if (!c) return codec ? VEC_ENOMEM : VEC_EUNAVAILABLE;
    int64_t bytes = (int64_t)(c->primary_bytes + c->residual_bytes);
    coder_free(c);
    return bytes;
}

void coder_parts(coder *c, coder_part parts[CODER_PARTS]) {
    const coder_part all[CODER_PARTS] = {
        {&c->mean_norm2, 0, sizeof c->mean_norm2},
        {c->range, 0, sizeof c->range},
        {&c->is_integral, 0, sizeof c->is_integral},
        {&c->reduction, 0, sizeof c->reduction},
        {&c->mean, 1, c->dim * sizeof *c->mean},
        {&c->matrix, 1, (size_t)c->reduced * c->dim * sizeof *c->matrix},
        {&c->matrix_codes, 1, (size_t)c->reduced * c->padded},
        {&c->matrix_constants, 1, 2 * (size_t)c->reduced * sizeof *c->matrix_constants},
    };
    memcpy(parts, all, sizeof all);
}

int coder_is_whole(const coder *c) {
    if (c->table_entries) return c->matrix != NULL;
    if (c->codec->train && !c->mean) return 0;
    if (!c->codec->reduces) return 1;
    int has_some = c->matrix || c->matrix_codes || c->matrix_constants,
        has_all = c->matrix && c->matrix_codes && c->matrix_constants;
    if (c->reduction == VEC_REDUCE_OOD && c->wanted_reduction != VEC_REDUCE_OOD) return 0;      /* its rows would have no room */
    return c->reduction == VEC_REDUCE_PREFIX ? !has_some : c->reduction <= VEC_REDUCE_RANDOM && has_all;
}

size_t dtype_bytes(int dtype) {
    static const size_t bytes[] = {4, 8, 2, 2, 1, 1};
    return bytes[dtype];
}

int is_nonfinite(int dtype, const uint8_t *given, uint32_t dim) {
    uint32_t bad = 0;
    if (dtype == VEC_FLOAT32)
        for (uint32_t i = 0; i < dim; i++) {
            uint32_t b;
            memcpy(&b, given + 4 * i, 4);
            bad |= (b & 0x7F800000) == 0x7F800000;
        }
    else if (dtype == VEC_FLOAT64)
        for (uint32_t i = 0; i < dim; i++) {
            uint64_t b;
            memcpy(&b, given + 8 * i, 8);
            bad |= (b & 0x7FF0000000000000) == 0x7FF0000000000000;
        }
    else if (dtype == VEC_FLOAT16 || dtype == VEC_BFLOAT16) {
        uint16_t mask = dtype == VEC_FLOAT16 ? 0x7C00 : 0x7F80;
        for (uint32_t i = 0; i < dim; i++) {
            uint16_t b;
            memcpy(&b, given + 2 * i, 2);
            bad |= (b & mask) == mask;
        }
    }
    return bad != 0;
}

/* Lengths beyond these are cut to them where a difference of large sums could be nan: squares then stay inside float and double.
   L2 of floats as given adds up squares only, so it needs no cut. */
#define LONGEST 1e18f
#define LONGEST_F64 1e150

int ingest_f64(int metric, const uint8_t *given, uint32_t dim, double *out, double *norm2) {
    if (is_nonfinite(VEC_FLOAT64, given, dim)) return VEC_ENONFINITE;
    memcpy(out, given, dim * sizeof *out);
    double sum = 0, most = 0;
    for (uint32_t i = 0; i < dim; i++) sum += out[i] * out[i], most = fabs(out[i]) > most ? fabs(out[i]) : most;
    if (metric == VEC_COSINE && most > 0) {
        if (!(sum < HUGE_VAL) || sum < 0x1p-960) {              /* squares over- or underflow: scale first */
            int exponent;
            (void)frexp(most, &exponent);
            sum = 0;
            for (uint32_t i = 0; i < dim; i++) out[i] = ldexp(out[i], -exponent), sum += out[i] * out[i];
        }
        double inverse = 1 / sqrt(sum);
        for (uint32_t i = 0; i < dim; i++) out[i] *= inverse;
        sum = 1;
    }
    if (metric == VEC_IP && !(sum < LONGEST_F64 * LONGEST_F64)) {
        double length = 0, scale = most / LONGEST_F64;
        for (uint32_t i = 0; i < dim; i++) length += out[i] / most * (out[i] / most);
        scale *= sqrt(length);
        for (uint32_t i = 0; i < dim; i++) out[i] /= scale;
        sum = LONGEST_F64 * LONGEST_F64;
    }
    *norm2 = sum;
    return VEC_OK;
}

int ingest(int dtype, int metric, int is_raw, const uint8_t *given, uint32_t dim, float *out, double *norm2) {
    switch (dtype) {
    case VEC_FLOAT32:
        memcpy(out, given, dim * sizeof *out);
        break;
    case VEC_FLOAT64: {
        if (is_nonfinite(dtype, given, dim)) return VEC_ENONFINITE;
        if (metric == VEC_COSINE) {                             /* only the direction counts: keep it inside float's range */
            double most = 0, v;
            for (uint32_t i = 0; i < dim; i++) memcpy(&v, given + 8 * i, 8), most = fabs(v) > most ? fabs(v) : most;
            if (most > 1e18 || (most > 0 && most < 1e-18)) {
                int exponent;
                (void)frexp(most, &exponent);
                for (uint32_t i = 0; i < dim; i++) memcpy(&v, given + 8 * i, 8), out[i] = (float)ldexp(v, -exponent);
                break;
            }
        }
        for (uint32_t i = 0; i < dim; i++) {
            double v;
            memcpy(&v, given + 8 * i, 8);
            out[i] = fabs(v) < FLT_MAX ? (float)v : copysignf(FLT_MAX, (float)v);
        }
        break;
    }
    case VEC_FLOAT16:
    case VEC_BFLOAT16:
        if (is_nonfinite(dtype, given, dim)) return VEC_ENONFINITE;
        for (uint32_t i = 0; i < dim; i++) {
            uint16_t h;
            memcpy(&h, given + 2 * i, 2);
            out[i] = dtype == VEC_FLOAT16 ? half_to_float(h) : bfloat_to_float(h);
        }
        break;
    case VEC_INT8:
        for (uint32_t i = 0; i < dim; i++) out[i] = (float)(int8_t)given[i];
        break;
    default:
        for (uint32_t i = 0; i < dim; i++) out[i] = (float)given[i];
    }
    double sum = K.sum_squares(out, dim);
    if (!(sum < HUGE_VAL)) return VEC_ENONFINITE;
    if (metric == VEC_COSINE && sum > 0) {
        float inverse = (float)(1 / sqrt(sum));
        if (inverse < HUGE_VALF && inverse > 0x1p-126f)
            for (uint32_t i = 0; i < dim; i++) out[i] *= inverse;
        else
            for (uint32_t i = 0; i < dim; i++) out[i] = (float)(out[i] / sqrt(sum));
        sum = 1;
    }
    if (metric != VEC_COSINE && !(is_raw && metric == VEC_L2) && sum > (double)LONGEST * LONGEST) {
        double scale = LONGEST / sqrt(sum);
        for (uint32_t i = 0; i < dim; i++) out[i] = (float)(out[i] * scale);
        sum = (double)LONGEST * LONGEST;
    }
    *norm2 = sum;
    return VEC_OK;
}

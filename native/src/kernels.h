/* Kernels: the arithmetic that is worth an instruction set. All distance kernels have one shape: a query against n records of dim
   elements, one result per record. Integer kernels give the same bits on every ISA; float ones differ by rounding only.

   A new kernel: one line in KERNEL_LIST, its scalar body; other ISAs add theirs where measured faster. A new ISA: one file with a
   `const kernel_table kernels_X` (slots that do not gain stay NULL) and one line in ISA_LIST, best first; what stands behind
   scalar is for tests and used only where VAMANA_ISA asks for it. */
#ifndef KERNELS_H
#define KERNELS_H
#include <stddef.h>
#include <stdint.h>

typedef void kernel_fn(const void *query, const uint8_t *const *records, size_t n, size_t dim, void *out);

/*  name       query        record                 result */
#define KERNEL_LIST(X)                                                                                                           \
    X(dot_f32)    /* float     float                  float */                                                                   \
    X(l2_f32)                                                                                                                    \
    X(dot_f16)    /* float     IEEE half              float */                                                                   \
    X(l2_f16)                                                                                                                    \
    X(dot_bf16)   /* float     bfloat16               float */                                                                   \
    X(l2_bf16)                                                                                                                   \
    X(dot_f64)    /* double    double                 double */                                                                  \
    X(l2_f64)                                                                                                                    \
    X(dot_i8)     /* int8      int8                   int32 */                                                                   \
    X(dot_u8)     /* uint8     uint8                  int32 */                                                                   \
    X(dot_u8s8)   /* int8      uint8 code             int32; dim a multiple of 16 */                                             \
    X(dot_u4s8)   /* int8      uint4 code             int32; dim a multiple of 32, layout below */                               \
    X(dot_u1s8)   /* int8      bits, lowest first     int32; dim a multiple of 64 */

/* Blocks: up to GROUP queries against records, out[record][query] in rows of GROUP; only float rows of fewer queries leave their
   end alone. Float blocks add in the same order as the kernels above, so that a batch finds what its queries find one by one.
   Integer queries come packed: per 4 dimensions, the 4 bytes of each of GROUP queries, zeros where there are no more; dimensions
   that make it a multiple of 64 are zeros, too; then the sums of the queries. */
enum { GROUP = 16, BLOCK = 64 };
static inline size_t packed_bytes(size_t dim) { return GROUP * ((dim + 63) / 64 * 64) + GROUP * sizeof(int32_t); }
/* n_groups groups, packed_bytes(dim) apart; out: n rows of the first, n rows of the second ...; dim a multiple of 16. A record's
   bytes beyond dim are not read. */
typedef void block_bytes_fn(const uint8_t *packed, size_t n_groups, const uint8_t *const *records, size_t n, size_t dim,
                            int32_t *out);
typedef void block_floats_fn(const void *const *queries, size_t n_queries, const uint8_t *const *records, size_t n, size_t dim,
                             void *out);
/* Bit j of masks[r]: keys[r][j] is not greater than limits[j]. */
typedef void below_fn(const float *keys, size_t n, const float *limits, uint16_t *masks);
typedef void widen_fn(const uint8_t *halves, size_t n, float *out);
#define BLOCK_LIST(X)                                                                                                            \
    X(block_u8s8, block_bytes_fn)                                                                                                \
    X(block_dot_f32, block_floats_fn)                                                                                            \
    X(block_l2_f32, block_floats_fn)                                                                                             \
    X(block_dot_f64, block_floats_fn)                                                                                            \
    X(block_l2_f64, block_floats_fn)                                                                                             \
    X(below, below_fn)                                                                                                           \
    X(widen_f16, widen_fn)                  /* IEEE halves to floats */

/* Loops over one vector, compiled once per ISA from kernels/loops.h; all give the same bits everywhere. */
typedef void range_fn(const float *x, size_t n, float *lo, float *hi);
typedef void quantise_fn(const float *x, size_t n, float bias, float inverse, int most, uint8_t *codes);
typedef int32_t quantise_s8_fn(const float *x, size_t n, float inverse, int8_t *codes);
typedef void quantise_digits_fn(const float *x, size_t n, float inverse, int8_t *high, int8_t *low, int32_t sums[2]);
typedef void expand_u4_fn(const uint8_t *high, const uint8_t *low, size_t dim, uint8_t *out);
typedef int32_t sum_u8_fn(const uint8_t *x, size_t n, int64_t *squares);
typedef void flip_fn(float *x, size_t n, const uint64_t *signs);
typedef void hadamard_fn(float *x, size_t n, float *work);
typedef int32_t hamming_fn(const uint8_t *x, const uint8_t *y, size_t n);
typedef uint32_t nearest_fn(const float *x, size_t width, const float *centroids);
typedef void table_fn(const float *x, size_t width, const float *centroids, int is_l2, float *out);
typedef double sum_squares_fn(const float *x, size_t n);
typedef void pack_fn(const int8_t *const *queries, size_t n_queries, size_t dim, uint8_t *packed);
typedef void expand_u1_fn(const uint8_t *bits, size_t dim, uint8_t *out);
typedef void affine_keys_fn(const int32_t *dots, size_t n, const float *records, const float *base, const float *factor,
                            const float *sum, float *keys);
typedef void shift_dots_fn(int32_t *dots, size_t n, const int32_t *records, const int32_t *queries);
typedef void whole_keys_fn(const int32_t *dots, size_t n, const int32_t *records, const int32_t *queries, int32_t times,
                           float *keys);
#define LOOP_LIST(X)                                                                                                             \
    X(range, range_fn)                      /* least and greatest element */                                                     \
    X(quantise, quantise_fn)                /* round((x - bias) * inverse) in 0 .. most */                                       \
    X(quantise_s8, quantise_s8_fn)          /* round(x * inverse) in -127 .. 127; returns the sum */                             \
    X(quantise_digits, quantise_digits_fn)  /* round(x * inverse) = 128 * high + low; both digits' sums */                       \
    X(expand_u4, expand_u4_fn)              /* 4-bit code rows to bytes in natural order: high << 4 | low; low may be NULL */    \
    X(sum_u8, sum_u8_fn)                    /* sum and sum of squares */                                                         \
    X(flip, flip_fn)                        /* negates where a bit is set; n a multiple of 64 */                                 \
    X(hadamard, hadamard_fn)                /* Walsh-Hadamard transform, not scaled; n a power of two; work: n floats */         \
    X(hamming, hamming_fn)                  /* bits that differ; n bytes, a multiple of 8 */                                     \
    X(nearest, nearest_fn)                  /* which of 256 centroids, width x 256, is the nearest to x; of equals the first */  \
    X(table, table_fn)                      /* |x - c|^2 or -<x, c> of 256 centroids */                                          \
    X(sum_squares, sum_squares_fn)          /* in double; finite exactly if all elements are */                                  \
    X(pack_s8, pack_fn)                     /* queries for block_u8s8 */                                                         \
    X(expand_u1, expand_u1_fn)              /* bits to bytes 0 and 1; dim a multiple of 8 */                                     \
    X(widen_bf16, widen_fn)                                                                                                      \
    X(affine_keys, affine_keys_fn)          /* rows of GROUP: base[j] - factor[j] * (a * sum[j] + b * dot) + c, 3 per record */  \
    X(shift_dots, shift_dots_fn)            /* rows of GROUP: adds records[r] + queries[j] */                                    \
    X(whole_keys, whole_keys_fn)            /* rows of GROUP: records[r] + queries[j] + times * dot; only the result need fit */

typedef struct {
    const char *name;
    int (*is_supported)(void);
    int (*is_worth_it)(void);                   /* whether to use it unasked; NULL: yes. Asked after is_supported */
#define X(k) kernel_fn *k;
    KERNEL_LIST(X)
#undef X
#define X(k, type) type *k;
    BLOCK_LIST(X) LOOP_LIST(X)
#undef X
} kernel_table;

#if defined(__x86_64__)
#define ISA_LIST(X) X(amx) X(avx512) X(avx2) X(scalar) X(amx_emulated)
#elif defined(__aarch64__)
#define ISA_LIST(X) X(neon) X(scalar) X(amx_emulated)
#else
#define ISA_LIST(X) X(scalar) X(amx_emulated)
#endif
#define X(isa) extern const kernel_table kernels_##isa;
ISA_LIST(X)
#undef X

/* The table in use: every slot filled. Valid after kernels_start. */
extern kernel_table K;
/* NULL, or why the forced ISA cannot be had. */
const char *kernels_start(const char *forced);

/* The 4-bit layout: blocks of 128 dimensions in 64 bytes, byte i = dimension i in its low half, i + 64 in its high half; a last
   block of t = 32, 64 or 96 dimensions in t / 2 bytes, byte i = dimensions i and i + t / 2. */
static inline size_t u4_tail(size_t dim) { return dim % 128; }
#endif

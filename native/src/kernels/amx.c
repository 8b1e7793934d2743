/* AMX int8 (Sapphire Rapids and later): blocks of queries against records on tiles, 16 x 16 x 64 multiplications an instruction;
   all else is AVX-512's. It is used where the processor and the kernel allow it, gives the scalar kernel's bits on a block, and
   is faster on it than AVX-512 VNNI (a few hundred microseconds at the start, once per process); VAMANA_ISA=amx asks for it
   without the race.

   State of knowledge: none of this has run on a processor with AMX. What has run, everywhere the tests run, is the same kernel
   over tiles emulated in plain C (amx-emulated), which is never chosen unless it is asked for. */
#include <string.h>

#include "kernels.h"
#include "mem.h"

#define TILES_EMULATED
#include "amx_tile.h"
#define NAME(x) x##_emulated
#include "amx_block.h"
#undef NAME
#undef TILES_EMULATED

static int always(void) { return 1; }
const kernel_table kernels_amx_emulated = {.name = "amx-emulated", .is_supported = always, .block_u8s8 = block_u8s8_emulated};

#if defined(__x86_64__)
#if defined(__linux__) && (defined(__clang__) ? __clang_major__ >= 12 : __GNUC__ >= 11)
#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "amx_tile.h"
#define NAME(x) x##_tiles

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("amx-tile,amx-int8"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("amx-tile,amx-int8")
#endif
#include "amx_block.h"
#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

/* Processor and operating system have AMX with int8, and let this process use it. */
static int is_allowed(void) {
    enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 };       /* ARCH_REQ_XCOMP_PERM; the state component */
    const uint32_t tiles = 1u << 24, bytes = 1u << 25, os_saves = 1u << 27, states = 3u << 17;
    uint32_t a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & os_saves)) return 0;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d & tiles) || !(d & bytes)) return 0;
    __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
    return (a & states) == states && !syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA);
}

static uint64_t nanoseconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

enum { QUERIES = 2 * GROUP, DIM = 208, TRIES = 8 };             /* 208: three whole steps and a part */
typedef struct {
    uint8_t records[BLOCK][DIM + 16], packed[2 * (GROUP * (DIM / 64 + 1) * 64 + GROUP * 4)];
    int8_t queries[QUERIES][DIM];
    int32_t want[BLOCK * QUERIES], got[BLOCK * QUERIES];
    const uint8_t *at[BLOCK];
} trial;

static uint64_t fastest(const trial *t, block_bytes_fn *fn, int32_t *out) {
    uint64_t best = UINT64_MAX;
    for (int i = 0; i < TRIES; i++) {
        uint64_t start = nanoseconds();
        fn(t->packed, 2, t->at, BLOCK, DIM, out);
        uint64_t took = nanoseconds() - start;
        best = took < best ? took : best;
    }
    return best;
}

/* Whether tiles give the right numbers; *gain: how many times as fast as AVX-512 they are. */
static int run_trial(double *gain) {
    trial *t = mem_alloc(NULL, 0, sizeof *t);
    if (!t) return 0;
    uint32_t state = 1;
    const int8_t *queries[QUERIES];
    for (size_t r = 0; r < BLOCK; r++) {
        t->at[r] = t->records[r % 3 ? r : BLOCK - 1 - r];       /* in no order ... */
        for (size_t i = 0; i < sizeof t->records[r]; i++)
            t->records[r][i] = (uint8_t)((state = state * 1664525u + 1013904223u) >> 24);
    }
    for (size_t j = 0; j < QUERIES; j++)
        for (size_t i = 0; i < DIM; i++) t->queries[j][i] = (int8_t)((state = state * 1664525u + 1013904223u) >> 24);
    for (size_t j = 0; j < QUERIES; j++) queries[j] = t->queries[j];
    for (size_t g = 0; g < 2; g++) kernels_scalar.pack_s8(queries + g * GROUP, GROUP, DIM, t->packed + g * packed_bytes(DIM));
    int is_right = 1;
    for (int again = 0; again < 2 && is_right; again++) {
        kernels_scalar.block_u8s8(t->packed, 2, t->at, BLOCK, DIM, t->want);
        block_u8s8_tiles(t->packed, 2, t->at, BLOCK, DIM, t->got);
        is_right = !memcmp(t->want, t->got, sizeof t->want);
        for (size_t r = 0; r < BLOCK; r++) t->at[r] = t->records[r];    /* ... and as a scan meets them */
    }
    if (is_right) {
        uint64_t without = fastest(t, kernels_avx512.block_u8s8, t->want), with = fastest(t, block_u8s8_tiles, t->got);
        *gain = (double)without / (double)(with ? with : 1);
    }
    mem_free(t);
    return is_right;
}

static double gain;                             /* written by the first call, from kernels_start */
static int is_supported(void) {
    static int answer = -1;
    if (answer < 0) answer = kernels_avx512.is_supported() && is_allowed() && run_trial(&gain);
    return answer;
}
static int is_worth_it(void) { return gain > 1; }
#else
#define block_u8s8_tiles NULL
static int is_supported(void) { return 0; }
static int is_worth_it(void) { return 0; }
#endif

const kernel_table kernels_amx = {.name = "amx", .is_supported = is_supported, .is_worth_it = is_worth_it,
                                  .block_u8s8 = block_u8s8_tiles};
#endif

/* The engine on a machine that the Python tests do not run on: run by scripts/check-arm.
     engine kernels         every kernel of every instruction set against the scalar one, blocks against single kernels
     engine write PATH      an image of each codec, PATH-<codec>, and the answers to a few searches on standard output
     engine read PATH       the answers from the images that another machine wrote, after some additions and a save of its own */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vec.h"

enum { DIM = 72, N = 600, N_QUERIES = 5, K = 5 };

static uint64_t state = 1;
static uint32_t next(void) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33);
}
static float uniform(void) { return (float)(next() % 2001) / 1000 - 1; }

static int step_of(const char *kernel) {
    return !strcmp(kernel, "dot_u8s8") ? 16 : !strcmp(kernel, "dot_u4s8") ? 32 : !strcmp(kernel, "dot_u1s8") ? 64 : 1;
}

/* Query and records for a kernel: finite numbers of its types. */
static void fill(const char *kernel, char *query, char *records, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) query[i] = (char)next(), records[i] = (char)(next() % 5 ? next() : 0x80);
    if (strstr(kernel, "f64")) for (size_t i = 0; i < bytes / 8; i++) {
        double a = uniform(), b = uniform();
        memcpy(query + 8 * i, &a, 8), memcpy(records + 8 * i, &b, 8);
    } else if (strchr(kernel, 'f')) for (size_t i = 0; i < bytes / 4; i++) {
        float a = uniform(), b = uniform();
        uint16_t halves[2] = {(uint16_t)(0x3000 | (next() & 0x8FFF)), (uint16_t)(0x3000 | (next() & 0x8FFF))};
        memcpy(query + 4 * i, &a, 4), memcpy(records + 4 * i, strstr(kernel, "f32") ? (void *)&b : (void *)halves, 4);
    }
}

static int check_kernels(void) {
    enum { BYTES = 8 * 800, RECORDS = 7 };
    static char query[BYTES], records[RECORDS * BYTES];
    static const size_t dims[] = {1, 2, 3, 7, 8, 15, 16, 17, 31, 32, 33, 64, 65, 96, 127, 128, 160, 192, 224, 384, 771};
    int n_bad = 0, n_run = 0;
    const char *isa, *kernel;
    for (int i = 0; (isa = vec_isa_name(i)); i++)
        for (int k = 0; (kernel = vec_kernel_name(k)); k++)
            for (size_t d = 0; d < sizeof dims / sizeof *dims; d++) {
                size_t step = (size_t)step_of(kernel), dim = (dims[d] + step - 1) / step * step;
                char got[64] = {0}, want[64] = {0};
                for (int r = RECORDS - 1; r >= 0; r--) fill(kernel, query, records + r * BYTES, BYTES);
                vec_run_kernel("scalar", kernel, query, records, BYTES, RECORDS, dim, want);
                if (vec_run_kernel(isa, kernel, query, records, BYTES, RECORDS, dim, got) != VEC_OK) continue;
                n_run++;
                int is_double = strstr(kernel, "f64") != NULL, is_float = !is_double && strchr(kernel, 'f'), bad = 0;
                for (int r = 0; r < RECORDS; r++) {
                    float a, b;
                    double c, e;
                    memcpy(&a, got + 4 * r, 4), memcpy(&b, want + 4 * r, 4), memcpy(&c, got + 8 * r, 8),
                        memcpy(&e, want + 8 * r, 8);
                    bad |= is_double  ? fabs(c - e) > 1e-11 * (1 + fabs(e))
                           : is_float ? fabsf(a - b) > 2e-5f * (1 + fabsf(b)) * sqrtf((float)dim)
                                      : memcmp(got + 4 * r, want + 4 * r, 4) != 0;
                }
                if (bad) n_bad++, printf("%s %s differs from scalar at dim %zu\n", isa, kernel, dim);
            }
    printf("%s: %d kernel runs, %d differ\n", vec_isa(), n_run, n_bad);
    return n_bad != 0;
}

/* Blocks: integers as scalar has them, floats as the same instruction set's single kernels have them. */
static int check_blocks(void) {
    enum { ROWS = 37, QUERIES = 32, BYTES = 8 * 272, CELLS = 2 * ROWS * 16 };
    static char queries[QUERIES * BYTES], records[ROWS * BYTES], got[8 * CELLS], want[8 * CELLS], junk[BYTES];
    static const char *const names[] = {"block_dot_f32", "block_l2_f32", "block_dot_f64", "block_l2_f64"};
    int n_bad = 0, n_run = 0;
    const char *isa;
    for (int i = 0; (isa = vec_isa_name(i)); i++)
        for (size_t dim = 1; dim < 272; dim += 1 + dim / 9) {
            size_t bytes_dim = (dim + 15) / 16 * 16;
            for (int r = 0; r < ROWS; r++) fill("dot_u8s8", junk, records + r * BYTES, BYTES);
            for (int r = 0; r < QUERIES; r++) fill("dot_u8s8", queries + r * BYTES, junk, BYTES);
            if (vec_run_block(isa, "block_u8s8", queries, BYTES, QUERIES - 3, records, BYTES, ROWS, bytes_dim, got) != VEC_OK)
                continue;
            vec_run_block("scalar", "block_u8s8", queries, BYTES, QUERIES - 3, records, BYTES, ROWS, bytes_dim, want);
            n_run++;
            if (memcmp(got, want, 4 * CELLS)) n_bad++, printf("%s block_u8s8 differs from scalar at dim %zu\n", isa, bytes_dim);
            for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
                size_t size = strstr(names[k], "f64") ? 8 : 4;
                int bad = 0;
                for (int r = 0; r < ROWS; r++) fill(names[k] + 6, junk, records + r * BYTES, BYTES);
                for (int r = 0; r < QUERIES; r++) fill(names[k] + 6, queries + r * BYTES, junk, BYTES);
                vec_run_block(isa, names[k], queries, BYTES, 13, records, BYTES, ROWS, dim, got);
                for (int q = 0; q < 13; q++) {
                    vec_run_kernel(isa, names[k] + 6, queries + q * BYTES, records, BYTES, ROWS, dim, want);
                    for (int r = 0; r < ROWS; r++)
                        bad |= memcmp(got + size * (size_t)(16 * r + q), want + size * (size_t)r, size) != 0;
                }
                n_run++;
                if (bad) n_bad++, printf("%s %s differs from its single kernel at dim %zu\n", isa, names[k], dim);
            }
        }
    printf("%s: %d block runs, %d differ\n", vec_isa(), n_run, n_bad);
    return n_bad != 0;
}

static void answer(vec_index *ix, const char *codec) {
    float query[DIM];
    uint64_t labels[K];
    double distances[K];
    state = 77;
    for (int i = 0; i < N_QUERIES; i++) {
        for (int j = 0; j < DIM; j++) query[j] = uniform();
        int64_t n = vec_search_one(ix, (const char *)query, K, 100, 0, 0, labels, distances);
        printf("%s", codec);
        for (int64_t j = 0; j < n; j++) printf(" %llu:%.3f", (unsigned long long)labels[j], distances[j]);
        printf("\n");
    }
}

static int write_or_read(const char *path, int is_read) {
    const char *codec;
    char why[300] = "", file[1000];
    int bits, reduces;
    for (int i = 0; (codec = vec_codec_name(i, &bits, &reduces)); i++) {
        vec_index *ix;
        vec_params p = {.dim = DIM, .metric = VEC_L2, .dtype = VEC_FLOAT32, .algorithm = i % 2 ? VEC_FLAT : VEC_GRAPH,
                        .compression = codec, .training_threshold = N / 2, .max_degree = 16, .build_window = 60,
                        .search_window = 30, .alpha = 1.2f, .threads = 1};
        snprintf(file, sizeof file, "%s-%s", path, codec);
        if (is_read ? vec_load(file, 0, &ix, why, sizeof why) : vec_create(&p, &ix)) {
            fprintf(stderr, "%s: %s\n", file, why);
            return 1;
        }
        state = 5;
        for (uint64_t label = 0; label < N && !is_read; label++) {
            float x[DIM];
            for (int j = 0; j < DIM; j++) x[j] = uniform();
            vec_add_one(ix, label, (const char *)x);
            if (label == N / 2) vec_wait(ix, 0);                /* training sees the same vectors everywhere */
        }
        vec_wait(ix, 0);
        if (!is_read && vec_save(ix, file, why, sizeof why)) { fprintf(stderr, "%s\n", why); return 1; }
        answer(ix, codec);
        const char *what = NULL;
        if (is_read) {
            float far[DIM];
            for (int j = 0; j < DIM; j++) far[j] = 100;
            vec_add_one(ix, N, (const char *)far);
            vec_wait(ix, 0);
            strncat(file, ".again", sizeof file - strlen(file) - 1);
            if (vec_save(ix, file, why, sizeof why)) { fprintf(stderr, "%s\n", why); return 1; }
        }
        if (vec_validate(ix, &what)) { fprintf(stderr, "%s: %s\n", codec, what); return 1; }
        vec_free(ix);
    }
    return 0;
}

int main(int n, char **args) {
    const char *error;
    if (vec_start(&error)) { fprintf(stderr, "%s\n", error); return 1; }
    if (n == 2 && !strcmp(args[1], "kernels")) return check_kernels() | check_blocks();
    if (n == 3) return write_or_read(args[2], !strcmp(args[1], "read"));
    return 2;
}

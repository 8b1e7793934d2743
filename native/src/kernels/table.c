/* Chooses the kernels once: each slot from the first ISA of ISA_LIST that this machine has and that fills it. */
#include <stdio.h>
#include <string.h>

#include "kernels.h"
#include "mem.h"

kernel_table K;

static const kernel_table *const tables[] = {
#define X(isa) &kernels_##isa,
    ISA_LIST(X)
#undef X
};
enum { N_TABLES = sizeof tables / sizeof *tables };

static void fill(kernel_table *out, const kernel_table *from) {
#define X(k, ...) if (!out->k) out->k = from->k;
    KERNEL_LIST(X) BLOCK_LIST(X) LOOP_LIST(X)
#undef X
}

static const kernel_table *find(const char *name) {
    for (int i = 0; i < N_TABLES; i++)
        if (!strcmp(tables[i]->name, name)) return tables[i];
    return NULL;
}

static void use(kernel_table *out, int first) {
    *out = (kernel_table){.name = tables[first]->name, .is_supported = tables[first]->is_supported};
    for (int i = first; i < N_TABLES; i++)
        if (tables[i]->is_supported()) fill(out, tables[i]);
    fill(out, &kernels_scalar);
}

const char *kernels_start(const char *forced) {
    static char why[200];
    if (!forced || !*forced) {
        int i = 0;
        while (!tables[i]->is_supported() || (tables[i]->is_worth_it && !tables[i]->is_worth_it())) i++;
        use(&K, i);
        return NULL;
    }
    const kernel_table *t = find(forced);
    if (t && t->is_supported()) {
        int i = 0;
        while (tables[i] != t) i++;
        use(&K, i);
        return NULL;
    }
    int n = snprintf(why, sizeof why, t ? "VAMANA_ISA=%.20s: this machine does not have it; it has" : "VAMANA_ISA=%.20s: no such "
                     "instruction set; this machine has", forced);
    for (int i = 0; i < N_TABLES; i++)
        if (tables[i]->is_supported()) n += snprintf(why + n, sizeof why - (size_t)n, " %s", tables[i]->name);
    return why;
}

const char *vec_isa(void) { return K.name; }
const char *vec_isa_name(int i) { return i >= 0 && i < N_TABLES ? tables[i]->name : NULL; }

static const struct { const char *name; size_t offset; } slots[] = {
#define X(k) {#k, offsetof(kernel_table, k)},
    KERNEL_LIST(X)
#undef X
};
enum { N_SLOTS = sizeof slots / sizeof *slots };

const char *vec_kernel_name(int i) { return i >= 0 && i < N_SLOTS ? slots[i].name : NULL; }

int vec_run_kernel(const char *isa, const char *kernel, const char *query, const char *records, size_t stride, size_t n,
                   size_t dim, char *out) {
    enum { MOST = 64 };
    const kernel_table *t = find(isa);
    if (!t || !t->is_supported()) return VEC_EISA;
    if (n > MOST) return VEC_EARG;
    kernel_table all = *t;
    fill(&all, &kernels_scalar);
    const uint8_t *pointers[MOST];
    for (size_t i = 0; i < n; i++) pointers[i] = (const uint8_t *)records + i * stride;
    for (int i = 0; i < N_SLOTS; i++)
        if (!strcmp(slots[i].name, kernel)) {
            kernel_fn *fn;
            memcpy(&fn, (const char *)&all + slots[i].offset, sizeof fn);
            fn(query, pointers, n, dim, out);
            return VEC_OK;
        }
    return VEC_EARG;
}

int vec_run_block(const char *isa, const char *kernel, const char *queries, size_t query_stride, size_t n_queries,
                  const char *given, size_t stride, size_t n, size_t dim, char *out) {
    const kernel_table *t = find(isa);
    if (!t || !t->is_supported()) return VEC_EISA;
    kernel_table all = *t;
    fill(&all, &kernels_scalar);
    const void *pointers[2 * GROUP];
    const uint8_t *records[BLOCK];
    if (n > BLOCK || n_queries > 2 * GROUP) return VEC_EARG;
    for (size_t j = 0; j < n_queries; j++) pointers[j] = queries + j * query_stride;
    for (size_t r = 0; r < n; r++) records[r] = (const uint8_t *)given + r * stride;
    if (!strcmp(kernel, "block_u8s8")) {
        size_t groups = (n_queries + GROUP - 1) / GROUP;
        uint8_t *packed = mem_alloc(NULL, 0, groups * packed_bytes(dim));
        if (!packed) return VEC_ENOMEM;
        for (size_t g = 0; g < groups; g++) {
            const int8_t *signed_bytes[GROUP];
            size_t m = n_queries - g * GROUP < GROUP ? n_queries - g * GROUP : GROUP;
            for (size_t j = 0; j < m; j++) signed_bytes[j] = pointers[g * GROUP + j];
            all.pack_s8(signed_bytes, m, dim, packed + g * packed_bytes(dim));
        }
        all.block_u8s8(packed, groups, records, n, dim, (int32_t *)(void *)out);
        mem_free(packed);
        return VEC_OK;
    }
    block_floats_fn *fn = !strcmp(kernel, "block_dot_f32")   ? all.block_dot_f32
                          : !strcmp(kernel, "block_l2_f32")  ? all.block_l2_f32
                          : !strcmp(kernel, "block_dot_f64") ? all.block_dot_f64
                          : !strcmp(kernel, "block_l2_f64")  ? all.block_l2_f64
                                                             : NULL;
    if (!fn || n_queries > GROUP) return VEC_EARG;
    fn(pointers, n_queries, records, n, dim, out);
    return VEC_OK;
}

/* Fuzzes vec_load: any bytes as an image, as they are and with their check sums put right, so that what lies behind them is
   reached. What loads is used: searched, added to, removed from, saved. Built and run by scripts/fuzz-image. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "crc32c.h"
#include "image.h"

static void use(vec_index *ix) {
    vec_params p;
    vec_describe(ix, &p);
    char *vector = calloc(p.dim, 8);
    uint64_t labels[16], n = 0;
    double distances[16];
    for (uint32_t i = 0; i < p.dim * 8 / 4; i++) memcpy(vector + 4 * i, (float[]){0.25f * (float)(i % 7)}, 4);
    vec_search_one(ix, vector, 16, 0, 0, 0, labels, distances);
    vec_add_one(ix, 3, vector);
    vec_add_one(ix, 1ull << 40, vector);
    vec_remove(ix, (uint64_t[]){1, 3}, 2, &n);
    vec_wait(ix, 300000);
    vec_search_one(ix, vector, 16, 20, 0, 0, labels, distances);
    vec_stats_t stats;
    vec_stats(ix, &stats);
    char path[64], why[200];
    snprintf(path, sizeof path, "/tmp/fuzz-image-%ld", (long)getpid());
    if (vec_save(ix, path, why, sizeof why) == VEC_OK) unlink(path);
    free(vector);
}

static void try_to_load(const uint8_t *data, size_t size, int flags) {
    int fd = memfd_create("image", 0);
    char path[64], why[200];
    vec_index *ix;
    if (fd < 0 || write(fd, data, size) != (ssize_t)size) abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int rc = vec_load(path, flags, &ix, why, sizeof why);
    close(fd);
    if (rc == VEC_OK) use(ix), vec_free(ix);
    else if (!*why) abort();                    /* a refusal has a reason */
}

/* Puts magic, sizes and check sums right as far as the sections lie inside the file. */
static void repair(uint8_t *data, size_t size) {
    image_header h;
    if (size < IMAGE_PAGE) return;
    memcpy(&h, data, sizeof h);
    memcpy(h.magic, IMAGE_MAGIC, sizeof h.magic);
    h.byte_order = IMAGE_BYTE_ORDER, h.version = IMAGE_VERSION, h.header_crc = 0, h.file_bytes = size;
    for (int i = 0; i < N_SECTIONS; i++) {
        image_section *s = &h.sections[i];
        if (s->offset <= size && s->bytes <= size - s->offset) s->crc = crc32c(0, data + s->offset, s->bytes);
    }
    memset(data, 0, IMAGE_PAGE);
    memcpy(data, &h, sizeof h);
    h.header_crc = crc32c(0, data, IMAGE_PAGE);
    memcpy(data, &h, sizeof h);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static int is_started;
    const char *error;
    if (!is_started) is_started = 1, vec_start(&error);
    int flags = size ? data[size - 1] & 3 : 0;
    try_to_load(data, size, flags);
    uint8_t *repaired = malloc(size + 1);
    memcpy(repaired, data, size);
    repair(repaired, size);
    try_to_load(repaired, size, flags);
    free(repaired);
    return 0;
}

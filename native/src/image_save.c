/* Saving an image while everything else goes on.

   The image is the index at one moment. At that moment, under the lock, the saver enters as a reader and copies the meta words
   (about a millisecond per million slots); everything else is read afterwards without any lock:

     Codes. A slot that was in use then keeps its codes until its reader has left, for its reuse waits for that epoch; slots that
   were free then may be written any time and are not read. A store that training replaces meanwhile is kept by the same epoch:
   the image holds the codes of the store that was in effect.

     Rows. Linking and sweeping change rows meanwhile, one id at a time. A row is taken as it is found, without the ids that were
   not in the graph at that moment (later slots, the tail) and without repetitions that a row being rewritten may show. Rows are
   written first, in a fraction of a second per million, so that few change; if any edge had to be left out, the loaded index
   mends what it cannot reach.

     The tail. Vectors that were stored but not linked are saved as such and linked after loading. What was deleted before it was
   linked is saved as a free slot; deleted vectors in the graph stay stepping stones until a sweep of the loaded index.

   The file is written under a temporary name beside its place, synchronised, then renamed:
   a reader sees the old image or the new one. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crc32c.h"
#include "image.h"

enum { BUFFER = 1 << 20 };

int image_fail(char *why, size_t size, int code, const char *format, ...) {
    va_list args;
    va_start(args, format);
    if (size) vsnprintf(why, size, format, args);
    va_end(args);
    return code;
}

typedef struct {
    vec_index *ix;
    scratch *reader;
    const store *st;
    uint32_t n;                                 /* slots */
    size_t room;                                /* for so many of them */
    uint64_t *meta;                             /* theirs, as of that moment */
    uint8_t *in_graph;                          /* bit per slot: linked, or deleted in the graph */
    image_header head;
    uint32_t n_dropped;
    int fd;
    uint8_t *buffer;
    size_t used;
    uint64_t offset;
    uint32_t crc;
} saver;

static int is_in_graph(const saver *s, uint32_t slot) { return s->in_graph[slot / 8] >> (slot % 8) & 1; }

/* 1. The moment, and what is made ready before it. */

/* Makes room for the meta words, with some to spare for those that come until the moment. It is cleared: page faults are the
   larger part of the whole, and none are to happen at the moment. */
static int make_room(saver *s) {
    mem_free(s->meta);
    s->room = atomic_load(&s->ix->n_slots);
    s->room += s->room / 64 + 1024;
    s->meta = mem_zeroed(&s->ix->account, VEC_MEM_OTHER, s->room * sizeof *s->meta);
    if (!s->meta) s->room = 0;
    return s->meta ? VEC_OK : VEC_ENOMEM;
}

/* Copies the meta words; the lock is held on return unless it fails. */
static int lock_and_copy(saver *s) {
    vec_index *ix = s->ix;
    for (;;) {
        pthread_mutex_lock(&ix->lock);
        s->n = atomic_load(&ix->n_slots);
        if (s->n <= s->room) break;
        pthread_mutex_unlock(&ix->lock);
        if (make_room(s) != VEC_OK) return VEC_ENOMEM;
    }
    reader_enter(ix, s->reader);
    for (uint32_t first = 0; first < s->n; first += CHUNK_RECORDS) {
        uint32_t n = s->n - first < CHUNK_RECORDS ? s->n - first : CHUNK_RECORDS;
        const _Atomic uint64_t *from = meta_at(ix, first);      /* a chunk is in one piece */
        for (uint32_t i = 0; i < n; i++) s->meta[first + i] = atomic_load_explicit(&from[i], memory_order_acquire);
    }
    return VEC_OK;
}

static void copy_params(saver *s) {
    const vec_index *ix = s->ix;
    const vec_params *p = &ix->params;
    image_header *h = &s->head;
    memcpy(h->magic, IMAGE_MAGIC, sizeof h->magic);
    h->byte_order = IMAGE_BYTE_ORDER, h->version = IMAGE_VERSION;
    h->dim = p->dim, h->metric = (uint32_t)p->metric, h->dtype = (uint32_t)p->dtype, h->algorithm = (uint32_t)p->algorithm;
    h->reduce = p->reduce, h->training_threshold = p->training_threshold, h->max_degree = p->max_degree;
    h->build_window = p->build_window, h->search_window = p->search_window, h->threads = p->threads;
    h->alpha = p->alpha, h->epsilon = p->epsilon, h->target_recall = (float)p->target_recall;
    if (is_compressed(ix->wanted)) strncpy(h->wanted, ix->wanted->name, sizeof h->wanted - 1);
    strncpy(h->codec, s->st->coder->codec->name, sizeof h->codec - 1);
    h->primary_stride = s->st->coder->primary_bytes, h->residual_stride = s->st->coder->residual_bytes;
    h->reduction = (uint32_t)p->reduction;
    h->is_trained = ix->wanted->train && s->st->coder->codec == ix->wanted && coder_is_whole(s->st->coder);
    vec_stats_t drift;
    drift_stats(ix, &drift);
    h->n_epochs = drift.n_epochs, h->n_since_training = drift.n_since_training;
    h->trained_error = (float)drift.trained_error, h->trained_energy = (float)drift.trained_energy;
    h->most_norm2_bits = atomic_load(&ix->most_norm2_bits), h->usual_norm2 = atomic_load(&ix->usual_norm2);
    h->auto_window = atomic_load(&ix->auto_window), h->is_calibrated = (uint32_t)atomic_load(&ix->is_calibrated);
}

/* Everything that must be of one moment, and nothing else: the caller's traffic waits. */
static int take_snapshot(saver *s) {
    vec_index *ix = s->ix;
    if (lock_and_copy(s) != VEC_OK) return VEC_ENOMEM;
    s->st = atomic_load(&ix->store);
    if (ix->params.algorithm == VEC_GRAPH) {
        tail_ring *t = atomic_load(&ix->tail);
        for (uint64_t i = atomic_load(&ix->tail_head); i < atomic_load(&ix->tail_end); i++) {
            uint32_t slot = atomic_load(&t->slot[i & t->mask]);
            if (slot != NO_SLOT && meta_state(s->meta[slot]) == SLOT_DELETED) s->meta[slot] = meta_of(SLOT_FREE, 0);
        }
    }
    copy_params(s);
    pthread_mutex_unlock(&ix->lock);
    return VEC_OK;
}

/* Says of the meta words what they mean for the file. Seeds are those of now, if they were in the graph at that moment. */
static int sort_slots(saver *s) {
    vec_index *ix = s->ix;
    image_header *h = &s->head;
    s->in_graph = mem_zeroed(&ix->account, VEC_MEM_OTHER, s->n / 8 + 1);
    if (!s->in_graph) return VEC_ENOMEM;
    h->n_slots = s->n;
    for (uint32_t i = 0; i < s->n; i++) {
        int state = meta_state(s->meta[i]);
        if (state == SLOT_DELETED && ix->params.algorithm == VEC_FLAT) state = SLOT_FREE;
        if (state == SLOT_FREE) s->meta[i] = meta_of(SLOT_FREE, 0);
        h->n_linked += state == SLOT_LINKED, h->n_tail += state == SLOT_TAIL, h->n_deleted += state == SLOT_DELETED;
        if (state == SLOT_LINKED || state == SLOT_DELETED) s->in_graph[i / 8] |= (uint8_t)(1 << i % 8);
    }
    for (uint32_t i = 0, n = atomic_load(&ix->n_seeds); i < n; i++) {
        uint32_t slot = atomic_load(&ix->seeds[i]);
        if (slot < s->n && is_in_graph(s, slot) && h->n_seeds < IMAGE_SEEDS) h->seeds[h->n_seeds++] = slot;
    }
    return VEC_OK;
}

/* 2. The file. */

static int write_at(int fd, const uint8_t *bytes, size_t n, uint64_t offset) {
    while (n) {
        ssize_t done = pwrite(fd, bytes, n, (off_t)offset);
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) return VEC_EIO;
        bytes += done, n -= (size_t)done, offset += (uint64_t)done;
    }
    return VEC_OK;
}

static int flush(saver *s) {
    s->crc = crc32c(s->crc, s->buffer, s->used);
    int rc = write_at(s->fd, s->buffer, s->used, s->offset);
    s->offset += s->used, s->used = 0;
    return rc;
}

static int put(saver *s, const void *bytes, size_t n) {
    const uint8_t *from = bytes;
    while (n) {
        size_t part = n < BUFFER - s->used ? n : BUFFER - s->used;
        if (from) memcpy(s->buffer + s->used, from, part), from += part;
        else memset(s->buffer + s->used, 0, part);              /* no bytes given: filling */
        s->used += part, n -= part;
        if (s->used == BUFFER && flush(s) != VEC_OK) return VEC_EIO;
    }
    return VEC_OK;
}

static int end_section(saver *s, int which, uint64_t start) {
    uint64_t bytes = s->offset + s->used - start;
    int rc = put(s, NULL, (size_t)(image_round(bytes) - bytes));
    if (rc == VEC_OK) rc = flush(s);
    s->head.sections[which] = (image_section){start, image_round(bytes), s->crc, 0};
    s->crc = 0;
    return rc;
}

static uint32_t copy_row(saver *s, uint32_t slot, uint32_t *out) {
    uint32_t degree = s->ix->params.max_degree, n = 0;
    if (!is_in_graph(s, slot)) return 0;
    const _Atomic uint32_t *row = row_at(s->ix, slot);
    for (uint32_t i = 0; i < degree; i++) {
        uint32_t id = atomic_load_explicit(&row[i], memory_order_relaxed);
        if (id == NO_EDGE) break;
        uint32_t is_there = 0;
        for (uint32_t j = 0; j < n; j++) is_there |= out[j] == id;
        if (is_there || id == slot || id >= s->n || !is_in_graph(s, id)) s->n_dropped++;
        else out[n++] = id;
    }
    return n;
}

static int save_rows(saver *s) {
    uint64_t start = s->offset, n_records = image_chunks(s->n) << CHUNK_SHIFT;
    uint32_t row[512], degree = s->ix->params.max_degree;
    int rc = VEC_OK;
    if (s->ix->params.algorithm == VEC_FLAT) n_records = 0;
    for (uint64_t i = 0; i < n_records && rc == VEC_OK; i++) {
        uint32_t n = i < s->n ? copy_row(s, (uint32_t)i, row) : 0;
        for (; n < degree; n++) row[n] = NO_EDGE;
        rc = put(s, row, degree * sizeof *row);
    }
    return rc == VEC_OK ? end_section(s, SECTION_rows, start) : rc;
}

static int save_meta(saver *s) {
    uint64_t start = s->offset;
    int rc = put(s, s->meta, s->n * sizeof *s->meta);
    if (rc == VEC_OK) rc = put(s, NULL, (size_t)((image_chunks(s->n) << CHUNK_SHIFT) - s->n) * sizeof *s->meta);
    return rc == VEC_OK ? end_section(s, SECTION_meta, start) : rc;
}

static int save_codes(saver *s, const slab *codes, size_t stride, int which) {
    uint64_t start = s->offset, n_records = stride ? image_chunks(s->n) << CHUNK_SHIFT : 0;
    int rc = VEC_OK;
    for (uint64_t i = 0; i < n_records && rc == VEC_OK; i++) {
        int is_used = i < s->n && meta_state(s->meta[i]) != SLOT_FREE;
        rc = put(s, is_used ? slab_at(codes, (uint32_t)i) : NULL, stride);
    }
    return rc == VEC_OK ? end_section(s, which, start) : rc;
}

static int save_coder(saver *s) {
    uint64_t start = s->offset;
    coder_part parts[CODER_PARTS];
    int rc = VEC_OK;
    coder_parts((coder *)s->st->coder, parts);
    for (int i = 0; i < CODER_PARTS && rc == VEC_OK; i++) {
        void *block = parts[i].at;
        if (parts[i].is_block) memcpy(&block, parts[i].at, sizeof block);
        uint64_t bytes = block ? parts[i].bytes : 0;
        rc = put(s, &bytes, sizeof bytes);
        if (rc == VEC_OK && bytes) rc = put(s, block, bytes);
        if (rc == VEC_OK) rc = put(s, NULL, (8 - bytes % 8) % 8);
    }
    return rc == VEC_OK ? end_section(s, SECTION_coder, start) : rc;
}

static int save_header(saver *s) {
    s->head.file_bytes = s->offset;
    s->head.needs_mending = s->n_dropped != 0;
    uint8_t page[IMAGE_PAGE] = {0};
    _Static_assert(sizeof s->head <= IMAGE_PAGE, "the header fits its page");
    memcpy(page, &s->head, sizeof s->head);
    s->head.header_crc = crc32c(0, page, sizeof page);
    memcpy(page, &s->head, sizeof s->head);
    return write_at(s->fd, page, sizeof page, 0);
}

static int save_all(saver *s) {
    const store *st = s->st;
    s->offset = IMAGE_PAGE;
    int rc = sort_slots(s);
    if (rc == VEC_OK) rc = save_rows(s);
    if (rc == VEC_OK) rc = save_meta(s);
    if (rc == VEC_OK) rc = save_codes(s, &st->primary, st->coder->primary_bytes, SECTION_primary);
    if (rc == VEC_OK) rc = save_codes(s, &st->residual, st->coder->residual_bytes, SECTION_residual);
    if (rc == VEC_OK) rc = save_coder(s);
    if (rc == VEC_OK) rc = save_header(s);
    return rc;
}

/* Makes a rename last: the directory's own blocks. */
static void sync_directory(const char *path) {
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) : 1;
    char directory[4096];
    if (n >= sizeof directory) return;
    memcpy(directory, slash ? path : ".", n);
    directory[n] = 0;
    int fd = open(n ? directory : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    fsync(fd);
    close(fd);
}

struct vec_saver { saver s; };

static void end_save(vec_saver *whole) {
    saver *s = &whole->s;
    vec_index *ix = s->ix;
    reader_leave(s->reader);
    scratch_give(s->reader);
    mem_free(s->buffer), mem_free(s->meta), mem_free(s->in_graph);
    free(whole);
    pthread_mutex_lock(&ix->lock);                              /* what waited for this reader */
    reclaim(ix);
    pthread_mutex_unlock(&ix->lock);
    atomic_fetch_sub(&ix->n_pins, 1);
}

int vec_save_prepare(vec_index *ix, vec_saver **out) {
    vec_saver *whole = calloc(1, sizeof *whole);
    *out = NULL;
    if (!whole) return VEC_ENOMEM;
    whole->s = (saver){.ix = ix, .fd = -1};
    atomic_fetch_add(&ix->n_pins, 1);                           /* vec_free waits */
    whole->s.reader = scratch_take(ix);
    whole->s.buffer = mem_alloc(&ix->account, VEC_MEM_OTHER, BUFFER);
    int rc = whole->s.buffer ? make_room(&whole->s) : VEC_ENOMEM;
    if (rc == VEC_OK) *out = whole;
    else end_save(whole);
    return rc;
}

int vec_save_begin(vec_saver *whole) {
    if (whole->s.st) return VEC_EARG;
    return take_snapshot(&whole->s);
}

int vec_save_end(vec_saver *whole, const char *path, char *why, size_t why_size) {
    static _Atomic uint32_t n_saves;
    saver *s = &whole->s;
    int rc = VEC_OK;
    size_t length = path ? strlen(path) + 40 : 0;
    char *temporary = path ? malloc(length) : NULL;
    if (path && !s->st) rc = image_fail(why, why_size, VEC_EARG, "there is no moment to save");
    else if (path && !temporary) rc = image_fail(why, why_size, VEC_ENOMEM, "out of memory");
    else if (path) {
        snprintf(temporary, length, "%s.%ld-%u.tmp", path, (long)getpid(), atomic_fetch_add(&n_saves, 1));
        if ((s->fd = open(temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644)) < 0)
            rc = image_fail(why, why_size, VEC_EIO, "cannot create %s: %s", temporary, strerror(errno));
        else {
            rc = save_all(s);
            reader_leave(s->reader);                            /* before the disk is waited for */
            if (rc == VEC_OK && fsync(s->fd)) rc = VEC_EIO;
            if (close(s->fd) && rc == VEC_OK) rc = VEC_EIO;
            if (rc == VEC_OK && rename(temporary, path)) rc = VEC_EIO;
            if (rc == VEC_OK) sync_directory(path);
            else image_fail(why, why_size, rc, "cannot write %s: %s", path, strerror(errno)), unlink(temporary);
        }
    }
    free(temporary);
    end_save(whole);
    return rc;
}

int vec_save(vec_index *ix, const char *path, char *why, size_t why_size) {
    vec_saver *whole;
    int rc = vec_save_prepare(ix, &whole);
    if (rc == VEC_OK && (rc = vec_save_begin(whole)) != VEC_OK) end_save(whole);
    return rc == VEC_OK ? vec_save_end(whole, path, why, why_size) : image_fail(why, why_size, rc, "out of memory");
}

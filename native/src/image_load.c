/* Loading an image. Nothing in the file is believed: header and sections are checked against their CRCs, every count against what
   is counted, every slot number and label against its range, the parameters as vec_create checks them. A file that fails is
   refused with the reason; what was taken so far is freed.

   Sections become slab memory: mapped privately, so that a page is read when it is first touched and copied when it is first
   written. Where pages are larger than the file's alignment, or on request, they are read into memory instead, in huge pages.

   CRC policy: all of them at loading. VEC_LOAD_UNCHECKED leaves out those of the code sections: damage there gives wrong
   distances for the vectors concerned, and nothing worse, since codes are numbers only;
   slot numbers and labels are always checked. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crc32c.h"
#include "image.h"

typedef struct {
    const char *path;
    int fd, flags;
    image_header head;
    vec_index *ix;
    char *why;
    size_t why_size;
} loader;

#define REFUSE(l, ...) image_fail((l)->why, (l)->why_size, VEC_EIMAGE, __VA_ARGS__)

static int no_memory(loader *l) { return image_fail(l->why, l->why_size, VEC_ENOMEM, "out of memory"); }

static int read_at(loader *l, uint8_t *into, uint64_t n, uint64_t offset) {
    while (n) {
        ssize_t done = pread(l->fd, into, n, (off_t)offset);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return image_fail(l->why, l->why_size, VEC_EIO, "cannot read %s: %s", l->path, strerror(errno));
        if (!done) return REFUSE(l, "truncated");
        into += done, n -= (uint64_t)done, offset += (uint64_t)done;
    }
    return VEC_OK;
}

/* 1. The header. */

static int check_names(loader *l, const codec **wanted, const codec **effective, vec_params *p) {
    image_header *h = &l->head;
    if (h->wanted[sizeof h->wanted - 1] || h->codec[sizeof h->codec - 1]) return REFUSE(l, "a codec's name does not end");
    *wanted = h->wanted[0] ? codec_named(h->wanted) : codec_of_dtype(p->dtype);
    if (!*wanted) return REFUSE(l, "unknown compression %.24s", h->wanted);
    *effective = h->is_trained || !(*wanted)->train ? *wanted : first_codec(*wanted);
    if (h->is_trained > 1 || (h->is_trained && !(*wanted)->train) || strcmp(h->codec, (*effective)->name))
        return REFUSE(l, "codec %.24s does not go with compression %.24s", h->codec, h->wanted);
    return VEC_OK;
}

static int check_layout(loader *l, uint64_t file_bytes) {
    const image_header *h = &l->head;
    uint64_t at = IMAGE_PAGE, row = h->algorithm == VEC_GRAPH ? h->max_degree * sizeof(uint32_t) : 0;
    const uint64_t wants[] = {image_records(h->n_slots, row), image_records(h->n_slots, sizeof(uint64_t)),
                              image_records(h->n_slots, h->primary_stride), image_records(h->n_slots, h->residual_stride)};
    for (int i = 0; i < N_SECTIONS; i++) {
        const image_section *s = &h->sections[i];
        if (s->offset != at || (i < SECTION_coder && s->bytes != wants[i]) || s->bytes % IMAGE_PAGE || s->bytes > file_bytes - at)
            return REFUSE(l, "section %d is not where it must be", i);
        at += s->bytes;
    }
    return at == h->file_bytes ? VEC_OK : REFUSE(l, "sections do not fill the file");
}

static int check_header(loader *l, vec_params *p, const codec **effective) {
    image_header *h = &l->head;
    uint8_t page[IMAGE_PAGE];
    struct stat st;
    if (fstat(l->fd, &st) || !S_ISREG(st.st_mode)) return REFUSE(l, "not a regular file");
    if (st.st_size < IMAGE_PAGE) return REFUSE(l, "truncated: %lld bytes", (long long)st.st_size);
    int rc = read_at(l, page, sizeof page, 0);
    if (rc != VEC_OK) return rc;
    memcpy(h, page, sizeof *h);
    if (memcmp(h->magic, IMAGE_MAGIC, sizeof h->magic)) return REFUSE(l, "not an image");
    if (h->byte_order == __builtin_bswap32(IMAGE_BYTE_ORDER)) return REFUSE(l, "made on a machine of the other byte order");
    if (h->version != IMAGE_VERSION) return REFUSE(l, "version %u; this program reads version %d", h->version, IMAGE_VERSION);
    memset(page + offsetof(image_header, header_crc), 0, sizeof h->header_crc);
    if (h->byte_order != IMAGE_BYTE_ORDER || crc32c(0, page, sizeof page) != h->header_crc)
        return REFUSE(l, "the header is damaged");
    if ((uint64_t)st.st_size != h->file_bytes)
        return REFUSE(l, "%lld bytes instead of %llu: truncated or damaged", (long long)st.st_size,
                      (unsigned long long)h->file_bytes);
    if (h->dim > 32768 || h->metric > VEC_COSINE || h->dtype > VEC_UINT8 || h->algorithm > VEC_GRAPH
        || h->search_window > MAX_WINDOW || h->auto_window > MAX_WINDOW || !(h->target_recall >= 0 && h->target_recall < 1)
        || !isfinite(h->epsilon) || !isfinite(h->alpha) || (h->algorithm == VEC_GRAPH && h->max_degree > 512))
        return REFUSE(l, "parameters out of range");
    *p = (vec_params){.dim = h->dim, .metric = (int)h->metric, .dtype = (int)h->dtype, .algorithm = (int)h->algorithm,
                      .compression = l->head.wanted, .reduce = h->reduce, .training_threshold = h->training_threshold,
                      .max_degree = h->max_degree, .build_window = h->build_window, .search_window = h->search_window,
                      .epsilon = h->epsilon, .alpha = h->alpha, .threads = h->threads, .target_recall = h->target_recall,
                      .reduction = h->reduction <= VEC_REDUCE_RANDOM ? (int)h->reduction : -1};
    const codec *wanted;
    if ((rc = check_names(l, &wanted, effective, p)) != VEC_OK) return rc;
    if (h->n_slots > MAX_SLOTS || (uint64_t)h->n_linked + h->n_tail + h->n_deleted > h->n_slots || h->n_seeds > IMAGE_SEEDS
        || h->is_calibrated > 1 || h->needs_mending > 1 || h->most_norm2_bits >= 0x7F800000
        || !(h->usual_norm2 >= 0 && h->usual_norm2 < HUGE_VALF))
        return REFUSE(l, "counts out of range");
    if (h->primary_stride > 1 << 20 || h->residual_stride > 1 << 20) return REFUSE(l, "codes of another layout");
    return check_layout(l, h->file_bytes);
}

/* 2. Sections. */

static int check_crc(loader *l, int which, const uint8_t *bytes) {
    static const char *const names[] = {
#define X(name) #name,
        SECTION_LIST(X)
#undef X
    };
    const image_section *s = &l->head.sections[which];
    return crc32c(0, bytes, s->bytes) == s->crc ? VEC_OK : REFUSE(l, "section %s is damaged", names[which]);
}

/* Makes a section the first chunks of an empty slab. */
static int take_section(loader *l, int which, slab *into, int is_checked) {
    const image_section *s = &l->head.sections[which];
    if (!s->bytes) return VEC_OK;
    int is_copy = (l->flags & VEC_LOAD_COPY) || sysconf(_SC_PAGESIZE) > IMAGE_PAGE, rc;
    uint32_t n_chunks = (uint32_t)image_chunks(l->head.n_slots);
    uint8_t *base;
    if (is_copy) {
        if (slab_extend(into, s->bytes, n_chunks, &base) != VEC_OK) return no_memory(l);
        if ((rc = read_at(l, base, s->bytes, s->offset)) != VEC_OK) return rc;
    } else {
        base = mmap(NULL, s->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE, l->fd, (off_t)s->offset);
        if (base == MAP_FAILED) return image_fail(l->why, l->why_size, VEC_EIO, "cannot map %s: %s", l->path, strerror(errno));
        madvise(base, s->bytes, MADV_WILLNEED);
        if (slab_adopt(into, base, s->bytes, n_chunks) != VEC_OK) {
            munmap(base, s->bytes);
            return no_memory(l);
        }
    }
    return is_checked ? check_crc(l, which, base) : VEC_OK;
}

static int load_coder(loader *l, coder *c) {
    const image_section *s = &l->head.sections[SECTION_coder];
    coder_part parts[CODER_PARTS];
    coder_parts(c, parts);
    uint8_t *bytes = mem_alloc(&l->ix->account, VEC_MEM_OTHER, s->bytes + 8);
    if (!bytes) return no_memory(l);
    int rc = read_at(l, bytes, s->bytes, s->offset);
    if (rc == VEC_OK) rc = check_crc(l, SECTION_coder, bytes);
    uint64_t at = 0, n;
    for (int i = 0; i < CODER_PARTS && rc == VEC_OK; i++) {
        if (s->bytes - at < sizeof n) { rc = REFUSE(l, "the coder is too short"); break; }
        memcpy(&n, bytes + at, sizeof n);
        at += sizeof n;
        if ((n && n != parts[i].bytes) || n > s->bytes - at)
            rc = REFUSE(l, "part %d of the coder has %llu bytes", i, (unsigned long long)n);
        else if (!n && !parts[i].is_block) rc = REFUSE(l, "part %d of the coder is missing", i);
        else if (n) {
            void *block = parts[i].at;
            if (parts[i].is_block) {
                block = mem_alloc(&l->ix->account, VEC_MEM_CODEC, n);
                memcpy(parts[i].at, &block, sizeof block);
            }
            if (block) memcpy(block, bytes + at, n);
            else rc = no_memory(l);
            at += (n + 7) / 8 * 8;
            if (at > s->bytes) at = s->bytes;
        }
    }
    mem_free(bytes);
    return rc == VEC_OK && l->head.is_trained && !coder_is_whole(c) ? REFUSE(l, "a part of the coder is missing") : rc;
}

static int load_codes(loader *l, const vec_params *p, const codec *effective) {
    vec_index *ix = l->ix;
    store *st = atomic_load(&ix->store);
    int is_checked = !(l->flags & VEC_LOAD_UNCHECKED);
    if (st->coder->codec != effective) {
        store *fresh = store_new(ix, coder_new(effective, p, &ix->account), 0);
        if (!fresh) return no_memory(l);
        atomic_store(&ix->store, fresh);
        costs_expect(ix, fresh->coder);
        store_free(st);
        st = fresh;
    }
    if (st->coder->primary_bytes != l->head.primary_stride || st->coder->residual_bytes != l->head.residual_stride)
        return REFUSE(l, "codes of another layout");
    int rc = load_coder(l, st->coder);
    if (rc == VEC_OK) rc = take_section(l, SECTION_primary, &st->primary, is_checked);
    if (rc == VEC_OK) rc = take_section(l, SECTION_residual, &st->residual, is_checked);
    return rc;
}

static int load_rows(loader *l) {
    vec_index *ix = l->ix;
    if (l->head.algorithm == VEC_FLAT) return VEC_OK;
    int rc = take_section(l, SECTION_rows, &ix->rows, 1);
    if (rc != VEC_OK) return rc;
    uint32_t n = l->head.n_slots, degree = l->head.max_degree;
    for (uint32_t at = 0; at < n; at += CHUNK_RECORDS) {
        const uint32_t *ids = (const uint32_t *)(const void *)slab_at(&ix->rows, at);
        uint32_t records = n - at < CHUNK_RECORDS ? n - at : CHUNK_RECORDS, is_bad = 0;
        for (uint64_t i = 0; i < (uint64_t)records * degree; i++)
            is_bad |= (uint32_t)(ids[i] >= n) & (uint32_t)(ids[i] != NO_EDGE);
        if (is_bad) return REFUSE(l, "an edge leads nowhere");
    }
    const tail_ring *t = atomic_load(&ix->tail);
    for (uint64_t i = 0; i < l->head.n_tail; i++) note_place(ix, atomic_load(&((tail_ring *)t)->slot[i]), i);
    return VEC_OK;
}

/* States, counts, the label map, the free list and the tail. */
static int load_meta(loader *l) {
    vec_index *ix = l->ix;
    const image_header *h = &l->head;
    int rc = take_section(l, SECTION_meta, &ix->meta, 1);
    if (rc != VEC_OK) return rc;
    uint32_t n[4] = {0};
    uint64_t most = 0;
    for (uint32_t i = 0; i < h->n_slots; i++) {
        uint64_t meta = meta_get(ix, i);
        n[meta_state(meta)]++;
        if (is_live(meta) && meta_label(meta) > most) most = meta_label(meta);
    }
    if (n[SLOT_LINKED] != h->n_linked || n[SLOT_TAIL] != h->n_tail || n[SLOT_DELETED] != h->n_deleted
        || (h->algorithm == VEC_FLAT && (n[SLOT_TAIL] || n[SLOT_DELETED])))
        return REFUSE(l, "the header's counts are not those of the slots");
    uint32_t mask = 63;
    while (mask < n[SLOT_TAIL]) mask = 2 * mask + 1;
    tail_ring *t = mem_alloc(&ix->account, VEC_MEM_TAIL, sizeof *t + (mask + (size_t)1) * sizeof t->slot[0]);
    if (!t) return no_memory(l);
    t->mask = mask;
    mem_free(atomic_load(&ix->tail));
    atomic_store(&ix->tail, t);
    ix->free_size = n[SLOT_FREE];
    ix->free_slots = ix->free_size ? mem_alloc(&ix->account, VEC_MEM_OTHER, ix->free_size * sizeof *ix->free_slots) : NULL;
    if ((ix->free_size && !ix->free_slots) || labels_expect(&ix->labels, (uint64_t)h->n_linked + h->n_tail, most) != VEC_OK)
        return no_memory(l);
    if (slab_reserve(&ix->bases, h->n_slots / 64 + 1) != VEC_OK) return no_memory(l);
    for (uint32_t i = 0, first = 1; i < h->n_slots; i++) {
        if (i % 64 == 0) first = 1;
        if (!is_live(meta_get(ix, i))) continue;
        note_label(ix, i, meta_label(meta_get(ix, i)), (int)first);
        first = 0;
    }
    uint64_t n_tail = 0;
    for (uint32_t i = h->n_slots; i-- > 0;) {                   /* backwards: the free list gives low slots first */
        uint64_t meta = meta_get(ix, i), label = meta_label(meta);
        if (meta_state(meta) == SLOT_FREE) ix->free_slots[ix->n_free++] = i;
        if (!is_live(meta)) continue;
        if (labels_find(&ix->labels, label) != NO_SLOT) return REFUSE(l, "label %llu is there twice", (unsigned long long)label);
        if (labels_reserve(&ix->labels, label) != VEC_OK) return no_memory(l);
        labels_set(&ix->labels, label, i);
        if (meta_state(meta) == SLOT_TAIL) atomic_store(&t->slot[h->n_tail - ++n_tail], i);
    }
    atomic_store(&ix->tail_end, n_tail);
    return VEC_OK;
}

/* 3. The whole. */

static int load_seeds(loader *l) {
    vec_index *ix = l->ix;
    const image_header *h = &l->head;
    for (uint32_t i = 0; i < h->n_seeds; i++) {
        if (h->seeds[i] >= h->n_slots || meta_state(meta_get(ix, h->seeds[i])) < SLOT_LINKED)
            return REFUSE(l, "a seed is not in the graph");
        if (i < MAX_SEEDS) atomic_store(&ix->seeds[i], h->seeds[i]);
    }
    atomic_store(&ix->n_seeds, h->n_seeds < MAX_SEEDS ? h->n_seeds : MAX_SEEDS);
    ix->seeds_at = h->n_linked;
    if (h->n_linked && !h->n_seeds) choose_seeds(ix);
    return VEC_OK;
}

static int load_state(loader *l) {
    vec_index *ix = l->ix;
    const image_header *h = &l->head;
    atomic_store(&ix->n_slots, h->n_slots);
    atomic_store(&ix->n_linked, h->n_linked);
    atomic_store(&ix->n_deleted, h->n_deleted);
    atomic_store(&ix->n_vectors, (uint64_t)h->n_linked + h->n_tail);
    atomic_store(&ix->most_norm2_bits, h->most_norm2_bits);
    atomic_store(&ix->usual_norm2, h->usual_norm2);
    atomic_store(&ix->auto_window, h->auto_window);
    atomic_store(&ix->is_calibrated, (int)h->is_calibrated);
    atomic_store(&ix->calibrated_at, h->is_calibrated ? h->n_linked : 0);
    ix->n_epochs = h->n_epochs;
    if (h->is_trained && h->trained_error > 0)
        ix->drift = drift_resume(ix, atomic_load(&ix->store)->coder, h->trained_error, h->trained_energy, h->n_since_training);
    ix->is_swept = (int)h->needs_mending;
    atomic_store(&ix->training, h->is_trained ? VEC_TRAIN_DONE : VEC_TRAIN_IDLE);
    int rc = h->algorithm == VEC_GRAPH ? load_seeds(l) : VEC_OK;
    if (rc != VEC_OK) return rc;
    pthread_mutex_lock(&ix->lock);
    if (h->algorithm == VEC_GRAPH && h->n_slots) {
        ix->is_idle = 0;
        rc = writer_start(ix);
    }
    if (rc == VEC_OK && ix->wanted->train && !h->is_trained && atomic_load(&ix->n_vectors) >= h->training_threshold)
        rc = train_start(ix);
    pthread_mutex_unlock(&ix->lock);
    return rc == VEC_OK ? rc : image_fail(l->why, l->why_size, rc, "cannot start a thread");
}

static int load(loader *l) {
    vec_params p;
    const codec *effective = NULL;
    int rc = check_header(l, &p, &effective);
    if (rc != VEC_OK) return rc;
    rc = vec_create(&p, &l->ix);
    if (rc == VEC_EARG) return REFUSE(l, "parameters out of range");
    if (rc != VEC_OK) return no_memory(l);
    rc = load_meta(l);
    if (rc == VEC_OK) rc = load_rows(l);
    if (rc == VEC_OK) rc = load_codes(l, &p, effective);
    return rc == VEC_OK ? load_state(l) : rc;
}

int vec_load(const char *path, int flags, vec_index **out, char *why, size_t why_size) {
    loader l = {.path = path, .flags = flags, .why = why, .why_size = why_size};
    l.fd = open(path, O_RDONLY | O_CLOEXEC);
    if (l.fd < 0) return image_fail(why, why_size, VEC_EIO, "cannot open %s: %s", path, strerror(errno));
    int rc = load(&l);
    close(l.fd);
    if (rc != VEC_OK) vec_free(l.ix);
    else *out = l.ix;
    return rc;
}

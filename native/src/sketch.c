/* Vectors that are stored as floats are linked by 8-bit codes of theirs while there are many to link: walks and pruning then take
   less than half the time at a few hundred dimensions, and the graphs are as good. The codes are a quarter of FLOAT32 vectors and
   are freed as soon as the tail is empty. Searches know nothing of them. Where codes are too coarse to tell neighbours apart, as
   in dense clusters that lie far from each other, there are none.

   Only the writer changes them, between turns: all linkers then wait. */
#include "codec_lvq.h"
#include "index.h"

/* Doubles may be too large for codes. Below LEAST_DIM codes are no faster. Coding takes a microsecond for each vector that is
   linked already, linking 100 or more. */
enum { LEAST_DIM = 96, LEAST_LINKED = 1000, LEAST_TAIL = 4096, SAMPLE = 1024, CODED_PER_TURN = 8192,
       TRIED = 64 };
#define LARGEST_ERROR 0.002                     /* squared, over the squared distance of neighbours */

const store *link_store(const vec_index *ix) {
    return ix->sketch.is_ready ? ix->sketch.store : atomic_load_explicit(&((vec_index *)ix)->store, memory_order_acquire);
}

static int is_wanted(const vec_index *index) {
    vec_index *ix = (vec_index *)index;
    const vec_params *p = &ix->params;
    uint64_t n_linked = atomic_load(&ix->n_linked), n_vectors = atomic_load(&ix->n_vectors);
    return !is_compressed(ix->wanted) && p->dtype < VEC_INT8 && p->dtype != VEC_FLOAT64 && p->dim >= LEAST_DIM
           && n_linked >= LEAST_LINKED && n_vectors > n_linked + LEAST_TAIL + n_linked / 16
           && n_linked >= 2 * (uint64_t)ix->sketch.refused_at;
}

static void read_slot(const vec_index *ix, uint32_t slot, float *out) {
    const store *st = atomic_load(&((vec_index *)ix)->store);
    st->coder->codec->decode(st->coder, slab_at(&st->primary, slot), NULL, out);
}

/* The mean of a sample: codes are finer around it. */
static int learn(vec_index *ix, coder *c) {
    uint32_t n_slots = atomic_load(&ix->n_slots), step = n_slots / SAMPLE + 1;
    size_t n = 0;
    float *sample = mem_alloc(&ix->account, VEC_MEM_OTHER, (size_t)SAMPLE * c->dim * sizeof *sample);
    if (!sample) return VEC_ENOMEM;
    for (uint32_t slot = 0; slot < n_slots; slot += step)
        if (is_live(meta_get(ix, slot))) read_slot(ix, slot, sample + n++ * c->dim);
    int rc = n ? lvq_train(c, sample, n, NULL, 0, &ix->account) : VEC_OK;
    mem_free(sample);
    return rc;
}

static double squared_distance(const float *x, const float *y, uint32_t dim) {
    double sum = 0;
    for (uint32_t i = 0; i < dim; i++) sum += ((double)x[i] - y[i]) * ((double)x[i] - y[i]);
    return sum;
}

/* Whether for most of a few vectors the error of the codes is small beside the way to the first neighbour. */
static int is_fine(vec_index *ix, const coder *c) {
    uint32_t n_slots = atomic_load(&ix->n_slots), step = atomic_load(&ix->n_linked) / TRIED + 1, n = 0, n_fine = 0,
             room = c->dim + 128;
    float *x = ix->sketch.vector, *y = x + room, *coded = y + room;
    uint8_t *record = mem_alloc(&ix->account, VEC_MEM_OTHER, c->primary_bytes + 64);
    if (!record) return 0;
    for (uint32_t slot = 0; slot < n_slots; slot += step) {
        uint32_t nearest = atomic_load_explicit(row_at(ix, slot), memory_order_relaxed);
        if (meta_state(meta_get(ix, slot)) != SLOT_LINKED || nearest >= n_slots) continue;
        read_slot(ix, slot, x), read_slot(ix, nearest, y);
        c->codec->encode(c, x, NULL, record, NULL, ix->sketch.work);
        c->codec->decode(c, record, NULL, coded);
        n++, n_fine += squared_distance(x, coded, c->dim) <= LARGEST_ERROR * squared_distance(x, y, c->dim);
    }
    mem_free(record);
    return 4 * n_fine >= 3 * n;
}

static int begin(vec_index *ix) {
    uint32_t n_slots = atomic_load(&ix->n_slots);
    size_t bytes = 8 * ((size_t)ix->params.dim + 128) * sizeof(float);
    ix->sketch.vector = mem_alloc(&ix->account, VEC_MEM_OTHER, bytes);
    ix->sketch.work = mem_alloc(&ix->account, VEC_MEM_OTHER, bytes);
    coder *c = coder_new(&codec_lvq8, &ix->params, &ix->account);
    reader_enter(ix, &ix->link_scratch);                        /* what is deleted meanwhile is not overwritten */
    int rc = c && ix->sketch.vector && ix->sketch.work ? learn(ix, c) : VEC_ENOMEM;
    int fine = rc == VEC_OK && is_fine(ix, c);
    reader_leave(&ix->link_scratch);
    if (rc == VEC_OK && !fine) ix->sketch.refused_at = atomic_load(&ix->n_linked), rc = VEC_EARG;
    if (rc == VEC_OK) ix->sketch.store = store_new(ix, c, n_slots);
    else coder_free(c);
    ix->sketch.at = 0, ix->sketch.end = n_slots;
    return ix->sketch.store ? VEC_OK : VEC_ENOMEM;
}

static void encode_slot(vec_index *ix, uint32_t slot) {
    const store *st = ix->sketch.store;
    read_slot(ix, slot, ix->sketch.vector);
    st->coder->codec->encode(st->coder, ix->sketch.vector, NULL, slab_at(&st->primary, slot), NULL, ix->sketch.work);
}

void sketch_turn(vec_index *ix, const uint32_t *slots, uint32_t n) {
    if (!ix->sketch.store && !is_wanted(ix)) return;
    int rc = ix->sketch.store ? VEC_OK : begin(ix);
    if (rc == VEC_OK) rc = slab_reserve(&ix->sketch.store->primary, atomic_load(&ix->n_slots));
    if (rc != VEC_OK) { sketch_free(ix); return; }              /* so it goes the longer way */
    for (uint32_t i = 0; i < n; i++) encode_slot(ix, slots[i]);
    for (uint32_t i = 0; i < CODED_PER_TURN && ix->sketch.at < ix->sketch.end; i++, ix->sketch.at++)
        if (meta_state(meta_get(ix, ix->sketch.at)) >= SLOT_LINKED) encode_slot(ix, ix->sketch.at);
    ix->sketch.is_ready = ix->sketch.at == ix->sketch.end;
}

void sketch_free(vec_index *ix) {
    ix->sketch.is_ready = 0;
    store_free(ix->sketch.store);
    mem_free(ix->sketch.vector), mem_free(ix->sketch.work);
    ix->sketch.store = NULL, ix->sketch.vector = ix->sketch.work = NULL;
}

/* The walk among allowed vectors only, for filters that let a part pass (after NaviX's adaptive-local search, Sehgal and Salihoglu, 2025).

   Nothing that may not be returned is scored. Where few neighbours of an expanded vector are allowed, the others serve as bridges: their
   rows are searched for allowed vectors, nearest bridge first, until as many are at hand as a row holds. So each expansion offers about
   as many candidates as an unfiltered one does, and a bit test per neighbour is all that the barred cost.

   The filter is one over labels. Where the labels of 64 slots follow each other, as they do until vectors are replaced, its words are
   copied; other slots are asked for their label when they are met.

   The walk starts from seeds and from a sample of what is allowed. Where the sample lies farther off than the seeds do, the filter keeps
   away what is near the query: the nearest allowed are then many at nearly the same distance, and the window is widened. */
#include "search.h"

#include <math.h>

enum { SAMPLE = 32, MAX_ROW = 512 };

static inline int has_bit(const uint64_t *bits, uint32_t i) { return bits[i >> 6] >> (i & 63) & 1; }
static inline void set_bit(uint64_t *bits, uint32_t i) { bits[i >> 6] |= 1ull << (i & 63); }

/* 64 bits of a set from any label on. */
static inline uint64_t bits_from(const label_set *set, uint64_t label) {
    uint64_t word = label >> 6, shift = label & 63, bits = word < set->n_words ? set->words[word] >> shift : 0;
    if (shift && word + 1 < set->n_words) bits |= set->words[word + 1] << (64 - shift);
    return bits;
}

/* s->barred: first the slots that are known not to be allowed, then those whose rows were searched as bridges'. */
static int bar_slots(vec_index *ix, scratch *s, const label_set *allowed) {
    uint32_t words = (s->n_slots + 63) / 64;
    if (GROW(s, barred, 2 * words + 2) != VEC_OK) return VEC_ENOMEM;
    memset(s->barred + words, 0, words * sizeof *s->barred);
    for (uint32_t w = 0; w < words; w++) {
        uint64_t base = atomic_load_explicit(base_at(ix, w), memory_order_relaxed);
        s->barred[w] = base == NO_BASE ? 0 : ~bits_from(allowed, base);
        s->visited[w] |= s->barred[w];
    }
    return VEC_OK;
}

/* Slots of allowed labels, spread evenly over the labels. */
static uint32_t sample_allowed(const vec_index *ix, const label_set *allowed, uint32_t n_slots, uint32_t *slots) {
    uint32_t n = 0;
    uint64_t step = allowed->n_words / SAMPLE + 1;
    for (uint64_t from = 0; from < allowed->n_words; from += step)
        for (uint64_t w = from; w < from + step && w < allowed->n_words; w++) {
            uint64_t bits = allowed->words[w];
            if (!bits) continue;
            uint32_t slot = labels_find(&ix->labels, w * 64 + (uint64_t)__builtin_ctzll(bits));
            if (slot >= n_slots) continue;
            slots[n++] = slot;
            break;
        }
    return n;
}

/* How far the second group of keys lies above the first, in standard errors. */
static float distance_of_means(const float *a, uint32_t n_a, const float *b, uint32_t n_b) {
    if (n_a < 8 || n_b < 8) return 0;
    double sum[2] = {0}, squares[2] = {0}, n[2] = {n_a, n_b};
    for (uint32_t i = 0; i < n_a; i++) sum[0] += a[i];
    for (uint32_t i = 0; i < n_b; i++) sum[1] += b[i];
    for (uint32_t i = 0; i < n_a; i++) squares[0] += (a[i] - sum[0] / n[0]) * (a[i] - sum[0] / n[0]);
    for (uint32_t i = 0; i < n_b; i++) squares[1] += (b[i] - sum[1] / n[1]) * (b[i] - sum[1] / n[1]);
    double error = sqrt(squares[0] / (n[0] * n[0]) + squares[1] / (n[1] * n[1]));
    return error > 0 ? (float)((sum[1] / n[1] - sum[0] / n[0]) / error) : 0;
}

/* Scores seeds and a sample of the allowed; the allowed among them begin the buffer. */
int enter_filtered(vec_index *ix, const store *st, scratch *s, const walk_order *o, entrance *e) {
    const size_t n_bytes = st->coder->primary_bytes;
    uint32_t slots[SAMPLE + 1], m = 0, n_seeds = atomic_load_explicit(&ix->n_seeds, memory_order_acquire);
    for (uint32_t i = 0; i < n_seeds; i++) {
        uint32_t v = atomic_load_explicit(&ix->seeds[i], memory_order_relaxed);
        if (v < s->n_slots) s->ids[m++] = v;
    }
    uint32_t n_first = m, n_sample = sample_allowed(ix, &o->allowed, s->n_slots, slots);
    for (uint32_t i = 0; i < n_sample; i++) s->ids[m++] = slots[i];
    for (uint32_t i = 0; i < m; i++) {
        s->primaries[i] = slab_at(&st->primary, s->ids[i]);
        prefetch_record(s->primaries[i], n_bytes);
    }
    st->coder->codec->keys(&s->query, s->primaries, m, s->keys);
    s->n_scored += m;
    e->offset = distance_of_means(s->keys, n_first, s->keys + n_first, m - n_first);
    e->n = 0;
    for (uint32_t i = 0; i < m; i++) {
        if (has_bit(s->visited, s->ids[i]) || !may_return(ix, &o->allowed, s->ids[i])) continue;
        int is_new = 1;
        for (uint32_t j = 0; j < e->n; j++) is_new &= e->entries[j].id != s->ids[i];
        if (is_new) e->entries[e->n++] = (entry){s->keys[i], s->ids[i]};
    }
    return VEC_OK;
}

/* Of ids[from .. m-1], keeps what may be returned and starts its codes on their way; the others are barred from here on. */
static inline uint32_t keep_allowed(const vec_index *ix, const store *st, scratch *s, const label_set *allowed, uint32_t from,
                                    uint32_t m) {
    const size_t n_bytes = st->coder->primary_bytes;
    uint32_t kept = from;
    for (uint32_t i = from; i < m; i++) {
        uint32_t v = s->ids[i];
        if (!may_return(ix, allowed, v)) { set_bit(s->barred, v); continue; }
        s->ids[kept] = v;
        s->primaries[kept] = slab_at(&st->primary, v);
        prefetch_record(s->primaries[kept++], n_bytes);
    }
    return kept;
}

int walk_filtered(vec_index *ix, const store *st, scratch *s, const walk_order *o, const entrance *e, uint32_t *n_out) {
    const uint32_t degree = ix->params.max_degree, n_slots = s->n_slots, words = (n_slots + 63) / 64;
    if (GROW(s, buffer, o->capacity + 1) != VEC_OK || bar_slots(ix, s, &o->allowed) != VEC_OK) return VEC_ENOMEM;
    candidates c = {s->buffer, 0, 0, o->capacity, INFINITY};
    entry *buffer = s->buffer;
    uint64_t *visited = s->visited, *barred = s->barred, *bridged = s->barred + words;
    uint32_t *ids = s->ids, bridges[MAX_ROW];
    uint32_t n_expanded = 0;
    uint64_t work = 0;
    for (uint32_t i = 0; i < e->n; i++) {
        set_bit(visited, e->entries[i].id);
        keep_candidates(&c, &e->entries[i].id, &e->entries[i].key, 1);
    }
    for (;;) {
        uint32_t limit = c.n < o->window ? c.n : o->window;
        while (c.at < limit && (buffer[c.at].id & EXPANDED)) c.at++;
        if (c.at >= limit) break;
        uint32_t slot = buffer[c.at].id & ID_MASK, n_bridges = 0, n_at_hand = 0;
        buffer[c.at++].id |= EXPANDED;
        const _Atomic uint32_t *row = row_at(ix, slot);
        uint32_t m = gather_row(row, degree, n_slots, visited, ids, 0);
        m = keep_allowed(ix, st, s, &o->allowed, 0, m);
        for (uint32_t i = 0; i < degree; i++) {
            uint32_t v = atomic_load_explicit(&row[i], memory_order_relaxed);
            if (v >= n_slots) {
                if (v == NO_EDGE) break;
                continue;
            }
            int is_barred = has_bit(barred, v);
            bridges[n_bridges] = v;
            n_bridges += (uint32_t)is_barred & (uint32_t)!has_bit(bridged, v);
            n_at_hand += !is_barred;
        }
        if (n_at_hand < degree)
            for (uint32_t i = 0; i < n_bridges; i++) prefetch_row(ix, bridges[i]);
        for (uint32_t i = 0; i < n_bridges && n_at_hand < degree && m + degree <= s->batch_size; i++) {
            uint32_t more = gather_row(row_at(ix, bridges[i]), degree, n_slots, visited, ids, m);
            set_bit(bridged, bridges[i]);
            more = keep_allowed(ix, st, s, &o->allowed, m, more);
            n_at_hand += more - m;
            m = more;
            work++;
        }
        for (uint32_t i = c.at, ahead = 0; i < limit && ahead < 2; i++)
            if (!(buffer[i].id & EXPANDED)) {
                prefetch_row(ix, buffer[i].id & ID_MASK);
                ahead++;
            }
        st->coder->codec->keys(&s->query, s->primaries, m, s->keys);
        s->n_scored += m;
        work += m;
        keep_candidates(&c, ids, s->keys, m);
        if (work > o->most_work) return WALK_DEAR;
        if (!(++n_expanded & 63) && o->deadline_ns && now_ns() > o->deadline_ns) return VEC_ETIMEOUT;
    }
    *n_out = c.n;
    return VEC_OK;
}

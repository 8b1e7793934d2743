/* The walk among allowed vectors only, for filters that let a part pass (after NaviX's adaptive-local search, Sehgal and
   Salihoglu, 2025).

   Nothing that may not be returned is scored. Where few neighbours of an expanded vector are allowed, the others serve as
   bridges: their rows are searched for allowed vectors, nearest bridge first, until a little more are at hand than a row holds.
   So each expansion offers about as many candidates as an unfiltered one does, and a bit test per neighbour is all that the
   barred cost.

   The filter is one over labels. Where the labels of 64 slots follow each other, as they do until vectors are replaced, its words
   are copied; other slots are asked for their label when they are met.

   First a short walk without the filter goes to the query. What it met begins the walk, together with a sample of what is
   allowed. And it tells how many of those nearest of all are allowed: where it is less than the filter's share of all, the filter
   keeps away what is near the query, the nearest allowed are then many at nearly the same distance, and the window is widened. */
#include "search.h"

#include <math.h>

enum { SAMPLE = 32, MAX_ROW = 512 };
enum { LOOK = 4 };                              /* window of the short walk */
enum { ROWS_AHEAD = 8 };                        /* bridges whose rows are on their way */

static inline int has_bit(const uint64_t *bits, uint32_t i) { return bits[i >> 6] >> (i & 63) & 1; }
static inline void set_bit(uint64_t *bits, uint32_t i) { bits[i >> 6] |= 1ull << (i & 63); }

/* 64 bits of a set from any label on. */
static inline uint64_t bits_from(const label_set *set, uint64_t label) {
    uint64_t word = label >> 6, shift = label & 63, bits = word < set->n_words ? set->words[word] >> shift : 0;
    if (shift && word + 1 < set->n_words) bits |= set->words[word + 1] << (64 - shift);
    return bits;
}

/* s->barred: first the slots that are known not to be allowed, then those whose rows were searched as bridges'. *is_certain: the
   others are known to be allowed; what is deleted from now on is left out of the answer later. */
static int bar_slots(vec_index *ix, scratch *s, const label_set *allowed, int *is_certain) {
    uint32_t words = (s->n_slots + 63) / 64;
    if (GROW(s, barred, 2 * words + 2) != VEC_OK) return VEC_ENOMEM;
    memset(s->barred + words, 0, words * sizeof *s->barred);
    *is_certain = !atomic_load(&ix->n_deleted);
    for (uint32_t w = 0, end; w < words; w = end) {
        uint64_t base = atomic_load_explicit(base_at(ix, w), memory_order_relaxed);
        end = w + 1;
        if (base == NO_BASE) {
            s->barred[w] = 0, *is_certain = 0;
            continue;
        }
        while (end < words && atomic_load_explicit(base_at(ix, end), memory_order_relaxed) == base + 64 * (uint64_t)(end - w))
            end++;
        const uint64_t first = base >> 6, whole = first + 1 < allowed->n_words ? allowed->n_words - first - 1 : 0;
        /* words with another after them */
        const uint32_t shift = base & 63, inside = end - w < whole ? end - w : (uint32_t)whole;
        const uint64_t *from = allowed->words + first;
        uint64_t *to = s->barred + w;
        if (!shift) for (uint32_t i = 0; i < inside; i++) to[i] = ~from[i];
        else for (uint32_t i = 0; i < inside; i++) to[i] = ~(from[i] >> shift | from[i + 1] << (64 - shift));
        for (uint32_t i = inside; i < end - w; i++) to[i] = ~bits_from(allowed, base + 64 * (uint64_t)i);
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

/* Whether a slot may be returned, by the bits where they say so. */
static inline int is_allowed(const vec_index *ix, const scratch *s, const label_set *allowed, uint32_t slot, int is_certain) {
    return !has_bit(s->barred, slot) && (is_certain || may_return(ix, allowed, slot));
}

static inline void score_met(const store *st, scratch *s, uint32_t m, entrance *e) {
    for (uint32_t i = 0; i < m; i++) {
        s->primaries[i] = slab_at(&st->primary, s->ids[i]);
        prefetch_record(s->primaries[i], st->coder->primary_bytes);
    }
    st->coder->codec->keys(&s->query, s->primaries, m, s->keys);
    s->n_scored += m;
    for (uint32_t i = 0; i < m; i++) e->entries[e->n++] = (entry){s->keys[i], s->ids[i]};
}

int enter_filtered(vec_index *ix, const store *st, scratch *s, const walk_order *o, entrance *e) {
    const uint32_t degree = ix->params.max_degree, n_seeds = atomic_load_explicit(&ix->n_seeds, memory_order_acquire);
    entry nearest[NEAR + KEPT_TOGETHER];
    candidates c = {nearest, 0, 0, NEAR, INFINITY};
    uint32_t m = 0, slots[SAMPLE], n = 0;
    if (bar_slots(ix, s, &o->allowed, &e->is_certain) != VEC_OK) return VEC_ENOMEM;
    e->n = e->n_bridges = 0;
    for (uint32_t i = 0; i < n_seeds; i++) {
        uint32_t v = atomic_load_explicit(&ix->seeds[i], memory_order_relaxed);
        if (v >= s->n_slots || has_bit(s->visited, v)) continue;
        set_bit(s->visited, v);
        s->ids[m++] = v;
    }
    for (;;) {                                  /* the short walk */
        score_met(st, s, m, e);
        keep_candidates(&c, s->ids, s->keys, m);
        uint32_t limit = c.n < LOOK ? c.n : LOOK;
        while (c.at < limit && (nearest[c.at].id & EXPANDED)) c.at++;
        if (c.at >= limit || e->n + degree + SAMPLE > MAX_MET) break;
        uint32_t slot = nearest[c.at].id & ID_MASK;
        nearest[c.at++].id |= EXPANDED;
        m = gather_row(row_at(ix, slot), degree, s->n_slots, s->visited, s->ids, 0);
    }
    for (uint32_t i = 0; i < c.n; i++) {
        uint32_t v = nearest[i].id & ID_MASK;
        if (!is_allowed(ix, s, &o->allowed, v, e->is_certain)) e->bridges[e->n_bridges++] = v;
    }
    e->local_share = c.n ? 1 - (float)e->n_bridges / (float)c.n : 1;
    if (e->n_bridges == c.n) {                  /* nothing near is allowed: what is, somewhere */
        uint32_t n_sample = sample_allowed(ix, &o->allowed, s->n_slots, slots);
        for (uint32_t i = m = 0; i < n_sample; i++) {
            if (has_bit(s->visited, slots[i])) continue;
            set_bit(s->visited, slots[i]);
            s->ids[m++] = slots[i];
        }
        score_met(st, s, m, e);
    }
    for (uint32_t i = 0; i < e->n; i++)
        if (is_allowed(ix, s, &o->allowed, e->entries[i].id, e->is_certain)) e->entries[n++] = e->entries[i];
    e->n = n;
    for (uint32_t w = 0; w < (s->n_slots + 63) / 64; w++) s->visited[w] |= s->barred[w];
    return VEC_OK;
}

/* Of ids[from .. m-1], keeps what may be returned; the others are barred from here on. */
static inline uint32_t keep_allowed(const vec_index *ix, scratch *s, const label_set *allowed, uint32_t from, uint32_t m) {
    uint32_t kept = from;
    for (uint32_t i = from; i < m; i++) __builtin_prefetch(meta_at(ix, s->ids[i]));
    for (uint32_t i = from; i < m; i++) {
        uint32_t v = s->ids[i];
        if (may_return(ix, allowed, v)) s->ids[kept++] = v;
        else set_bit(s->barred, v);
    }
    return kept;
}

/* Allowed vectors of a row that were not seen yet, behind ids[m - 1]; their codes start on their way. */
static inline __attribute__((always_inline)) uint32_t gather_allowed(const vec_index *ix, const store *st, scratch *s,
                                                                     const label_set *allowed, const _Atomic uint32_t *row,
                                                                     uint32_t m, const int is_certain) {
    const size_t n_bytes = st->coder->primary_bytes;
    const uint32_t degree = ix->params.max_degree, n_slots = s->n_slots;
    uint32_t end = m, *ids = s->ids;
    uint64_t *visited = s->visited;
    for (uint32_t i = 0; i < degree; i++) {
        uint32_t v = atomic_load_explicit(&row[i], memory_order_relaxed);
        if (v >= n_slots) {
            if (v == NO_EDGE) break;
            continue;
        }
        ids[end] = v;
        end += !has_bit(visited, v);
    }
    for (uint32_t i = m; i < end; i++) set_bit(visited, ids[i]);
    if (!is_certain) end = keep_allowed(ix, s, allowed, m, end);
    for (; m < end; m++) {
        s->primaries[m] = slab_at(&st->primary, s->ids[m]);
        prefetch_record(s->primaries[m], n_bytes);
    }
    return end;
}

/* is_certain: what is not barred is allowed. A constant in each caller. */
static inline __attribute__((always_inline)) int walk(vec_index *ix, const store *st, scratch *s, const walk_order *o,
                                                      const entrance *e, uint32_t *n_out, const int is_certain) {
    const uint32_t degree = ix->params.max_degree, n_slots = s->n_slots, words = (n_slots + 63) / 64,
                   enough = degree + degree / 4;
    candidates c = {s->buffer, 0, 0, o->capacity, INFINITY};
    entry *buffer = s->buffer;
    const uint64_t *barred = s->barred;
    uint64_t *bridged = s->barred + words, work = 0;
    uint32_t bridges[MAX_ROW + NEAR], n_bridges = e->n_bridges, n_at_hand = 0, n_expanded = 0, m = 0;
    for (uint32_t i = 0; i < e->n; i++) keep_candidates(&c, &e->entries[i].id, &e->entries[i].key, 1);
    memcpy(bridges, e->bridges, n_bridges * sizeof *bridges);
    for (;;) {
        if (n_at_hand < enough)
            for (uint32_t i = 0; i < n_bridges && i < ROWS_AHEAD; i++) prefetch_row(ix, bridges[i]);
        for (uint32_t i = 0; i < n_bridges && n_at_hand < enough && m + degree <= s->batch_size; i++) {
            if (i + ROWS_AHEAD < n_bridges) prefetch_row(ix, bridges[i + ROWS_AHEAD]);
            uint32_t more = gather_allowed(ix, st, s, &o->allowed, row_at(ix, bridges[i]), m, is_certain);
            set_bit(bridged, bridges[i]);
            n_at_hand += more - m;
            m = more;
            work++;
        }
        uint32_t limit = c.n < o->window ? c.n : o->window;
        for (uint32_t i = c.at, ahead = 0; i < limit && ahead < 2; i++)
            if (!(buffer[i].id & EXPANDED)) {
                prefetch_row(ix, buffer[i].id & ID_MASK);
                ahead++;
            }
        st->coder->codec->keys(&s->query, s->primaries, m, s->keys);
        s->n_scored += m;
        work += m;
        keep_candidates(&c, s->ids, s->keys, m);
        if (work > o->most_work) return WALK_DEAR;
        if (!(++n_expanded & 63) && o->deadline_ns && now_ns() > o->deadline_ns) return VEC_ETIMEOUT;
        /* The best that is not expanded yet; its neighbours. */
        limit = c.n < o->window ? c.n : o->window;
        while (c.at < limit && (buffer[c.at].id & EXPANDED)) c.at++;
        if (c.at >= limit) break;
        const _Atomic uint32_t *row = row_at(ix, buffer[c.at].id & ID_MASK);
        buffer[c.at++].id |= EXPANDED;
        m = gather_allowed(ix, st, s, &o->allowed, row, 0, is_certain);
        n_bridges = n_at_hand = 0;
        for (uint32_t i = 0; i < degree; i++) {
            uint32_t v = atomic_load_explicit(&row[i], memory_order_relaxed);
            if (v >= n_slots) {
                if (v == NO_EDGE) break;
                continue;
            }
            uint32_t is_barred = (uint32_t)has_bit(barred, v);
            bridges[n_bridges] = v;
            n_bridges += is_barred & (uint32_t)!has_bit(bridged, v);
            n_at_hand += !is_barred;
        }
    }
    *n_out = c.n;
    return VEC_OK;
}

int walk_filtered(vec_index *ix, const store *st, scratch *s, const walk_order *o, const entrance *e, uint32_t *n_out) {
    if (GROW(s, buffer, o->capacity + KEPT_TOGETHER) != VEC_OK) return VEC_ENOMEM;
    return e->is_certain ? walk(ix, st, s, o, e, n_out, 1) : walk(ix, st, s, o, e, n_out, 0);
}

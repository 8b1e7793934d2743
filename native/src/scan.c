/* Scans. A scan keeps the best `capacity` of what it is shown. */
#include "search.h"

static int scan_flush(scan *c) {
    scratch *s = c->s;
    c->st->coder->codec->keys(&s->query, s->primaries, c->m, s->keys);
    s->n_scored += c->m;
    for (uint32_t i = 0; i < c->m; i++) {
        if (c->is_range) {
            if (s->keys[i] <= c->reach && note_found(c->ix, s, s->ids[i]) != VEC_OK) return VEC_ENOMEM;
            continue;
        }
        if (c->n == c->capacity) {
            if (!(s->keys[i] < s->buffer[c->n - 1].key)) continue;
            c->n--;
        }
        insert(s->buffer, c->n++, s->keys[i], s->ids[i]);
    }
    c->m = 0;
    return c->deadline_ns && !(++c->n_batches & 15) && now_ns() > c->deadline_ns ? VEC_ETIMEOUT : VEC_OK;
}

static inline int scan_show(scan *c, uint32_t slot) {
    const uint8_t *record = slab_at(&c->st->primary, slot);
    prefetch_record(record, 128);
    c->s->ids[c->m] = slot;
    c->s->primaries[c->m++] = record;
    return c->m == 64 ? scan_flush(c) : VEC_OK;
}

int scan_all(scan *c, const label_set *allowed) {
    uint32_t n = atomic_load_explicit(&c->ix->n_slots, memory_order_acquire);
    int rc = VEC_OK;
    for (uint32_t slot = 0; slot < n && rc == VEC_OK; slot++)
        if (may_return(c->ix, allowed, slot)) rc = scan_show(c, slot);
    return rc == VEC_OK ? scan_flush(c) : rc;
}

/* The allowed labels, one by one through the label map. */
int scan_allowed(scan *c, const label_set *allowed) {
    int rc = VEC_OK;
    for (uint64_t w = 0; w < allowed->n_words; w++)
        for (uint64_t bits = allowed->words[w]; bits && rc == VEC_OK; bits &= bits - 1) {
            uint64_t label = w * 64 + (uint64_t)__builtin_ctzll(bits);
            uint32_t slot = labels_find(&c->ix->labels, label);
            if (slot == NO_SLOT) continue;
            uint64_t meta = meta_get(c->ix, slot);
            if (is_live(meta) && meta_label(meta) == label) rc = scan_show(c, slot);
        }
    return rc == VEC_OK ? scan_flush(c) : rc;
}

/* What is stored and not linked yet; marks it as seen, since it may be linked while the walk is under way. */
int scan_tail(scan *c, const label_set *allowed) {
    vec_index *ix = c->ix;
    uint64_t end = atomic_load_explicit(&ix->tail_end, memory_order_acquire);
    const tail_ring *t = atomic_load_explicit(&ix->tail, memory_order_acquire);
    uint64_t head = atomic_load_explicit(&ix->tail_head, memory_order_acquire);
    int rc = VEC_OK;
    for (uint64_t i = head; i < end && rc == VEC_OK; i++) {
        uint32_t slot = atomic_load_explicit(&((tail_ring *)t)->slot[i & t->mask], memory_order_relaxed);
        if (slot >= c->s->n_slots) continue;
        uint64_t bit = 1ull << (slot & 63), *word = &c->s->visited[slot >> 6];
        if (*word & bit || !may_return(ix, allowed, slot)) continue;
        *word |= bit;
        rc = scan_show(c, slot);
    }
    return rc == VEC_OK ? scan_flush(c) : rc;
}


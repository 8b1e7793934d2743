/* Scans: every slot, or every slot of a filter, against one query or a batch of them. Slots are looked at 64 at a time, in memory
   order; where all of them may be returned, as is usual, no slot is tested on its own. Their keys are compared with the worst
   that is still wanted, 16 in one instruction, and what passes is put at the end of a list; when the list is full, its worst half
   is thrown out. What is kept in the end are the `capacity` best by (key, label). */
#include "search.h"

#include <math.h>

/* 1. Keeping the best. */

static inline int is_before(const vec_index *ix, entry a, entry b) {
    if (a.key != b.key) return a.key < b.key;
    return meta_label(meta_get(ix, a.id)) < meta_label(meta_get(ix, b.id));
}

/* Puts the `most` best of n entries first (quickselect) and returns the worst key among them. Labels of entries that are deleted
   meanwhile change, and with them the order of equal keys: no comparison can be relied on to end a loop. */
static float keep_best(const vec_index *ix, entry *e, uint32_t n, uint32_t most) {
    int64_t lo = 0, hi = (int64_t)n - 1, last = (int64_t)most - 1;
    while (lo < hi) {
        entry pivot = e[lo + (hi - lo) / 2];
        int64_t i = lo, j = hi;
        while (i <= j) {
            while (i < hi && is_before(ix, e[i], pivot)) i++;
            while (j > lo && is_before(ix, pivot, e[j])) j--;
            if (i > j) break;
            entry t = e[i];
            e[i++] = e[j], e[j--] = t;
        }
        if (last <= j) hi = j;
        else if (last >= i) lo = i;
        else break;
    }
    return e[last].key;
}

/* Lists up to this long are kept in order, so that the limit falls with each entry;
   longer ones are cheaper to thin out now and then. */
enum { IN_ORDER = 32 };

/* One more entry of a list; *limit falls when the list was full. */
static inline void hold(const scan *c, entry *list, uint32_t *n, float key, uint32_t id, float *limit) {
    const entry new = {key == key ? key : INFINITY, id};                /* overflow in a float kernel: last */
    if (c->capacity <= IN_ORDER) {
        uint32_t at = *n;
        if (at == c->capacity) {
            if (new.key > *limit || !is_before(c->ix, new, list[at - 1])) return;
            at--;
        } else ++*n;
        for (; at && is_before(c->ix, new, list[at - 1]); at--) list[at] = list[at - 1];
        list[at] = new;
        if (*n == c->capacity) *limit = list[*n - 1].key;
        return;
    }
    list[(*n)++] = new;
    if (*n < scan_room(c->capacity)) return;
    *limit = keep_best(c->ix, list, *n, c->capacity);
    *n = c->capacity;
}

static int begin(scan *c) {
    vec_index *ix = c->ix;
    size_t room = scan_room(c->capacity), all = c->batch ? c->batch->n * room : room;
    c->n = c->m = 0;
    if (all > UINT32_MAX / 2) return VEC_ENOMEM;
    for (uint32_t j = 0; j < MOST_QUERIES; j++) c->n_held[j] = 0, c->limits[j] = c->is_range ? c->reach : INFINITY;
    if (c->is_range) return VEC_OK;
    return c->batch ? GROW(c->s, held, (uint32_t)all) : GROW(c->s, buffer, (uint32_t)all);
}

/* 2. Scoring the slots that wait, BLOCK at most. */

/* One query. */
static int score_alone(scan *c, const query *q, entry *list, uint32_t *n, float *limit) {
    scratch *s = c->s;
    uint16_t masks[BLOCK / GROUP];
    float limits[GROUP];
    for (int j = 0; j < GROUP; j++) limits[j] = *limit;
    c->st->coder->codec->keys(q, s->primaries, c->m, s->keys);
    K.below(s->keys, (c->m + GROUP - 1) / GROUP, limits, masks);
    for (uint32_t g = 0; g * GROUP < c->m; g++)
        for (uint32_t left = c->m - g * GROUP, mask = left < GROUP ? masks[g] & ((1u << left) - 1) : masks[g]; mask;
             mask &= mask - 1) {
            uint32_t i = g * GROUP + (uint32_t)__builtin_ctz(mask);
            if (!c->is_range) hold(c, list, n, s->keys[i], s->ids[i], limit);
            else if (s->keys[i] <= c->reach && note_found(c->ix, s, s->ids[i]) != VEC_OK) return VEC_ENOMEM;
        }
    return VEC_OK;
}

/* Groups of queries in blocks, those that make no group one by one while the records are near. */
static int score_batch(scan *c) {
    scratch *s = c->s;
    batch *b = c->batch;
    size_t room = scan_room(c->capacity);
    uint16_t masks[BLOCK];
    int rc = VEC_OK;
    if (b->n_groups) b->coder->codec->batch_keys(b, s->primaries, c->m, b->keys);
    for (uint32_t g = 0; g < b->n_groups; g++) {
        const float *keys = b->keys + (size_t)g * GROUP * c->m;
        uint32_t n = b->n - g * GROUP, valid = n < GROUP ? (1u << n) - 1 : 0xFFFF;
        K.below(keys, c->m, c->limits + g * GROUP, masks);
        for (uint32_t i = 0; i < c->m; i++)
            for (uint32_t mask = masks[i] & valid; mask; mask &= mask - 1) {
                uint32_t lane = (uint32_t)__builtin_ctz(mask), j = g * GROUP + lane;
                hold(c, s->held + j * room, &c->n_held[j], keys[GROUP * i + lane], s->ids[i], &c->limits[j]);
            }
    }
    for (uint32_t j = b->n_groups * GROUP; j < b->n && rc == VEC_OK; j++)
        rc = score_alone(c, &b->queries[j], s->held + j * room, &c->n_held[j], &c->limits[j]);
    return rc;
}

static int score(scan *c) {
    if (!c->m) return VEC_OK;
    c->s->n_scored += (uint64_t)c->m * (c->batch ? c->batch->n : 1);
    int rc = c->batch ? score_batch(c) : score_alone(c, &c->s->query, c->s->buffer, &c->n, &c->limits[0]);
    c->m = 0;
    if (rc != VEC_OK) return rc;
    return c->deadline_ns && !(++c->n_batches & 15) && now_ns() > c->deadline_ns ? VEC_ETIMEOUT : VEC_OK;
}

static int end(scan *c) {
    int rc = score(c);
    if (rc != VEC_OK || c->is_range) return rc;
    if (c->n > c->capacity) (void)keep_best(c->ix, c->s->buffer, c->n, c->capacity), c->n = c->capacity;
    for (uint32_t j = 0; c->batch && j < c->batch->n; j++) {
        if (c->n_held[j] <= c->capacity) continue;
        (void)keep_best(c->ix, c->s->held + j * scan_room(c->capacity), c->n_held[j], c->capacity);
        c->n_held[j] = c->capacity;
    }
    return VEC_OK;
}

static inline int show(scan *c, uint32_t slot, const uint8_t *record) {
    c->s->ids[c->m] = slot;
    c->s->primaries[c->m++] = record;
    return c->m == BLOCK ? score(c) : VEC_OK;
}

/* 3. What to look at. */

/* Which of `count` <= 64 slots may be returned. Slots that hold labels in a row, as those of an index that was only added to do,
   take theirs from the filter in one piece. */
static uint64_t returnable(const vec_index *ix, const label_set *allowed, uint32_t slot, uint32_t count) {
    const _Atomic uint64_t *metas = meta_at(ix, slot);
    const uint64_t all = count < 64 ? (1ull << count) - 1 : ~0ull;
    uint64_t first = atomic_load_explicit(metas, memory_order_acquire), live = ~0ull, differ = 0, mask = 0;
    if (!allowed->words)
        for (uint32_t i = 0; i < count; i++) {
            uint64_t meta = atomic_load_explicit(metas + i, memory_order_acquire);
            live &= meta ^ meta << 1;  /* the top bit: whether the two state bits differ, which they do in TAIL and LINKED */
        }
    else
        for (uint32_t i = 0; i < count; i++) {
            uint64_t meta = atomic_load_explicit(metas + i, memory_order_acquire);
            live &= meta ^ meta << 1;
            differ |= meta ^ (first + i);
        }
    if (live >> 63 && !allowed->words) return all;
    if (live >> 63 && !differ) {
        uint64_t word = meta_label(first) >> 6, shift = meta_label(first) & 63;
        uint64_t low = word < allowed->n_words ? allowed->words[word] : 0,
                 high = word + 1 < allowed->n_words ? allowed->words[word + 1] : 0;
        return (low >> shift | (shift ? high << (64 - shift) : 0)) & all;
    }
    for (uint32_t i = 0; i < count; i++) mask |= (uint64_t)may_return(ix, allowed, slot + i) << i;
    return mask;
}

int scan_all(scan *c, const label_set *allowed) {
    const uint32_t n = atomic_load_explicit(&c->ix->n_slots, memory_order_acquire);
    const size_t stride = c->st->primary.stride;
    scratch *s = c->s;
    int rc = begin(c);
    for (uint32_t slot = 0; slot < n && rc == VEC_OK; slot += BLOCK) {  /* BLOCK slots lie in one chunk */
        uint32_t count = n - slot < BLOCK ? n - slot : BLOCK;
        uint64_t mask = returnable(c->ix, allowed, slot, count);
        const uint8_t *records = slab_at(&c->st->primary, slot);
        if (mask == ~0ull && !c->m) {
            for (uint32_t i = 0; i < BLOCK; i++) s->ids[i] = slot + i;
            for (uint32_t i = 0; i < BLOCK; i++) s->primaries[i] = records + i * stride;
            c->m = BLOCK;
            rc = score(c);
            continue;
        }
        for (; mask && rc == VEC_OK; mask &= mask - 1) {
            uint32_t i = (uint32_t)__builtin_ctzll(mask);
            rc = show(c, slot + i, records + i * stride);
        }
    }
    return rc == VEC_OK ? end(c) : rc;
}

static inline int show_at_random(scan *c, uint32_t slot) {
    const uint8_t *record = slab_at(&c->st->primary, slot);
    prefetch_record(record, c->st->primary.stride);
    return show(c, slot, record);
}

/* The allowed labels, one by one through the label map. */
int scan_allowed(scan *c, const label_set *allowed) {
    int rc = begin(c);
    for (uint64_t w = 0; w < allowed->n_words; w++)
        for (uint64_t bits = allowed->words[w]; bits && rc == VEC_OK; bits &= bits - 1) {
            uint64_t label = w * 64 + (uint64_t)__builtin_ctzll(bits);
            uint32_t slot = labels_find(&c->ix->labels, label);
            if (slot == NO_SLOT) continue;
            uint64_t meta = meta_get(c->ix, slot);
            if (is_live(meta) && meta_label(meta) == label) rc = show_at_random(c, slot);
        }
    return rc == VEC_OK ? end(c) : rc;
}

/* What is stored and not linked yet; marks it as seen, since it may be linked while the walk is under way. */
int scan_tail(scan *c, const label_set *allowed) {
    vec_index *ix = c->ix;
    uint64_t tail_end = atomic_load_explicit(&ix->tail_end, memory_order_acquire);
    const tail_ring *t = atomic_load_explicit(&ix->tail, memory_order_acquire);
    uint64_t head = atomic_load_explicit(&ix->tail_head, memory_order_acquire);
    int rc = begin(c);
    for (uint64_t i = head; i < tail_end && rc == VEC_OK; i++) {
        uint32_t slot = atomic_load_explicit(&((tail_ring *)t)->slot[i & t->mask], memory_order_relaxed);
        if (slot >= c->s->n_slots) continue;
        uint64_t bit = 1ull << (slot & 63), *word = &c->s->visited[slot >> 6];
        if (*word & bit || !may_return(ix, allowed, slot)) continue;
        *word |= bit;
        rc = show_at_random(c, slot);
    }
    return rc == VEC_OK ? end(c) : rc;
}

/* Documents by words: the best of those that match a conjunction of alternatives, scored by BM25 (S. Robertson, H. Zaragoza, The
   Probabilistic Relevance Framework, 2009). Term at a time: each row has a score so far and a mark, the number of groups that it
   has matched; only the rows of the first group are looked at again, and only they are cleared. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "vec.h"

enum { NO_ROW = UINT32_MAX, EXCLUDED = 255 };

struct vec_text {
    double *scores;             /* by row; valid where the mark is not 0 */
    uint8_t *marks;             /* by row; 0 between calls */
    uint32_t *touched;
    uint64_t size;
    struct placed *placed;      /* rows to be sorted by doc id, twice */
    uint64_t n_placed;
};

struct placed { uint64_t id; uint32_t row; };

int vec_text_create(vec_text **out) {
    *out = calloc(1, sizeof **out);
    return *out ? VEC_OK : VEC_ENOMEM;
}

void vec_text_free(vec_text *t) {
    if (!t) return;
    free(t->scores);
    free(t->marks);
    free(t->touched);
    free(t->placed);
    free(t);
}

static int reserve(vec_text *t, uint64_t n) {
    if (n <= t->size) return VEC_OK;
    uint64_t size = n + n / 8 + 1024;
    double *scores = malloc(size * sizeof *scores);
    uint8_t *marks = calloc(size, 1);
    uint32_t *touched = malloc(size * sizeof *touched);
    if (!scores || !marks || !touched) {
        free(scores);
        free(marks);
        free(touched);
        return VEC_ENOMEM;
    }
    free(t->scores);
    free(t->marks);
    free(t->touched);
    t->scores = scores, t->marks = marks, t->touched = touched, t->size = size;
    return VEC_OK;
}

typedef struct {
    const vec_text_docs *docs;
    double flat, slope;         /* what is added to a frequency in the denominator: flat + slope * length */
    int is_wanted;              /* whether scores are */
} measure;

/* What a term of this weight adds; in this order of operations the sums agree with Redis's to the last digit. */
static double saturated(const measure *m, double weight, uint32_t freq, uint32_t length) {
    return weight * (freq * (m->docs->k1 + 1)) / (freq + m->flat + m->slope * length);
}

/* What a leaf adds to the score of a row, 0 where nobody wants that. */
static inline double value_of(const measure *m, const vec_text_leaf *leaf, uint32_t freq, uint32_t length) {
    return m->is_wanted ? saturated(m, leaf->weight, freq, length) : 0;
}

static uint32_t length_of(const vec_text_docs *d, uint32_t row) {
    int64_t number = row < d->n_rows ? d->number_of[row] : -1;
    return number < 0 ? 0 : d->lengths[number];
}

/* A row that one of a group's leaves has. `before`: how many groups are before this one. */
static inline void hit(vec_text *t, uint64_t *n_touched, uint32_t row, uint8_t before, int kind, double value) {
    uint8_t mark = t->marks[row];
    if (mark == before && (before || kind != VEC_TEXT_PERHAPS)) {
        if (kind == VEC_TEXT_NOT) {
            t->marks[row] = EXCLUDED;
        } else if (kind == VEC_TEXT_PERHAPS) {
            t->scores[row] += value;
        } else if (before) {
            t->marks[row] = before + 1, t->scores[row] += value;
        } else {
            t->marks[row] = 1, t->scores[row] = value;
            t->touched[(*n_touched)++] = row;
        }
    } else if (mark == before + 1 && kind == VEC_TEXT_ANY) {
        t->scores[row] += value;
    }
}

/* Whether a row's number lies in the leaf's range. */
static inline int is_within(const vec_text_leaf *leaf, uint32_t row) {
    return row < leaf->n_column && leaf->column[row] >= leaf->low && leaf->column[row] <= leaf->high;
}

/* Whether it takes less to look for each of the rows among a leaf's n entries than to go through these. */
static inline int is_sparse(uint64_t n_rows, uint64_t n) {
    return n > 64 && n_rows * (uint64_t)(70 - __builtin_clzll(n)) < n;
}

/* What a leaf has of the rows that the groups before want: postings, or rows in order. */
static void seek_leaf(vec_text *t, const measure *m, const vec_text_leaf *leaf, uint8_t before, int kind, uint64_t *n_touched) {
    const vec_text_docs *d = m->docs;
    const uint64_t *postings = leaf->postings;
    const uint32_t *rows = leaf->postings;
    const int is_set = leaf->what == VEC_TEXT_SET;
    for (uint64_t i = 0, n = *n_touched; i < n; i++) {
        const uint32_t row = t->touched[i];
        if (t->marks[row] < before) continue;
        const int64_t number = row < d->n_rows ? d->number_of[row] : -1;
        if (number < 0 && !is_set) continue;
        const uint64_t wanted = is_set ? row : (uint64_t)number << 32;
        uint64_t first = 0, left = leaf->n;
        while (left) {                                  /* the first that is not less */
            const uint64_t half = left / 2;
            const int is_less = (is_set ? rows[first + half] : postings[first + half]) < wanted;
            first += is_less ? half + 1 : 0, left = is_less ? left - half - 1 : half;
        }
        if (first == leaf->n) continue;
        if (is_set) {
            if (rows[first] != row) continue;
            hit(t, n_touched, row, before, kind, leaf->weight != 0 ? value_of(m, leaf, 1, length_of(d, row)) : 0);
            continue;
        }
        const uint64_t posting = postings[first];
        if (posting >> 32 != (uint64_t)number || (leaf->fits && !leaf->fits[posting >> 16 & 0xffff])) continue;
        hit(t, n_touched, row, before, kind, value_of(m, leaf, posting & 0xffff, d->lengths[number]));
    }
}

static void run_leaf(vec_text *t, const measure *m, const vec_text_leaf *leaf, uint8_t before, int kind, uint64_t *n_touched) {
    const vec_text_docs *d = m->docs;
    const uint8_t *fits = leaf->fits;
    if (before && (leaf->what == VEC_TEXT_POSTINGS || leaf->what == VEC_TEXT_SET) && is_sparse(*n_touched, leaf->n)) {
        seek_leaf(t, m, leaf, before, kind, n_touched);
        return;
    }
    if (leaf->what != VEC_TEXT_POSTINGS) {
        const uint32_t *rows = leaf->what == VEC_TEXT_EACH ? t->touched : leaf->postings;
        const uint64_t n = leaf->what == VEC_TEXT_EACH ? *n_touched : leaf->n;
        for (uint64_t i = 0; i < n; i++) {
            uint32_t row = rows[i];
            if (row >= d->n_ids || (leaf->column && !is_within(leaf, row))) continue;
            const int counts = m->is_wanted && leaf->weight != 0 && (!before || t->marks[row] >= before);
            double value = counts ? value_of(m, leaf, 1, length_of(d, row)) : 0;
            hit(t, n_touched, row, before, kind, value);
        }
        return;
    }
    const uint64_t *postings = leaf->postings;
    for (uint64_t i = 0; i < leaf->n; i++) {
        uint64_t posting = postings[i];
        uint32_t number = posting >> 32;
        if (fits && !fits[posting >> 16 & 0xffff]) continue;
        uint32_t row = d->row_of[number];
        if (row == NO_ROW || (before && t->marks[row] < before)) continue;
        hit(t, n_touched, row, before, kind, value_of(m, leaf, posting & 0xffff, d->lengths[number]));
    }
}

/* Whether the words of a document hold these behind one another. */
static int has_phrase(const vec_text_docs *d, uint32_t row, const uint32_t *terms, uint32_t n) {
    int64_t number = row < d->n_rows ? d->number_of[row] : -1;
    if (number < 0) return 0;
    const uint32_t *words = d->words + d->starts[number];
    uint64_t n_words = d->starts[number + 1] - d->starts[number];
    for (uint64_t i = 0; i + n <= n_words; i++) {
        uint32_t j = 0;
        while (j < n && words[i + j] == terms[j]) j++;
        if (j == n) return 1;
    }
    return 0;
}

static int has_phrases(const vec_text_docs *d, uint32_t row, const uint32_t *phrases, uint64_t n) {
    for (uint64_t i = 0; i < n; i += 1 + phrases[i])
        if (!has_phrase(d, row, phrases + i + 1, phrases[i])) return 0;
    return 1;
}

/* Whether one result comes behind another: a lower score, or a later document with the same; nan is the lowest. */
static inline int is_behind(const vec_text_docs *d, double score, uint32_t row, double other_score, uint32_t other) {
    if (score < other_score) return 1;
    if (score > other_score) return 0;
    const int is_nan = score != score, is_other_nan = other_score != other_score;
    if (is_nan != is_other_nan) return is_nan;
    return d->is_descending ? d->doc_ids[row] < d->doc_ids[other] : d->doc_ids[row] > d->doc_ids[other];
}

/* A row's key as a score: the greater the earlier it comes. */
static inline double key_of(const vec_text_docs *d, uint32_t row) {
    if (row >= d->n_keys) return NAN;
    return d->is_descending ? d->keys[row] : -d->keys[row];
}

static void sift_down(const vec_text_docs *d, uint32_t *rows, double *scores, uint64_t n, uint64_t at) {
    uint32_t row = rows[at];
    double score = scores[at];
    for (;;) {
        uint64_t child = 2 * at + 1;
        if (child >= n) break;
        if (child + 1 < n && is_behind(d, scores[child + 1], rows[child + 1], scores[child], rows[child])) child++;
        if (!is_behind(d, scores[child], rows[child], score, row)) break;
        rows[at] = rows[child], scores[at] = scores[child];
        at = child;
    }
    rows[at] = row, scores[at] = score;
}

static void sift_up(const vec_text_docs *d, uint32_t *rows, double *scores, uint64_t at) {
    uint32_t row = rows[at];
    double score = scores[at];
    while (at) {
        uint64_t parent = (at - 1) / 2;
        if (!is_behind(d, score, row, scores[parent], rows[parent])) break;
        rows[at] = rows[parent], scores[at] = scores[parent];
        at = parent;
    }
    rows[at] = row, scores[at] = score;
}

/* Marks what matches the groups; returns how many of them want something. */
static uint8_t run_groups(vec_text *t, const measure *m, const vec_text_leaf *leaves, const uint32_t *groups, uint64_t n_groups,
                          uint64_t *n_touched) {
    uint64_t leaf = 0;
    uint8_t before = 0;
    for (uint64_t g = 0; g < n_groups; g++) {
        int kind = groups[2 * g];
        for (uint32_t i = 0; i < groups[2 * g + 1]; i++) run_leaf(t, m, &leaves[leaf++], before, kind, n_touched);
        if (kind == VEC_TEXT_ANY || kind == VEC_TEXT_FIRST) before++;
    }
    return before;
}

int64_t vec_text_top(vec_text *t, const vec_text_docs *docs, const vec_text_leaf *leaves, const uint32_t *groups,
                     uint64_t n_groups, const uint32_t *phrases, uint64_t n_phrases, uint64_t k, uint32_t *rows, double *scores,
                     uint64_t *n_rows) {
    if (reserve(t, docs->n_ids)) return VEC_ENOMEM;
    measure m = {docs, docs->k1 * (1 - docs->b), docs->mean_length > 0 ? docs->k1 * docs->b / docs->mean_length : 0, !docs->keys};
    uint64_t n_touched = 0, total = 0, n = 0;
    const uint8_t before = run_groups(t, &m, leaves, groups, n_groups, &n_touched);
    for (uint64_t i = 0; i < n_touched; i++) {
        uint32_t row = t->touched[i];
        uint8_t mark = t->marks[row];
        t->marks[row] = 0;
        if (mark != before || (n_phrases && !has_phrases(docs, row, phrases, n_phrases))) continue;
        total++;
        double score = docs->keys ? key_of(docs, row) : t->scores[row] * docs->own;
        if (n < k) {
            rows[n] = row, scores[n] = score;
            sift_up(docs, rows, scores, n++);
        } else if (k && is_behind(docs, scores[0], rows[0], score, row)) {
            rows[0] = row, scores[0] = score;
            sift_down(docs, rows, scores, k, 0);
        }
    }
    for (uint64_t end = n; end > 1; end--) {            /* the hindmost to the end, again and again */
        uint32_t row = rows[0];
        double score = scores[0];
        rows[0] = rows[end - 1], scores[0] = scores[end - 1];
        sift_down(docs, rows, scores, end - 1, 0);
        rows[end - 1] = row, scores[end - 1] = score;
    }
    *n_rows = n;
    return (int64_t)total;
}

enum { DIGIT = 11, FEW = 48 };

/* Sorts rows by doc id: a digit at a time from the last one on, few of them by insertion. */
static int sort_by_id(vec_text *t, const int64_t *doc_ids, uint32_t *rows, uint64_t n) {
    if (2 * n > t->n_placed) {
        struct placed *more = realloc(t->placed, (2 * n + 64) * sizeof *more);
        if (!more) return VEC_ENOMEM;
        t->placed = more, t->n_placed = 2 * n + 64;
    }
    struct placed *from = t->placed, *to = t->placed + n;
    uint64_t any = 0;
    for (uint64_t i = 0; i < n; i++) from[i] = (struct placed){(uint64_t)doc_ids[rows[i]], rows[i]}, any |= from[i].id;
    if (n <= FEW) {
        for (uint64_t i = 1; i < n; i++) {
            const struct placed one = from[i];
            uint64_t j = i;
            for (; j && from[j - 1].id > one.id; j--) from[j] = from[j - 1];
            from[j] = one;
        }
        any = 0;
    }
    for (int shift = 0; shift < 64 && any >> shift; shift += DIGIT) {
        uint32_t starts[1 << DIGIT] = {0}, start = 0;
        const uint64_t mask = (1 << DIGIT) - 1;
        for (uint64_t i = 0; i < n; i++) starts[from[i].id >> shift & mask]++;
        for (uint64_t d = 0; d <= mask; d++) {
            const uint32_t count = starts[d];
            starts[d] = start, start += count;
        }
        for (uint64_t i = 0; i < n; i++) to[starts[from[i].id >> shift & mask]++] = from[i];
        struct placed *other = from;
        from = to, to = other;
    }
    for (uint64_t i = 0; i < n; i++) rows[i] = from[i].row;
    return VEC_OK;
}

int64_t vec_text_rows(vec_text *t, const vec_text_docs *docs, const vec_text_leaf *leaves, const uint32_t *groups,
                      uint64_t n_groups, const uint32_t *phrases, uint64_t n_phrases, const uint32_t **rows) {
    if (reserve(t, docs->n_ids)) return VEC_ENOMEM;
    const measure m = {docs, 0, 0, 0};
    uint64_t n_touched = 0, n = 0;
    const uint8_t before = run_groups(t, &m, leaves, groups, n_groups, &n_touched);
    for (uint64_t i = 0; i < n_touched; i++) {
        const uint32_t row = t->touched[i];
        const uint8_t mark = t->marks[row];
        t->marks[row] = 0;
        if (mark == before && (!n_phrases || has_phrases(docs, row, phrases, n_phrases))) t->touched[n++] = row;
    }
    if (!vec_are_ascending(docs->doc_ids, t->touched, n) && sort_by_id(t, docs->doc_ids, t->touched, n)) return VEC_ENOMEM;
    *rows = t->touched;
    return (int64_t)n;
}

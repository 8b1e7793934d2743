/* Which of many sorted words are few edits from another (V. Levenshtein, 1966): a walk over the words as over a trie.

   For each character of the word at hand there is a row of the table of edits; what a word shares with the one before keeps its
   rows, and where no cell of a row is within the distance all words that begin like that are stepped over. Only cells near the
   diagonal can be within it, so a row has 2 * distance + 1 of them. */
#include <stdlib.h>
#include <string.h>

#include "index.h"

/* What bytes that are not UTF-8 count as: as many of them as begin a character, one at least. */
enum { REPLACEMENT = 0xFFFD, LOOSE = UINT32_MAX };

/* The character at p, of n bytes at most, and how many it takes. Returns whether these are UTF-8. */
static int decode(const unsigned char *p, uint32_t n, uint32_t *character, uint32_t *size) {
    const unsigned char lead = *p;
    *character = lead, *size = 1;
    if (lead < 0x80) return 1;
    *character = REPLACEMENT;
    if (lead < 0xC2 || lead > 0xF4) return 0;
    const uint32_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    uint32_t value = lead & (0xFFu >> (length + 1));
    unsigned char low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80, high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    for (; *size < length; ++*size, low = 0x80, high = 0xBF) {
        if (*size >= n || p[*size] < low || p[*size] > high) return 0;
        value = value << 6 | (p[*size] & 0x3F);
    }
    *character = value;
    return 1;
}

typedef struct {
    uint32_t n, distance, width;                /* n: characters of the target; width: cells of a row */
    uint32_t *target;
    uint32_t *characters, *ends;                /* of the word at hand: its characters, and where each ends; LOOSE where more
                                                   bytes might have made it another */
    uint8_t *cells;                             /* row i: edits from its first i characters to the
                                                   target's first i + b - distance */
} table;

static void make_row(table *t, uint32_t i) {
    const uint32_t far = t->distance + 1;
    const uint8_t *above = t->cells + (size_t)(i - 1) * t->width;
    uint8_t *row = t->cells + (size_t)i * t->width;
    for (uint32_t b = 0; b < t->width; b++) {
        int64_t j = (int64_t)i + b - t->distance;
        uint32_t best = far;
        if (j == 0) best = i;
        else if (j > 0 && j <= t->n) {
            best = above[b] + (t->target[j - 1] != t->characters[i - 1]);
            if (b + 1 < t->width && above[b + 1] + 1u < best) best = above[b + 1] + 1u;
            if (b && row[b - 1] + 1u < best) best = row[b - 1] + 1u;
        }
        row[b] = (uint8_t)(best < far ? best : far);
    }
}

static int is_dead(const table *t, uint32_t i) {
    const uint8_t *row = t->cells + (size_t)i * t->width;
    for (uint32_t b = 0; b < t->width; b++)
        if (row[b] <= t->distance) return 0;
    return 1;
}

/* Whether the first i characters are near the whole target. As in Redis, two that changed places at the very end are one edit. */
static int is_near(const table *t, uint32_t i) {
    const int64_t b = (int64_t)t->n - i + t->distance;
    if (b < 0 || b >= t->width) return 0;
    if (t->cells[(size_t)i * t->width + (size_t)b] <= t->distance) return 1;
    if (i < 2 || t->n < 2) return 0;
    const uint32_t *end = t->characters + i, *other = t->target + t->n;
    return end[-1] == other[-2] && end[-2] == other[-1] && end[-1] != end[-2]
        && t->cells[(size_t)(i - 2) * t->width + (size_t)b] < t->distance;
}

static int begins(const char *words, const uint64_t *starts, uint64_t i, const char *prefix, uint32_t n) {
    return starts[i + 1] - starts[i] > n && !memcmp(words + starts[i], prefix, n);
}

/* The first word behind word i that does not begin with its first n bytes. */
static uint64_t after(const char *words, const uint64_t *starts, uint64_t n_words, uint64_t i, uint32_t n) {
    const char *prefix = words + starts[i];
    uint64_t low = i, high = i + 1, step = 1;
    for (; high < n_words && begins(words, starts, high, prefix, n); step *= 2) {
        low = high;
        high = high + step < n_words ? high + step : n_words;
    }
    while (low + 1 < high) {
        uint64_t middle = low + (high - low) / 2;
        if (begins(words, starts, middle, prefix, n)) low = middle;
        else high = middle;
    }
    return low + 1;
}

/* Continues the table with a word from its `depth` first characters on. Returns how many it has come to; *dead: how many bytes no
   word near the target begins with, 0 if it came to the end. */
static uint32_t read_word(table *t, const char *word, uint32_t n, uint32_t depth, uint32_t *dead) {
    *dead = 0;
    for (uint32_t at = depth ? t->ends[depth] : 0, size; at < n; at += size) {
        int is_firm = decode((const unsigned char *)word + at, n - at, &t->characters[depth], &size);
        t->ends[++depth] = is_firm ? at + size : LOOSE;
        make_row(t, depth);
        if (is_dead(t, depth)) {
            *dead = is_firm ? at + size : LOOSE;
            break;
        }
    }
    return depth;
}

int64_t vec_words_near(const char *words, const uint64_t *starts, uint64_t n_words, const char *target, uint32_t n_target,
                       uint32_t distance, uint32_t *out, uint64_t most) {
    if (distance > 200) return VEC_EARG;
    table t = {.distance = distance, .width = 2 * distance + 1};
    const size_t rows = (size_t)n_target + distance + 3;
    t.target = malloc(((size_t)n_target + 1) * sizeof *t.target);
    t.characters = malloc(rows * sizeof *t.characters), t.ends = malloc(rows * sizeof *t.ends);
    t.cells = malloc(rows * t.width);
    int64_t n_found = VEC_ENOMEM;
    if (t.target && t.characters && t.ends && t.cells) {
        for (uint32_t at = 0, size; at < n_target; at += size)
            decode((const unsigned char *)target + at, n_target - at, &t.target[t.n++], &size);
        for (uint32_t b = 0; b < t.width; b++)
            t.cells[b] = (uint8_t)(b < distance || b - distance > t.n ? distance + 1 : b - distance);
        n_found = 0;
        const char *before = NULL;
        uint32_t depth = 0;
        for (uint64_t i = 0; i < n_words && (uint64_t)n_found < most;) {
            const char *word = words + starts[i];
            uint32_t n = (uint32_t)(starts[i + 1] - starts[i] - 1), shared = 0, dead, kept = 0;
            for (; kept < depth && t.ends[kept + 1] <= n; kept++) {
                while (shared < t.ends[kept + 1] && word[shared] == before[shared]) shared++;
                if (shared < t.ends[kept + 1]) break;
            }
            depth = read_word(&t, word, n, kept, &dead);
            before = word;
            if (!dead && is_near(&t, depth)) out[n_found++] = (uint32_t)i;
            i = dead && dead != LOOSE ? after(words, starts, n_words, i, dead) : i + 1;
        }
    }
    free(t.target), free(t.characters), free(t.ends), free(t.cells);
    return n_found;
}

/* Replies to searches as a server sends them: the names of labels, kept ready-made, and distances as text, written behind one
   another in a form that the caller gives. Nothing here knows the protocol: the form's pieces are the caller's bytes. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vec.h"

/* 1. Names. Short ones, nearly all, lie in the table itself:
   one line of cache for four labels, or for two once one does not fit so. */

enum { NARROW = 16, WIDE = 32, IS_LONG = 255, MAX_DISTANCE_TEXT = 32, MAX_COUNT_TEXT = 20 };
/* A table of more labels is not made wide at once, which would take a millisecond and more, but when it grows. */
enum { MOST_WIDENED = 1 << 16 };

/* The first NARROW bytes of a label's place, or all. */
typedef union {
    struct { uint8_t n; char text[NARROW - 1]; } near;                      /* in a wide one the text is longer */
    struct { uint8_t n, unused[3]; uint32_t length; char *text; } far;      /* n is IS_LONG */
} name;

_Static_assert(sizeof(name) == NARROW, "a name has a place of this width");

struct vec_names {
    char *table;
    uint64_t n, size, width;
    uint64_t far_bytes;
};

static name *name_at(const vec_names *t, uint64_t label) { return (name *)(void *)(t->table + label * t->width); }

int vec_names_create(vec_names **out) {
    *out = calloc(1, sizeof **out);
    if (!*out) return VEC_ENOMEM;
    (*out)->width = NARROW;
    return VEC_OK;
}

static void forget(vec_names *t, name *at) {
    if (at->near.n == IS_LONG) t->far_bytes -= at->far.length, free(at->far.text);
    at->near.n = 0;
}

void vec_names_clear(vec_names *t) {
    for (uint64_t i = 0; t->far_bytes && i < t->n; i++) forget(t, name_at(t, i));
    free(t->table);
    *t = (vec_names){.table = NULL, .width = NARROW};
}

void vec_names_free(vec_names *t) {
    if (!t) return;
    vec_names_clear(t);
    free(t);
}

static uint64_t grown(uint64_t size, uint64_t label) {
    if (!size) size = 64;
    while (size <= label) size += size / 2;
    return size;
}

uint64_t vec_names_bytes_of(uint64_t n, uint64_t length) {
    return n ? grown(0, n - 1) * (length >= NARROW && length < WIDE ? WIDE : NARROW) + (length >= WIDE ? n * length : 0) : 0;
}

/* Makes the places of a narrow table wide, where there is memory for that. */
static void widen(vec_names *t, uint64_t size) {
    char *more = realloc(t->table, size * WIDE);
    if (!more) return;
    t->table = more, t->size = size, t->width = WIDE;
    for (uint64_t i = t->n; i-- > 0;) {
        name one, *at = name_at(t, i);
        memcpy(&one, more + i * NARROW, NARROW);
        if (one.near.n == IS_LONG && one.far.length < WIDE) {  /* came when the table was too large to be made wide at once */
            at->near.n = (uint8_t)one.far.length;
            memcpy((char *)at + 1, one.far.text, one.far.length);
            t->far_bytes -= one.far.length, free(one.far.text);
        } else *at = one;
    }
}

int vec_names_set(vec_names *t, uint64_t label, const char *text, uint32_t n) {
    const int is_wanted_wide = t->width == NARROW && n >= NARROW && n < WIDE;
    if (label >= t->n) {
        if (!n) return VEC_OK;
        if (label >= t->size && is_wanted_wide) widen(t, grown(t->size, label));
        if (label >= t->size) {
            uint64_t size = grown(t->size, label);
            char *more = realloc(t->table, size * t->width);
            if (!more) return VEC_ENOMEM;
            t->table = more, t->size = size;
        }
    }
    if (is_wanted_wide && t->width == NARROW && t->n <= MOST_WIDENED) widen(t, t->size);
    if (label >= t->n) {
        memset(t->table + t->n * t->width, 0, (label + 1 - t->n) * t->width);
        t->n = label + 1;
    }
    name *at = name_at(t, label);
    forget(t, at);
    if (n < t->width) {
        at->near.n = (uint8_t)n;
        if (n) memcpy((char *)at + 1, text, n);
        return VEC_OK;
    }
    char *copy = malloc(n);
    if (!copy) return VEC_ENOMEM;
    memcpy(copy, text, n);
    at->far.n = IS_LONG, at->far.length = n, at->far.text = copy;
    t->far_bytes += n;
    return VEC_OK;
}

static char *put_integer(char *out, uint64_t value) {
    char digits[MAX_COUNT_TEXT];
    int n = 0;
    do digits[n++] = (char)('0' + value % 10);
    while (value /= 10);
    while (n) *out++ = digits[--n];
    return out;
}

/* "$LENGTH\r\n" into out; returns its length. */
static uint32_t put_head(char *out, uint32_t n) {
    char *end = out;
    *end++ = '$';
    end = put_integer(end, n);
    *end++ = '\r', *end++ = '\n';
    return (uint32_t)(end - out);
}

int vec_names_fill(vec_names *t, const char *text, const uint32_t *lengths, uint64_t n) {
    char small[128], *out = small;
    uint64_t size = sizeof small;
    int rc = VEC_OK;
    for (uint64_t i = n; i-- > 0;) text += lengths[i] == UINT32_MAX ? 0 : lengths[i];
    for (uint64_t i = n; i-- > 0 && rc == VEC_OK;) {    /* from the last on: the table grows once */
        uint32_t length = lengths[i];
        if (length == UINT32_MAX) continue;
        text -= length;
        if (length + (uint64_t)MAX_COUNT_TEXT + 5 > size) {
            if (out != small) free(out);
            size = length + (uint64_t)MAX_COUNT_TEXT + 5;
            out = malloc(size);
            if (!out) return VEC_ENOMEM;
        }
        uint32_t head = put_head(out, length);
        memcpy(out + head, text, length);
        memcpy(out + head + length, "\r\n", 2);
        rc = vec_names_set(t, i, out, head + length + 2);
    }
    if (out != small) free(out);
    return rc;
}

uint32_t vec_names_get(const vec_names *t, uint64_t label, const char **text) {
    if (label >= t->n) return 0;
    const name *at = name_at(t, label);
    if (at->near.n == IS_LONG) {
        *text = at->far.text;
        return at->far.length;
    }
    *text = (const char *)at + 1;
    return at->near.n;
}

uint64_t vec_names_bytes(const vec_names *t) { return t->size * t->width + t->far_bytes; }

/* 2. Distances as text. */

static const uint64_t POWERS_OF_10[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000, 10000000000,
                                        100000000000, 1000000000000};
static const uint64_t POWERS_OF_5[] = {1,         5,          25,         125,         625,         3125,
                                       15625,     78125,      390625,     1953125,     9765625,     48828125,
                                       244140625, 1220703125, 6103515625, 30517578125, 152587890625};

/* What printf's %.12g writes, for 1e-4 <= value < 1e11. The digits are those of value * 10^places rounded to even, which a
   double's 53 bits times 5^16 give exactly in 128 bits. */
static char *put_significant(char *out, double value) {
    int binary, places = 11;                    /* of the last digit after the point; 12 digits in all */
    for (double power = 1; value >= power * 10; power *= 10) places--;
    for (double power = 1; value < power; power /= 10) places++;            /* may be one off at the edge: mended below */
    uint64_t mantissa = (uint64_t)ldexp(frexp(value, &binary), 53), digits;
    for (;; places--) {
        unsigned __int128 scaled = (unsigned __int128)mantissa * POWERS_OF_5[places];
        int shift = 53 - binary - places;       /* value * 10^places == scaled / 2^shift */
        if (shift <= 0) digits = (uint64_t)(scaled << -shift);
        else {
            unsigned __int128 half = (unsigned __int128)1 << (shift - 1), rest = scaled & (2 * half - 1);
            digits = (uint64_t)(scaled >> shift);
            digits += rest > half || (rest == half && (digits & 1));
        }
        if (digits < POWERS_OF_10[12]) break;
    }
    while (places && digits % 10 == 0) digits /= 10, places--;
    if (places <= 12) {
        out = put_integer(out, digits / POWERS_OF_10[places]);
        digits %= POWERS_OF_10[places];
    } else *out++ = '0';
    if (!places) return out;
    *out++ = '.';
    for (int i = places; i--; digits /= 10) out[i] = (char)('0' + digits % 10);
    return out + places;
}

/* Whole numbers without a point, others with 12 significant digits. `out` has room for MAX_DISTANCE_TEXT. */
static char *put_distance(char *out, double d) {
    if (d == d && d > -1e17 && d < 1e17 && d == (double)(int64_t)d) {
        if (d < 0) *out++ = '-';
        return put_integer(out, (uint64_t)(d < 0 ? -d : d));
    }
    double size = fabs(d);
    if (size >= 1e-4 && size < 1e11) {
        if (d < 0) *out++ = '-';
        return put_significant(out, size);
    }
    if (d != d) return memcpy(out, "nan", 3), out + 3;
    return out + snprintf(out, MAX_DISTANCE_TEXT, "%.12g", d);
}

uint32_t vec_distance_text(double distance, char *out) { return (uint32_t)(put_distance(out, distance) - out); }

/* 3. Replies. */

typedef struct { const char *text[VEC_FORM_PIECES]; const uint32_t *n; } pieces;

static char *put(char *out, const pieces *p, int i) {
    memcpy(out, p->text[i], p->n[i]);
    return out + p->n[i];
}

static size_t size_around(const vec_form *f) {
    size_t size = 2 * MAX_COUNT_TEXT;
    for (int i = 0; i < VEC_FORM_PIECES; i++) size += f->lengths[i];
    return size;
}

static size_t size_of_row(const vec_names *t, const vec_form *f, uint64_t label) {
    const char *text;
    size_t size = (size_t)f->lengths[VEC_BEFORE_ROW] + f->lengths[VEC_BEFORE_DISTANCE] + f->lengths[VEC_AFTER_ROW] + 7
                  + MAX_DISTANCE_TEXT;
    return size + vec_names_get(t, label, &text) + (f->rest ? vec_names_get(f->rest, label, &text) : 0);
}

static char *put_row(char *out, const vec_names *t, const vec_form *f, const pieces *p, uint64_t label, const double *distance) {
    const char *text = NULL;
    uint32_t length = vec_names_get(t, label, &text);
    out = put(out, p, VEC_BEFORE_ROW);
    if (length) memcpy(out, text, length);
    out = put(out + length, p, VEC_BEFORE_DISTANCE);
    if (distance) {
        char digits[MAX_DISTANCE_TEXT];
        uint32_t m = (uint32_t)(put_distance(digits, *distance) - digits);
        *out++ = '$';
        out = put_integer(out, m);
        *out++ = '\r', *out++ = '\n';
        memcpy(out, digits, m);
        out += m;
        *out++ = '\r', *out++ = '\n';
    }
    if (f->rest) {
        length = vec_names_get(f->rest, label, &text);
        memcpy(out, text, length);
        out += length;
    }
    return put(out, p, VEC_AFTER_ROW);
}

static char *put_begin(char *out, const vec_form *f, const pieces *p, uint64_t n, uint64_t total) {
    out = put_integer(put(out, p, VEC_START), (f->is_total_first ? 1 : 0) + (uint64_t)f->per_row * n);
    out = put(out, p, VEC_AFTER_COUNT);
    return f->is_total_first ? put(put_integer(out, total), p, VEC_AFTER_TOTAL) : out;
}

static char *put_end(char *out, const vec_form *f, const pieces *p, uint64_t total) {
    return f->is_total_first ? out : put(put_integer(put(out, p, VEC_BEFORE_TOTAL), total), p, VEC_AFTER_TOTAL);
}

static pieces pieces_of(const vec_form *f) {
    pieces p = {.n = f->lengths};
    const char *text = f->pieces;
    for (int i = 0; i < VEC_FORM_PIECES; i++) p.text[i] = text, text += f->lengths[i];
    return p;
}

/* Puts labels with equal distances in order. */
static void settle_ties(const int64_t *order, uint64_t *labels, const double *distances, uint32_t n) {
    for (uint32_t i = 1; i < n; i++)
        for (uint32_t j = i; j && distances[j - 1] == distances[i] && order[labels[j - 1]] > order[labels[j]]; j--) {
            uint64_t label = labels[j];
            labels[j] = labels[j - 1], labels[j - 1] = label;
        }
}

static int knows_all(const vec_names *rest, const uint64_t *labels, int64_t n) {
    const char *text;
    for (int64_t i = 0; rest && i < n; i++)
        if (!vec_names_get(rest, labels[i], &text)) return 0;
    return 1;
}

int64_t vec_write_replies(const vec_names *t, const vec_form *f, const int64_t *order, size_t n, size_t k, uint64_t *labels,
                          const double *distances, const int64_t *counts, char *out, size_t size, uint64_t *ends) {
    const pieces p = pieces_of(f);
    size_t wanted = 0;
    for (size_t i = 0; i < n; i++) {
        if (counts[i] >= 0) wanted += size_around(f);
        for (int64_t j = 0; j < counts[i]; j++) wanted += size_of_row(t, f, labels[i * k + (size_t)j]);
    }
    if (wanted > size) return -(int64_t)wanted;
    char *at = out;
    for (size_t i = 0; i < n; i++) {
        if (counts[i] >= 0 && knows_all(f->rest, labels + i * k, counts[i])) {
            const uint64_t total = (uint64_t)counts[i], *found = labels + i * k;
            settle_ties(order, labels + i * k, distances + i * k, (uint32_t)total);
            at = put_begin(at, f, &p, total, total);
            for (size_t j = 0; j < total; j++)
                at = put_row(at, t, f, &p, found[j], f->has_distance ? &distances[i * k + j] : NULL);
            at = put_end(at, f, &p, total);
        }
        ends[i] = (uint64_t)(at - out);
    }
    return at - out;
}

int64_t vec_write_page(const vec_names *t, const vec_form *f, uint64_t total, const uint32_t *rows, uint64_t n, char *out,
                       size_t size) {
    const pieces p = pieces_of(f);
    const char *text;
    size_t wanted = size_around(f);
    for (uint64_t i = 0; i < n; i++) {
        if (f->rest && !vec_names_get(f->rest, rows[i], &text)) return 0;
        wanted += size_of_row(t, f, rows[i]);
    }
    if (wanted > size) return -(int64_t)wanted;
    char *at = put_begin(out, f, &p, n, total);
    for (uint64_t i = 0; i < n; i++) at = put_row(at, t, f, &p, rows[i], NULL);
    return put_end(at, f, &p, total) - out;
}

/* Rows by what they are grouped by: the numbers of groups by hashing, then for each reducer one pass over the rows; groups in
   order, and as rows of a reply. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vec.h"

enum { LEAST_TABLE = 256, MOST_KEPT_TABLE = 1 << 16, LEAST_GROUPS = 64, N_MET = 128, MAX_NUMBER_TEXT = 40 };

/* Of one reducer and group. */
typedef struct {
    double total, squares;      /* DEVIATION: the mean so far, and the squares of differences from it */
    int64_t n;
} state;

/* The numbers of QUANTILE, the different values of DIFFERENT: with the groups in which they are. */
typedef struct {
    uint32_t *groups, *table;   /* table: one more than the place of an entry; of DIFFERENT alone */
    double *values;
    uint64_t n, size, mask;
} entries;

struct vec_groups {
    vec_group_reducer *reducers;
    entries *entries;           /* by reducer */
    uint32_t n_keys, n_reducers, most_reducers;
    uint64_t n, size;
    double *keys;               /* n_keys of each group */
    state *states;              /* n_reducers of each group */
    uint32_t *table;            /* one more than the number of a group */
    uint64_t mask;
    uint32_t *of_rows;
    uint64_t most_rows;
    double *results;            /* keys and results by column */
    uint32_t *order;
    uint64_t most_order;
    char *text;
    uint64_t text_size;
};

int vec_groups_create(vec_groups **out) {
    *out = calloc(1, sizeof **out);
    return *out ? VEC_OK : VEC_ENOMEM;
}

static void forget_entries(vec_groups *g) {
    for (uint32_t r = 0; r < g->most_reducers; r++) {
        free(g->entries[r].groups);
        free(g->entries[r].table);
        free(g->entries[r].values);
        g->entries[r] = (entries){.n = 0};
    }
}

void vec_groups_free(vec_groups *g) {
    if (!g) return;
    forget_entries(g);
    free(g->reducers);
    free(g->entries);
    free(g->keys);
    free(g->states);
    free(g->table);
    free(g->of_rows);
    free(g->results);
    free(g->order);
    free(g->text);
    free(g);
}

/* Memory for at least n elements where there is some for *size. */
static int reserve(void **memory, uint64_t *size, uint64_t n, uint64_t width) {
    if (n <= *size) return VEC_OK;
    const uint64_t wanted = n + n / 4;
    void *more = realloc(*memory, wanted * width);
    if (!more) return VEC_ENOMEM;
    *memory = more, *size = wanted;
    return VEC_OK;
}

int vec_groups_begin(vec_groups *g, uint32_t n_keys, const vec_group_reducer *reducers, uint32_t n_reducers) {
    forget_entries(g);
    if (n_reducers > g->most_reducers) {
        vec_group_reducer *more = realloc(g->reducers, n_reducers * sizeof *more);
        if (!more) return VEC_ENOMEM;
        g->reducers = more;
        entries *of_each = realloc(g->entries, n_reducers * sizeof *of_each);
        if (!of_each) return VEC_ENOMEM;
        memset(of_each + g->most_reducers, 0, (n_reducers - g->most_reducers) * sizeof *of_each);
        g->entries = of_each, g->most_reducers = n_reducers;
    }
    if (n_reducers) memcpy(g->reducers, reducers, n_reducers * sizeof *reducers);
    free(g->keys);              /* of another width */
    free(g->states);
    g->keys = NULL, g->states = NULL;
    g->n_keys = n_keys, g->n_reducers = n_reducers, g->n = g->size = 0;
    if (g->mask >= MOST_KEPT_TABLE) free(g->table), g->table = NULL, g->mask = 0;
    if (g->table) memset(g->table, 0, (g->mask + 1) * sizeof *g->table);
    return VEC_OK;
}

static inline uint64_t mixed(uint64_t hash, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    hash = (hash ^ bits) * 0x9E3779B97F4A7C15u;
    return hash ^ hash >> 29;
}

/* What a field says of a row: a code or a number, -0 as 0. */
static inline double value_of(const vec_group_field *f, uint32_t row, uint64_t place) {
    const uint64_t at = f->is_in_order ? place : row;
    if (f->codes) return at < f->n ? f->codes[at] : 0;
    return at < f->n ? f->column[at] + 0.0 : NAN;
}

static inline int is_same(double a, double b) { return a == b || (a != a && b != b); }

static uint64_t hash_of(const double *keys, uint32_t n) {
    uint64_t hash = n;
    for (uint32_t k = 0; k < n; k++) hash = mixed(hash, keys[k] != keys[k] ? (double)NAN : keys[k]);
    return hash;
}

/* Room for more groups; the table is never more than half full. */
static int grow(vec_groups *g) {
    const uint64_t size = g->size ? 2 * g->size : LEAST_GROUPS, n_places = 4 * size < LEAST_TABLE ? LEAST_TABLE : 4 * size;
    double *keys = realloc(g->keys, (size * g->n_keys + 1) * sizeof *keys);
    if (!keys) return VEC_ENOMEM;
    g->keys = keys;
    state *states = realloc(g->states, (size * g->n_reducers + 1) * sizeof *states);
    if (!states) return VEC_ENOMEM;
    g->states = states;
    if (!g->table || n_places > g->mask + 1) {
        uint32_t *table = calloc(n_places, sizeof *table);
        if (!table) return VEC_ENOMEM;
        free(g->table);
        g->table = table, g->mask = n_places - 1;
        for (uint64_t i = 0; i < g->n; i++) {
            uint64_t at = hash_of(g->keys + i * g->n_keys, g->n_keys) & g->mask;
            while (table[at]) at = (at + 1) & g->mask;
            table[at] = (uint32_t)i + 1;
        }
    }
    g->size = size;
    return VEC_OK;
}

static int64_t group_of(vec_groups *g, const double *keys) {
    const uint32_t n_keys = g->n_keys;
    const uint64_t hash = hash_of(keys, n_keys);
    uint64_t at = hash & g->mask;
    for (; g->table && g->table[at]; at = (at + 1) & g->mask) {
        const double *known = g->keys + (uint64_t)(g->table[at] - 1) * n_keys;
        uint32_t k = 0;
        while (k < n_keys && is_same(known[k], keys[k])) k++;
        if (k == n_keys) return g->table[at] - 1;
    }
    if (g->n == g->size) {
        if (grow(g)) return VEC_ENOMEM;
        at = hash & g->mask;
        while (g->table[at]) at = (at + 1) & g->mask;
    }
    const uint64_t group = g->n++;
    if (n_keys) memcpy(g->keys + group * n_keys, keys, n_keys * sizeof *keys);
    for (uint32_t r = 0; r < g->n_reducers; r++) {
        const int what = g->reducers[r].what;
        const double start = what == VEC_GROUP_LEAST ? INFINITY : what == VEC_GROUP_GREATEST ? -INFINITY : 0;
        g->states[group * g->n_reducers + r] = (state){.total = start};
    }
    g->table[at] = (uint32_t)group + 1;
    return (int64_t)group;
}

/* By one field with codes: those met lately are not looked up again. */
static int number_by_code(vec_groups *g, const vec_group_field *f, const uint32_t *rows, uint64_t n) {
    struct { int32_t code; uint32_t group; } met[N_MET];
    for (int i = 0; i < N_MET; i++) met[i].code = -1;
    for (uint64_t i = 0; i < n; i++) {
        const uint64_t at = f->is_in_order ? i : rows[i];
        const int32_t code = at < f->n ? f->codes[at] : 0;
        const uint32_t place = (uint32_t)code % N_MET;
        if (met[place].code != code) {
            const double key = code;
            const int64_t group = group_of(g, &key);
            if (group < 0) return VEC_ENOMEM;
            met[place].code = code, met[place].group = (uint32_t)group;
        }
        g->of_rows[i] = met[place].group;
    }
    return VEC_OK;
}

static int number_rows(vec_groups *g, const vec_group_field *fields, const uint32_t *rows, uint64_t n) {
    const uint32_t n_keys = g->n_keys;
    if (n_keys == 1 && fields[0].codes) return number_by_code(g, fields, rows, n);
    double small[16], *keys = n_keys <= 16 ? small : malloc(n_keys * sizeof *keys);
    if (!keys) return VEC_ENOMEM;
    int rc = VEC_OK;
    for (uint64_t i = 0; i < n; i++) {
        for (uint32_t k = 0; k < n_keys; k++) keys[k] = value_of(&fields[k], rows[i], i);
        const int64_t group = group_of(g, keys);
        if (group < 0) {
            rc = VEC_ENOMEM;
            break;
        }
        g->of_rows[i] = (uint32_t)group;
    }
    if (keys != small) free(keys);
    return rc;
}

static uint64_t hash_of_entry(uint32_t group, double value) { return mixed(group * 0xD1B54A32D192ED03u + 1, value); }

static int grow_entries(entries *e, int has_table) {
    const uint64_t size = e->size ? 2 * e->size : LEAST_GROUPS;
    uint32_t *groups = realloc(e->groups, size * sizeof *groups);
    if (!groups) return VEC_ENOMEM;
    e->groups = groups;
    double *values = realloc(e->values, size * sizeof *values);
    if (!values) return VEC_ENOMEM;
    e->values = values;
    if (has_table) {
        uint32_t *table = calloc(4 * size, sizeof *table);
        if (!table) return VEC_ENOMEM;
        free(e->table);
        e->table = table, e->mask = 4 * size - 1;
        for (uint64_t i = 0; i < e->n; i++) {
            uint64_t at = hash_of_entry(e->groups[i], e->values[i]) & e->mask;
            while (table[at]) at = (at + 1) & e->mask;
            table[at] = (uint32_t)i + 1;
        }
    }
    e->size = size;
    return VEC_OK;
}

static int add_entry(entries *e, uint32_t group, double value) {
    if (e->n == e->size && grow_entries(e, 0)) return VEC_ENOMEM;
    e->groups[e->n] = group, e->values[e->n++] = value;
    return VEC_OK;
}

/* 1: the value is new to the group. */
static int add_different(entries *e, uint32_t group, double value) {
    if (e->n == e->size && grow_entries(e, 1)) return VEC_ENOMEM;
    uint64_t at = hash_of_entry(group, value) & e->mask;
    for (; e->table[at]; at = (at + 1) & e->mask) {
        const uint32_t i = e->table[at] - 1;
        if (e->groups[i] == group && e->values[i] == value) return 0;
    }
    e->table[at] = (uint32_t)e->n + 1;
    e->groups[e->n] = group, e->values[e->n++] = value;
    return 1;
}

static int reduce(vec_groups *g, uint32_t r, const vec_group_field *f, const uint32_t *rows, uint64_t n) {
    const int what = g->reducers[r].what;
    const uint32_t width = g->n_reducers;
    state *states = g->states + r;
    if (what == VEC_GROUP_COUNT) {
        for (uint64_t i = 0; i < n; i++) states[(uint64_t)g->of_rows[i] * width].n++;
        return VEC_OK;
    }
    for (uint64_t i = 0; i < n; i++) {
        const double value = value_of(f, rows[i], i);
        if (value != value || (f->codes && value == 0)) continue;
        state *s = &states[(uint64_t)g->of_rows[i] * width];
        int rc = VEC_OK;
        switch (what) {
        case VEC_GROUP_LEAST:
            if (value < s->total) s->total = value;
            break;
        case VEC_GROUP_GREATEST:
            if (value > s->total) s->total = value;
            break;
        case VEC_GROUP_DEVIATION: {
            const double delta = value - s->total;
            s->total += delta / (double)++s->n;
            s->squares += delta * (value - s->total);
            break;
        }
        case VEC_GROUP_QUANTILE:
            rc = add_entry(&g->entries[r], g->of_rows[i], value);
            s->n++;
            break;
        case VEC_GROUP_DIFFERENT:
            rc = add_different(&g->entries[r], g->of_rows[i], value);
            if (rc > 0) s->n++;
            break;
        default:
            s->total += value, s->n++;
        }
        if (rc < 0) return rc;
    }
    return VEC_OK;
}

int64_t vec_groups_add(vec_groups *g, const vec_group_field *fields, const uint32_t *rows, uint64_t n) {
    if (reserve((void **)&g->of_rows, &g->most_rows, n, sizeof *g->of_rows) || number_rows(g, fields, rows, n)) return VEC_ENOMEM;
    for (uint32_t r = 0; r < g->n_reducers; r++)
        if (reduce(g, r, &fields[g->n_keys + r], rows, n)) return VEC_ENOMEM;
    return (int64_t)g->n;
}

const uint32_t *vec_groups_of_rows(const vec_groups *g) { return g->of_rows; }

static int by_value(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The quantiles of all groups: their numbers one group behind the other, each sorted. */
static int find_quantiles(vec_groups *g, uint32_t r, double *out) {
    const entries *e = &g->entries[r];
    const double share = g->reducers[r].share;
    uint64_t *ends = malloc((g->n + 1) * sizeof *ends);
    double *values = malloc((e->n + 1) * sizeof *values);
    if (ends && values) {
        uint64_t end = 0;
        for (uint64_t i = 0; i < g->n; i++) ends[i] = end += (uint64_t)g->states[i * g->n_reducers + r].n;
        for (uint64_t i = e->n; i-- > 0;) values[--ends[e->groups[i]]] = e->values[i];      /* then ends are starts */
        for (uint64_t i = 0; i < g->n; i++) {
            const uint64_t n = (uint64_t)g->states[i * g->n_reducers + r].n;
            double *its = values + ends[i];
            if (n > 1) qsort(its, n, sizeof *its, by_value);
            const double place = ceil(share * (double)n) - 1;
            out[i] = !n ? (double)NAN : place <= 0 ? its[0] : its[place < (double)n ? (uint64_t)place : n - 1];
        }
    }
    const int rc = ends && values ? VEC_OK : VEC_ENOMEM;
    free(ends);
    free(values);
    return rc;
}

int vec_groups_end(vec_groups *g, const double **keys, const double **results) {
    double *columns = realloc(g->results, ((uint64_t)(g->n_keys + g->n_reducers) * g->n + 1) * sizeof *columns);
    if (!columns) return VEC_ENOMEM;
    g->results = columns;
    for (uint32_t k = 0; k < g->n_keys; k++)
        for (uint64_t i = 0; i < g->n; i++) *columns++ = g->keys[i * g->n_keys + k];
    for (uint32_t r = 0; r < g->n_reducers; r++, columns += g->n) {
        const int what = g->reducers[r].what;
        if (what == VEC_GROUP_QUANTILE && find_quantiles(g, r, columns)) return VEC_ENOMEM;
        for (uint64_t i = 0; i < g->n && what != VEC_GROUP_QUANTILE; i++) {
            const state *s = &g->states[i * g->n_reducers + r];
            const double n = (double)s->n;
            switch (what) {
            case VEC_GROUP_COUNT: case VEC_GROUP_DIFFERENT: columns[i] = n; break;
            case VEC_GROUP_SUM: columns[i] = s->n ? s->total : (double)NAN; break;
            case VEC_GROUP_MEAN: columns[i] = s->n ? s->total / n : (double)NAN; break;
            case VEC_GROUP_DEVIATION: columns[i] = s->n > 1 ? sqrt(s->squares / (n - 1)) : 0; break;
            default: columns[i] = s->total;
            }
        }
    }
    *keys = g->results, *results = g->results + (uint64_t)g->n_keys * g->n;
    return VEC_OK;
}

/* Order. */

typedef struct {
    const vec_groups *groups;
    const vec_group_field *fields;
    const vec_group_order *by;
    uint32_t n_by;
} comparison;

/* Of "$LENGTH\r\n" text "\r\n" the text. */
static const char *text_within(const vec_names *names, double code, uint32_t *n) {
    const char *name = "";
    const uint32_t length = vec_names_get(names, (uint64_t)code, &name);
    const char *end = length ? memchr(name, '\n', length) : NULL;
    const uint32_t head = end ? (uint32_t)(end - name) + 1 : length;
    *n = length < head + 2 ? 0 : length - head - 2;
    return name + head;
}

static int compare_texts(const vec_names *names, double a, double b) {
    uint32_t n, m;
    const char *x = text_within(names, a, &n), *y = text_within(names, b, &m);
    const int order = memcmp(x, y, n < m ? n : m);
    return order ? order : (n > m) - (n < m);
}

/* Of two groups by one column, ascending: < 0, 0 or > 0. Nothing comes before everything. */
static int compare_column(const comparison *c, uint32_t column, int is_descending, uint32_t a, uint32_t b) {
    const vec_groups *g = c->groups;
    const double x = g->results[column * g->n + a], y = g->results[column * g->n + b];
    int order;
    if (column >= g->n_keys) {                                      /* what is no number is last either way */
        if (x != x || y != y) return (x != x) - (y != y);
        order = (x > y) - (x < y);
    } else if (!c->fields[column].codes) {
        order = x != x || y != y ? (y != y) - (x != x) : (x > y) - (x < y);
    } else {
        order = x == y ? 0 : x == 0 ? -1 : y == 0 ? 1 : compare_texts(c->fields[column].names, x, y);
    }
    return is_descending ? -order : order;
}

static int is_behind(const comparison *c, uint32_t a, uint32_t b) {
    int order = 0;
    for (uint32_t i = 0; i < c->n_by && !order; i++) order = compare_column(c, c->by[i].column, c->by[i].is_descending, a, b);
    for (uint32_t k = 0; k < c->groups->n_keys && !order; k++) order = compare_column(c, k, 0, a, b);
    return order ? order > 0 : a > b;
}

static void sift_down(const comparison *c, uint32_t *heap, uint64_t n, uint64_t at) {
    const uint32_t group = heap[at];
    for (uint64_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && is_behind(c, heap[child + 1], heap[child])) child++;
        if (!is_behind(c, heap[child], group)) break;
        heap[at] = heap[child];
    }
    heap[at] = group;
}

int64_t vec_groups_sort(vec_groups *g, const vec_group_field *fields, const vec_group_order *by, uint32_t n_by, uint64_t first,
                        uint64_t last, const uint32_t **order) {
    const comparison c = {g, fields, by, n_by};
    const uint64_t n = last < g->n ? last : g->n;
    if (first >= n) return 0;
    if (reserve((void **)&g->order, &g->most_order, n, sizeof *g->order)) return VEC_ENOMEM;
    uint32_t *heap = g->order;                                      /* the hindmost first */
    for (uint64_t i = 0; i < n; i++) heap[i] = (uint32_t)i;
    for (uint64_t i = n / 2; i-- > 0;) sift_down(&c, heap, n, i);
    for (uint64_t i = n; i < g->n; i++)
        if (is_behind(&c, heap[0], (uint32_t)i)) heap[0] = (uint32_t)i, sift_down(&c, heap, n, 0);
    for (uint64_t end = n; end-- > 1;) {
        const uint32_t group = heap[0];
        heap[0] = heap[end], heap[end] = group;
        sift_down(&c, heap, end, 0);
    }
    *order = heap + first;
    return (int64_t)(n - first);
}

/* As rows of a reply. */

static uint32_t put_number(char *out, double value) {
    char digits[MAX_NUMBER_TEXT];
    int n;
    if (value > -9.2e18 && value < 9.2e18 && value == (double)(int64_t)value) {
        const int64_t whole = (int64_t)value;
        uint64_t rest = whole < 0 ? -(uint64_t)whole : (uint64_t)whole;
        char *at = digits + sizeof digits;
        do *--at = (char)('0' + rest % 10);
        while (rest /= 10);
        if (whole < 0) *--at = '-';
        n = (int)(digits + sizeof digits - at);
        memmove(digits, at, (size_t)n);
    } else if (value != value) {
        n = snprintf(digits, sizeof digits, signbit(value) ? "-nan" : "nan");
    } else if (fabs(value) >= 1e-4 && fabs(value) < 1e11) {
        n = (int)vec_distance_text(value, digits);
    } else {
        n = snprintf(digits, sizeof digits, "%.12g", value);
    }
    char *end = out;
    *end++ = '$';
    if (n > 9) *end++ = (char)('0' + n / 10);
    *end++ = (char)('0' + n % 10);
    *end++ = '\r', *end++ = '\n';
    memcpy(end, digits, (size_t)n);
    end += n;
    *end++ = '\r', *end++ = '\n';
    return (uint32_t)(end - out);
}

static char *put(char *out, const char *text, uint32_t n) {
    if (n) memcpy(out, text, n);
    return out + n;
}

int64_t vec_groups_write(vec_groups *g, const vec_group_field *fields, const vec_group_form *form, const uint32_t *order,
                         uint64_t first, uint64_t n, const char **text) {
    uint64_t around = form->n_head + form->n_tail, length = 0;
    for (uint32_t c = 0; c < form->n_columns; c++) around += form->columns[c].n_name + form->n_nil + MAX_NUMBER_TEXT + 8;
    for (uint64_t i = 0; i < n; i++) {
        const uint64_t group = order ? order[i] : first + i;
        uint64_t wanted = length + around;
        const char *name = NULL;
        for (uint32_t c = 0; c < form->n_columns; c++) {
            const uint32_t column = form->columns[c].column;
            if (column < g->n_keys && fields[column].codes)
                wanted += vec_names_get(fields[column].names, (uint64_t)g->results[column * g->n + group], &name);
        }
        if (reserve((void **)&g->text, &g->text_size, wanted, 1)) return VEC_ENOMEM;
        char *at = put(g->text + length, form->head, form->n_head);
        for (uint32_t c = 0; c < form->n_columns; c++) {
            const uint32_t column = form->columns[c].column;
            const double value = g->results[column * g->n + group];
            const int is_key = column < g->n_keys;
            at = put(at, form->columns[c].name, form->columns[c].n_name);
            if (is_key && (fields[column].codes ? value == 0 : value != value)) at = put(at, form->nil, form->n_nil);
            else if (is_key && fields[column].codes) {
                const uint32_t n_name = vec_names_get(fields[column].names, (uint64_t)value, &name);
                at = put(at, name, n_name);
            } else at += put_number(at, value);
        }
        length = (uint64_t)(put(at, form->tail, form->n_tail) - g->text);
    }
    *text = g->text;
    return (int64_t)length;
}

int vec_are_ascending(const int64_t *values, const uint32_t *rows, uint64_t n) {
    for (uint64_t i = 1; i < n; i++)
        if (values[rows[i - 1]] >= values[rows[i]]) return 0;
    return 1;
}

uint64_t vec_first_rows(const int64_t *values, const uint32_t *rows, uint64_t n, uint64_t k, uint32_t *out) {
    uint64_t n_out = 0;                                             /* a heap, the greatest first */
    for (uint64_t i = 0; i < n && k; i++) {
        const uint32_t row = rows[i];
        const int64_t value = values[row];
        uint64_t at = n_out;
        if (n_out < k) {
            for (n_out++; at && values[out[(at - 1) / 2]] < value; at = (at - 1) / 2) out[at] = out[(at - 1) / 2];
        } else {
            if (values[out[0]] <= value) continue;
            at = 0;
            for (uint64_t child; (child = 2 * at + 1) < n_out; at = child) {
                if (child + 1 < n_out && values[out[child + 1]] > values[out[child]]) child++;
                if (values[out[child]] <= value) break;
                out[at] = out[child];
            }
        }
        out[at] = row;
    }
    return n_out;
}

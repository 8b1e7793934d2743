/* Where vectors of labels lie that are not an index's own. */
#include <stdlib.h>
#include <string.h>

#include "lanes.h"

_Alignas(2) const char NOWHERE[2];

int vec_places_create(vec_places **out) {
    *out = calloc(1, sizeof **out);
    return *out ? VEC_OK : VEC_ENOMEM;
}

void vec_places_free(vec_places *p) {
    if (p) free(p->at);
    free(p);
}

static int put_place(vec_places *p, uint64_t label, uintptr_t place) {
    if (label >= p->n) {
        uint64_t n = p->n ? p->n : 64;
        while (n <= label) n += n / 4 + 1;
        uintptr_t *more = realloc(p->at, n * sizeof *more);
        if (!more) return VEC_ENOMEM;
        memset(more + p->n, 0, (n - p->n) * sizeof *more);
        p->at = more, p->n = n;
    }
    p->at[label] = place;
    return VEC_OK;
}

int vec_places_set(vec_places *p, uint64_t label, const char *vector) {
    uintptr_t place = (uintptr_t)(vector ? vector : NOWHERE);
    return place & 1 ? VEC_EARG : put_place(p, label, place);
}

int vec_places_set_slot(vec_places *p, uint64_t label, vec_slots *slots, uint32_t slot) {
    if (p->slots && p->slots != slots) return VEC_EARG;
    p->slots = slots;
    return put_place(p, label, (uintptr_t)slot << 1 | 1);
}

void vec_places_forget(vec_places *p, uint64_t label) {
    if (label < p->n) p->at[label] = 0;
}

void vec_places_clear(vec_places *p) {
    free(p->at);
    *p = (vec_places){.at = NULL};
}

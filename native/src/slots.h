/* What slots.c offers to others of the engine. */
#ifndef SLOTS_H
#define SLOTS_H

#include "vec.h"

/* Whether reading has lately had to wait for the disk. */
int slots_are_cold(const vec_slots *slots);
/* Asks the disk for these slots, which are to be read soon, if it is needed. VEC_OK, or VEC_ENOMEM. */
int slots_look_ahead(vec_slots *slots, const uint32_t *numbers, size_t n);

#endif

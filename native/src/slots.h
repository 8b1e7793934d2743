/* What slots.c offers to others of the engine: vec_slots_measure in two parts. */
#ifndef SLOTS_H
#define SLOTS_H

#include "vec.h"

/* Asks the disk for what is soon to be measured, if reading has lately had to wait for it. VEC_OK, or VEC_ENOMEM. */
int slots_ask(vec_slots *slots, const uint32_t *numbers, size_t n);
/* The rest, whether it was asked for or not. */
int slots_measure(vec_slots *slots, const uint32_t *numbers, size_t n, vec_ruler *ruler, const char *query, double *distances);

#endif

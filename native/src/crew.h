/* What a crew's helpers take work from (crew.c), and what those share who give it. */
#ifndef CREW_H
#define CREW_H
#include <sched.h>
#include <stddef.h>
#include <stdint.h>

#include "vec.h"

/* Room of one thread for the queries and results of a few searches. */
typedef struct {
    char *queries;
    uint64_t *labels;
    double *distances;
    size_t n, n_bytes;
} room;

int has_room(room *r, size_t n, size_t n_bytes);
void free_room(room *r);
/* Tells helpers that there is work for n of them. */
void crew_call(vec_crew *c, size_t n);
uint32_t crew_size(const vec_crew *c);
/* Has helpers look for work in these lanes, too, from now on; NULL: no longer. */
void crew_watch(vec_crew *c, vec_lanes *lanes);

static inline void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

enum { LOOKS_BEFORE_YIELD = 1000 };

/* Gives way now and then: the thread that is waited for may need this processor. */
static inline void wait_a_little(int turn) {
    if (turn % LOOKS_BEFORE_YIELD) relax();
    else sched_yield();
}

/* lanes.c: does some searches that wait there; 0: there were none. */
int lanes_help(vec_lanes *lanes, uint32_t n_threads, room *r);
#endif

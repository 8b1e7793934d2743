/* Many values at once from a file of slots of one width, as respserver/values/slots.py lays it out: a check sum (CRC-32C of all
   that follows), the slot's own number, its generation, a zero, each 32 bits, and the value.

   The file is read through a map: of what is in memory, no system call is needed. The map is larger than the file, so that it is
   seldom made anew. A page that the disk cannot deliver, or that lies behind the file's end, raises SIGBUS; while this thread
   reads slots, that means a damaged slot and no more. */
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <pthread.h>

#include "crc32c.h"
#include "index.h"
#include "slots.h"

enum { HEAD = 16, COLD_BATCHES = 64, SLOW_NS = 10000, PIECE = 32 };

struct vec_slots {
    int fd;
    uint64_t base, mapped;
    uint32_t stride, width, n_cold;             /* n_cold: batches that read ahead: an earlier one had to wait for the disk */
    int is_used, is_resting;                    /* whether it was read since vec_slots_rest; whether the pages were let go */
    long n_faults;                              /* of the reading thread: pages that it had to wait for,
                                                   when that was last looked at */
    uint8_t *map;
    char *values;                               /* room for PIECE values */
};

static _Thread_local sigjmp_buf on_fault;
static _Thread_local volatile sig_atomic_t is_reading;
static struct sigaction earlier;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void fault(int number, siginfo_t *info, void *context) {
    if (is_reading) siglongjmp(on_fault, 1);
    if (earlier.sa_flags & SA_SIGINFO) earlier.sa_sigaction(number, info, context);
    else if (earlier.sa_handler != SIG_DFL && earlier.sa_handler != SIG_IGN) earlier.sa_handler(number);
    else signal(number, SIG_DFL);               /* the access is tried again, and fails for good */
}

static void catch_faults(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = fault;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, &earlier);
}

uint32_t vec_crc32c(uint32_t crc, const char *bytes, size_t n) { return crc32c(crc, bytes, n); }

int vec_slots_open(int fd, uint64_t base, uint32_t stride, uint32_t width, vec_slots **out) {
    if (fd < 0 || !width || stride < HEAD + (uint64_t)width) return VEC_EARG;
    vec_slots *s = calloc(1, sizeof *s);
    if (!s) return VEC_ENOMEM;
    *s = (vec_slots){.fd = fd, .base = base, .stride = stride, .width = width, .n_cold = COLD_BATCHES};
    pthread_once(&once, catch_faults);
    *out = s;
    return VEC_OK;
}

void vec_slots_close(vec_slots *s) {
    if (!s) return;
    if (s->map) munmap(s->map, s->mapped);
    free(s->values);
    free(s);
}

void vec_slots_rest(vec_slots *s) {
    if (s->map && !s->is_used && !s->is_resting) {
        madvise(s->map, s->mapped, MADV_DONTNEED);
        s->is_resting = 1;
    }
    s->is_used = 0;
}

static int map_to(vec_slots *s, uint64_t end) {
    uint64_t size = 16 << 20;
    while (size < end) size *= 2;
    void *map = mmap(NULL, size, PROT_READ, MAP_SHARED, s->fd, 0);
    if (map == MAP_FAILED) return VEC_ENOMEM;
    if (s->map) munmap(s->map, s->mapped);
    madvise(map, size, MADV_RANDOM);            /* neighbours in the file are none in a search */
    s->map = map, s->mapped = size;
    return VEC_OK;
}

/* Copies one value if its slot is intact. */
static int read_slot(const vec_slots *s, uint32_t slot, char *value) {
    const uint8_t *at = s->map + s->base + (uint64_t)slot * s->stride;
    if (sigsetjmp(on_fault, 0)) {
        is_reading = 0;
        return 0;
    }
    is_reading = 1;
    atomic_signal_fence(memory_order_seq_cst);  /* the map is read between the fences */
    uint32_t check, number, sum;
    memcpy(&check, at, sizeof check);
    memcpy(&number, at + sizeof check, sizeof number);
    sum = crc32c(0, at + sizeof check, HEAD - sizeof check);
    memcpy(value, at + HEAD, s->width);
    atomic_signal_fence(memory_order_seq_cst);
    is_reading = 0;
    return number == slot && check == crc32c(sum, value, s->width);
}

/* Makes sure that the map reaches far enough. */
static int reach(vec_slots *s, const uint32_t *slots, size_t n) {
    uint64_t last = 0;
    s->is_used = 1, s->is_resting = 0;
    for (size_t i = 0; i < n; i++) last = slots[i] > last ? slots[i] : last;
    uint64_t end = s->base + (last + 1) * s->stride;
    return end > s->mapped ? map_to(s, end) : VEC_OK;
}

int slots_ask(vec_slots *s, const uint32_t *slots, size_t n) {
    if (!s->n_cold) return VEC_OK;
    int rc = reach(s, slots, n);
    for (size_t i = 0; rc == VEC_OK && i < n; i++) {
        uint64_t start = s->base + (uint64_t)slots[i] * s->stride, page = start & ~(uint64_t)4095;
        madvise(s->map + page, start + HEAD + s->width - page, MADV_WILLNEED);
    }
    return rc;
}

/* Takes down what reading n slots took. Long may also mean that another thread had the processor. */
static void note_time(vec_slots *s, size_t n, uint64_t took_ns) {
    struct rusage used;
    s->n_cold -= s->n_cold > 0;
    if (took_ns <= n * SLOW_NS || getrusage(RUSAGE_THREAD, &used)) return;
    if (used.ru_majflt != s->n_faults) s->n_cold = COLD_BATCHES;
    s->n_faults = used.ru_majflt;
}

int vec_slots_read(vec_slots *s, const uint32_t *slots, size_t n, char *values, char *states) {
    int n_bad = 0, rc = slots_ask(s, slots, n);
    if (rc != VEC_OK || (rc = reach(s, slots, n)) != VEC_OK) return rc;
    uint64_t started = now_ns();
    for (size_t i = 0; i < n; i++) {
        states[i] = (char)read_slot(s, slots[i], values + i * s->width);
        n_bad += !states[i];
    }
    note_time(s, n, now_ns() - started);
    return n_bad;
}

int vec_slots_measure(vec_slots *s, const uint32_t *slots, size_t n, vec_ruler *ruler, const char *query, double *distances) {
    int rc = slots_ask(s, slots, n);
    return rc == VEC_OK ? slots_measure(s, slots, n, ruler, query, distances) : rc;
}

int slots_measure(vec_slots *s, const uint32_t *slots, size_t n, vec_ruler *ruler, const char *query, double *distances) {
    int n_bad = 0, rc = reach(s, slots, n);
    if (rc != VEC_OK) return rc;
    if (!s->values && !(s->values = malloc((size_t)PIECE * s->width))) return VEC_ENOMEM;
    uint64_t started = now_ns();
    for (size_t at = 0; at < n; at += PIECE) {
        size_t m = n - at < PIECE ? n - at : PIECE;
        int is_bad[PIECE];
        for (size_t i = 0; i < m; i++) {
            char *value = s->values + i * s->width;
            is_bad[i] = !read_slot(s, slots[at + i], value);
            if (is_bad[i]) memset(value, 0, s->width);
            n_bad += is_bad[i];
        }
        if ((rc = vec_ruler_distances(ruler, query, s->values, m, distances + at)) != VEC_OK) return rc;
        for (size_t i = 0; i < m; i++)
            if (is_bad[i]) distances[at + i] = NAN;
    }
    note_time(s, n, now_ns() - started);
    return n_bad;
}

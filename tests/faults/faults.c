/* Preloaded into a server: makes calls on files fail whose path contains FAULTS_MATCH, as the page FAULTS_PAGE (a file that tests
   write to) says at that moment. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef struct {
    int32_t write_error, sync_error, rename_error, truncate_error;   /* errno, 0: none */
    int64_t budget;                                                  /* bytes that may be written before write_error comes */
    int64_t sync_is_held;                                            /* a synchronisation waits until it is not */
} faults;

static volatile faults *page(void) {
    static volatile faults *known;
    if (!known) {
        const char *path = getenv("FAULTS_PAGE");
        int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
        void *at = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(faults), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        static faults none;
        known = at == MAP_FAILED ? &none : at;
        if (fd >= 0) close(fd);
    }
    return known;
}

static int is_meant(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0) return 0;
    path[n] = 0;
    return strstr(path, getenv("FAULTS_MATCH")) != NULL;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void *bytes, size_t n) {
    volatile faults *f = page();
    if (f->write_error && is_meant(fd)) {
        if (f->budget <= 0) return errno = f->write_error, -1;
        if ((int64_t)n > f->budget) n = (size_t)f->budget;
        f->budget -= (int64_t)n;
    }
    return REAL(write)(fd, bytes, n);
}

static int fails(int32_t code) { return code ? (errno = code, 1) : 0; }

static int synchronise(int fd, int (*real)(int)) {
    while (page()->sync_is_held && is_meant(fd)) usleep(1000);
    return page()->sync_error && is_meant(fd) && fails(page()->sync_error) ? -1 : real(fd);
}

int fsync(int fd) { return synchronise(fd, REAL(fsync)); }

int fdatasync(int fd) { return synchronise(fd, REAL(fdatasync)); }

int rename(const char *from, const char *to) {
    int is_to_fail = page()->rename_error && strstr(to, getenv("FAULTS_MATCH")) && fails(page()->rename_error);
    return is_to_fail ? -1 : REAL(rename)(from, to);
}

static int cut(int fd, off_t n, int (*real)(int, off_t)) {
    return page()->truncate_error && is_meant(fd) && fails(page()->truncate_error) ? -1 : real(fd, n);
}

int ftruncate(int fd, off_t n) { return cut(fd, n, REAL(ftruncate)); }

int ftruncate64(int fd, off64_t n) { return cut(fd, n, (int (*)(int, off_t))REAL(ftruncate)); }

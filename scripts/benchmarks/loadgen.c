/* A closed-loop load generator: CONNECTIONS sockets, one request in flight on each, requests taken in turn from a file.
 *     loadgen PORT CONNECTIONS SECONDS FILE
 * FILE: u32 count, then for each request u32 length and its bytes as they go over the wire. Prints one line:
 *     requests errors qps p50_us p99_us max_us
 * It understands just enough RESP to find where a reply ends. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER = 1 << 20, MAX_SAMPLES = 1 << 23 };
typedef struct { int fd; double sent; size_t have; char *buffer; } connection;
typedef struct { uint32_t length; char *bytes; } request;

static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + 1e-9 * t.tv_nsec; }
static int by_value(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Bytes of the reply that starts at p, or 0 if it has not arrived in full. */
static size_t reply_length(const char *p, size_t n) {
    size_t at = 0;
    long wanted = 1;
    while (wanted > 0) {
        const char *line = p + at, *end = at < n ? memchr(line, '\n', n - at) : NULL;
        if (!end) return 0;
        at += (size_t)(end - line) + 1;
        long count = atol(line + 1);
        wanted--;
        switch (*line) {
            case '$': case '=': case '!': if (count >= 0) at += (size_t)count + 2; break;
            case '*': case '~': case '>': if (count > 0) wanted += count; break;
            case '%': wanted += 2 * count; break;
            default: break;
        }
        if (at > n) return 0;
    }
    return at;
}

static int send_all(int fd, const request *r) { return write(fd, r->bytes, r->length) == (ssize_t)r->length; }

int main(int argc, char **argv) {
    if (argc < 5) { fprintf(stderr, "usage: loadgen PORT CONNECTIONS SECONDS FILE\n"); return 2; }
    int n_connections = atoi(argv[2]);
    double seconds = atof(argv[3]);
    uint32_t n_requests;
    FILE *file = fopen(argv[4], "rb");
    if (!file || fread(&n_requests, 4, 1, file) != 1) { perror(argv[4]); return 2; }
    request *requests = calloc(n_requests, sizeof *requests);
    for (uint32_t i = 0; i < n_requests; i++) {
        if (fread(&requests[i].length, 4, 1, file) != 1) return 2;
        requests[i].bytes = malloc(requests[i].length);
        if (fread(requests[i].bytes, 1, requests[i].length, file) != requests[i].length) return 2;
    }
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1])),
                                  .sin_addr = {htonl(INADDR_LOOPBACK)}};
    connection *c = calloc((size_t)n_connections, sizeof *c);
    struct pollfd *polled = calloc((size_t)n_connections, sizeof *polled);
    float *latency = malloc(MAX_SAMPLES * sizeof *latency);
    size_t done = 0, errors = 0;
    uint32_t next = 0;
    for (int i = 0; i < n_connections; i++) {
        int one = 1;
        c[i].fd = socket(AF_INET, SOCK_STREAM, 0);
        c[i].buffer = malloc(BUFFER);
        if (connect(c[i].fd, (void *)&address, sizeof address)) { perror("connect"); return 1; }
        setsockopt(c[i].fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        polled[i] = (struct pollfd){ .fd = c[i].fd, .events = POLLIN };
        c[i].sent = now();
        if (!send_all(c[i].fd, &requests[next++ % n_requests])) return 1;
    }
    double start = now(), end = start + seconds;
    while (now() < end) {
        if (poll(polled, (nfds_t)n_connections, 100) <= 0) continue;
        for (int i = 0; i < n_connections; i++) {
            if (!polled[i].revents) continue;
            ssize_t got = read(c[i].fd, c[i].buffer + c[i].have, BUFFER - c[i].have);
            if (got <= 0) { fprintf(stderr, "connection closed\n"); return 1; }
            c[i].have += (size_t)got;
            if (!reply_length(c[i].buffer, c[i].have)) continue;
            if (c[i].buffer[0] == '-' && !errors++) fprintf(stderr, "%.*s\n", (int)c[i].have, c[i].buffer);
            double t = now();
            if (done < MAX_SAMPLES) latency[done] = (float)((t - c[i].sent) * 1e6);
            done++;
            c[i].have = 0;
            c[i].sent = t;
            if (!send_all(c[i].fd, &requests[next++ % n_requests])) return 1;
        }
    }
    double elapsed = now() - start;
    size_t samples = done < MAX_SAMPLES ? done : MAX_SAMPLES;
    if (!samples) return 1;
    qsort(latency, samples, sizeof *latency, by_value);
    printf("%zu %zu %.0f %.1f %.1f %.1f\n", done, errors, done / elapsed, latency[samples / 2], latency[(size_t)(samples * 0.99)],
           latency[samples - 1]);
    return 0;
}

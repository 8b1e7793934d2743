/* Images: an index in one file, the same on every machine (little endian).

   File: a header page, then the sections of SECTION_LIST in that order, each starting at a multiple of 4,096 bytes and filled up
   to one. Slots are written in whole chunks of 1,024 records, laid out as slabs hold them, so that a mapped section serves as a
   slab's memory. The header holds a CRC-32C of itself and one of every section, filling included:
   no byte of the file is unguarded.

   What a section holds:
     rows       n_slots x max_degree slot numbers, NO_EDGE after the last      (graphs only)
     meta       n_slots words: state in the two top bits, label below
     primary    first-level codes
     residual   second-level codes                                            (codecs that have one)
     coder      what the codec learned: see coder_parts

   A change of any layout, of a codec's record too, is a new IMAGE_VERSION. */
#ifndef IMAGE_H
#define IMAGE_H
#include "index.h"

enum { IMAGE_VERSION = 3, IMAGE_PAGE = 4096, IMAGE_SEEDS = 64 };
#define IMAGE_MAGIC "vamana\r\n"
#define IMAGE_BYTE_ORDER 0x01020304u

#define SECTION_LIST(X) X(rows) X(meta) X(primary) X(residual) X(coder)
enum {
#define X(name) SECTION_##name,
    SECTION_LIST(X)
#undef X
    N_SECTIONS
};

typedef struct { uint64_t offset, bytes; uint32_t crc, reserved; } image_section;

typedef struct {
    char magic[8];
    uint32_t byte_order, version;
    uint32_t header_crc;                        /* of the whole page, this word taken as 0 */
    uint32_t dim, metric, dtype, algorithm, reduce, training_threshold, max_degree, build_window, search_window, threads;
    float alpha;
    double epsilon;
    char wanted[24], codec[24];                 /* the compression asked for ("": the type as given) and the codec in effect */
    uint64_t primary_stride, residual_stride, file_bytes;
    uint32_t is_trained, n_slots, n_linked, n_tail, n_deleted;
    uint32_t most_norm2_bits, auto_window, is_calibrated, needs_mending;
    uint32_t n_seeds, seeds[IMAGE_SEEDS];
    float usual_norm2, target_recall;
    image_section sections[N_SECTIONS];
    uint32_t reduction, n_epochs, n_since_training;
    float trained_error, trained_energy;        /* drift.c */
} image_header;

static inline uint64_t image_round(uint64_t bytes) { return (bytes + IMAGE_PAGE - 1) / IMAGE_PAGE * IMAGE_PAGE; }
static inline uint64_t image_chunks(uint32_t n_slots) { return ((uint64_t)n_slots + CHUNK_RECORDS - 1) >> CHUNK_SHIFT; }
/* Bytes of a section of whole chunks. */
static inline uint64_t image_records(uint32_t n_slots, uint64_t stride) {
    return image_round((image_chunks(n_slots) * stride) << CHUNK_SHIFT);
}

/* Writes the reason into why (if there is room for one) and returns code. */
__attribute__((format(printf, 4, 5))) int image_fail(char *why, size_t size, int code, const char *format, ...);
#endif

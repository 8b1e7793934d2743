/* The label map: label -> slot. Labels that are dense (a server's row numbers) cost 4 bytes each in pages of a table; others live
   in an open-addressing hash. One writer; readers take no lock and may see an answer that is just out of date: they check the
   slot's own label. Replaced tables are handed to `retire`, to be freed when no reader can hold them. */
#ifndef LABELS_H
#define LABELS_H
#include "mem.h"

#define NO_SLOT UINT32_MAX

typedef struct label_map {
    _Atomic(struct label_pages *) pages;
    _Atomic(struct label_hash *) hash;
    uint64_t n;                                 /* labels held */
    mem_account *account;
    void (*retire)(void *owner, void *block);
    void *owner;
} label_map;

int labels_init(label_map *m, mem_account *account, void (*retire)(void *, void *), void *owner);
void labels_free(label_map *m);
uint32_t labels_find(const label_map *m, uint64_t label);
/* What a map of the labels 0 .. n-1 counts. */
uint64_t labels_bytes(uint64_t n);
/* Tells an empty map that n labels up to `most` are to come: it takes its final shape at once. */
int labels_expect(label_map *m, uint64_t n, uint64_t most);
/* Makes room so that the next labels_set of this label cannot fail. */
int labels_reserve(label_map *m, uint64_t label);
void labels_set(label_map *m, uint64_t label, uint32_t slot);
void labels_remove(label_map *m, uint64_t label);
#endif

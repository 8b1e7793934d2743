/* The pieces of LVQ that LeanVec is built from. Lengths: dim elements, padded to lvq_padded of them. */
#ifndef CODEC_LVQ_H
#define CODEC_LVQ_H
#include "codec.h"

size_t lvq_padded(size_t dim, int bits);
size_t lvq_code_bytes(size_t dim, int bits);
void lvq_shape(coder *c);
void lvq_pack_u4(const uint8_t *codes, size_t padded, uint8_t *out);
void lvq_quantise(const float *y, size_t dim, size_t padded, int bits, float *bias, float *step, uint8_t *codes);
void lvq_quantise_clipped(const float *y, size_t dim, size_t padded, int bits, float *bias, float *step, uint8_t *codes);
int lvq_make_whole(const coder *c, float *y);
void lvq_quantise_8(const coder *c, const float *y, int is_whole, float *bias, float *step, uint8_t *codes);
float lvq_rescale(const float *y, const float *towards, double wanted, const uint8_t *codes, size_t dim, float bias, float step);
void lvq_prepare_metric(const coder *c, query *q);
void lvq_prepare_s8(const float *x, size_t dim, size_t padded, query *q);
void lvq_prepare_digits(const float *x, size_t dim, size_t padded, query *q);
/* Blocks of records whose codes are followed by l, D and (L2) the norm. */
void lvq_batch_begin(batch *b, size_t padded);
void lvq_batch_keys(const batch *b, const uint8_t *const *primaries, size_t n, size_t padded, float *out);
void lvq_fine_dots(const query *q, int bits, const uint8_t *const *codes, size_t n, size_t padded, double *out);
void lvq_finish_row(uint8_t *row, size_t dim, size_t padded, float bias, float step, float extra);
void lvq_row_distances(size_t dim, size_t padded, const uint8_t *row, const uint8_t *const *rows, size_t n, float *out,
                       int8_t *work);
int lvq_train(coder *c, const float *sample, size_t n, const float *queries, size_t n_queries, mem_account *account);
#endif

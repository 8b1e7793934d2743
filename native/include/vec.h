#ifndef VEC_H
#define VEC_H
/* cffi: begin */
int vec_version(void);
/* cffi: end */
#endif

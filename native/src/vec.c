#include "vec.h"
int vec_version(void) { return 1; }

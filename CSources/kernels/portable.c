/* portable.c - the kernels for any CPU: 128-bit vectors, which x86-64 and AArch64 always
 * have. */
#define MUSTER__VARIANT MUSTER_KERNEL_PORTABLE
#define MUSTER__WIDTH   2
#define MUSTER__TABLE   muster__kernels_portable
#include "kernels/body.h"

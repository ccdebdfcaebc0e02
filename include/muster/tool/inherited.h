/* inherited.h - what a process has from the one that started it, and what Muster does about it.
 *
 * For Muster's own tool; not part of muster.h and not installed. A signal that is ignored, a mask,
 * a closed standard descriptor: all of it outlives an exec, and none of it was meant for the
 * program that comes next. os/inherited.c has the table of all such state.
 */
#ifndef MUSTER_TOOL_INHERITED_H
#define MUSTER_TOOL_INHERITED_H

#include <muster/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Resets what this process has inherited, as the table of os/inherited.c has it for the tool: the
 * first call of its main.
 *
 * Returns: 0; or a negative errno where a standard descriptor is closed and /dev/null can't be
 * opened in its place. Concurrency: the only thread of the process calls it. */
int muster_process_begin(void);

/* The arguments that the kernel gave this process, NULL-ended, also if the environment next to them
 * has changed. count: receives how many there are; 0: the C library does not tell. Ownership: the
 * process's. */
char **muster_process_arguments(uint32_t *count);

#ifdef __cplusplus
}
#endif

#endif

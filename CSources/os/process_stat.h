/* process_stat.h - what /proc/PID/stat says of a process. Private to the C core. */
#ifndef MUSTER_OS_PROCESS_STAT_H
#define MUSTER_OS_PROCESS_STAT_H

#include <muster/base.h>

/* Room for the line: some 50 numbers and a name. */
#define MUSTER__STAT_BYTES 1024u

/* Reads it. text: the line. fields: receives where its third field begins, the state: before it
 * stands a name in brackets that may hold anything, brackets too, so fields are counted from the
 * last one (proc(5)). Returns: 0; -EUCLEAN; or a negative errno: the process is gone. */
int muster__process_stat(int pid, char text[MUSTER__STAT_BYTES], const char **fields);

#endif

/* output.h - what kernels write by way of stdio, in ranks. Private to the C core.
 *
 * A rank is a copy of a process, with a copy of all buffers, and leaves without flushing anything.
 * Promise: what a kernel has written with stdio arrives exactly once for each attempt of its chunk,
 * standard output by whole lines, for any kind of standard output; nothing that the leader or the
 * fork server had in a buffer is written by a rank.
 *
 * Order: the process that forks flushes all streams; the rank then drops what could not be flushed,
 * sets its standard output to whole lines, flushes the rest of a line when its part of a job ends,
 * and flushes all streams before it leaves.
 * Why: the rank can't tell bytes that it has inherited from bytes that it has written.
 * Breaks otherwise: the leader's lines once per rank, or a kernel's lines never.
 */
#ifndef MUSTER_OS_OUTPUT_H
#define MUSTER_OS_OUTPUT_H

#include <stdbool.h>

/* In the process that forks, before it does: buffers of all streams are written out. In a fork
 * server they are dropped instead: the leader has written the same. */
void muster__os_output_before_fork(bool is_server);

/* In a new rank. */
void muster__os_output_begin(void);

/* Whether this process is a rank of its own. Set by muster__os_output_begin. */
extern bool muster__os_output_is_rank;

/* In a rank, for muster__os_output_job_end: what has no line end yet goes out. */
void muster__os_output_flush(void);

/* Where a rank's part of a job ends: what has no line end yet goes out too. A leader that works
 * comes here as well, at each dispatch, and has nothing to do. */
static inline void muster__os_output_job_end(void)
{
    if (muster__os_output_is_rank)
        muster__os_output_flush();
}

/* From now on this process's stream `stderr` holds back what looks like a runtime's last words
 * (Swift's fatal error, assert's, an uncaught exception's in C++), and what follows. It goes out
 * after all when the rank's part of the job ends, when the process exits, and when there is no room
 * for it. Everything else goes to descriptor 2 at once. What is written to the descriptor itself is
 * not seen. Once a process, or after muster__os_output_unlisten. */
void muster__os_output_listen(void);

/* No longer: what is held back goes out. */
void muster__os_output_unlisten(void);

/* What is being held back; NULL: nothing. Async-signal-safe. */
const char *muster__os_output_held(void);

/* Before a rank leaves by itself: all streams. */
void muster__os_output_end(void);

#endif

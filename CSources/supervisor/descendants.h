/* descendants.h - every process that came of this one. Private to the C core. */
#ifndef MUSTER_SUPERVISOR_DESCENDANTS_H
#define MUSTER_SUPERVISOR_DESCENDANTS_H

/* Sends a signal to every descendant of the calling process. Returns: how many got it, or a
 * negative errno of /proc. */
int muster__signal_descendants(int signal);

#endif

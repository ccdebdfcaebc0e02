/* inherited.h - resetting inherited state: the parts that Muster's processes share. Private to the
 * C core. os/inherited.c has the table.
 */
#ifndef MUSTER_OS_INHERITED_H
#define MUSTER_OS_INHERITED_H

#include <muster/tool/inherited.h>

/* Processes of Muster's that begin with state of another program's. */
enum muster__beginner {
    MUSTER__TOOL = 1,   /* the tool `muster` */
    MUSTER__PROGRAM = 2 /* what `muster run` executes */
};

/* Signals, by number - 1, that stay ignored where a parent has ignored them. It meant the programs
 * that come after as well. */
extern const uint64_t muster__kept_signals;

/* Resets the state that the table names for `who`. Safe between fork and exec. Returns: 0 or the
 * first negative errno; the rest is reset all the same. */
int muster__reset_inherited(enum muster__beginner who);

/* Makes a crash of this process its end, until the last muster__crash_handlers_back. Swift's
 * backtracer, where it is the handler, would keep it alive: see os/inherited.c. */
void muster__end_on_crash(void);
void muster__crash_handlers_back(void);

/* Lets this process go by another name, in all places where others look for one. */
void muster__go_by(const char *name);

#endif

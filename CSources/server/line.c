/* line.c - whether main's first line was reached that a fork server needs. */
#include "server/protocol.h"

/* Set when the line is reached; a fork inherits it. Relaxed: the leader's thread that makes a team
 * came after main's first line anyway. */
static uint32_t line_reached;

void muster__server_line_reached(void)
{
    __atomic_store_n(&line_reached, 1, __ATOMIC_RELAXED);
}

bool muster_server_is_possible(void)
{
    return __atomic_load_n(&line_reached, __ATOMIC_RELAXED) != 0;
}

bool muster_server_is_stray(void)
{
    return muster__os_variable(MUSTER_SERVER_VARIABLE) != NULL;
}

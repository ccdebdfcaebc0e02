/* protocol.h - what leader and fork server say to each other, and what the leader knows
 * of its server. Private.
 */
#ifndef MUSTER_SERVER_PROTOCOL_H
#define MUSTER_SERVER_PROTOCOL_H

#include <muster/core/server.h>

#include "team/state.h"

/* The descriptor at which a server finds its socket: the first after the standard three. */
#define MUSTER__SERVER_SOCKET 3

/* What the leader asks. The first three come once, in this order, and only the last of them is
 * answered. */
enum muster__server_verb {
    MUSTER__SERVER_CONTROL = 1, /* with the control segment's descriptor */
    MUSTER__SERVER_ARENA,       /* with the arena's */
    MUSTER__SERVER_EVENT,       /* with the leader's eventfd: begin */
    MUSTER__SERVER_SPAWN,       /* with the rank's end of its socket; answered with a pidfd */
    MUSTER__SERVER_REAP,        /* the exit status of a rank that has ended */
    MUSTER__SERVER_ABANDON,     /* kill and reap a rank that the leader can't watch */
    MUSTER__SERVER_MAP          /* with a file's descriptor: for the ranks forked from now on */
};

struct muster__server_request {
    uint32_t layout_version; /* MUSTER_LAYOUT_VERSION */
    uint32_t verb;
    uint32_t rank;                     /* SPAWN, REAP, ABANDON */
    int32_t cpu;                       /* SPAWN: the rank's CPU; -1: none */
    uint64_t space_bytes, arena_bytes; /* ARENA */
    struct muster__mapping mapping;    /* MAP */
};

struct muster__server_reply {
    int32_t status;  /* negative errno; otherwise 0, or of REAP 1: it has ended */
    int32_t pid;     /* SPAWN */
    int32_t code;    /* REAP: as waitid gives it */
    int32_t value;   /* REAP: as waitid gives it */
    int32_t threads; /* EVENT */
};

/* A mapping of a file that every rank must have, also one that a later server forks. */
struct muster__server_mapping {
    struct muster__mapping mapping;
    int fd; /* the array's own */
};

/* The leader's knowledge of its team's server. */
struct muster__server {
    int pid, pidfd, socket; /* pidfd -1: none is running */
    int32_t *cpus;          /* CPU of each rank; NULL: none is bound */
    char **program;         /* that it executes, in one block; NULL: this one */
    struct muster__server_mapping *mappings;
    uint32_t mapping_count;
    bool in_trouble;
    bool has_fallen;   /* it was lost, and the deaths of its ranks are not noted yet */
    uint32_t troubles; /* servers that were lost */
    struct muster_server_trouble trouble;
};

/* Executes the server's program with `socket` as its MUSTER__SERVER_SOCKET. Returns: its pid, or a
 * negative errno. (program.c) */
int muster__server_execute(const struct muster__server *server, int socket);

/* A NULL-ended list of arguments, in one block. Returns: NULL: no memory. Ownership: free.
 * (program.c) */
char **muster__server_copy_program(const char *const *program);

/* Notes that this program has come to its line. (line.c) */
void muster__server_line_reached(void);

#endif

/* signs.c - texts that change when the CPUs and nodes of a host change. */
#include <stdlib.h>
#include <string.h>

#include "host/read.h"

/* A file's text, or what is wrong with it, to be freed. NULL: no memory. */
static char *read_sign(struct muster__reader *reader, const char *path)
{
    int status = muster__reader_file(reader, "%s", path);
    return strdup(status == 0 ? reader->text : muster__reader_why(status));
}

int muster__signs_read(struct muster__reader *reader, struct muster__signs *signs)
{
    signs->cpus = read_sign(reader, MUSTER__CPUS "/online");
    signs->nodes = read_sign(reader, MUSTER__NODES "/online");
    signs->memory = read_sign(reader, MUSTER__NODES "/has_memory");
    bool counts = muster__reader_file(reader, "sys/kernel/uevent_seqnum") == 0;
    signs->events = counts ? strdup(reader->text) : NULL;
    int status = reader->failure;
    if (status == 0 && (!signs->cpus || !signs->nodes || !signs->memory))
        status = -ENOMEM;
    if (status)
        muster__signs_free(signs);
    return status;
}

bool muster__signs_are_equal(const struct muster__signs *one, const struct muster__signs *other)
{
    return strcmp(one->cpus, other->cpus) == 0 && strcmp(one->nodes, other->nodes) == 0 &&
           strcmp(one->memory, other->memory) == 0;
}

void muster__signs_free(struct muster__signs *signs)
{
    free(signs->cpus);
    free(signs->nodes);
    free(signs->memory);
    free(signs->events);
    *signs = (struct muster__signs){.cpus = NULL};
}

/* relay_sink.c - where a relay writes to, and what waits to be written. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "supervisor/relay_state.h"

/* A pipe with room has room for this much (PIPE_BUF), so writing no more does not block. */
#define CAUTIOUS_BYTES 4096u

size_t muster__held(const struct muster__buffer *buffer)
{
    return buffer->end - buffer->start;
}

int muster__append(struct muster__buffer *buffer, const char *bytes, size_t size)
{
    if (size == 0)
        return 0;
    if (buffer->room - buffer->end < size && buffer->start > 0) {
        memmove(buffer->bytes, buffer->bytes + buffer->start, muster__held(buffer));
        buffer->end -= buffer->start;
        buffer->start = 0;
    }
    if (buffer->room - buffer->end < size) {
        size_t room = buffer->room ? buffer->room : 256;
        while (room - buffer->end < size)
            room *= 2;
        char *larger = realloc(buffer->bytes, room);
        if (!larger)
            return -ENOMEM;
        buffer->bytes = larger;
        buffer->room = room;
    }
    memcpy(buffer->bytes + buffer->end, bytes, size);
    buffer->end += size;
    return 0;
}

void muster__drop(struct muster__buffer *buffer)
{
    free(buffer->bytes);
    *buffer = (struct muster__buffer){0};
}

int muster__open_destination(struct muster__destination *destination, int fd,
                             struct muster__sink *sink)
{
    int status = muster__os_sink(fd, sink);
    if (status)
        return status;
    *destination = (struct muster__destination){.fd = fd, .own = -1, .manner = PLAIN};
    if (sink->is_socket) {
        destination->manner = SOCKET;
    } else if (sink->is_stream) {
        /* Refused where it belongs to somebody else, as after su. */
        int own = muster__os_reopen_nonblocking(fd);
        destination->manner = own >= 0 ? NONBLOCKING : CAUTIOUS;
        destination->own = own >= 0 ? own : -1;
        destination->fd = own >= 0 ? own : fd;
    }
    return 0;
}

static int64_t write_some(struct muster__destination *destination)
{
    const char *bytes = destination->pending.bytes + destination->pending.start;
    size_t size = muster__held(&destination->pending);
    if (destination->manner == SOCKET)
        return muster__os_send_some(destination->fd, bytes, size);
    if (destination->manner == CAUTIOUS) {
        int is_writable = muster__os_is_writable(destination->fd);
        if (is_writable <= 0)
            return is_writable < 0 ? is_writable : -EAGAIN;
        size = size < CAUTIOUS_BYTES ? size : CAUTIOUS_BYTES;
    }
    return muster__os_write_some(destination->fd, bytes, size);
}

/* Writes what is pending, as far as it goes. */
int muster__flush(struct muster_relay *relay, struct muster__destination *destination)
{
    struct muster__buffer *pending = &destination->pending;
    int64_t written = 0;
    while (muster__held(pending) > 0 && destination->failure == 0 && !destination->is_waiting) {
        written = write_some(destination);
        if (written > 0) {
            pending->start += (size_t)written;
        } else if (written == -EAGAIN) {
            int status = muster__os_epoll_add_writable(relay->epoll, destination->fd,
                                                       (uint64_t)(uintptr_t)destination);
            if (status)
                return status;
            destination->is_waiting = true;
        } else {
            destination->failure = written < 0 ? (int)written : -EIO;
        }
    }
    if (destination->failure)
        muster__drop(pending);
    else if (muster__held(pending) == 0)
        pending->start = pending->end = 0;
    return 0;
}

/* relay.c - what many processes write, passed on without tearing lines.
 *
 * Invariant: `open` of a destination is the source whose line stands there without an end; only
 * that source may write on, all others put a line break first.
 */
#define _GNU_SOURCE
#include <muster/tool/relay.h>
#include <stdlib.h>
#include <string.h>

#include "os/process.h"

/* Read from a source at a time: a pipe's capacity. */
#define READ_BYTES 65536u

/* Above the first, sources are no longer read; below the second they are again. */
#define PAUSE_BYTES  (1u << 20)
#define RESUME_BYTES (1u << 18)

/* A pipe with room has room for this much (PIPE_BUF), so writing no more does not block. */
#define CAUTIOUS_BYTES 4096u

struct buffer {
    char *bytes;
    size_t start; /* of what is in it */
    size_t end;
    size_t room;
};

struct source {
    struct source *next;
    struct destination *destination;
    int fd; /* -1: has ended */
    bool is_watched;
    char *tag;
    size_t tag_length;
    struct buffer part; /* the beginning of a line, without an end so far */
};

enum manner { PLAIN, NONBLOCKING, SOCKET, CAUTIOUS };

struct destination {
    int fd;  /* to write to */
    int own; /* the same if it is ours to close; otherwise -1 */
    enum manner manner;
    int failure;     /* negative errno; nothing is written any more */
    bool is_told;    /* of the failure */
    bool is_waiting; /* in epoll until it takes more */
    bool is_full;    /* its sources are not read */
    struct buffer pending;
    struct source *open;
    uint32_t sources; /* ever opened */
};

struct muster_relay {
    int epoll;
    struct destination destinations[2];
    struct destination *errors; /* the second, or the first where both are one file */
    struct source *sources;
    bool is_sealed;
    int terminal, feed; /* -1: none */
    bool is_fed;        /* the terminal is in epoll */
    char input[4096];   /* typed, but not taken */
    size_t input_start, input_end;
    bool feed_is_waiting;
    char scratch[READ_BYTES];
};

/* What an event is about: the address of a source or a destination, or one of these. */
enum { TAG_TERMINAL = 1, TAG_FEED = 2 };

/* -- buffers -------------------------------------------------------------------------------- */

static size_t held(const struct buffer *buffer)
{
    return buffer->end - buffer->start;
}

static int append(struct buffer *buffer, const char *bytes, size_t size)
{
    if (size == 0)
        return 0;
    if (buffer->room - buffer->end < size && buffer->start > 0) {
        memmove(buffer->bytes, buffer->bytes + buffer->start, held(buffer));
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

static void drop(struct buffer *buffer)
{
    free(buffer->bytes);
    *buffer = (struct buffer){0};
}

/* -- destinations --------------------------------------------------------------------------- */

static int open_destination(struct destination *destination, int fd, struct muster__sink *sink)
{
    int status = muster__os_sink(fd, sink);
    if (status)
        return status;
    *destination = (struct destination){.fd = fd, .own = -1, .manner = PLAIN};
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

static int64_t write_some(struct destination *destination)
{
    const char *bytes = destination->pending.bytes + destination->pending.start;
    size_t size = held(&destination->pending);
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
static int flush(struct muster_relay *relay, struct destination *destination)
{
    struct buffer *pending = &destination->pending;
    int64_t written = 0;
    while (held(pending) > 0 && destination->failure == 0 && !destination->is_waiting) {
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
        drop(pending);
    else if (held(pending) == 0)
        pending->start = pending->end = 0;
    return 0;
}

/* -- sources -------------------------------------------------------------------------------- */

static int watch(struct muster_relay *relay, struct source *source, bool is_watched)
{
    if (source->fd < 0 || source->is_watched == is_watched)
        return 0;
    int status = 0;
    /* Taken out, not only muted: the end of a pipe is told even to callers that ask for nothing. */
    if (is_watched)
        status = muster__os_epoll_add(relay->epoll, source->fd, (uint64_t)(uintptr_t)source);
    else
        status = muster__os_epoll_remove(relay->epoll, source->fd);
    if (status == 0)
        source->is_watched = is_watched;
    return status;
}

/* Passes on bytes of a source, of one line: the part that was kept, and more. */
static int put(struct source *source, const char *bytes, size_t size, bool has_end)
{
    struct destination *destination = source->destination;
    struct buffer *pending = &destination->pending;
    int status = 0;
    if (destination->failure)
        return 0;
    if (destination->open != source) {
        if (destination->open)
            status = append(pending, "\n", 1);
        if (status == 0)
            status = append(pending, source->tag, source->tag_length);
    }
    if (status == 0)
        status = append(pending, source->part.bytes + source->part.start, held(&source->part));
    if (status == 0)
        status = append(pending, bytes, size);
    destination->open = has_end ? NULL : source;
    source->part.start = source->part.end = 0;
    return status;
}

/* Passes on what was read: whole lines; the rest is kept. */
static int take(struct muster_relay *relay, struct source *source, const char *bytes, size_t size)
{
    struct destination *destination = source->destination;
    int status = 0;
    while (status == 0 && size > 0) {
        /* Without a tag, and where nobody's line has to be ended first, all whole lines are one
         * piece. */
        bool one_by_one =
            source->tag_length > 0 || (destination->open && destination->open != source);
        const char *end = one_by_one ? memchr(bytes, '\n', size) : memrchr(bytes, '\n', size);
        if (!end)
            break;
        size_t length = (size_t)(end - bytes) + 1;
        status = put(source, bytes, length, true);
        bytes += length;
        size -= length;
    }
    if (status || size == 0)
        return status;
    bool is_alone = relay->is_sealed && destination->sources == 1;
    if (is_alone || destination->open == source ||
        held(&source->part) + size > MUSTER_RELAY_LINE_BYTES)
        return put(source, bytes, size, false);
    return append(&source->part, bytes, size);
}

static int end_source(struct muster_relay *relay, struct source *source)
{
    int status = watch(relay, source, false);
    muster__os_close(source->fd);
    source->fd = -1;
    if (status == 0 && held(&source->part) > 0)
        status = put(source, NULL, 0, false);
    drop(&source->part);
    return status;
}

static int read_source(struct muster_relay *relay, struct source *source)
{
    int64_t size = muster__os_read_some(source->fd, relay->scratch, sizeof relay->scratch);
    if (size == -EAGAIN)
        return 0;
    if (size <= 0)
        return end_source(relay, source);
    return take(relay, source, relay->scratch, (size_t)size);
}

/* Stops or resumes reading from the sources of a destination, by how much waits there. */
static int throttle(struct muster_relay *relay, struct destination *destination)
{
    size_t size = held(&destination->pending);
    bool is_full = size > PAUSE_BYTES || (destination->is_full && size > RESUME_BYTES);
    int status = 0;
    if (is_full == destination->is_full)
        return 0;
    for (struct source *source = relay->sources; source && status == 0; source = source->next)
        if (source->destination == destination)
            status = watch(relay, source, !is_full);
    destination->is_full = is_full;
    return status;
}

/* Takes ended sources out of the list. */
static void forget_ended(struct muster_relay *relay)
{
    struct source **link = &relay->sources;
    while (*link) {
        struct source *source = *link;
        if (source->fd >= 0) {
            link = &source->next;
            continue;
        }
        /* Its line stays open: anything that comes next must break it, also a source at this
         * address. */
        if (source->destination->open == source)
            source->destination->open = (struct source *)(uintptr_t)1;
        *link = source->next;
        free(source->tag);
        free(source);
    }
}

/* -- the terminal --------------------------------------------------------------------------- */

static int watch_terminal(struct muster_relay *relay)
{
    bool is_wanted = relay->feed >= 0 && relay->input_start == relay->input_end &&
                     muster__os_is_foreground(relay->terminal);
    int status = 0;
    if (is_wanted && !relay->is_fed)
        status = muster__os_epoll_add(relay->epoll, relay->terminal, TAG_TERMINAL);
    else if (!is_wanted && relay->is_fed)
        status = muster__os_epoll_remove(relay->epoll, relay->terminal);
    if (status == 0)
        relay->is_fed = is_wanted;
    return status;
}

static void end_feed(struct muster_relay *relay)
{
    if (relay->feed < 0)
        return;
    if (relay->feed_is_waiting)
        muster__os_epoll_remove(relay->epoll, relay->feed);
    muster__os_close(relay->feed);
    relay->feed = -1;
    relay->feed_is_waiting = false;
    relay->input_start = relay->input_end = 0;
}

/* Moves what is typed, as far as it goes. */
static int serve_feed(struct muster_relay *relay, bool is_readable)
{
    if (is_readable && relay->input_start == relay->input_end && relay->feed >= 0) {
        int64_t size =
            muster__os_is_foreground(relay->terminal)
                ? muster__os_read_some(relay->terminal, relay->input, sizeof relay->input)
                : -EAGAIN;
        /* Taken into the background between the two calls. */
        if (size == -EIO && !muster__os_is_foreground(relay->terminal))
            size = -EAGAIN;
        relay->input_start = 0;
        relay->input_end = size > 0 ? (size_t)size : 0;
        /* Ctrl-D at the start of a line, or the terminal is gone. */
        if (size <= 0 && size != -EAGAIN)
            end_feed(relay);
    }
    while (relay->feed >= 0 && relay->input_start < relay->input_end && !relay->feed_is_waiting) {
        int64_t written = muster__os_write_some(relay->feed, relay->input + relay->input_start,
                                                relay->input_end - relay->input_start);
        if (written > 0) {
            relay->input_start += (size_t)written;
        } else if (written == -EAGAIN) {
            int status = muster__os_epoll_add_writable(relay->epoll, relay->feed, TAG_FEED);
            if (status)
                return status;
            relay->feed_is_waiting = true;
        } else {
            end_feed(relay); /* nobody reads what is typed any more */
        }
    }
    return watch_terminal(relay);
}

int muster_relay_feed(struct muster_relay *relay, int terminal, int *reader)
{
    int ends[2];
    int status = muster__os_pipe(ends);
    if (status)
        return status;
    end_feed(relay);
    /* The other way round than for sources: what is ours must not block, the program's end may. */
    status = muster__os_nonblocking(ends[1]);
    if (status == 0)
        status = muster__os_blocking(ends[0]);
    relay->terminal = terminal;
    if (status == 0) {
        relay->feed = ends[1];
        status = watch_terminal(relay);
    } else {
        muster__os_close(ends[1]);
    }
    if (status == 0) {
        *reader = ends[0];
        return 0;
    }
    end_feed(relay);
    muster__os_close(ends[0]);
    return status;
}

bool muster_relay_feed_again(struct muster_relay *relay)
{
    if (relay->feed < 0 || relay->is_fed || relay->input_start < relay->input_end)
        return false;
    (void)watch_terminal(relay);
    return !relay->is_fed;
}

/* -- the relay ------------------------------------------------------------------------------ */

int muster_relay_create(int output, int errors, struct muster_relay **relay)
{
    struct muster_relay *it = calloc(1, sizeof *it);
    if (!it)
        return -ENOMEM;
    struct muster__sink first, second;
    it->feed = it->terminal = -1;
    it->destinations[0].own = it->destinations[1].own = -1;
    it->epoll = muster__os_epoll();
    int status = it->epoll < 0 ? it->epoll : 0;
    if (status == 0)
        status = open_destination(&it->destinations[0], output, &first);
    if (status == 0)
        status = open_destination(&it->destinations[1], errors, &second);
    if (status) {
        muster_relay_destroy(it);
        return status;
    }
    bool is_one = first.device == second.device && first.file == second.file &&
                  first.is_writable == second.is_writable;
    it->errors = &it->destinations[is_one ? 0 : 1];
    *relay = it;
    return 0;
}

void muster_relay_destroy(struct muster_relay *relay)
{
    if (!relay)
        return;
    end_feed(relay);
    for (struct source *source = relay->sources; source; source = source->next) {
        if (source->fd >= 0)
            muster__os_close(source->fd);
        source->fd = -1;
        drop(&source->part);
    }
    forget_ended(relay);
    for (int i = 0; i < 2; i++) {
        drop(&relay->destinations[i].pending);
        if (relay->destinations[i].own >= 0)
            muster__os_close(relay->destinations[i].own);
    }
    if (relay->epoll >= 0)
        muster__os_close(relay->epoll);
    free(relay);
}

bool muster_relay_is_one(const struct muster_relay *relay)
{
    return relay->errors == &relay->destinations[0];
}

static struct destination *destination_of(struct muster_relay *relay, uint32_t destination)
{
    return destination == MUSTER_RELAY_OUTPUT ? &relay->destinations[0] : relay->errors;
}

int muster_relay_open(struct muster_relay *relay, uint32_t destination, const char *tag,
                      int *writer)
{
    struct source *source = calloc(1, sizeof *source);
    char *copy = tag ? strdup(tag) : NULL;
    int ends[2];
    int status = !source || (tag && !copy) ? -ENOMEM : muster__os_pipe(ends);
    if (status) {
        free(copy);
        free(source);
        return status;
    }
    *source = (struct source){.destination = destination_of(relay, destination),
                              .fd = ends[0],
                              .tag = copy,
                              .tag_length = copy ? strlen(copy) : 0};
    if (!source->destination->is_full)
        status = watch(relay, source, true);
    if (status) {
        muster__os_close(ends[0]);
        muster__os_close(ends[1]);
        free(copy);
        free(source);
        return status;
    }
    source->destination->sources++;
    source->next = relay->sources;
    relay->sources = source;
    *writer = ends[1];
    return 0;
}

void muster_relay_seal(struct muster_relay *relay)
{
    relay->is_sealed = true;
}

int muster_relay_say(struct muster_relay *relay, uint32_t destination, const char *text)
{
    struct destination *it = destination_of(relay, destination);
    int status = it->failure;
    if (status == 0 && it->open)
        status = append(&it->pending, "\n", 1);
    if (status == 0)
        status = append(&it->pending, text, strlen(text));
    if (status == 0)
        status = append(&it->pending, "\n", 1);
    if (status)
        return status;
    it->open = NULL;
    return flush(relay, it);
}

int muster_relay_descriptor(const struct muster_relay *relay)
{
    return relay->epoll;
}

/* Tells a failure once; a process that writes there is told by its own write. */
static int tell_failure(struct muster_relay *relay, uint32_t *failed)
{
    for (uint32_t i = 0; i < 2; i++) {
        struct destination *destination = &relay->destinations[i];
        if (destination->failure == 0 || destination->is_told)
            continue;
        destination->is_told = true;
        for (struct source *source = relay->sources; source; source = source->next)
            if (source->destination == destination && source->fd >= 0)
                end_source(relay, source);
        *failed = i;
        return destination->failure;
    }
    return 0;
}

int muster_relay_serve(struct muster_relay *relay, uint32_t *failed)
{
    uint64_t tags[64];
    int count = muster__os_epoll_wait(relay->epoll, tags, 64, 0);
    int status = count < 0 ? count : 0;
    for (int i = 0; i < count && status == 0; i++) {
        void *subject = (void *)(uintptr_t)tags[i];
        if (tags[i] == TAG_TERMINAL) {
            status = serve_feed(relay, true);
        } else if (tags[i] == TAG_FEED) {
            muster__os_epoll_remove(relay->epoll, relay->feed);
            relay->feed_is_waiting = false;
            status = serve_feed(relay, false);
        } else if (subject == &relay->destinations[0] || subject == &relay->destinations[1]) {
            struct destination *destination = subject;
            muster__os_epoll_remove(relay->epoll, destination->fd);
            destination->is_waiting = false;
        } else {
            /* One read each, however much there is: nobody waits for a source that never pauses. */
            status = read_source(relay, subject);
        }
    }
    for (int i = 0; i < 2 && status == 0; i++) {
        status = flush(relay, &relay->destinations[i]);
        if (status == 0)
            status = throttle(relay, &relay->destinations[i]);
    }
    forget_ended(relay);
    if (status == 0)
        status = tell_failure(relay, failed);
    return status;
}

bool muster_relay_is_done(const struct muster_relay *relay)
{
    for (int i = 0; i < 2; i++)
        if (held(&relay->destinations[i].pending) > 0)
            return false;
    for (const struct source *source = relay->sources; source; source = source->next)
        if (source->fd >= 0)
            return false;
    return true;
}

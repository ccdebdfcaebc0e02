/* relay.c - what many processes write, passed on without tearing lines.
 *
 * Invariant: `open` of a destination is the source whose line stands there without an end; only
 * that source may write on, all others put a line break first.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "supervisor/relay_state.h"

/* Above the first, sources are no longer read; below the second they are again. */
#define PAUSE_BYTES  (1u << 20)
#define RESUME_BYTES (1u << 18)

/* -- sources -------------------------------------------------------------------------------- */

static int watch(struct muster_relay *relay, struct muster__source *source, bool is_watched)
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
static int put(struct muster__source *source, const char *bytes, size_t size, bool has_end)
{
    struct muster__destination *destination = source->destination;
    struct muster__buffer *pending = &destination->pending;
    int status = 0;
    if (destination->failure)
        return 0;
    if (destination->open != source) {
        if (destination->open)
            status = muster__append(pending, "\n", 1);
        if (status == 0)
            status = muster__append(pending, source->tag, source->tag_length);
    }
    if (status == 0)
        status = muster__append(pending, source->part.bytes + source->part.start,
                                muster__held(&source->part));
    if (status == 0)
        status = muster__append(pending, bytes, size);
    destination->open = has_end ? NULL : source;
    source->part.start = source->part.end = 0;
    return status;
}

/* Passes on what was read: whole lines; the rest is kept. */
static int take(struct muster_relay *relay, struct muster__source *source, const char *bytes,
                size_t size)
{
    struct muster__destination *destination = source->destination;
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
        muster__held(&source->part) + size > MUSTER_RELAY_LINE_BYTES)
        return put(source, bytes, size, false);
    return muster__append(&source->part, bytes, size);
}

static int end_source(struct muster_relay *relay, struct muster__source *source)
{
    int status = watch(relay, source, false);
    muster__os_close(source->fd);
    source->fd = -1;
    if (status == 0 && muster__held(&source->part) > 0)
        status = put(source, NULL, 0, false);
    muster__drop(&source->part);
    return status;
}

static int read_source(struct muster_relay *relay, struct muster__source *source)
{
    int64_t size = muster__os_read_some(source->fd, relay->scratch, sizeof relay->scratch);
    if (size == -EAGAIN)
        return 0;
    if (size <= 0)
        return end_source(relay, source);
    return take(relay, source, relay->scratch, (size_t)size);
}

/* Stops or resumes reading from the sources of a destination, by how much waits there. */
static int throttle(struct muster_relay *relay, struct muster__destination *destination)
{
    size_t size = muster__held(&destination->pending);
    bool is_full = size > PAUSE_BYTES || (destination->is_full && size > RESUME_BYTES);
    int status = 0;
    if (is_full == destination->is_full)
        return 0;
    for (struct muster__source *source = relay->sources; source && status == 0;
         source = source->next)
        if (source->destination == destination)
            status = watch(relay, source, !is_full);
    destination->is_full = is_full;
    return status;
}

/* Takes ended sources out of the list. */
static void forget_ended(struct muster_relay *relay)
{
    struct muster__source **link = &relay->sources;
    while (*link) {
        struct muster__source *source = *link;
        if (source->fd >= 0) {
            link = &source->next;
            continue;
        }
        /* Its line stays open: anything that comes next must break it, also a source at this
         * address. */
        if (source->destination->open == source)
            source->destination->open = (struct muster__source *)(uintptr_t)1;
        *link = source->next;
        free(source->tag);
        free(source);
    }
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
        status = muster__open_destination(&it->destinations[0], output, &first);
    if (status == 0)
        status = muster__open_destination(&it->destinations[1], errors, &second);
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
    muster__end_feed(relay);
    for (struct muster__source *source = relay->sources; source; source = source->next) {
        if (source->fd >= 0)
            muster__os_close(source->fd);
        source->fd = -1;
        muster__drop(&source->part);
    }
    forget_ended(relay);
    for (int i = 0; i < 2; i++) {
        muster__drop(&relay->destinations[i].pending);
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

static struct muster__destination *destination_of(struct muster_relay *relay, uint32_t destination)
{
    return destination == MUSTER_RELAY_OUTPUT ? &relay->destinations[0] : relay->errors;
}

int muster_relay_open(struct muster_relay *relay, uint32_t destination, const char *tag,
                      int *writer)
{
    struct muster__source *source = calloc(1, sizeof *source);
    char *copy = tag ? strdup(tag) : NULL;
    int ends[2];
    int status = !source || (tag && !copy) ? -ENOMEM : muster__os_pipe(ends);
    if (status) {
        free(copy);
        free(source);
        return status;
    }
    *source = (struct muster__source){.destination = destination_of(relay, destination),
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
    struct muster__destination *it = destination_of(relay, destination);
    int status = it->failure;
    if (status == 0 && it->open)
        status = muster__append(&it->pending, "\n", 1);
    if (status == 0)
        status = muster__append(&it->pending, text, strlen(text));
    if (status == 0)
        status = muster__append(&it->pending, "\n", 1);
    if (status)
        return status;
    it->open = NULL;
    return muster__flush(relay, it);
}

int muster_relay_descriptor(const struct muster_relay *relay)
{
    return relay->epoll;
}

/* Tells a failure once; a process that writes there is told by its own write. */
static int tell_failure(struct muster_relay *relay, uint32_t *failed)
{
    for (uint32_t i = 0; i < 2; i++) {
        struct muster__destination *destination = &relay->destinations[i];
        if (destination->failure == 0 || destination->is_told)
            continue;
        destination->is_told = true;
        for (struct muster__source *source = relay->sources; source; source = source->next)
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
            status = muster__serve_feed(relay, true);
        } else if (tags[i] == TAG_FEED) {
            muster__os_epoll_remove(relay->epoll, relay->feed);
            relay->feed_is_waiting = false;
            status = muster__serve_feed(relay, false);
        } else if (subject == &relay->destinations[0] || subject == &relay->destinations[1]) {
            struct muster__destination *destination = subject;
            muster__os_epoll_remove(relay->epoll, destination->fd);
            destination->is_waiting = false;
        } else {
            /* One read each, however much there is: nobody waits for a source that never pauses. */
            status = read_source(relay, subject);
        }
    }
    for (int i = 0; i < 2 && status == 0; i++) {
        status = muster__flush(relay, &relay->destinations[i]);
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
        if (muster__held(&relay->destinations[i].pending) > 0)
            return false;
    for (const struct muster__source *source = relay->sources; source; source = source->next)
        if (source->fd >= 0)
            return false;
    return true;
}

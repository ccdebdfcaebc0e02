/* relay_state.h - what the parts of a relay share: buffers, destinations, and the terminal that
 * feeds a program. Private to relay*.c. */
#ifndef MUSTER_SUPERVISOR_RELAY_STATE_H
#define MUSTER_SUPERVISOR_RELAY_STATE_H

#include <muster/tool/relay.h>

#include "os/process.h"

/* Read from a source at a time: a pipe's capacity. */
#define READ_BYTES 65536u

struct muster__buffer {
    char *bytes;
    size_t start; /* of what is in it */
    size_t end;
    size_t room;
};

struct muster__source {
    struct muster__source *next;
    struct muster__destination *destination;
    int fd; /* -1: has ended */
    bool is_watched;
    char *tag;
    size_t tag_length;
    struct muster__buffer part; /* the beginning of a line, without an end so far */
};

enum muster__manner { PLAIN, NONBLOCKING, SOCKET, CAUTIOUS };

struct muster__destination {
    int fd;  /* to write to */
    int own; /* the same if it is ours to close; otherwise -1 */
    enum muster__manner manner;
    int failure;     /* negative errno; nothing is written any more */
    bool is_told;    /* of the failure */
    bool is_waiting; /* in epoll until it takes more */
    bool is_full;    /* its sources are not read */
    struct muster__buffer pending;
    struct muster__source *open;
    uint32_t sources; /* ever opened */
};

struct muster_relay {
    int epoll;
    struct muster__destination destinations[2];
    struct muster__destination *errors; /* the second, or the first where both are one file */
    struct muster__source *sources;
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

/* -- relay_sink.c --------------------------------------------------------------------------- */

/* Bytes in a buffer. */
size_t muster__held(const struct muster__buffer *buffer);
/* Adds to it. Returns: 0 or -ENOMEM. */
int muster__append(struct muster__buffer *buffer, const char *bytes, size_t size);
/* Empties it and gives its memory back. */
void muster__drop(struct muster__buffer *buffer);
/* Finds out how to write to a descriptor without waiting. Returns: 0 or a negative errno. */
int muster__open_destination(struct muster__destination *destination, int fd,
                             struct muster__sink *sink);
/* Writes what is pending, as far as it goes. Returns: 0, or a negative errno of epoll. */
int muster__flush(struct muster_relay *relay, struct muster__destination *destination);

/* -- relay_feed.c --------------------------------------------------------------------------- */

/* Has the terminal in epoll if something typed there would be taken. */
int muster__watch_terminal(struct muster_relay *relay);
void muster__end_feed(struct muster_relay *relay);
/* Moves what is typed, as far as it goes. */
int muster__serve_feed(struct muster_relay *relay, bool is_readable);

#endif

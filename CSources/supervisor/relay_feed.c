/* relay_feed.c - what is typed at the terminal, passed on to the program that may read it. */
#define _GNU_SOURCE
#include "supervisor/relay_state.h"

int muster__watch_terminal(struct muster_relay *relay)
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

void muster__end_feed(struct muster_relay *relay)
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
int muster__serve_feed(struct muster_relay *relay, bool is_readable)
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
            muster__end_feed(relay);
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
            muster__end_feed(relay); /* nobody reads what is typed any more */
        }
    }
    return muster__watch_terminal(relay);
}

int muster_relay_feed(struct muster_relay *relay, int terminal, int *reader)
{
    int ends[2];
    int status = muster__os_pipe(ends);
    if (status)
        return status;
    muster__end_feed(relay);
    /* The other way round than for sources: what is ours must not block, the program's end may. */
    status = muster__os_nonblocking(ends[1]);
    if (status == 0)
        status = muster__os_blocking(ends[0]);
    relay->terminal = terminal;
    if (status == 0) {
        relay->feed = ends[1];
        status = muster__watch_terminal(relay);
    } else {
        muster__os_close(ends[1]);
    }
    if (status == 0) {
        *reader = ends[0];
        return 0;
    }
    muster__end_feed(relay);
    muster__os_close(ends[0]);
    return status;
}

bool muster_relay_feed_again(struct muster_relay *relay)
{
    if (relay->feed < 0 || relay->is_fed || relay->input_start < relay->input_end)
        return false;
    (void)muster__watch_terminal(relay);
    return !relay->is_fed;
}

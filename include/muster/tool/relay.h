/* relay.h - what many processes write, passed on without tearing lines.
 *
 * For Muster's own tool. Not part of muster.h and not installed. A relay has two destinations, this
 * process's standard output and standard error; each source is a pipe that a process writes into.
 * What holds for each destination:
 *
 *   - a line is written in one piece: two sources' bytes never share one. Sources that are no lines
 *     at all have a limit: a line beyond MUSTER_RELAY_LINE_BYTES is passed on in parts, and where
 *     another source comes between them, a line break is put in first
 *   - nothing is lost, and lines of a source keep their order
 *   - a last line without an end is passed on at the end of its source, and left without one unless
 *     something follows
 *   - a source that is alone is passed on byte by byte as it comes, so that prompts show
 *   - where the reader of a destination is slow, sources are no longer read, and the processes
 *     behind them wait in their own write: memory stays bounded
 *
 * Nothing here blocks: a destination is opened again in order not to (the flag would be shared with
 * other processes), or written in small parts where that can't be. Where both destinations are one
 * file, as with 2>&1, they are one here.
 */
#ifndef MUSTER_TOOL_RELAY_H
#define MUSTER_TOOL_RELAY_H

#include <muster/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct muster_relay;

/* Destinations. */
enum { MUSTER_RELAY_OUTPUT = 0, MUSTER_RELAY_ERRORS = 1 };

/* A line up to this length is never torn. */
#define MUSTER_RELAY_LINE_BYTES (1u << 20)

/* Makes a relay without sources.
 *
 * output, errors: where it writes to; they stay the caller's. Returns: 0, or a negative errno. */
int muster_relay_create(int output, int errors, struct muster_relay **relay);

/* Closes what is open, unread or not. NULL is allowed. */
void muster_relay_destroy(struct muster_relay *relay);

/* Whether both destinations are one file. */
bool muster_relay_is_one(const struct muster_relay *relay);

/* Opens a source.
 *
 * tag: put before each line; copied; NULL: none. writer: receives the end for the process that
 * writes, close-on-exec, the caller's to close. Returns: 0, or a negative errno of a pipe. */
int muster_relay_open(struct muster_relay *relay, uint32_t destination, const char *tag,
                      int *writer);

/* Says that no further source will be opened: one that is alone may be passed on byte by byte. */
void muster_relay_seal(struct muster_relay *relay);

/* Makes a pipe that what is typed at a terminal goes into, as long as this process may read there.
 *
 * reader: receives the end for the process that reads, close-on-exec, the caller's to close. The
 * last one takes the place of those before it. Returns: 0, or a negative errno. */
int muster_relay_feed(struct muster_relay *relay, int terminal, int *reader);

/* Looks again whether this process may read from the terminal: that changes with what a shell puts
 * into the foreground, of which nobody is told. Returns: whether it waits for that. */
bool muster_relay_feed_again(struct muster_relay *relay);

/* Writes a line of the caller's own between the lines of the sources. text: without a line break.
 */
int muster_relay_say(struct muster_relay *relay, uint32_t destination, const char *text);

/* Readable when muster_relay_serve has something to do. */
int muster_relay_descriptor(const struct muster_relay *relay);

/* Passes on what can be without waiting.
 *
 * failed: the destination for an error. Returns: 0; -EPIPE: nobody reads there any more; or another
 * negative errno of the write (-ENOSPC): each once, after which what goes there is dropped and its
 * sources are closed; -ENOMEM. */
int muster_relay_serve(struct muster_relay *relay, uint32_t *failed);

/* Whether every source has ended and all that came from them is written. */
bool muster_relay_is_done(const struct muster_relay *relay);

#ifdef __cplusplus
}
#endif

#endif

/* status.c - words for status values. */
#define _GNU_SOURCE
#include <muster/base.h>
#include <string.h>

#include "os/os.h"

const char *muster_status_text(int status)
{
    switch (-status) {
    case 0:
        return "success";
    case EOWNERDEAD:
        return "a rank died";
    case EXDEV:
        return "this placement can't be enforced here";
    case EPROTO:
        return "not a segment of this version of Muster";
    case EUCLEAN:
        return "shared memory or a file fails validation";
    case ECANCELED:
        return "cancelled";
    case EBADMSG:
        return "the audit found chunks that were not committed exactly once";
    case ECONNRESET:
        return "the launcher is gone";
    }
    const char *refused = muster__os_refusal_text(status);
    if (refused)
        return refused;
    const char *text = strerrordesc_np(status < 0 ? -status : status);
    return text ? text : "unknown error";
}

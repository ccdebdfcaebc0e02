/* check_state.h - what a member knows of the loop that it checks. Private to member/check.c and
 * member/fault.c.
 */
#ifndef MUSTER_MEMBER_CHECK_STATE_H
#define MUSTER_MEMBER_CHECK_STATE_H

#include <muster/core/check.h>

#include "member/crash.h"
#include "member/state.h"

/* From where offsets of a member's arrays are counted: they may lie anywhere. (Not from 0, since a
 * null pointer has no elements.) */
#define MUSTER__CHECK_BASE 4096u

struct muster__member_check {
    struct muster_check_array arrays[MUSTER_ARRAYS_MAX + 1];
    uint32_t element_bytes[MUSTER_ARRAYS_MAX + 1]; /* 0: the loop does not say */
    uint32_t count;
    intptr_t shift; /* of this member's pointers into the control memory */
};

/* Whether an address is of an array, or of what lies around it. In a signal's handler. */
bool muster__member_holds(uintptr_t address);

#endif

/* limits.c - how much a team reserves under the limits of its process, and what is said of a limit
 * that leaves too little.
 *
 * Invariant: a plan fits into its limits, or it is refused with a shortage; nothing else decides on
 * sizes of what is only reserved.
 */
#include <muster/core/journal.h>
#include <muster/core/limits.h>
#include <muster/core/roll.h>
#include <stdio.h>
#include <string.h>

#include "memory/arena.h"

#define MIB (1ull << 20)
#define GIB (1ull << 30)

/* Where reserved addresses take memory, no more of them are reserved. QEMU's emulators of user
 * programs before version 8 keep 24 bytes for each page of 4 KiB, so this is 24 MiB. */
#define COSTLY_ADDRESSES (4 * GIB)
#define COST_PROBE       (512 * MIB)

/* Rolls have room for MUSTER_CHUNKS_MAX >> step chunks. The last step still has room for a loop of
 * 2^32 elements with the grain that is chosen for it (schedule.h). */
#define STEPS 17

/* Journals shrink with the rolls down to this, and only at the last steps below it: a chunk of
 * 65,536 numbers is journaled in it. */
#define JOURNAL_KEPT MIB
#define KEPT_STEPS   12 /* 4 KiB tiles of a journal of 256 MiB, each 4 KiB */

/* A member's process has arrays of its own, and a program of any size: its share of addresses. */
#define MEMBER_SHARE      8u
#define MEMBER_ROLLS_MOST (64 * GIB)

/* An arena of this size takes up to half of its space. */
#define ARENA_KEPT (32 * MIB)

/* Of addresses beyond these, the program and the arrays get half each. */
#define LITTLE (8 * GIB)

void muster_limits_read(struct muster_limits *limits)
{
    struct muster__used used;
    muster__os_used(&used);
    *limits = (struct muster_limits){.address_bytes = muster__os_limit(MUSTER__ADDRESSES),
                                     .address_used_bytes = used.address_bytes,
                                     .data_bytes = muster__os_limit(MUSTER__DATA),
                                     .data_used_bytes = used.data_bytes,
                                     .file_bytes = muster__os_limit(MUSTER__FILE),
                                     .stack_bytes = muster__os_limit(MUSTER__STACK),
                                     .locked_bytes = muster__os_limit(MUSTER__LOCKED),
                                     .page_bytes = muster__os_page_bytes()};
    uint64_t most = used.address_bytes + COSTLY_ADDRESSES;
    if (limits->address_bytes > most && muster__os_addresses_cost(COST_PROBE))
        limits->address_bytes = most;
}

/* -- deciding ------------------------------------------------------------------------------- */

static uint64_t addresses_left(const struct muster_limits *limits)
{
    if (limits->address_bytes == UINT64_MAX)
        return UINT64_MAX;
    return limits->address_bytes > limits->address_used_bytes
               ? limits->address_bytes - limits->address_used_bytes
               : 0;
}

static uint64_t journal_of(uint32_t step, uint64_t page_bytes)
{
    uint64_t bytes = MUSTER_JOURNAL_BYTES_MAX >> step;
    if (bytes < JOURNAL_KEPT)
        bytes = step <= KEPT_STEPS ? JOURNAL_KEPT : JOURNAL_KEPT >> 2 * (step - KEPT_STEPS);
    return bytes > page_bytes ? bytes : page_bytes;
}

/* The segment with the rolls of one step. */
static uint64_t control_of(uint32_t step, uint32_t ranks, uint64_t fixed_bytes, uint64_t journal)
{
    return fixed_bytes + ranks * (muster_roll_bytes(MUSTER_CHUNKS_MAX >> step) + journal);
}

static int refuse(int status, uint32_t limit, uint64_t most, uint64_t used, uint64_t needed,
                  struct muster_shortage *shortage)
{
    *shortage =
        (struct muster_shortage){.limit = limit, .most = most, .used = used, .needed = needed};
    return status;
}

int muster_reservation_plan(const struct muster_limits *limits, uint32_t ranks,
                            uint64_t fixed_bytes, struct muster_reservation *reservation,
                            struct muster_shortage *shortage)
{
    uint64_t left = addresses_left(limits);
    uint64_t quarter = left == UINT64_MAX ? left : left / 4;
    uint64_t journal = 0, control = 0, least = 0;
    uint32_t step = 0;
    for (;; step++) {
        /* A unit more than the space: its address is rounded up to one. */
        journal = journal_of(step, limits->page_bytes);
        control = control_of(step, ranks, fixed_bytes, journal);
        least = control + MUSTER__SPACE_LEAST + MUSTER__SPACE_UNIT;
        if (step == STEPS - 1 ||
            (control <= quarter && control <= limits->file_bytes && least <= left))
            break;
    }
    uint64_t file_least = control > MUSTER__SPACE_UNIT ? control : MUSTER__SPACE_UNIT;
    if (file_least > limits->file_bytes)
        return refuse(-EFBIG, MUSTER_LIMIT_FILE_SIZE, limits->file_bytes, 0, file_least, shortage);
    if (least > left)
        return refuse(-ENOMEM, MUSTER_LIMIT_ADDRESSES, limits->address_bytes,
                      limits->address_used_bytes, least, shortage);
    uint64_t space = MUSTER__SPACE_MOST;
    if (left != UINT64_MAX) {
        uint64_t rest = left - control, kept = rest / 4;
        if (rest > LITTLE)
            kept += (rest - LITTLE) / 4;
        uint64_t room = (rest - kept) / MUSTER__SPACE_UNIT * MUSTER__SPACE_UNIT;
        room = room > MUSTER__SPACE_UNIT ? room - MUSTER__SPACE_UNIT : 0;
        if (room < space)
            space = room < MUSTER__SPACE_LEAST ? MUSTER__SPACE_LEAST : room;
    }
    *reservation = (struct muster_reservation){.chunk_capacity = MUSTER_CHUNKS_MAX >> step,
                                               .journal_bytes = journal,
                                               .control_bytes = control,
                                               .space_bytes = space};
    /* What the arena has no room for is mapped into the window, but not partial results. */
    uint64_t arena = space / 4;
    if (arena < ARENA_KEPT)
        arena = space / 2 < ARENA_KEPT ? space / 2 : ARENA_KEPT;
    if (arena > limits->file_bytes)
        arena = limits->file_bytes;
    reservation->arena_bytes = arena / MUSTER__SPACE_UNIT * MUSTER__SPACE_UNIT;
    return 0;
}

int muster_reservation_members(const struct muster_limits *limits, uint32_t ranks,
                               uint64_t fixed_bytes, uint64_t *chunk_capacity,
                               struct muster_shortage *shortage)
{
    uint64_t left = addresses_left(limits);
    uint64_t share = left == UINT64_MAX ? left : limits->address_bytes / MEMBER_SHARE;
    uint64_t wanted = MEMBER_ROLLS_MOST + fixed_bytes;
    if (wanted > share)
        wanted = share;
    if (wanted > limits->file_bytes)
        wanted = limits->file_bytes;
    uint32_t step = 0;
    while (step < STEPS - 1 && control_of(step, ranks, fixed_bytes, 0) > wanted)
        step++;
    uint64_t control = control_of(step, ranks, fixed_bytes, 0);
    if (control > limits->file_bytes)
        return refuse(-EFBIG, MUSTER_LIMIT_FILE_SIZE, limits->file_bytes, 0, control, shortage);
    if (control > left)
        return refuse(-ENOMEM, MUSTER_LIMIT_ADDRESSES, limits->address_bytes,
                      limits->address_used_bytes, control, shortage);
    *chunk_capacity = MUSTER_CHUNKS_MAX >> step;
    return 0;
}

int muster_reservation_shrink(struct muster_reservation *reservation)
{
    uint64_t space = reservation->space_bytes / 2 / MUSTER__SPACE_UNIT * MUSTER__SPACE_UNIT;
    if (space < MUSTER__SPACE_LEAST)
        return -ENOMEM;
    reservation->space_bytes = space;
    uint64_t arena = reservation->arena_bytes;
    if (arena > space / 2)
        arena = space / 2 / MUSTER__SPACE_UNIT * MUSTER__SPACE_UNIT;
    reservation->arena_bytes = arena > 0 ? arena : MUSTER__SPACE_UNIT;
    return 0;
}

/* Whether a team has room for so many bytes more of one array or file. */
static bool has_room(const struct muster_limits *limits, uint32_t ranks, uint64_t fixed_bytes,
                     uint64_t bytes)
{
    struct muster_reservation planned;
    struct muster_shortage shortage;
    return muster_reservation_plan(limits, ranks, fixed_bytes, &planned, &shortage) == 0 &&
           planned.space_bytes - planned.arena_bytes >= bytes;
}

int muster_reservation_shortage(const struct muster_limits *limits, uint32_t ranks,
                                uint64_t fixed_bytes, uint64_t bytes,
                                struct muster_shortage *shortage)
{
    *shortage = (struct muster_shortage){.limit = MUSTER_LIMIT_NONE};
    struct muster_limits more = *limits;
    if (limits->address_bytes == UINT64_MAX || bytes > MUSTER__SPACE_MOST / 2)
        return 0;
    /* The least limit that is enough, to a mebibyte. */
    uint64_t least = limits->address_used_bytes, enough = least + 16 * bytes + 64 * GIB;
    while (enough - least > MIB) {
        more.address_bytes = least + (enough - least) / 2;
        if (has_room(&more, ranks, fixed_bytes, bytes))
            enough = more.address_bytes;
        else
            least = more.address_bytes;
    }
    if (enough <= limits->address_bytes)
        return 0; /* others have taken the room */
    refuse(0, MUSTER_LIMIT_ADDRESSES, limits->address_bytes, limits->address_used_bytes,
           enough - limits->address_used_bytes, shortage);
    return 1;
}

int muster_limits_files(uint64_t more, struct muster_shortage *shortage)
{
    uint64_t most = muster__os_limit(MUSTER__FILES);
    /* Far from the limit, a look at each descriptor would take longer than all of them are worth.
     */
    if (most / 4 > more + 64)
        return 0;
    uint64_t used = muster__os_open_files(most);
    if (used + more <= most)
        return 0;
    return refuse(-EMFILE, MUSTER_LIMIT_FILES, most, used, more, shortage);
}

/* -- blaming -------------------------------------------------------------------------------- */

static void blame_memory(uint64_t needed, struct muster_shortage *shortage)
{
    struct muster__used used;
    muster__os_used(&used);
    uint64_t addresses = muster__os_limit(MUSTER__ADDRESSES), data = muster__os_limit(MUSTER__DATA);
    /* Without a finite limit, UINT64_MAX - used is never less than what anything needs. */
    if (addresses != UINT64_MAX &&
        (used.address_bytes >= addresses || needed > addresses - used.address_bytes))
        refuse(0, MUSTER_LIMIT_ADDRESSES, addresses, used.address_bytes, needed, shortage);
    else if (data != UINT64_MAX && (used.data_bytes >= data || needed > data - used.data_bytes))
        refuse(0, MUSTER_LIMIT_DATA, data, used.data_bytes, needed, shortage);
}

int muster_limits_memory(uint64_t more, struct muster_shortage *shortage)
{
    *shortage = (struct muster_shortage){.limit = MUSTER_LIMIT_NONE};
    blame_memory(more, shortage);
    return shortage->limit == MUSTER_LIMIT_NONE ? 0 : -ENOMEM;
}

static void blame_processes(uint64_t needed, struct muster_shortage *shortage)
{
    uint64_t most = 0, used = 0;
    if (muster__group_processes(needed, &most, &used)) {
        refuse(0, MUSTER_LIMIT_GROUP_PROCESSES, most, used, needed, shortage);
        return;
    }
    most = muster__os_limit(MUSTER__PROCESSES);
    if (most != UINT64_MAX)
        refuse(0, MUSTER_LIMIT_PROCESSES, most, 0, needed, shortage);
}

void muster_limits_blame(int status, uint64_t needed, bool processes,
                         struct muster_shortage *shortage)
{
    *shortage = (struct muster_shortage){.limit = MUSTER_LIMIT_NONE};
    uint64_t most, used;
    switch (status) {
    case -ENOMEM:
        blame_memory(needed, shortage);
        break;
    case -EFBIG:
        most = muster__os_limit(MUSTER__FILE);
        if (most != UINT64_MAX)
            refuse(0, MUSTER_LIMIT_FILE_SIZE, most, 0, needed, shortage);
        break;
    case -EMFILE:
        most = muster__os_limit(MUSTER__FILES);
        used = muster__os_open_files(most);
        /* Those that were opened before the one that failed are closed again by now. */
        if (most != UINT64_MAX && needed < most + 1 - used)
            needed = most + 1 - used;
        refuse(0, MUSTER_LIMIT_FILES, most, used, needed, shortage);
        break;
    case -EAGAIN:
        most = muster__os_limit(MUSTER__LOCKED);
        if (processes)
            blame_processes(needed, shortage);
        else if (most != UINT64_MAX)
            refuse(0, MUSTER_LIMIT_LOCKED, most, 0, needed, shortage);
        break;
    default:
        break;
    }
}

/* -- words ---------------------------------------------------------------------------------- */

/* How a limit is called, what stands before and after its value, and how a shell sets it, in which
 * unit. */
static const struct {
    const char *name, *before, *after, *option;
    uint64_t unit;
} words[] = {
    [MUSTER_LIMIT_ADDRESSES] = {"RLIMIT_AS", "", " of addresses", "ulimit -v", 1024},
    [MUSTER_LIMIT_DATA] = {"RLIMIT_DATA", "", " of data", "ulimit -d", 1024},
    [MUSTER_LIMIT_FILE_SIZE] = {"RLIMIT_FSIZE", "files of ", " (shared memory is one)", "ulimit -f",
                                1024},
    [MUSTER_LIMIT_STACK] = {"RLIMIT_STACK", "", " of stack", "ulimit -s", 1024},
    [MUSTER_LIMIT_LOCKED] = {"RLIMIT_MEMLOCK", "", " of locked memory", "ulimit -l", 1024},
    [MUSTER_LIMIT_PROCESSES] = {"RLIMIT_NPROC", "this user ", " processes and threads", "ulimit -u",
                                1},
    [MUSTER_LIMIT_FILES] = {"RLIMIT_NOFILE", "", " open files", "ulimit -n", 1},
    [MUSTER_LIMIT_GROUP_PROCESSES] = {"pids.max", "this cgroup ", " processes and threads",
                                      "pids.max:", 1},
};

/* "1.5 GiB"; a number of things has no unit. */
static void write_amount(uint64_t amount, uint64_t unit, char *text, size_t size_bytes)
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    if (unit == 1) {
        snprintf(text, size_bytes, "%llu", (unsigned long long)amount);
        return;
    }
    double value = (double)amount;
    uint32_t scale = 0;
    while (value >= 1024 && scale < 4) {
        value /= 1024;
        scale++;
    }
    bool whole = value == (double)(uint64_t)value;
    snprintf(text, size_bytes, whole ? "%.0f %s" : "%.1f %s", value, units[scale]);
}

int muster_shortage_text(const struct muster_shortage *shortage, char *text, size_t size_bytes)
{
    if (size_bytes > 0)
        text[0] = '\0';
    if (shortage->limit == MUSTER_LIMIT_NONE || shortage->limit > MUSTER_LIMIT_GROUP_PROCESSES)
        return 0;
    const char *name = words[shortage->limit].name, *option = words[shortage->limit].option;
    uint64_t unit = words[shortage->limit].unit, all = shortage->used + shortage->needed;
    char most[32], used[32] = "", needed[32];
    write_amount(shortage->most, unit, most, sizeof most);
    write_amount(shortage->used, unit, used, sizeof used);
    write_amount(shortage->needed, unit, needed, sizeof needed);
    bool known = shortage->used > 0;
    return snprintf(text, size_bytes,
                    "%s allows %s%s%s%s%s%s, and this needs %s%s: raise it (%s %llu or more)", name,
                    words[shortage->limit].before, most, words[shortage->limit].after,
                    known ? ", " : "", known ? used : "", known ? " are taken" : "", needed,
                    known ? " more" : "", option, (unsigned long long)((all + unit - 1) / unit));
}

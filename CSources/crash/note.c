/* note.c - writing and reading a rank's note of its own crash. The story is told in fault.h.
 *
 * Invariant: one note a process, written at most once; a child that the process forks writes none.
 */
#include <muster/core/fault.h>
#include <string.h>

#include "crash/note.h"
#include "os/fault.h"
#include "os/output.h"

static struct muster_fault *own_note;
static const unsigned char *own_space;
static uint64_t own_space_bytes;
static int own_pid;
static muster__fault_opener opener;
static muster__fault_teller teller;
static struct muster_fault *writing; /* in the handler */
static int writer;                   /* the thread that is at it; 0: none */

void muster__fault_before(muster__fault_opener open)
{
    opener = open;
}

void muster__fault_tell(muster__fault_teller tell)
{
    teller = tell;
}

/* The note, for the first thread of this process that asks; NULL: it has none. Threads of a kernel
 * mostly make the same mistake at the same time, and the first of them to die ends the others: they
 * wait here until the note is written. */
static struct muster_fault *take_note(void)
{
    int thread = muster__os_thread(), nobody = 0;
    /* The control memory, and the note in it, is not in a child. */
    if (!own_note || muster__os_pid() != own_pid)
        return NULL;
    if (__atomic_compare_exchange_n(&writer, &nobody, thread, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE))
        return own_note;
    if (nobody != thread)
        muster__os_wait_for_end();
    return NULL; /* a crash within */
}

/* The number of a file among the note's; UINT32_MAX: there is no room. */
static uint32_t file_number(struct muster_fault *note, const char *path)
{
    for (uint32_t i = 0; i < MUSTER_FAULT_FILES; i++) {
        if (note->files[i][0] == '\0')
            memcpy(note->files[i], path, MUSTER_FAULT_PATH_BYTES);
        if (strncmp(note->files[i], path, MUSTER_FAULT_PATH_BYTES) == 0)
            return i;
    }
    return UINT32_MAX;
}

/* Adds an instruction's place to the note. */
static void add_frame(struct muster_fault *note, uintptr_t pc)
{
    if (note->frame_count >= MUSTER_FAULT_FRAMES)
        return;
    struct muster_fault_frame *frame = &note->frames[note->frame_count++];
    char path[MUSTER_FAULT_PATH_BYTES] = "";
    uint64_t offset = 0;
    frame->file = UINT32_MAX;
    frame->offset_bytes = pc;
    if (muster__os_mapped_file(pc, path, sizeof path, &offset)) {
        frame->file = file_number(note, path);
        frame->offset_bytes = offset;
    }
}

static void clear(struct muster_fault *note)
{
    __atomic_store_n(&note->pid, 0, __ATOMIC_RELAXED);
    memset((unsigned char *)note + sizeof note->pid, 0, sizeof *note - sizeof note->pid);
    note->space_offset = note->chunk = UINT64_MAX;
    note->use = UINT32_MAX;
}

static bool visit(uintptr_t pc)
{
    add_frame(writing, pc);
    return writing->frame_count < MUSTER_FAULT_FRAMES;
}

/* The line that a runtime has said, with each run of blanks and control characters as one blank. */
static void keep_line(struct muster_fault *note, const char *said)
{
    static const char trace[] = "Current stack trace:"; /* Swift's; the note has its own */
    size_t length = 0;
    for (; said && *said && strncmp(said, trace, strlen(trace)) != 0 &&
           length + 1 < sizeof note->line;
         said++) {
        bool is_blank = (unsigned char)*said <= ' ';
        if (!is_blank)
            note->line[length++] = *said;
        else if (length > 0 && note->line[length - 1] != ' ')
            note->line[length++] = ' ';
    }
    while (length > 0 && note->line[length - 1] == ' ')
        length--;
    note->line[length] = '\0';
}

/* Also of the page before the range, which is nobody's: negative then, but not -1, which stands for
 * an address elsewhere. */
static uint64_t offset_of(const struct muster__trap *trap)
{
    uint64_t page = muster__os_page_bytes();
    uint64_t offset = trap->address - (uintptr_t)own_space;
    if (!trap->has_address || offset + page >= own_space_bytes + page)
        return UINT64_MAX;
    return offset == UINT64_MAX ? offset - 1 : offset;
}

/* What check mode knows of an access. */
static void fill_in(struct muster_fault *note, const struct muster_fault *known)
{
    note->stray = known->stray;
    note->use = known->use;
    note->chunk = known->chunk;
    note->first = known->first;
    note->end = known->end;
}

static bool on_trap(const struct muster__trap *trap)
{
    struct muster_fault *note = take_note();
    struct muster_fault known = {.chunk = UINT64_MAX, .use = UINT32_MAX};
    if (!note)
        return !trap->has_owner;
    if (opener)
        opener(trap, &known);
    if (trap->has_owner && known.stray == MUSTER_STRAY_NONE) {
        __atomic_store_n(&writer, 0, __ATOMIC_RELEASE);
        return false;
    }
    muster__os_limit_handling();
    clear(note);
    note->signal = trap->signal;
    note->code = trap->code;
    note->access = trap->access;
    note->address = trap->address;
    note->space_offset = offset_of(trap);
    fill_in(note, &known);
    note->is_overflow = muster__os_overflowed(trap);
    const char *said = muster__os_output_held();
    keep_line(note, said ? said : muster__os_abort_message());
    add_frame(note, trap->pc);
    if (teller)
        teller(note);
    /* From here on the note can be read: a crash within the rest costs only the callers. */
    __atomic_store_n(&note->pid, (uint64_t)own_pid, __ATOMIC_RELEASE);
    writing = note;
    muster__os_unwind(trap, visit);
    return true;
}

void muster_fault_listen(void)
{
    muster__os_output_listen();
}

int muster__fault_watch(struct muster_fault *note, const void *space, uint64_t space_bytes,
                        bool all_accesses)
{
    own_note = note;
    own_space = space;
    own_space_bytes = space_bytes;
    own_pid = muster__os_pid();
    /* Of a process that has forked this one. */
    opener = NULL;
    teller = NULL;
    writer = 0;
    return muster__os_catch(on_trap, all_accesses ? MUSTER__ALL_ACCESSES : MUSTER__UNHANDLED);
}

void muster__fault_unwatch(void)
{
    muster__os_uncatch();
    own_note = NULL;
    opener = NULL;
    teller = NULL;
}

int muster_fault_watch(struct muster_fault *note, const void *space, uint64_t space_bytes)
{
    return muster__fault_watch(note, space, space_bytes, false);
}

MUSTER_NORETURN void muster_fault_end(const struct muster_fault *found)
{
    struct muster_fault *note = take_note();
    if (note) {
        clear(note);
        note->signal = MUSTER__STRAY_SIGNAL;
        note->access = found->access;
        note->space_offset = found->space_offset;
        note->bytes = found->bytes;
        fill_in(note, found);
        if (teller)
            teller(note);
        __atomic_store_n(&note->pid, (uint64_t)own_pid, __ATOMIC_RELEASE);
    }
    muster__os_die(MUSTER__STRAY_SIGNAL);
}

bool muster_fault_take(const struct muster_fault *note, uint64_t pid, struct muster_fault *copy)
{
    memset(copy, 0, sizeof *copy);
    if (pid == 0 || __atomic_load_n(&note->pid, __ATOMIC_ACQUIRE) != pid)
        return false;
    memcpy(copy, note, sizeof *copy);
    /* Another process has written it, or a stray store has. */
    copy->frame_count =
        copy->frame_count > MUSTER_FAULT_FRAMES ? MUSTER_FAULT_FRAMES : copy->frame_count;
    for (uint32_t i = 0; i < MUSTER_FAULT_FILES; i++)
        copy->files[i][MUSTER_FAULT_PATH_BYTES - 1] = '\0';
    for (uint32_t i = 0; i < MUSTER_FAULT_FRAMES; i++)
        if (copy->frames[i].file >= MUSTER_FAULT_FILES)
            copy->frames[i].file = UINT32_MAX;
    copy->line[MUSTER_FAULT_LINE_BYTES - 1] = '\0';
    return true;
}

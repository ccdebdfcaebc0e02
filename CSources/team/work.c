/* work.c - kernels in C: the loop that calls them, and their way to arrays.
 *
 * The order in the job slot was written by another process: each rank copies it, and then validates
 * the copy, so that nobody can change what has been checked.
 */
#include <assert.h>
#include <muster/core/server.h>
#include <muster/core/work.h>
#include <string.h>

_Static_assert(sizeof(struct muster_work_use) == 56, "uses follow each other without gaps");
_Static_assert(sizeof(struct muster_work_order) == 40, "uses follow the head");
_Static_assert(sizeof(struct muster_work_order) + MUSTER_USES_MAX * sizeof(struct muster_work_use) +
                       MUSTER_WORK_ARGUMENT_BYTES_MAX + 256 <=
                   MUSTER_ARGUMENT_BYTES_MAX,
               "the longest order fits into the job slot, with the name of its type");

/* One rank's part of a job. */
struct muster_work_state {
    struct muster_loop *loop;
    struct muster_work_use uses[MUSTER_USES_MAX];
    uint32_t use_count;
    char message[MUSTER_MESSAGE_BYTES];
    _Alignas(64) unsigned char arguments[MUSTER_WORK_ARGUMENT_BYTES_MAX];
};

/* Calls a kernel from a frame that looks like the outermost one. In a forked rank the frames above
 * are copies of the leader's: a C++ exception that found a handler there would set a second leader
 * going. An unwinder that meets a frame without return address stops, and std::terminate is called.
 * Compilers note nothing of the kind for C, hence the directive. */
__attribute__((noinline)) static int muster__call_kernel(muster_kernel kernel,
                                                         const struct muster_work *work)
{
#if defined(__x86_64__)
    __asm__ volatile(".cfi_undefined rip");
#elif defined(__aarch64__)
    __asm__ volatile(".cfi_undefined x30");
#else
#error "say here how this CPU's frames are marked as the outermost one"
#endif
    int status = kernel(work);
    /* Not a tail call, which would leave no frame. */
    __asm__ volatile("" : "+r"(status));
    return status;
}

static int read_order(struct muster_work_state *state, struct muster_work_order *order,
                      const unsigned char *bytes, uint64_t room)
{
    const struct muster_loop *loop = state->loop;
    if (room < sizeof *order)
        return -EUCLEAN;
    memcpy(order, bytes, sizeof *order);
    room -= sizeof *order;
    bytes += sizeof *order;
    if (order->use_count > MUSTER_USES_MAX ||
        order->argument_bytes > MUSTER_WORK_ARGUMENT_BYTES_MAX ||
        order->use_count * sizeof state->uses[0] + order->argument_bytes > room)
        return -EUCLEAN;
    size_t uses_bytes = order->use_count * sizeof state->uses[0];
    memcpy(state->uses, bytes, uses_bytes);
    memcpy(state->arguments, bytes + uses_bytes, order->argument_bytes);
    state->use_count = order->use_count;
    for (uint32_t i = 0; i < state->use_count; i++) {
        const struct muster_work_use *use = &state->uses[i];
        if (use->array >= MUSTER_ARRAYS_MAX || use->access > MUSTER_ACCESS_IN_PLACE ||
            use->element_bytes == 0 || use->elements_per_index == 0 ||
            use->offset_bytes > loop->space_bytes ||
            use->count > (loop->space_bytes - use->offset_bytes) / use->element_bytes ||
            (use->access != MUSTER_ACCESS_INPUT &&
             loop->cursor.elements > use->count / use->elements_per_index))
            return -EUCLEAN;
    }
    return 0;
}

/* The function's address in this process. Asking takes longer than an empty loop, so not for the
 * kernel that ran last: for each thread, since ranks may be threads. */
static int find(const struct muster_work_order *order, muster_kernel *kernel)
{
    static _Thread_local struct muster_work_order known;
    static _Thread_local const void *known_address;
    const struct muster_place place = {
        .offset = order->kernel, .build = order->build, .name = order->name};
    const void *address = known_address;
    if (!address || order->kernel != known.kernel || order->build != known.build ||
        order->naming != known.naming) {
        int status = 0;
        address = (const void *)(uintptr_t)order->kernel;
        if (order->naming == MUSTER_WORK_IN_FILE)
            status = muster_place_address(&place, &address);
        else if (order->naming == MUSTER_WORK_IN_PROGRAM)
            address = muster_program_address((int64_t)order->kernel);
        else if (!muster_address_is_static(address))
            address = NULL; /* from a library loaded since the fork */
        if (status < 0 || !address)
            return status == -ESTALE ? -ESTALE : -ENOEXEC;
        known = *order;
        known_address = address;
    }
    memcpy(kernel, &address, sizeof *kernel); /* a cast between the two is no ISO C */
    return 0;
}

int muster_work_run(struct muster_loop *loop, const void *order_address, uint64_t order_bytes,
                    struct muster_work_failure *failure)
{
    struct muster_work_state state;
    struct muster_work_order order;
    state.loop = loop;
    state.message[0] = '\0';
    int status = read_order(&state, &order, (const unsigned char *)order_address, order_bytes);
    if (status < 0)
        return status;
    muster_kernel kernel;
    status = find(&order, &kernel);
    if (status < 0)
        return status;
    struct muster_work work = {
        .rank = loop->rank, .size = loop->size, .arguments = state.arguments, .state = &state};
    while (muster_loop_next(loop, &work.chunk)) {
        if (loop->cursor.partials) {
            work.partial = loop->cursor.partials + work.chunk.index * loop->cursor.partial_bytes;
            /* A chunk that is begun again must not add to what its first attempt has left. */
            memset(work.partial, 0, loop->cursor.partial_bytes);
        }
        status = muster__call_kernel(kernel, &work);
        if (status != 0) {
            failure->status = status;
            memcpy(failure->message, state.message, sizeof failure->message);
            return 1;
        }
        muster_loop_commit(loop, &work.chunk);
    }
    return 0;
}

/* -- for kernels ---------------------------------------------------------------------------- */

static const struct muster_work_use *used(const struct muster_work *work, uint32_t use)
{
    assert(use < work->state->use_count);
    return &work->state->uses[use];
}

static const struct muster_work_use *used_for(const struct muster_work *work, uint32_t use,
                                              enum muster_access access)
{
    const struct muster_work_use *found = used(work, use);
    assert(found->access == access);
    return found;
}

static unsigned char *elements(const struct muster_work *work, const struct muster_work_use *use)
{
    return work->state->loop->space + use->offset_bytes;
}

static void save(const struct muster_work *work, const struct muster_work_use *use, uint64_t first,
                 uint64_t end)
{
    if (work->state->loop->journaled)
        muster_loop_save(work->state->loop, work->chunk.index, use->array,
                         use->offset_bytes + first * use->element_bytes,
                         (end - first) * use->element_bytes);
}

static struct muster_interval owned(const struct muster_work *work,
                                    const struct muster_work_use *use)
{
    return muster_chunk_elements(&work->chunk, use->elements_per_index);
}

struct muster_interval muster_work_elements(const struct muster_work *work, uint32_t use)
{
    return owned(work, used(work, use));
}

uint64_t muster_work_elements_per_index(const struct muster_work *work, uint32_t use)
{
    return used(work, use)->elements_per_index;
}

const void *muster_work_input(const struct muster_work *work, uint32_t use)
{
    return elements(work, used_for(work, use, MUSTER_ACCESS_INPUT));
}

void *muster_work_output(const struct muster_work *work, uint32_t use)
{
    const struct muster_work_use *found = used_for(work, use, MUSTER_ACCESS_OUTPUT);
    struct muster_interval mine = owned(work, found);
    if (work->state->loop->poison)
        muster_loop_poison(work->state->loop, work->chunk.index, found->array,
                           found->offset_bytes + mine.first * found->element_bytes,
                           (mine.end - mine.first) * found->element_bytes);
    return elements(work, found);
}

/* Elements of a tile: as many units of `unit` as MUSTER_TILE_BYTES hold, at least one. */
static uint64_t tile_length(const struct muster_work_use *use, uint64_t unit)
{
    uint64_t units = MUSTER_TILE_BYTES / use->element_bytes / unit;
    return units ? units * unit : unit;
}

static bool update(const struct muster_work *work, const struct muster_work_use *use,
                   uint64_t length, struct muster_tile *tile)
{
    struct muster_interval mine = owned(work, use);
    unsigned char *start = elements(work, use);
    /* All zero at first, and then left as it was: with a gap, old contents would not be kept. */
    assert(!tile->elements || (tile->elements == start && tile->end > mine.first));
    uint64_t first = tile->elements ? tile->end : mine.first;
    if (first >= mine.end) {
        memset(tile, 0, sizeof *tile);
        return false;
    }
    uint64_t left = mine.end - first;
    tile->elements = start;
    tile->first = first;
    tile->end = first + (left < length ? left : length);
    save(work, use, tile->first, tile->end);
    return true;
}

bool muster_work_update(const struct muster_work *work, uint32_t use, struct muster_tile *tile)
{
    const struct muster_work_use *found = used_for(work, use, MUSTER_ACCESS_IN_PLACE);
    return update(work, found, tile_length(found, found->elements_per_index), tile);
}

bool muster_work_update_elements(const struct muster_work *work, uint32_t use,
                                 struct muster_tile *tile)
{
    const struct muster_work_use *found = used_for(work, use, MUSTER_ACCESS_IN_PLACE);
    return update(work, found, tile_length(found, 1), tile);
}

void *muster_work_update_whole(const struct muster_work *work, uint32_t use)
{
    const struct muster_work_use *found = used_for(work, use, MUSTER_ACCESS_IN_PLACE);
    struct muster_interval mine = owned(work, found);
    save(work, found, mine.first, mine.end);
    return elements(work, found);
}

struct muster_rows muster_work_rows(const struct muster_work *work, uint32_t use, uint64_t halo)
{
    const struct muster_work_use *found = used_for(work, use, MUSTER_ACCESS_INPUT);
    uint64_t count = found->count / found->elements_per_index;
    uint64_t first = work->chunk.first < count ? work->chunk.first : count;
    uint64_t end = work->chunk.end < count ? work->chunk.end : count;
    struct muster_rows rows = {elements(work, found), 0, 0,
                               found->elements_per_index * found->element_bytes};
    if (first < end) {
        rows.first = first > halo ? first - halo : 0;
        rows.end = end + (halo < count - end ? halo : count - end);
    }
    return rows;
}

uint64_t muster_work_count(const struct muster_work *work, uint32_t use)
{
    return used(work, use)->count;
}

void muster_work_explain(const struct muster_work *work, const char *text)
{
    size_t length = strnlen(text, sizeof work->state->message - 1);
    memcpy(work->state->message, text, length);
    work->state->message[length] = '\0';
}

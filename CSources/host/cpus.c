/* cpus.c - the CPUs of a host: which there are, which are on line, and which of them are
 * together on a core and in a package.
 *
 * Which CPUs are on line: those of cpu/online, and those that the kernel lets this process run on.
 * Containers (LXCFS) fake the former; sched_getaffinity leaves out what is off line, so the latter
 * is a fact. A recording has no such call: there, CPUs that the process was allowed count as on
 * line if they have a topology directory, which the kernel takes away with the CPU.
 *
 * Which are together: sets of CPUs decide, not numbers, as in hwloc. Numbers of packages come twice
 * where firmware counts them from 0 again in each node or book (ia64, s390). The sets that
 * contradict one another: a CPU belongs to the first set that names it, in the order of CPUs.
 */
#include "base/text.h"
#include "host/read.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POSSIBLE MUSTER__CPUS "/possible"
#define ONLINE   MUSTER__CPUS "/online"

/* What is gathered of a host's CPUs before there is a record for each. */
struct census {
    struct muster__reader *reader;
    struct muster__cpu_mask known;
    struct muster__cpu_mask on_line;
    struct muster__cpu_mask allowed;
    enum muster__allowed_source source;
    bool has_folders; /* there is a folder for a CPU */
};

static void put(struct muster__cpu_mask *mask, uint32_t id)
{
    mask->bits[id / 64] |= UINT64_C(1) << id % 64;
    if (id / 64 >= mask->words)
        mask->words = id / 64 + 1;
}

static bool has(const struct muster__cpu_mask *mask, uint32_t id)
{
    return mask->bits[id / 64] >> id % 64 & 1;
}

/* The first number from `id` on; MUSTER__CPU_IDS_MAX: none. */
static uint32_t next(const struct muster__cpu_mask *mask, uint32_t id)
{
    for (uint32_t word = id / 64; word < mask->words; word++) {
        uint64_t bits = mask->bits[word];
        if (word == id / 64)
            bits &= UINT64_MAX << id % 64;
        if (bits)
            return word * 64 + (uint32_t)__builtin_ctzll(bits);
    }
    return MUSTER__CPU_IDS_MAX;
}

#define FOR_EACH(id, mask)                                                                         \
    for (uint32_t id = next(mask, 0); id < MUSTER__CPU_IDS_MAX; id = next(mask, id + 1))

static void put_all(struct muster__cpu_mask *mask, const struct muster__cpu_mask *other)
{
    FOR_EACH(id, other)
    put(mask, id);
}

/* Whether all of `part` is in `whole`. */
static bool contains(const struct muster__cpu_mask *whole, const struct muster__cpu_mask *part)
{
    for (uint32_t i = 0; i < part->words; i++)
        if (part->bits[i] & ~whole->bits[i])
            return false;
    return true;
}

static bool meets(const struct muster__cpu_mask *one, const struct muster__cpu_mask *other)
{
    for (uint32_t i = 0; i < one->words; i++)
        if (one->bits[i] & other->bits[i])
            return true;
    return false;
}

static bool is_empty(const struct muster__cpu_mask *mask)
{
    return next(mask, 0) == MUSTER__CPU_IDS_MAX;
}

/* -- which there are ------------------------------------------------------------------------ */

/* A list of CPUs that has at least one. */
static int read_list(struct muster__reader *reader, const char *path, struct muster__cpu_mask *mask)
{
    int64_t count = muster__reader_file(reader, "%s", path);
    if (count == 0)
        count = muster__reader_ids(reader, reader->text);
    for (int64_t i = 0; i < count; i++)
        put(mask, reader->ids[i]);
    return count > 0 ? 0 : count < 0 ? (int)count : MUSTER__EMPTY;
}

/* CPUs that have a folder; without a list, they are on line unless theirs says otherwise. */
static void read_folders(struct census *census, bool tells_on_line)
{
    struct muster__reader *reader = census->reader;
    int64_t count = muster__reader_names(reader, MUSTER__CPUS, "cpu");
    for (int64_t i = 0; i < count; i++) {
        uint32_t id = reader->ids[i];
        census->has_folders = true;
        put(&census->known, id);
        /* CPU 0 has no such file where it can't go off line. */
        if (tells_on_line && (muster__reader_file(reader, MUSTER__CPUS "/cpu%u/online", id) < 0 ||
                              !muster__text_is(reader->text, "0")))
            put(&census->on_line, id);
    }
}

static void visit_processor(uint32_t id, int32_t core, int32_t package, void *context)
{
    struct census *census = context;
    (void)core;
    (void)package;
    put(&census->known, id);
    put(&census->on_line, id);
}

static void read_possible_and_on_line(struct census *census)
{
    struct muster__reader *reader = census->reader;
    int possible = read_list(reader, POSSIBLE, &census->known);
    int on_line = read_list(reader, ONLINE, &census->on_line);
    if (possible < 0)
        (void)read_list(reader, MUSTER__CPUS "/present", &census->known);
    if (possible < 0 || on_line < 0)
        read_folders(census, on_line < 0);
    if (possible < 0 && !is_empty(&census->known))
        muster__reader_note(reader, POSSIBLE, muster__reader_why(possible),
                            "CPUs that are off line may be missing");
    if (on_line < 0 && is_empty(&census->on_line))
        (void)muster__topology_cpuinfo(reader, visit_processor, census);
    if (on_line < 0)
        muster__reader_note(
            reader, ONLINE, muster__reader_why(on_line),
            census->has_folders
                ? "the file online of each CPU is read instead"
                : "CPUs of proc/cpuinfo, and those that this process may run on, are on line");
    if (possible == 0 && !contains(&census->known, &census->on_line))
        muster__reader_note(reader, POSSIBLE, "leaves out CPUs that are on line",
                            "they count all the same");
    put_all(&census->known, &census->on_line);
}

/* CPUs of the process that are on line though cpu/online has not got them. */
static void add_allowed(struct census *census)
{
    struct muster__reader *reader = census->reader;
    census->source = muster__topology_allowed(reader, &census->allowed);
    if (census->source == MUSTER__ALLOWED_UNKNOWN)
        return;
    bool is_contradicted = false;
    /* A recorded list can have numbers that the host has not; if it has no others, they are CPUs.
     */
    bool is_foreign =
        census->source == MUSTER__ALLOWED_LISTED && !meets(&census->known, &census->allowed);
    FOR_EACH(id, &census->allowed)
    {
        if (has(&census->on_line, id))
            continue;
        char folder[MUSTER__FOLDER_BYTES];
        snprintf(folder, sizeof folder, MUSTER__CPUS "/cpu%u/topology", id);
        bool is_on_line = census->source == MUSTER__ALLOWED_ON_LINE || is_foreign ||
                          (has(&census->known, id) && muster__reader_has(reader, folder));
        if (!is_on_line)
            continue;
        is_contradicted = true;
        put(&census->known, id);
        put(&census->on_line, id);
    }
    /* Nothing to run on, by these files: the affinity is the truth. */
    if (!meets(&census->on_line, &census->allowed)) {
        is_contradicted = true;
        put_all(&census->known, &census->allowed);
        put_all(&census->on_line, &census->allowed);
    }
    if (is_contradicted && muster__reader_file(reader, ONLINE) == 0)
        muster__reader_note(reader, ONLINE, "leaves out CPUs that this process may run on",
                            "they are on line; a container fakes this file");
}

static int make_cpus(const struct census *census, struct muster_topology *topology)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < census->known.words; i++)
        count += (uint32_t)__builtin_popcountll(census->known.bits[i]);
    if (count == 0)
        return -ENOENT;
    topology->cpus = calloc(count, sizeof *topology->cpus);
    if (topology->cpus == NULL)
        return -ENOMEM;
    topology->cpu_count = count;
    struct muster_cpu *cpu = topology->cpus;
    FOR_EACH(id, &census->known)
    *cpu++ = (struct muster_cpu){.id = id,
                                 .node = -1,
                                 .core = -1,
                                 .package = -1,
                                 .online = has(&census->on_line, id),
                                 .core_cpu = id,
                                 .package_cpu = -1,
                                 .cache_cpu = -1};
    muster__topology_allow(topology, census->source, &census->allowed);
    return 0;
}

/* -- numbers of cores and packages ---------------------------------------------------------- */

/* A number of a CPU's; kernels write -1 where the firmware names none, and so is the result. */
static int read_number(struct muster__reader *reader, const char *folder, const char *name,
                       int32_t *number)
{
    *number = -1;
    int status = muster__reader_file(reader, "%s/%s", folder, name);
    if (status == 0)
        status = muster__text_integer(reader->text, number);
    if (status < 0 || *number < 0)
        *number = -1;
    return status;
}

static void set_numbers(uint32_t id, int32_t core, int32_t package, void *context)
{
    struct muster_cpu *cpu = muster__topology_cpu(context, id);
    if (cpu == NULL || !cpu->online)
        return;
    cpu->core = core;
    cpu->package = package;
}

static void read_numbers(struct muster__reader *reader, struct muster_topology *topology)
{
    bool has_any = false;
    char folder[MUSTER__FOLDER_BYTES];
    /* A CPU that is off line has no topology directory, and a host can have thousands of them. */
    for (uint32_t i = 0; i < topology->cpu_count && !reader->failure; i++) {
        struct muster_cpu *cpu = &topology->cpus[i];
        if (!cpu->online)
            continue;
        snprintf(folder, sizeof folder, MUSTER__CPUS "/cpu%u/topology", cpu->id);
        int core = read_number(reader, folder, "core_id", &cpu->core);
        int package = read_number(reader, folder, "physical_package_id", &cpu->package);
        if (core == -ENOENT && package == -ENOENT && !muster__reader_has(reader, folder)) {
            muster__reader_note(reader, folder, muster__reader_why(-ENOENT),
                                "where the CPU is on its host is unknown");
            continue;
        }
        has_any = true;
        if (core < 0)
            muster__reader_note_in(reader, folder, "core_id", muster__reader_why(core),
                                   "the core's number is unknown");
        if (package < 0)
            muster__reader_note_in(reader, folder, "physical_package_id",
                                   muster__reader_why(package), "the package's number is unknown");
    }
    if (!has_any)
        (void)muster__topology_cpuinfo(reader, set_numbers, topology);
}

int muster__topology_read_cpus(struct muster__reader *reader, struct muster_topology *topology)
{
    struct census *census = calloc(1, sizeof *census);
    if (census == NULL)
        return -ENOMEM;
    census->reader = reader;
    read_possible_and_on_line(census);
    add_allowed(census);
    /* Files that name CPUs, and none as on line: better all of them than none. */
    if (is_empty(&census->on_line))
        put_all(&census->on_line, &census->known);
    int status = reader->failure ? reader->failure : make_cpus(census, topology);
    free(census);
    if (status == 0)
        read_numbers(reader, topology);
    return status ? status : reader->failure;
}

/* -- cores and packages --------------------------------------------------------------------- */

#define NOBODY UINT32_MAX

/* A kind of group: the files that name its CPUs, and what to say where they do not. */
struct group_kind {
    struct muster__set_file files[4];
    const char *missing;
    const char *by_numbers;
};

static const struct group_kind core_kind = {
    {{"thread_siblings_list", false},
     {"core_cpus_list", false},
     {"thread_siblings", true},
     {"core_cpus", true}},
    "which CPUs share its core is unknown",
    "CPUs share a core if their numbers of core and package are the same"};

static const struct group_kind package_kind = {{{"package_cpus_list", false},
                                                {"core_siblings_list", false},
                                                {"package_cpus", true},
                                                {"core_siblings", true}},
                                               "which CPUs share its package is unknown",
                                               "CPUs share a package if its number is the same"};

/* What tells the groups of one CPU from others with the same numbers: names of files. */
static const char *const outer_numbers[] = {"die_id", "book_id", "drawer_id"};
#define OUTER_COUNT (sizeof outer_numbers / sizeof *outer_numbers)

/* One pass over a host's CPUs. By position: */
struct grouping {
    struct muster__reader *reader;
    struct muster_topology *topology;
    const struct group_kind *kind;
    uint32_t *leaders;             /* the first on-line CPU of its group; NOBODY: none yet */
    int32_t (*outer)[OUTER_COUNT]; /* numbers of CPUs that no set names */
};

static bool is_core(const struct grouping *grouping)
{
    return grouping->kind == &core_kind;
}

static bool has_numbers(const struct grouping *grouping, const struct muster_cpu *cpu)
{
    return cpu->package >= 0 && (cpu->core >= 0 || !is_core(grouping));
}

/* AMD's family 21 (Bulldozer) lists the two cores of a compute unit as siblings, with numbers of
 * their own. hwloc takes them for cores, so a rank on each is no rank too many. */
static bool is_compute_unit(const struct grouping *grouping, const struct muster_cpu *cpu,
                            const struct muster_cpu *other)
{
    return is_core(grouping) && cpu->core >= 0 && other->core >= 0 && cpu->core != other->core &&
           muster__topology_has_compute_units(grouping->reader);
}

/* The group that a CPU's files name. */
static void join_by_set(struct grouping *grouping, uint32_t at)
{
    struct muster__reader *reader = grouping->reader;
    struct muster_topology *topology = grouping->topology;
    struct muster_cpu *cpu = &topology->cpus[at];
    char folder[MUSTER__FOLDER_BYTES];
    snprintf(folder, sizeof folder, MUSTER__CPUS "/cpu%u/topology", cpu->id);
    bool is_told = has_numbers(grouping, cpu);
    int64_t count = muster__reader_set(
        reader, folder, grouping->kind->files, 4, cpu->id,
        is_told ? grouping->kind->by_numbers : grouping->kind->missing,
        is_told || !muster__reader_has(reader, folder) ? NULL : grouping->kind->missing);
    uint32_t leader = at;
    bool is_strange = false;
    for (int64_t i = 0; i < count; i++) {
        struct muster_cpu *other = muster__topology_cpu(topology, reader->ids[i]);
        is_strange = is_strange || other == NULL;
        if (other == NULL || !other->online)
            continue;
        uint32_t *theirs = &grouping->leaders[other - topology->cpus];
        if (*theirs != NOBODY)
            continue;
        /* Reads proc/cpuinfo at most once a host; the set is not lost by it. */
        if (other != cpu && is_compute_unit(grouping, cpu, other))
            continue;
        uint32_t position = (uint32_t)(other - topology->cpus);
        leader = position < leader ? position : leader;
        *theirs = leader;
    }
    if (count > 0)
        grouping->leaders[at] = leader;
    if (is_strange)
        muster__reader_note(reader, folder, "names siblings that this host has not",
                            "they are left out");
}

static bool is_same_by_numbers(const struct grouping *grouping, uint32_t a, uint32_t b)
{
    const struct muster_cpu *one = &grouping->topology->cpus[a];
    const struct muster_cpu *other = &grouping->topology->cpus[b];
    if (one->package != other->package ||
        memcmp(grouping->outer[a], grouping->outer[b], sizeof grouping->outer[a]) != 0)
        return false;
    /* Numbers of cores are unique only with the package, and some firmware numbers packages of all
     * nodes 0. */
    return !is_core(grouping) || (one->core == other->core && one->node == other->node);
}

/* CPUs that no set names: by their numbers, among themselves. */
static void join_by_numbers(struct grouping *grouping)
{
    struct muster_topology *topology = grouping->topology;
    bool *is_left = calloc(topology->cpu_count, sizeof *is_left);
    if (is_left == NULL) {
        muster__reader_fails(grouping->reader, -ENOMEM);
        return;
    }
    for (uint32_t i = 0; i < topology->cpu_count; i++) {
        const struct muster_cpu *cpu = &topology->cpus[i];
        if (!cpu->online || grouping->leaders[i] != NOBODY || !has_numbers(grouping, cpu))
            continue;
        char folder[MUSTER__FOLDER_BYTES];
        snprintf(folder, sizeof folder, MUSTER__CPUS "/cpu%u/topology", cpu->id);
        for (size_t k = 0; k < OUTER_COUNT; k++)
            (void)read_number(grouping->reader, folder, outer_numbers[k], &grouping->outer[i][k]);
        is_left[i] = true;
        grouping->leaders[i] = i;
        for (uint32_t j = 0; j < i; j++)
            if (is_left[j] && is_same_by_numbers(grouping, i, j)) {
                grouping->leaders[i] = grouping->leaders[j];
                break;
            }
    }
    free(is_left);
}

int muster__topology_read_groups(struct muster__reader *reader, struct muster_topology *topology)
{
    const struct group_kind *kinds[] = {&core_kind, &package_kind};
    uint32_t count = topology->cpu_count;
    struct grouping grouping = {.reader = reader,
                                .topology = topology,
                                .leaders = malloc(count * sizeof *grouping.leaders),
                                .outer = calloc(count, sizeof *grouping.outer)};
    if (grouping.leaders == NULL || grouping.outer == NULL)
        muster__reader_fails(reader, -ENOMEM);
    for (int k = 0; k < 2 && !reader->failure; k++) {
        grouping.kind = kinds[k];
        for (uint32_t i = 0; i < count; i++)
            grouping.leaders[i] = NOBODY;
        for (uint32_t i = 0; i < count && !reader->failure; i++)
            if (topology->cpus[i].online && grouping.leaders[i] == NOBODY)
                join_by_set(&grouping, i);
        join_by_numbers(&grouping);
        for (uint32_t i = 0; i < count && !reader->failure; i++) {
            uint32_t leader = grouping.leaders[i];
            if (leader == NOBODY)
                continue;
            if (k == 0)
                topology->cpus[i].core_cpu = topology->cpus[leader].id;
            else
                topology->cpus[i].package_cpu = (int32_t)topology->cpus[leader].id;
        }
    }
    free(grouping.leaders);
    free(grouping.outer);
    return reader->failure;
}

/* binding.c - which CPU and node each rank of a team gets.
 *
 * First a set of CPUs is chosen, then it is put in order. Spread takes CPUs one by one, each from
 * the part of the host that has the fewest ranks so far; compact takes node after node. Both take
 * first one CPU of each core, then the second ones, and so on: that alone keeps ranks off SMT
 * siblings while a core is free.
 */
#include <muster/core/binding.h>
#include <muster/core/schedule.h>
#include <stdlib.h>

/* A distance that the host does not say: farther than any (a SLIT entry is one byte). */
#define DISTANCE_UNKNOWN 256u

/* A CPU that ranks may use. Package and cache are known by the position of their first candidate:
 * the kernel's numbers can be any. */
struct candidate {
    uint32_t cpu;
    uint32_t node;  /* position in the topology; node_count: unknown */
    uint32_t order; /* of the node: nodes with smaller ones come first */
    uint32_t package;
    uint32_t cache;
    uint32_t core;
    uint32_t level; /* 0: the first of its core, 1: the second, ... */
    bool taken;
};

/* -- candidates ----------------------------------------------------------------------------- */

static bool is_usable(const struct muster_cpu *cpu)
{
    return cpu->online && cpu->allowed;
}

static uint32_t node_of(const struct muster_topology *topology, const struct muster_cpu *cpu)
{
    int position =
        cpu->node < 0 ? -1 : muster_topology_node_position(topology, (uint32_t)cpu->node);
    return position < 0 ? topology->node_count : (uint32_t)position;
}

/* Fills `candidates`, which has room for each CPU, by rising number. Returns how many there are. */
static uint32_t collect(const struct muster_topology *topology, struct candidate *candidates)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < topology->cpu_count; i++) {
        const struct muster_cpu *cpu = &topology->cpus[i];
        if (!is_usable(cpu))
            continue;
        struct candidate own = {.cpu = cpu->id, .package = i, .cache = i, .core = cpu->core_cpu};
        own.node = own.order = node_of(topology, cpu);
        for (uint32_t j = i; j-- > 0;) {
            const struct muster_cpu *other = &topology->cpus[j];
            if (!is_usable(other))
                continue;
            if (other->package_cpu == cpu->package_cpu)
                own.package = j;
            if (other->cache_cpu == cpu->cache_cpu && cpu->cache_cpu >= 0)
                own.cache = j;
            own.level += other->core_cpu == cpu->core_cpu;
        }
        candidates[count++] = own;
    }
    return count;
}

/* -- choosing and ordering ------------------------------------------------------------------ */

static uint32_t distance(const struct muster_topology *topology, uint32_t from, uint32_t to)
{
    if (from == to)
        return 0;
    uint32_t value = topology->distances[(size_t)from * topology->node_count + to];
    return value ? value : DISTANCE_UNKNOWN;
}

/* The next CPU of a spread team: of those that are free, with the fewest ranks on its core, its
 * node, its package and its cache, in that order. `load` counts ranks by node, then by package,
 * then by cache, each list cpu_count + node_count + 1 long. */
static struct candidate *next_spread(const struct muster_topology *topology,
                                     struct candidate *candidates, uint32_t count, uint32_t *load)
{
    size_t length = (size_t)topology->cpu_count + topology->node_count + 1;
    uint32_t *nodes = load, *packages = load + length, *caches = load + 2 * length;
    struct candidate *best = NULL;
    for (uint32_t i = 0; i < count; i++) {
        struct candidate *own = &candidates[i];
        if (own->taken)
            continue;
        if (best) {
            uint32_t mine[] = {own->level, nodes[own->node], packages[own->package],
                               caches[own->cache]};
            uint32_t theirs[] = {best->level, nodes[best->node], packages[best->package],
                                 caches[best->cache]};
            uint32_t at = 0;
            while (at < 3 && mine[at] == theirs[at])
                at++;
            if (mine[at] >= theirs[at])
                continue;
        }
        best = own;
    }
    nodes[best->node]++;
    packages[best->package]++;
    caches[best->cache]++;
    return best;
}

/* Numbers the nodes of candidates so that each is the nearest to all before it together; the first
 * has the lowest number. Nodes that no rank can use don't count. CPUs of no known node come last.
 */
static void order_by_distance(const struct muster_topology *topology, struct candidate *candidates,
                              uint32_t count, uint32_t *orders)
{
    uint32_t nodes = topology->node_count;
    const uint32_t unused = UINT32_MAX, waiting = UINT32_MAX - 1;
    for (uint32_t node = 0; node < nodes; node++)
        orders[node] = unused;
    for (uint32_t i = 0; i < count; i++)
        orders[candidates[i].node] = waiting;
    orders[nodes] = nodes;
    for (uint32_t next = 0; next < nodes; next++) {
        uint32_t best = nodes;
        uint64_t best_sum = UINT64_MAX;
        for (uint32_t node = 0; node < nodes; node++) {
            if (orders[node] != waiting)
                continue;
            uint64_t sum = 0;
            for (uint32_t other = 0; other < nodes; other++)
                if (orders[other] < nodes)
                    sum += distance(topology, other, node) + distance(topology, node, other);
            if (sum < best_sum) {
                best = node;
                best_sum = sum;
            }
        }
        if (best == nodes)
            break;
        orders[best] = next;
    }
    for (uint32_t i = 0; i < count; i++)
        candidates[i].order = orders[candidates[i].node];
}

static int compare(const uint32_t *a, const uint32_t *b, uint32_t length)
{
    for (uint32_t i = 0; i < length; i++)
        if (a[i] != b[i])
            return a[i] < b[i] ? -1 : 1;
    return 0;
}

static int by_place(const void *left, const void *right)
{
    const struct candidate *a = left, *b = right;
    uint32_t first[] = {!a->taken, a->order, a->package, a->cache, a->core, a->level, a->cpu};
    uint32_t second[] = {!b->taken, b->order, b->package, b->cache, b->core, b->level, b->cpu};
    return compare(first, second, 7);
}

static int by_level(const void *left, const void *right)
{
    const struct candidate *a = left, *b = right;
    return a->level != b->level ? (a->level < b->level ? -1 : 1) : by_place(left, right);
}

/* Puts the CPUs of ranks 0..<ranks first, in order. ranks is at most count. */
static int choose(const struct muster_topology *topology, uint32_t kind,
                  struct candidate *candidates, uint32_t count, uint32_t ranks)
{
    size_t length = (size_t)topology->cpu_count + topology->node_count + 1;
    uint32_t *room = calloc(3 * length, sizeof *room);
    if (room == NULL)
        return -ENOMEM;
    if (kind == MUSTER_COMPACT) {
        order_by_distance(topology, candidates, count, room);
        qsort(candidates, count, sizeof *candidates, by_level);
        for (uint32_t i = 0; i < ranks; i++)
            candidates[i].taken = true;
    } else {
        for (uint32_t i = 0; i < ranks; i++)
            next_spread(topology, candidates, count, room)->taken = true;
    }
    qsort(candidates, count, sizeof *candidates, by_place);
    free(room);
    return 0;
}

/* -- seats ---------------------------------------------------------------------------------- */

/* Where pages for a CPU of this node should lie; of no known node: on the first that may be used.
 */
static uint32_t home_of(const struct muster_topology *topology, uint32_t node)
{
    if (node < topology->node_count)
        return topology->nodes[node].home;
    for (uint32_t i = 0; i < topology->node_count; i++)
        if (topology->nodes[i].allowed)
            return topology->nodes[i].id;
    return topology->nodes[0].id;
}

/* Seats without CPUs. */
static void deal_homes(const struct muster_topology *topology, uint32_t ranks,
                       struct muster_seat *seats)
{
    uint32_t usable = 0;
    for (int pass = 0; pass < 2; pass++) {
        uint32_t seen = 0;
        for (uint32_t node = 0; node < topology->node_count; node++) {
            bool has_cpu = false;
            for (uint32_t i = 0; i < topology->cpu_count && !has_cpu; i++)
                has_cpu =
                    is_usable(&topology->cpus[i]) && node_of(topology, &topology->cpus[i]) == node;
            if (!has_cpu)
                continue;
            if (pass == 1) {
                struct muster_interval share = muster_schedule_block(ranks, usable, seen);
                for (uint64_t rank = share.first; rank < share.end; rank++)
                    seats[rank].home = home_of(topology, node);
            }
            seen++;
        }
        usable = seen;
    }
    for (uint32_t rank = 0; rank < ranks; rank++) {
        seats[rank].cpu = MUSTER_NO_CPU;
        if (usable == 0)
            seats[rank].home = home_of(topology, topology->node_count);
    }
}

static const struct muster_cpu *find_cpu(const struct muster_topology *topology, uint32_t id)
{
    for (uint32_t i = 0; i < topology->cpu_count; i++)
        if (topology->cpus[i].id == id)
            return &topology->cpus[i];
    return NULL;
}

static int check_list(const struct muster_topology *topology, const uint32_t *cpus, uint32_t count,
                      uint32_t *bad)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct muster_cpu *cpu = find_cpu(topology, cpus[i]);
        int status = cpu == NULL || !cpu->online ? -ENODEV : cpu->allowed ? 0 : -EACCES;
        for (uint32_t j = 0; j < i && status == 0; j++)
            status = cpus[j] == cpus[i] ? -EEXIST : 0;
        if (status) {
            if (bad)
                *bad = cpus[i];
            return status;
        }
    }
    return 0;
}

int muster_binding_assign(const struct muster_topology *topology, uint32_t kind,
                          const uint32_t *cpus, uint32_t count, uint32_t ranks,
                          struct muster_seat *seats, uint32_t *bad)
{
    if (kind > MUSTER_CPUS || ranks == 0)
        return -EINVAL;
    if (kind == MUSTER_CPUS) {
        int status = check_list(topology, cpus, count, bad);
        if (status == 0 && count < ranks)
            status = -EINVAL;
        for (uint32_t rank = 0; rank < ranks && status == 0; rank++)
            seats[rank] = (struct muster_seat){
                cpus[rank], home_of(topology, node_of(topology, find_cpu(topology, cpus[rank])))};
        return status;
    }
    struct candidate *candidates = calloc((size_t)topology->cpu_count + 1, sizeof *candidates);
    if (candidates == NULL)
        return -ENOMEM;
    uint32_t usable = collect(topology, candidates);
    int status = 0;
    if (kind == MUSTER_UNBOUND || ranks > usable)
        deal_homes(topology, ranks, seats);
    else
        status = choose(topology, kind, candidates, usable, ranks);
    for (uint32_t rank = 0; rank < ranks && status == 0 && ranks <= usable; rank++)
        if (kind != MUSTER_UNBOUND)
            seats[rank] = (struct muster_seat){candidates[rank].cpu,
                                               home_of(topology, candidates[rank].node)};
    free(candidates);
    return status;
}

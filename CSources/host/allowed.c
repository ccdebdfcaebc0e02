/* allowed.c - the CPUs and nodes that a process may use.
 *
 * Of this host the kernel's own calls say so; a file that a container fakes can't contradict them.
 * Of a recorded host, and where a sandbox refuses the calls, the first of these files that makes
 * sense: the lists of proc/self/status, its bit maps, the files of the process's cpuset (as hwloc
 * reads them); otherwise everything is allowed.
 */
#include "base/text.h"
#include "host/affinity.h"
#include "host/read.h"
#include "os/os.h"
#include <stdio.h>
#include <string.h>

#define STATUS "proc/self/status"

/* -- files ---------------------------------------------------------------------------------- */

/* The set behind a head in proc/self/status. -ENOENT: no such line. */
static int64_t read_status_line(struct muster__reader *reader, const char *head, bool is_map)
{
    int status = muster__reader_file(reader, STATUS);
    char *line = status ? NULL : (char *)muster__text_line(reader->text, head);
    if (line == NULL)
        return status ? status : -ENOENT;
    line[strcspn(line, "\n")] = '\0';
    int64_t count = is_map ? muster__reader_map(reader, line) : muster__reader_ids(reader, line);
    return count == 0 ? MUSTER__EMPTY : count;
}

/* The path of this process's group in the hierarchy that has cpusets. Returns 0 or -ENOENT. */
static int read_group(struct muster__reader *reader, char *group, size_t group_bytes)
{
    if (muster__reader_file(reader, "proc/self/cpuset") == 0) {
        snprintf(group, group_bytes, "%.*s", (int)strcspn(reader->text, "\n"), reader->text);
        return group[0] == '/' ? 0 : -ENOENT;
    }
    if (muster__reader_file(reader, "proc/self/cgroup") < 0)
        return -ENOENT;
    for (const char *line = reader->text; line != NULL && *line != '\0';) {
        size_t length = strcspn(line, "\n");
        const char *first = strchr(line, ':');
        if (first != NULL && (strncmp(first, "::", 2) == 0 || strncmp(first, ":cpuset:", 8) == 0)) {
            const char *path = strchr(first + 1, ':') + 1;
            snprintf(group, group_bytes, "%.*s", (int)(line + length - path), path);
            return group[0] == '/' ? 0 : -ENOENT;
        }
        line = line[length] == '\n' ? line + length + 1 : NULL;
    }
    return -ENOENT;
}

/* A hierarchy of cpusets: where it is mounted, and what its files are called. */
struct hierarchy {
    char mount[128];
    const char *before, *after; /* of "cpus" or "mems" in a file's name */
};

static const struct hierarchy version_2 = {"sys/fs/cgroup", "cpuset.", ".effective"};
static const struct hierarchy version_1 = {"sys/fs/cgroup/cpuset", "cpuset.", ""};
static const struct hierarchy old = {"dev/cpuset", "", ""};

static bool has_word(const char *words, size_t length, const char *word)
{
    size_t word_length = strlen(word);
    for (size_t at = 0; at < length; at += strcspn(words + at, ", \n") + 1)
        if (strncmp(words + at, word, word_length) == 0 &&
            strcspn(words + at, ", \n") == word_length)
            return true;
    return false;
}

/* One line of proc/mounts: device, place, type, options. Returns whether cpusets are there. */
static bool is_mount(const char *line, struct hierarchy *hierarchy)
{
    char place[sizeof hierarchy->mount], type[16];
    int options = 0;
    if (sscanf(line, "%*s /%127s %15s %n", place, type, &options) != 2 || options == 0)
        return false;
    size_t length = strcspn(line + options, " \n");
    if (strcmp(type, "cgroup2") == 0)
        *hierarchy = version_2;
    else if (strcmp(type, "cpuset") == 0)
        *hierarchy = old;
    else if (strcmp(type, "cgroup") == 0 && has_word(line + options, length, "cpuset"))
        *hierarchy = has_word(line + options, length, "noprefix") ? old : version_1;
    else
        return false;
    memcpy(hierarchy->mount, place, sizeof place);
    return true;
}

/* Where distributions have cpusets, then what proc/mounts says: as hwloc looks for them. */
static bool find_hierarchy(struct muster__reader *reader, struct hierarchy *hierarchy)
{
    const struct hierarchy *usual[] = {&version_2, &version_1, &old};
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++) {
        *hierarchy = *usual[i];
        if (muster__reader_file(reader, "%s/%scpus%s", hierarchy->mount, hierarchy->before,
                                hierarchy->after) != -ENOENT)
            return true;
    }
    if (muster__reader_file(reader, "proc/mounts") < 0)
        return false;
    bool is_found = false;
    for (const char *line = reader->text; *line != '\0' && !is_found;) {
        is_found = is_mount(line, hierarchy);
        line += strcspn(line, "\n");
        line += *line == '\n';
    }
    return is_found;
}

/* The CPUs or nodes ("cpus", "mems") of the process's cpuset: of its group, or of the nearest one
 * above that says. */
static int64_t read_cpuset(struct muster__reader *reader, const char *what)
{
    char group[512];
    struct hierarchy hierarchy;
    if (read_group(reader, group, sizeof group) < 0 || strstr(group, "/..") != NULL ||
        !find_hierarchy(reader, &hierarchy))
        return -ENOENT;
    for (;;) {
        int64_t count = -ENOENT;
        if (muster__reader_file(reader, "%s%s/%s%s%s", hierarchy.mount, group, hierarchy.before,
                                what, hierarchy.after) == 0)
            count = muster__reader_ids(reader, reader->text);
        char *last = strrchr(group, '/');
        if (count > 0 || last == NULL)
            return count > 0 ? count : -ENOENT;
        *last = '\0';
    }
}

/* The CPUs or nodes that files say this process may use. Returns how many; -ENOENT: none says. */
static int64_t read_listed(struct muster__reader *reader, bool is_about_cpus)
{
    const char *list = is_about_cpus ? "Cpus_allowed_list:\t" : "Mems_allowed_list:\t";
    const char *map = is_about_cpus ? "Cpus_allowed:\t" : "Mems_allowed:\t";
    int64_t first = read_status_line(reader, list, false);
    if (first > 0)
        return first;
    const char *why =
        first == -ENOENT && muster__reader_file(reader, STATUS) == 0
            ? (is_about_cpus ? "has no line Cpus_allowed_list" : "has no line Mems_allowed_list")
            : muster__reader_why((int)first);
    bool is_wrong = first != -ENOENT;
    int64_t count = read_status_line(reader, map, true);
    if (count > 0) {
        if (is_wrong)
            muster__reader_note(reader, STATUS, why, "its bit map is read instead");
        return count;
    }
    count = read_cpuset(reader, is_about_cpus ? "cpus" : "mems");
    if (count > 0 && !is_wrong)
        return count;
    muster__reader_note(reader, STATUS, why,
                        count > 0 ? "the files of its cpuset are read instead"
                                  : "CPUs on line and nodes with memory count as allowed");
    return count;
}

/* -- CPUs ----------------------------------------------------------------------------------- */

enum muster__allowed_source muster__topology_allowed(struct muster__reader *reader,
                                                     struct muster__cpu_mask *mask)
{
    if (reader->is_live) {
        int status = muster__affinity_get(mask->bits, MUSTER__AFFINITY_BITS);
        mask->words = MUSTER__AFFINITY_BITS / 64;
        if (status >= 0)
            return muster__affinity_is_held() ? MUSTER__ALLOWED_EARLIER : MUSTER__ALLOWED_ON_LINE;
        if (muster__reader_fails(reader, status))
            return MUSTER__ALLOWED_UNKNOWN;
        memset(mask->bits, 0, MUSTER__AFFINITY_BITS / 8);
    }
    int64_t count = read_listed(reader, true);
    for (int64_t i = 0; i < count; i++)
        mask->bits[reader->ids[i] / 64] |= UINT64_C(1) << reader->ids[i] % 64;
    if (count > 0)
        mask->words = reader->ids[count - 1] / 64 + 1;
    return count > 0 ? MUSTER__ALLOWED_LISTED : MUSTER__ALLOWED_UNKNOWN;
}

void muster__topology_allow(struct muster_topology *topology, enum muster__allowed_source source,
                            const struct muster__cpu_mask *mask)
{
    topology->usable_cpu_count = 0;
    for (uint32_t i = 0; i < topology->cpu_count; i++) {
        struct muster_cpu *cpu = &topology->cpus[i];
        cpu->allowed = source == MUSTER__ALLOWED_UNKNOWN
                           ? cpu->online
                           : (uint32_t)(mask->bits[cpu->id / 64] >> cpu->id % 64 & 1);
        topology->usable_cpu_count += cpu->allowed && cpu->online;
    }
}

/* -- nodes ---------------------------------------------------------------------------------- */

void muster__topology_allow_nodes(struct muster__reader *reader, struct muster_topology *topology)
{
    uint64_t mask[MUSTER__NODE_IDS_MAX / 64] = {0};
    /* Docker's default seccomp profile forbids the call. */
    int status = reader->is_live ? muster__os_memory_nodes(mask, MUSTER__NODE_IDS_MAX) : -ENOSYS;
    bool is_said = status >= 0;
    if (!is_said) {
        int64_t count = read_listed(reader, false);
        is_said = count > 0;
        for (int64_t i = 0; i < count; i++)
            if (reader->ids[i] < MUSTER__NODE_IDS_MAX)
                mask[reader->ids[i] / 64] |= UINT64_C(1) << reader->ids[i] % 64;
    }
    for (uint32_t i = 0; i < topology->node_count; i++) {
        struct muster_node *node = &topology->nodes[i];
        bool is_allowed = !is_said || (mask[node->id / 64] >> node->id % 64 & 1);
        node->allowed = is_allowed && node->has_memory;
    }
}

/* cgroups.c - how many processes the cgroups of this process let it have. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memory/arena.h"

#define PATH_BYTES_MOST 4352

/* A file with one number. Returns: false for "max", or where it can't be read. */
static bool read_number(const char *folder, const char *name, uint64_t *number)
{
    char path[PATH_BYTES_MOST + 64], text[64], *end = NULL;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (muster__os_read_text(path, text, sizeof text) < 0)
        return false;
    *number = strtoull(text, &end, 10);
    return end != text;
}

/* The group of a line of /proc/self/cgroup, "number:controllers:path", and where it is mounted.
 * NULL: of another controller. */
static char *group_of(char *line, const char **mount)
{
    char *controllers = strchr(line, ':');
    char *group = controllers ? strchr(++controllers, ':') : NULL;
    if (!group)
        return NULL;
    *group++ = '\0';
    *mount = *controllers == '\0' ? "/sys/fs/cgroup" : "/sys/fs/cgroup/pids";
    return *controllers == '\0' || strcmp(controllers, "pids") == 0 ? group : NULL;
}

bool muster__group_processes(uint64_t more, uint64_t *most, uint64_t *used)
{
    char text[2 * PATH_BYTES_MOST], folder[PATH_BYTES_MOST];
    if (muster__os_read_text("/proc/self/cgroup", text, sizeof text) < 0)
        return false;
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        const char *mount = NULL;
        char *group = group_of(line, &mount);
        /* From the group up to the root: the least room counts. */
        for (char *slash = group; slash && group; *slash = '\0') {
            uint64_t limit, current;
            if (snprintf(folder, sizeof folder, "%s%s", mount, group) < (int)sizeof folder &&
                read_number(folder, "pids.max", &limit) &&
                read_number(folder, "pids.current", &current) && current + more > limit) {
                *most = limit;
                *used = current;
                return true;
            }
            slash = strrchr(group, '/');
            if (!slash)
                break;
        }
    }
    return false;
}

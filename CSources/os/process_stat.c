/* process_stat.c - see process_stat.h. */
#include "os/process_stat.h"

#include <stdio.h>
#include <string.h>

#include "os/os.h"

int muster__process_stat(int pid, char text[MUSTER__STAT_BYTES], const char **fields)
{
    char path[32];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    int64_t length = muster__os_read_text(path, text, MUSTER__STAT_BYTES);
    if (length < 0)
        return (int)length;
    const char *bracket = strrchr(text, ')');
    if (!bracket || bracket[1] != ' ')
        return -EUCLEAN;
    *fields = bracket + 2;
    return 0;
}

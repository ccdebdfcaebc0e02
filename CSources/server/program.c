/* program.c - what a fork server executes: this program once more, or another one that the leader
 * names.
 *
 * A leader whose own program has a runtime (an interpreter) can't be executed once more: the copy
 * would run the user's job again. So it names a program that comes to the line by itself.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/protocol.h"

#define ARGUMENTS_MOST (8u << 20) /* above what Linux lets a program have (execve(2), ARG_MAX) */

/* The program's arguments, as the kernel has them: NUL after each. Returns: bytes, or a negative
 * errno. Ownership: free. */
static int64_t read_arguments(char **text)
{
    for (size_t capacity = 4096; capacity <= ARGUMENTS_MOST; capacity *= 4) {
        char *room = malloc(capacity);
        if (!room)
            return -ENOMEM;
        int64_t length = muster__os_read_text("/proc/self/cmdline", room, capacity);
        if (length >= 0) {
            *text = room;
            return length;
        }
        free(room);
        if (length != -EFBIG)
            return length;
    }
    return -E2BIG;
}

/* A NULL-ended list of the texts that stand one after the other. Ownership: free. */
static char **list_arguments(char *text, int64_t length)
{
    size_t count = 0;
    for (int64_t i = 0; i < length; i++)
        count += text[i] == '\0';
    if (length > 0 && text[length - 1] != '\0')
        count++; /* a program that has overwritten its arguments */
    char **list = calloc(count + 2, sizeof *list);
    if (!list)
        return NULL;
    size_t at = 0;
    for (char *next = text; at < count; next += strlen(next) + 1)
        list[at++] = next;
    if (at == 0)
        list[0] = text; /* a program always has a name, be it empty */
    return list;
}

/* This process's environment with the server's variable. Ownership: free. */
static char **list_environment(char *variable)
{
    size_t count = 0, at = 0;
    while (environ && environ[count])
        count++;
    char **list = calloc(count + 2, sizeof *list);
    if (!list)
        return NULL;
    for (size_t i = 0; i < count; i++)
        if (strncmp(environ[i], MUSTER_SERVER_VARIABLE "=", sizeof MUSTER_SERVER_VARIABLE) != 0)
            list[at++] = environ[i];
    list[at] = variable;
    return list;
}

/* Executes this program once more, with its own arguments. */
static int execute_own(int socket, char *const environment[])
{
    char *text = NULL;
    int64_t length = read_arguments(&text);
    if (length < 0)
        return (int)length;
    char **arguments = list_arguments(text, length);
    int pid = -ENOMEM;
    if (arguments)
        pid = muster__os_spawn(NULL, socket, MUSTER__SERVER_SOCKET, arguments, environment);
    free(arguments);
    free(text);
    return pid;
}

int muster__server_execute(const struct muster__server *server, int socket)
{
    char variable[64];
    snprintf(variable, sizeof variable, MUSTER_SERVER_VARIABLE "=%u:%d", MUSTER_LAYOUT_VERSION,
             muster__os_pid());
    char **environment = list_environment(variable);
    if (!environment)
        return -ENOMEM;
    int pid = server->program ? muster__os_spawn(server->program[0], socket, MUSTER__SERVER_SOCKET,
                                                 server->program, environment)
                              : execute_own(socket, environment);
    free(environment);
    return pid;
}

char **muster__server_copy_program(const char *const *program)
{
    size_t count = 0, bytes = 0;
    for (; program[count]; count++)
        bytes += strlen(program[count]) + 1;
    char **list = malloc((count + 1) * sizeof *list + bytes);
    if (!list)
        return NULL;
    char *text = (char *)(list + count + 1);
    for (size_t i = 0; i < count; i++) {
        size_t length = strlen(program[i]) + 1;
        list[i] = memcpy(text, program[i], length);
        text += length;
    }
    list[count] = NULL;
    return list;
}

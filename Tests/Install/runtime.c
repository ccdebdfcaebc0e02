/* runtime.c - a small foreign runtime, for launch_server.c: it executes what its arguments say, one
 * after the other, as an interpreter does with a script.
 *
 *   runtime load LIBRARY | thread | serve ...
 *
 * After its last argument it leaves with status 3. */
#include <dlfcn.h>
#include <muster/muster.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void *wait_for_ever(void *argument)
{
    pause();
    return argument;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "load") == 0 && i + 1 < argc) {
            if (!dlopen(argv[++i], RTLD_NOW))
                return fprintf(stderr, "runtime: %s\n", dlerror()), 2;
        } else if (strcmp(argv[i], "thread") == 0) {
            pthread_t thread;
            if (pthread_create(&thread, NULL, wait_for_ever, NULL) != 0)
                return 2;
        } else if (strcmp(argv[i], "serve") == 0) {
            muster_leader_serve();
        }
    }
    return 3;
}

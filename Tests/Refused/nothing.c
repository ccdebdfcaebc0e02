/* nothing.c - what any program of the C library's does: what it can't do, no program can. */
#include <stdio.h>
#include <stdlib.h>

int main(void)
{
    void *memory = malloc(1 << 20);
    free(memory);
    return puts("alive") < 0 || fflush(stdout) != 0 || !memory;
}

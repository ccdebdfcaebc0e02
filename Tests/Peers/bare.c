/* bare.c - the least that the machine asks for the same work: processes by fork, words in shared
 * memory, loops over private memory. Nothing here is checked or recovered; it is the ground that
 * everything else is measured against.
 *
 *     bare pingpong | start N | canary BYTES
 */
#define _GNU_SOURCE
#include "peer_kernels.h"

#include <linux/futex.h>
#include <sched.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct words {
    uint32_t job __attribute__((aligned(128)));
    uint32_t done __attribute__((aligned(128)));
    double rate[64];
};

static void on_cpu(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    sched_setaffinity(0, sizeof set, &set);
}

static struct words *shared_words(void)
{
    void *memory =
        mmap(NULL, sizeof(struct words), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        peer_fail("no shared memory");
    return memory;
}

/* A word there and a word back, each process on a CPU of its own. */
static void pingpong(void)
{
    const uint32_t turns = 1000000;
    struct words *words = shared_words();
    if (fork() == 0) {
        prctl(PR_SET_PDEATHSIG, 9);
        on_cpu(1);
        for (uint32_t turn = 1; turn <= turns; turn++) {
            while (__atomic_load_n(&words->job, __ATOMIC_ACQUIRE) != turn)
                ;
            __atomic_store_n(&words->done, turn, __ATOMIC_RELEASE);
        }
        _exit(0);
    }
    on_cpu(0);
    double start = 0;
    for (uint32_t turn = 1; turn <= turns; turn++) {
        if (turn == 1000)
            start = peer_now_ns();
        __atomic_store_n(&words->job, turn, __ATOMIC_RELEASE);
        while (__atomic_load_n(&words->done, __ATOMIC_ACQUIRE) != turn)
            ;
    }
    peer_report("pingpong", "ns", (peer_now_ns() - start) / (turns - 1000));
    wait(NULL);
}

static long futex(uint32_t *word, int operation, uint32_t value)
{
    return syscall(SYS_futex, word, operation, value, NULL, NULL, 0);
}

/* Forks N processes, gives them one trivial job, ends them. */
static void start(uint32_t size)
{
    for (int round = 0; round < 7; round++) {
        struct words *words = shared_words();
        double begun = peer_now_ns();
        for (uint32_t rank = 0; rank < size; rank++)
            if (fork() == 0) {
                prctl(PR_SET_PDEATHSIG, 9);
                while (__atomic_load_n(&words->job, __ATOMIC_ACQUIRE) == 0)
                    futex(&words->job, FUTEX_WAIT, 0);
                if (__atomic_add_fetch(&words->done, 1, __ATOMIC_ACQ_REL) == size)
                    futex(&words->done, FUTEX_WAKE, 1);
                _exit(0);
            }
        __atomic_store_n(&words->job, 1, __ATOMIC_RELEASE);
        futex(&words->job, FUTEX_WAKE, 1 << 30);
        for (uint32_t done; (done = __atomic_load_n(&words->done, __ATOMIC_ACQUIRE)) != size;)
            futex(&words->done, FUTEX_WAIT, done);
        while (wait(NULL) > 0)
            ;
        double elapsed = peer_now_ns() - begun;
        munmap(words, sizeof *words);
        char name[32];
        snprintf(name, sizeof name, "start/%u", size);
        if (round > 0) /* the first finds everything cold */
            peer_report(name, "ns", elapsed);
    }
}

/* What memory gives now: a streaming triad by one process a CPU over its own memory. Run before and
 * after each measurement of bandwidth, since a shared machine's memory does not stay the same. */
static void canary(size_t bytes)
{
    struct words *words = shared_words();
    int cpus = (int)sysconf(_SC_NPROCESSORS_ONLN);
    cpus = cpus > 64 ? 64 : cpus;
    size_t count = bytes / (size_t)cpus / 8 / 64 * 64;
    for (int cpu = 0; cpu < cpus; cpu++)
        if (fork() == 0) {
            prctl(PR_SET_PDEATHSIG, 9);
            on_cpu(cpu);
            double *a = peer_memory(count * 8), *b = peer_memory(count * 8),
                   *c = peer_memory(count * 8);
            for (size_t i = 0; i < count; i++)
                a[i] = 1, b[i] = 2, c[i] = 0;
            __atomic_add_fetch(&words->done, 1, __ATOMIC_ACQ_REL);
            while (__atomic_load_n(&words->done, __ATOMIC_ACQUIRE) != (uint32_t)cpus)
                ;
            double begun = peer_now_ns();
            for (int round = 0; round < 4; round++)
                peer_streaming(PEER_TRIAD, a, b, c, count);
            words->rate[cpu] = 4 * 24.0 * (double)count / (peer_now_ns() - begun);
            _exit(a[count / 2] == 2 ? 0 : 1);
        }
    double rate = 0;
    for (int cpu = 0, status; cpu < cpus; cpu++)
        if (wait(&status) < 0 || status != 0)
            peer_fail("canary: wrong result");
    for (int cpu = 0; cpu < cpus; cpu++)
        rate += words->rate[cpu];
    peer_report("canary", "gb_per_s", rate);
}

int main(int count, char **arguments)
{
    const char *what = count > 1 ? arguments[1] : "";
    unsigned long long number = count > 2 ? strtoull(arguments[2], NULL, 10) : 2;
    if (strcmp(what, "pingpong") == 0) {
        pingpong();
    } else if (strcmp(what, "start") == 0) {
        start((uint32_t)number);
    } else if (strcmp(what, "canary") == 0) {
        canary(number);
    } else {
        fprintf(stderr, "bare pingpong | start N | canary BYTES\n");
        return 64;
    }
    return 0;
}

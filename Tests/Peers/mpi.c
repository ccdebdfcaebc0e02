/* mpi.c - barrier, claims from a shared counter, and STREAM in a shared window. Built with Open MPI
 * and MPICH.
 *
 *     mpirun -n N mpi barrier | claim | stream BYTES | start
 */
#include "peer_kernels.h"

#include <mpi.h>

static int rank, size;

static double barrier_ns(long repeats)
{
    MPI_Barrier(MPI_COMM_WORLD);
    double start = peer_now_ns();
    for (long i = 0; i < repeats; i++)
        MPI_Barrier(MPI_COMM_WORLD);
    return (peer_now_ns() - start) / (double)repeats;
}

static void barrier(void)
{
    double estimate = barrier_ns(200);
    MPI_Bcast(&estimate, 1, MPI_DOUBLE, 0, MPI_COMM_WORLD);
    double time = barrier_ns(peer_repeats(estimate));
    char name[32];
    snprintf(name, sizeof name, "barrier/%d", size);
    if (rank == 0)
        peer_report(name, "ns", time);
}

/* The way to deal chunks dynamically in MPI: a counter in a window, one Fetch_and_op a chunk. */
static void claim(void)
{
    const long chunks = 1000000;
    long *counter;
    MPI_Win window;
    MPI_Win_allocate(rank == 0 ? sizeof *counter : 0, sizeof *counter, MPI_INFO_NULL,
                     MPI_COMM_WORLD, &counter, &window);
    MPI_Win_lock_all(MPI_MODE_NOCHECK, window);
    if (rank == 0)
        *counter = 0;
    MPI_Win_sync(window);
    MPI_Barrier(MPI_COMM_WORLD);
    double start = peer_now_ns();
    for (long one = 1, mine = 0; mine < chunks;) {
        MPI_Fetch_and_op(&one, &mine, MPI_LONG, 0, 0, MPI_SUM, window);
        MPI_Win_flush(0, window);
    }
    MPI_Barrier(MPI_COMM_WORLD);
    if (rank == 0)
        peer_report("chunk/dynamic", "ns", (peer_now_ns() - start) / (double)chunks);
    MPI_Win_unlock_all(window);
    MPI_Win_free(&window);
}

/* Each rank's share of each array lies in its own part of a shared window. */
static void stream(size_t bytes)
{
    enum { ROUNDS = 4 };
    size_t count = bytes / (size_t)size / 8 / 64 * 64;
    double *memory;
    MPI_Win window;
    MPI_Win_allocate_shared((MPI_Aint)(3 * count * 8 + 64), 8, MPI_INFO_NULL, MPI_COMM_WORLD,
                            &memory, &window);
    double *a = (double *)(((size_t)memory + 63) / 64 * 64), *b = a + count, *c = b + count;
    for (size_t i = 0; i < count; i++)
        a[i] = 1, b[i] = 2, c[i] = 0;
    double rates[PEER_KERNELS][ROUNDS];
    for (int round = 0; round < ROUNDS; round++)
        for (int k = 0; k < PEER_KERNELS; k++) {
            MPI_Barrier(MPI_COMM_WORLD);
            double start = peer_now_ns();
            peer_streaming((enum peer_kernel)k, a, b, c, count);
            MPI_Barrier(MPI_COMM_WORLD);
            rates[k][round] =
                (double)peer_kernel_bytes[k] * (double)count * size / (peer_now_ns() - start);
        }
    peer_check(a, b, c, count, ROUNDS);
    for (int k = 0; k < PEER_KERNELS && rank == 0; k++) {
        char name[32];
        snprintf(name, sizeof name, "stream/%s", peer_kernel_names[k]);
        double x = rates[k][1], y = rates[k][2], z = rates[k][3];
        double low = x < y ? x : y, high = x < y ? y : x;
        peer_report(name, "gb_per_s", z < low ? low : z > high ? high : z);
    }
    MPI_Win_free(&window);
}

int main(int count, char **arguments)
{
    MPI_Init(&count, &arguments);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    const char *what = count > 1 ? arguments[1] : "";
    if (strcmp(what, "barrier") == 0)
        barrier();
    else if (strcmp(what, "claim") == 0)
        claim();
    else if (strcmp(what, "stream") == 0)
        stream(count > 2 ? strtoull(arguments[2], NULL, 10) : 64u << 20);
    else if (strcmp(what, "start") != 0 && rank == 0)
        fprintf(stderr, "mpi barrier | claim | stream BYTES | start\n");
    MPI_Finalize();
    return 0;
}

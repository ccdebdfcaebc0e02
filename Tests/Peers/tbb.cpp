// tbb.cpp - dispatch and dealing with oneTBB.
//
//     tbb THREADS
#include "peer.h"

#include <string>
#include <tbb/global_control.h>
#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>

namespace
{

constexpr long chunks = 10'000'000;

double region_ns(int threads, long repeats)
{
    tbb::static_partitioner partitioner;
    double start = peer_now_ns();
    for (long i = 0; i < repeats; i++)
        tbb::parallel_for(0, threads, 1, [](int) { asm volatile("" ::: "memory"); }, partitioner);
    return (peer_now_ns() - start) / double(repeats);
}

template <typename Partitioner> void chunk(const char *name, const Partitioner &partitioner)
{
    double start = peer_now_ns();
    tbb::parallel_for(
        tbb::blocked_range<long>(0, chunks, 1),
        [](const tbb::blocked_range<long> &range) {
            for (long i = range.begin(); i != range.end(); i++)
                asm volatile("" ::"r"(i) : "memory");
        },
        partitioner);
    peer_report(name, "ns", (peer_now_ns() - start) / chunks);
}

} // namespace

int main(int count, char **arguments)
{
    int threads = count > 1 ? std::stoi(arguments[1]) : 2;
    tbb::global_control limit(tbb::global_control::max_allowed_parallelism, size_t(threads));
    tbb::task_arena arena(threads);
    arena.execute([&] {
        double estimate = region_ns(threads, 1000);
        std::string name = "dispatch/" + std::to_string(threads);
        peer_report(name.c_str(), "ns", region_ns(threads, peer_repeats(estimate)));
        if (threads > 2)
            return;
        chunk("chunk/dynamic", tbb::simple_partitioner());
        chunk("chunk/static", tbb::static_partitioner());
    });
}

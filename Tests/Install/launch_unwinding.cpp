// launch_unwinding.cpp - a leader in C++: an exception that leaves a kernel ends the worker and
// never reaches a handler of the leader's, whose frames a forked rank has copies of.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <muster/muster.h>
#include <stdexcept>
#include <sys/resource.h>
#include <unistd.h>

static int throw_at_3(const muster_work *work)
{
    auto *values = static_cast<long *>(muster_work_output(work, 0));
    for (auto i = work->chunk.first; i < work->chunk.end; i++)
        values[i] = static_cast<long>(i);
    if (work->chunk.index == 3)
        throw std::runtime_error("out of a kernel");
    return 0;
}

static int run()
{
    muster_error error{};
    muster_leader_options options{};
    options.size_bytes = sizeof options;
    options.size = 2;
    muster_leader *leader = nullptr;
    if (muster_leader_create(&options, &leader, &error) < 0)
        throw std::runtime_error(error.message);

    muster_array_options shape{};
    shape.size_bytes = sizeof shape;
    shape.element_bytes = sizeof(long);
    shape.count = 1000;
    muster_array *x = nullptr;
    if (muster_array_create(leader, &shape, &x, &error) < 0)
        throw std::runtime_error(error.message);

    muster_use use{};
    use.array = x;
    use.access = MUSTER_ACCESS_OUTPUT;
    muster_loop_options loop{};
    loop.size_bytes = sizeof loop;
    loop.kernel = throw_at_3;
    loop.count = shape.count;
    loop.grain = 100;
    loop.uses = &use;
    loop.use_count = 1;
    int status = muster_leader_run(leader, &loop, &error);
    const muster_report *report = muster_leader_report(leader);
    bool right = status == MUSTER_ERROR_QUARANTINE && report && report->quarantined_count == 1 &&
                 report->quarantined[0] == 3 && report->exactly_once == 9 &&
                 report->death_count == 3 && report->deaths[0].signal == SIGABRT;
    if (!right)
        std::fprintf(stderr, "%d: %s\n", status, error.message);
    muster_leader_destroy(leader);
    return right ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main()
{
    alarm(120);
    rlimit none{0, 0};
    setrlimit(RLIMIT_CORE, &none);
    pid_t leader = getpid();
    std::set_terminate(std::abort); // without its words on stderr
    try {
        int status = run();
        if (status == EXIT_SUCCESS)
            std::puts("leader.h: an exception in a kernel stays in its worker");
        return status;
    } catch (const std::exception &) {
        // Of a worker: a second leader would be on its way now.
        if (getpid() != leader)
            kill(leader, SIGKILL);
        return EXIT_FAILURE;
    }
}

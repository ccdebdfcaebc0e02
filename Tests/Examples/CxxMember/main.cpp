// A member in C++: Monte Carlo for pi, each sample once, the same bits for any number of ranks.
//
//     c++ -std=c++17 main.cpp $(pkg-config --cflags --libs muster) -o pi
//     muster run -n 8 -- ./pi
//
// The loop is verified: every chunk of samples is drawn by exactly one rank, also when ranks die
// and others take over what they have left. Chunks are seeded by their number, so it does not
// matter who draws them.

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <random>

#include <muster/member.h>

namespace
{

// A member leaves when it goes out of scope.
struct Leave {
    void operator()(muster_member *me) const { muster_leave(me); }
};
using Member = std::unique_ptr<muster_member, Leave>;

constexpr std::uint64_t samples = 1 << 22;

// Draws this rank's share. Returns: as the functions of member.h.
int draw(muster_member *me, double &pi, muster_report &report)
{
    muster_member_loop_options options{};
    options.size_bytes = sizeof options;
    options.schedule = MUSTER_SCHEDULE_STATIC_STEAL;
    options.elements = samples;
    options.grain = 1 << 14;
    options.partial_bytes = sizeof(std::uint64_t);
    options.flags =
        MUSTER_LOOP_ADOPT; // a chunk may be begun again: it changes nothing but its partial
    options.name = "samples";
    muster_member_loop *loop = nullptr;
    int status = muster_member_loop_begin(me, &options, &loop);
    if (status < 0)
        return status;
    muster_chunk chunk;
    while ((status = muster_member_loop_next(loop, &chunk)) > 0) {
        std::mt19937_64 random(chunk.index);
        std::uniform_real_distribution<double> between(0, 1);
        std::uint64_t inside = 0;
        for (std::uint64_t i = chunk.first; i < chunk.end; i++) {
            const double x = between(random), y = between(random);
            inside += x * x + y * y < 1;
        }
        *static_cast<std::uint64_t *>(muster_member_loop_partial(loop, &chunk)) = inside;
        muster_member_loop_commit(loop, &chunk);
    }
    // Also after an error: it ends the loop.
    report.size_bytes = sizeof report;
    status = muster_member_loop_end(loop, &report);
    std::uint64_t inside = 0;
    if (status == 0)
        status = muster_member_loop_reduce(loop, MUSTER_TYPE_U64, MUSTER_OP_SUM, &inside);
    pi = 4.0 * static_cast<double>(inside) / samples;
    return status;
}

} // namespace

int main()
{
    muster_member *joined = nullptr;
    int status = muster_join(&joined);
    if (status < 0) {
        char advice[512];
        muster_join_advice(status, advice, sizeof advice);
        std::fprintf(stderr, "pi: %s\n", advice);
        return 1;
    }
    Member me(joined);

    double pi = 0;
    muster_report report{};
    status = draw(me.get(), pi, report);
    // A rank died where it was needed, or this process takes the place of one: meet the others, and
    // begin again.
    while (status == -EOWNERDEAD && (status = muster_recover(me.get())) == 0)
        status = draw(me.get(), pi, report);
    if (status < 0) {
        std::fprintf(stderr, "pi: %s\n", muster_status_text(status));
        return 1;
    }
    std::printf("rank %u of %u: %llu of %llu chunks, pi is about %.17g\n",
                muster_member_rank(me.get()), muster_member_size(me.get()),
                static_cast<unsigned long long>(report.own),
                static_cast<unsigned long long>(report.chunks), pi);
    return 0;
}

// launch_wrong.cpp - the table of wrong kernels in C and C++: what the loop's error says of each,
// with check mode off and on. Swift's part of the table is `wrong-kernels` of muster-test-host
// (Tests/Host/WrongTable.swift), that of members `stray` of muster-test-member.
//
//     ./launch_wrong            checks the table, and prints it
#include <cassert>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <muster/muster.h>
#include <stdexcept>
#include <string>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

namespace
{

constexpr uint64_t grain = 4096, chunks = 8, count = grain * chunks;

// What a kernel is handed, besides its arrays.
struct Arguments {
    int mistake;
    double *other, *freed;
};

volatile double seen;
volatile int zero;
double *kept; // from an earlier chunk

// Elements of the chunk, and of the whole arrays.
struct Arrays {
    const double *a;
    double *out, *x;
    uint64_t first, end;
};

__attribute__((noinline)) void beyond_chunk(const Arrays &m)
{
    m.x[m.end] = 1;
}
__attribute__((noinline)) void before_chunk(const Arrays &m)
{
    m.out[m.first - 1] = 1;
}
__attribute__((noinline)) void next_chunk(const Arrays &m)
{
    m.x[m.end + 5] = 1;
}
__attribute__((noinline)) void other_rank(const Arrays &m)
{
    m.x[m.end + grain + 1] = 1;
}
__attribute__((noinline)) void relative_index(const Arrays &m)
{
    for (uint64_t i = 0; i < m.end - m.first; i++)
        m.x[i] = 1; // indices are the array's, not the chunk's
}
__attribute__((noinline)) void one_too_many(const Arrays &m)
{
    for (uint64_t i = m.first; i <= m.end; i++)
        m.out[i] = 1;
}
__attribute__((noinline)) void long_copy(const Arrays &m)
{
    std::memmove(m.out + m.first, m.a, (m.end - m.first + 512) * sizeof(double));
}
__attribute__((noinline)) void writes_input(const Arrays &m)
{
    const_cast<double *>(m.a)[7] = 1;
}
__attribute__((noinline)) void reads_output(const Arrays &m)
{
    seen = m.out[m.first - 1];
}
__attribute__((noinline)) void reads_neighbour(const Arrays &m)
{
    seen = m.x[m.end + 1];
}
__attribute__((noinline)) void wide_halo(const Arrays &m)
{
    double sum = 0;
    for (uint64_t i = m.first - 64; i < m.end + 64; i++)
        sum += m.x[i];
    seen = sum;
}
__attribute__((noinline)) void stale_pointer(const Arrays &)
{
    kept[0] = 1;
}
__attribute__((noinline)) void beyond_end(const Arrays &m)
{
    m.x[count] = 1;
}
__attribute__((noinline)) void far_beyond_end(const Arrays &m)
{
    m.x[count + 5000000] = 1;
}
__attribute__((noinline)) void before_start(const Arrays &m)
{
    m.x[-1] = 1;
}
__attribute__((noinline)) void reads_beyond_input(const Arrays &m)
{
    seen = m.a[count];
}
__attribute__((noinline)) void null_object(const Arrays &)
{
    struct Object {
        int values[8];
    };
    auto *object = reinterpret_cast<volatile Object *>(static_cast<uintptr_t>(zero));
    object->values[4] = 1;
}
__attribute__((noinline)) void null_call(const Arrays &)
{
    auto function = reinterpret_cast<void (*)()>(static_cast<uintptr_t>(zero) + 32);
    function();
    seen = 1;
}
__attribute__((noinline)) void division(const Arrays &)
{
    seen = 7 / zero;
}
__attribute__((noinline)) int deep(int depth)
{
    volatile char room[1000];
    room[depth % 1000] = 1;
    return depth < 0 ? depth : deep(depth + 1) + room[0];
}
__attribute__((noinline)) void overflow(const Arrays &)
{
    seen = deep(1);
}
__attribute__((noinline)) void assertion(const Arrays &)
{
    if (zero == 0)
        __assert_fail("zero == 1", "launch_wrong.cpp", 1, "assertion");
}
__attribute__((noinline)) void exception(const Arrays &)
{
    throw std::runtime_error("no such column");
}
__attribute__((noinline)) void out_of_range(const Arrays &)
{
    std::vector<double> few(3);
    seen = few.at(static_cast<size_t>(zero) + 3);
}
__attribute__((noinline)) void twice_freed(const Arrays &)
{
    void *volatile block = std::malloc(100);
    std::free(block);
    std::free(block);
}
__attribute__((noinline)) void aborts(const Arrays &)
{
    std::abort();
}
__attribute__((noinline)) void exits(const Arrays &)
{
    std::exit(7);
}
__attribute__((noinline)) void leaves(const Arrays &)
{
    _exit(9);
}
__attribute__((noinline)) void forks(const Arrays &)
{
    // Both come back: the copy must work on nothing.
    if (fork() < 0)
        std::abort();
}
__attribute__((noinline)) void fails(const Arrays &) {}

const char right_beyond[] =
    "wrote element 16384 of array 2 (x), right beyond its chunk 12288..<16384";

struct Mistake {
    const char *name;
    void (*make)(const Arrays &);
    const char *off; // what the error must say without check mode; NULL: nothing is found
    const char *on;  // with it; NULL: the same
};

const Mistake mistakes[] = {
    {"off by one, beyond", beyond_chunk, nullptr, right_beyond},
    {"off by one, before", before_chunk, nullptr,
     "wrote element 12287 of array 1 (out), 1 before its chunk 12288..<16384"},
    {"<= for <", one_too_many, nullptr,
     "wrote element 16384 of array 1 (out), right beyond its chunk"},
    {"the next chunk", next_chunk, nullptr,
     "wrote element 16389 of array 2 (x), 5 beyond its chunk"},
    {"another rank's", other_rank, nullptr,
     "wrote element 20481 of array 2 (x), 4097 beyond its chunk"},
    {"indices from 0", relative_index, nullptr,
     "wrote element 0 of array 2 (x), 12288 before its chunk"},
    {"a copy too long", long_copy, nullptr, "of array 1 (out), "},
    {"into an input", writes_input, nullptr,
     "wrote element 7 of array 0 (a), which this loop only reads"},
    {"read of an output", reads_output, nullptr,
     "read element 12287 of array 1 (out), 1 before its chunk"},
    {"race with a neighbour", reads_neighbour, nullptr,
     "read element 16385 of array 2 (x), 1 beyond its chunk"},
    {"halo too wide", wide_halo, nullptr, "read element 12224 of array 2 (x), 64 before its chunk"},
    {"a pointer kept", stale_pointer, nullptr, " of array 2 (x), "},
    {"beyond the end", beyond_end, "wrote right beyond the end of array 2 (x)", nullptr},
    {"far beyond the end", far_beyond_end, "wrote 40000000 bytes beyond the end of array 2 (x)",
     nullptr},
    {"before the start", before_start, "wrote 8 bytes before the start of array 2 (x)", nullptr},
    {"beyond an input", reads_beyond_input, "read right beyond the end of array 0 (a)", nullptr},
    {"null", null_object, "(SIGSEGV) at address 0x10 in (anonymous namespace)::null_object",
     nullptr},
    {"call of nothing", null_call, "(SIGSEGV) at address 0x20 in (anonymous namespace)::null_call",
     nullptr},
    {"division by zero", division, "(SIGFPE) in (anonymous namespace)::division", nullptr},
    {"stack overflow", overflow, "(SIGSEGV), a stack overflow, in (anonymous namespace)::deep",
     nullptr},
    {"assertion", assertion, "Assertion `zero == 1' failed", nullptr},
    {"uncaught exception", exception, "no such column", nullptr},
    {"vector::at", out_of_range, "out_of_range", nullptr},
    {"a block freed twice", twice_freed, "free(): double free", nullptr},
    {"abort", aborts, "(SIGABRT) in (anonymous namespace)::aborts", nullptr},
    {"exit", exits, "left with exit status 7", nullptr},
    {"_exit", leaves, "left with exit status 9", nullptr},
    {"fork that comes back", forks, nullptr, nullptr},
    {"the wrong array", nullptr, nullptr,
     "wrote element 5 of array 3 (other), which this loop does "
     "not use"},
    {"a freed array", nullptr, "wrote element 20000 of array 4 (freed), which has been freed",
     nullptr},
    {"an error of its own", fails, "the kernel returned 5 on rank ", nullptr},
    {"another's partial result", nullptr, nullptr,
     "wrote the partial result of chunk 1, which is another's"},
};
constexpr int mistake_count = sizeof mistakes / sizeof *mistakes;

bool is_named(int mistake, const char *name)
{
    return !std::strcmp(mistakes[mistake].name, name);
}

// Doubles x, and copies a to out. Chunk 3 makes the mistake.
int kernel(const muster_work *work)
{
    auto *arguments = static_cast<const Arguments *>(work->arguments);
    Arrays m{static_cast<const double *>(muster_work_input(work, 0)),
             static_cast<double *>(muster_work_output(work, 1)),
             static_cast<double *>(muster_work_update_whole(work, 2)), work->chunk.first,
             work->chunk.end};
    for (uint64_t i = m.first; i < m.end; i++) {
        m.out[i] = m.a[i];
        m.x[i] *= 2;
    }
    *static_cast<uint64_t *>(work->partial) = m.end - m.first;
    const Mistake &mistake = mistakes[arguments->mistake];
    if (work->chunk.index == 3) {
        if (is_named(arguments->mistake, "the wrong array"))
            arguments->other[5] = 1;
        else if (is_named(arguments->mistake, "a freed array"))
            arguments->freed[20000] = 1; // partial results may lie at its start now
        else if (is_named(arguments->mistake, "another's partial result"))
            static_cast<uint64_t *>(work->partial)[-2] = 1;
        else if (is_named(arguments->mistake, "an error of its own"))
            return 5;
        else
            mistake.make(m);
    }
    if (!kept)
        kept = m.x + m.first;
    return 0;
}

void add(void *left, const void *right, void *)
{
    *static_cast<uint64_t *>(left) += *static_cast<const uint64_t *>(right);
}

muster_array *array(muster_leader *leader, const char *name)
{
    muster_error error{};
    muster_array_options shape{};
    shape.size_bytes = sizeof shape;
    shape.element_bytes = sizeof(double);
    shape.count = count;
    shape.name = name;
    muster_array *made = nullptr;
    if (muster_array_create(leader, &shape, &made, &error) < 0)
        throw std::runtime_error(error.message);
    return made;
}

// Runs one wrong kernel. Returns what the error says; empty: there was none.
std::string run(int mistake, bool checks)
{
    muster_error error{};
    muster_leader_options options{};
    options.size_bytes = sizeof options;
    options.size = 2;
    options.check = checks ? MUSTER_CHECK_ON : MUSTER_CHECK_OFF;
    muster_leader *leader = nullptr;
    if (muster_leader_create(&options, &leader, &error) < 0)
        throw std::runtime_error(error.message);
    muster_array *arrays[] = {array(leader, "a"), array(leader, "out"), array(leader, "x"),
                              array(leader, "other"), array(leader, "freed")};
    muster_use uses[3]{};
    for (int i = 0; i < 3; i++)
        uses[i].array = arrays[i];
    uses[1].access = MUSTER_ACCESS_OUTPUT;
    uses[2].access = MUSTER_ACCESS_IN_PLACE;
    Arguments arguments{mistake, static_cast<double *>(muster_array_elements(arrays[3])),
                        static_cast<double *>(muster_array_elements(arrays[4]))};
    if (is_named(mistake, "a freed array"))
        muster_array_destroy(arrays[4]);
    muster_loop_options loop{};
    loop.size_bytes = sizeof loop;
    loop.kernel = kernel;
    loop.count = count;
    loop.grain = grain;
    loop.uses = uses;
    loop.use_count = 3;
    loop.arguments = &arguments;
    loop.argument_bytes = sizeof arguments;
    uint64_t result = 0;
    int status = muster_leader_reduce(leader, &loop, sizeof result, add, nullptr, &result, &error);
    const muster_report *report = muster_leader_report(leader);
    const char *wanted =
        checks && mistakes[mistake].on ? mistakes[mistake].on : mistakes[mistake].off;
    bool is_stray = wanted && checks && (mistakes[mistake].on || std::strstr(wanted, " array "));
    if ((status == 0) != (wanted == nullptr) || is_stray != (status == MUSTER_ERROR_STRAY))
        throw std::runtime_error("status " + std::to_string(status) + ": " + error.message);
    if (is_stray && (report->death_count != 1 || report->redone != 0))
        throw std::runtime_error(std::string("it was done again: ") + error.message);
    if (status == 0 && (!report->clean || report->exactly_once != chunks))
        throw std::runtime_error("no clean audit");
    if (wanted && (!std::strstr(error.message, wanted) || !std::strstr(error.message, "chunk 3 ")))
        throw std::runtime_error(std::string("not \"") + wanted + "\": " + error.message);
    muster_leader_destroy(leader);
    return status == 0 ? "" : error.message;
}

} // namespace

int main()
{
    alarm(120);
    rlimit none{0, 0};
    setrlimit(RLIMIT_CORE, &none);
    for (int mistake = 0; mistake < mistake_count; mistake++)
        for (bool checks : {false, true})
            try {
                std::string said = run(mistake, checks);
                std::printf("%-24s | %-3s | %s\n", mistakes[mistake].name, checks ? "on" : "off",
                            said.empty() ? "nothing" : said.c_str());
            } catch (const std::exception &wrong) {
                std::fprintf(stderr, "%s, check mode %s: %s\n", mistakes[mistake].name,
                             checks ? "on" : "off", wrong.what());
                return EXIT_FAILURE;
            }
    std::printf("%d wrong kernels\n", mistake_count);
    return EXIT_SUCCESS;
}

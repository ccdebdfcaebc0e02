#!/usr/bin/env python3
"""statuses.py - the errors that the C headers document of each function, and whether tests saw them.

    Tests/Install/statuses.py list               each function with its documented errors
    Tests/Install/statuses.py observer           a header that notes what each call has returned
    Tests/Install/statuses.py compare SEEN       documented against noted; exit 1 where they differ

The list is what stands under "Returns:" in the comments. A program compiled with `-include` of the
observer stores a byte in the file SEEN (MUSTER_SEEN names it; `truncate -s 1M` makes it) for each
pair of function and status that a call of its really returned. So no test claims a pair: it shows
it, and what a function returns without a word in its comment is found, too. The file is mapped and
not written, since tests close descriptors, set limits and are killed.

A function whose comment ends its list with "or an errno" may return others besides.
"""

import errno
import os
import re
import sys

sys.dont_write_bytecode = True
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "CSources", "install"))
import headers as c  # noqa: E402

# Called by an inline function.
INNER = {"muster_member_loop_claim"}
# What no test provokes, and why.
MIRRORS = "only where a rank dies within its copy to a second node, which no test can time"
UNPROVOKED = {
    ("muster_array_mirror", "MUSTER_ERROR_MEMORY"): MIRRORS,
    ("muster_array_mirror", "MUSTER_ERROR_START"): MIRRORS,
    ("muster_array_mirror", "MUSTER_ERROR_THREADS"): MIRRORS,
}
# What only root can provoke: another user's process, a set-user-ID program.
ROOTS = {(name, code) for name in ("muster_join", "muster_join_with") for code in ("-EPERM", "-EACCES")}
# Statuses from MUSTER_REFUSED downwards name a system call: Tests/Refused goes through those.
STATUSES = 256
COLUMNS = 100


class Documented:
    """What one function may return, as its comment says."""

    def __init__(self, function, codes):
        self.name, self.header = function.name, function.header
        returns = re.search(r"\bReturns:(.*?)(?:\b(?:Ownership|Concurrency|Source):|\n\n|\Z)",
                            function.comment, flags=re.S)
        words = re.sub(r"\s+", " ", returns[1]) if returns else ""
        # "Returns: as muster_x, and -EINVAL: ..." takes over all of muster_x's.
        self.heirs = re.findall(r"(?:^ ?|; |and )as (muster_\w+)", words)
        self.is_open = re.search(r"\bor (?:an|another) errno\b", words) is not None
        self.statuses = {-getattr(errno, name) for name in re.findall(r"-(E[A-Z0-9]+)\b", words)}
        for name in re.findall(r"\bMUSTER_ERROR_\w+", words):
            self.statuses.add(codes[name])


def read():
    """Functions that return an int, by name, with all that their comments document."""
    folder = os.path.join(ROOT, "include", "muster")
    headers = [c.read(path) for path in c.included(os.path.join(folder, "muster.h"))]
    codes = {}
    for header in headers:
        for _, source in header.types:
            for name, value in re.findall(r"(MUSTER_ERROR_\w+) = -(E\w+)", source):
                codes[name] = -getattr(errno, value)
    found = {}
    for header in headers:
        for function in header.functions:
            if function.prototype.startswith("int ") and function.name not in INNER:
                found[function.name] = Documented(function, codes)

    def inherit(name, path=()):
        if name in path:
            sys.exit(f"statuses.py: {' -> '.join(path + (name,))} goes round")
        of = found.get(name) or sys.exit(f"statuses.py: {path[-1]} is as {name}, which is not there")
        while of.heirs:
            other = inherit(of.heirs[0], path + (name,))
            of.statuses |= other.statuses
            of.is_open = of.is_open or other.is_open
            of.heirs.pop(0)
        return of

    for name in found:
        inherit(name)
    return found, {value: name for name, value in codes.items()}


def called(status, documented, codes):
    if documented.header == "leader.h" and status in codes:
        return codes[status]
    return "-" + errno.errorcode.get(-status, str(-status))


def observer(found):
    print("""/* Made by Tests/Install/statuses.py: notes what each call of a public function returns. */
#include <muster/muster.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* One in all files of a program. */
__attribute__((weak)) unsigned char *seen_statuses;

__attribute__((constructor, unused)) static void seen_open(void)
{
    const char *path = seen_statuses ? NULL : getenv("MUSTER_SEEN");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *at = fd < 0 ? MAP_FAILED : mmap(NULL, 1u << 20, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd >= 0)
        close(fd);
    if (at != MAP_FAILED)
        seen_statuses = (unsigned char *)at;
    else if (path)
        abort();
}

__attribute__((unused)) static int seen_status(unsigned function, int status)
{
    if (seen_statuses && status < 0 && status > -%d)
        seen_statuses[function * %du - (unsigned)status] = 1;
    else if (seen_statuses && status >= 0)
        seen_statuses[function * %du] = 1;
    return status;
}
""" % (STATUSES, STATUSES, STATUSES))
    for number, name in enumerate(sorted(found)):
        print(f"#define {name}(...) seen_status({number}u, {name}(__VA_ARGS__))")


def compare(found, codes, path):
    with open(path, "rb") as file:
        seen = file.read()
    faults = pairs = 0
    for number, name in enumerate(sorted(found)):
        of = found[name]
        row = seen[number * STATUSES : (number + 1) * STATUSES]
        shown = {-status for status in range(1, STATUSES) if row[status]}
        pairs += len(of.statuses)
        if not row[0] and not shown:
            print(f"{of.header}: {name}: no test calls it")
            faults += 1
        for status in sorted(of.statuses - shown, reverse=True):
            pair = (name, called(status, of, codes))
            if pair in UNPROVOKED:
                continue
            if pair in ROOTS and os.geteuid() != 0:
                print(f"skipped: {name}: {pair[1]}, for want of root")
                continue
            print(f"{of.header}: {name}: {called(status, of, codes)} is documented, and no test "
                  "provokes it")
            faults += 1
        for status in sorted(shown - of.statuses, reverse=True):
            if of.is_open:
                continue
            print(f"{of.header}: {name}: {called(status, of, codes)} was returned, and is not "
                  "documented")
            faults += 1
    print(f"{pairs} documented errors of {len(found)} functions, {faults} faults")
    return 1 if faults else 0


def main(arguments):
    found, codes = read()
    if arguments == ["list"]:
        for name in sorted(found):
            of = found[name]
            words = [called(status, of, codes) for status in sorted(of.statuses, reverse=True)]
            print(f"{name}: {', '.join(words + ['others'] * of.is_open) or 'none'}")
    elif arguments == ["observer"]:
        observer(found)
    elif len(arguments) == 2 and arguments[0] == "compare":
        return compare(found, codes, arguments[1])
    else:
        sys.exit(__doc__)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

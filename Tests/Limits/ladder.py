#!/usr/bin/env python3
"""ladder.py - takes each resource limit from nothing to enough, for each thing that the tool does.

    Tests/Limits/ladder.py MUSTER [--member PROGRAM] [--leader PROGRAM] [--steps N] [--only LIMIT]
                           [--verbose]

Each program runs under one limit at a time (setrlimit(2)), first 0, then so many steps up to what is
plenty. What is allowed: it works, with the output that it has without a limit; or exit status 2 and
one sentence on standard error that names the limit, its value and what was needed. Below the first
step at which the dynamic linker gets as far as the program, nothing is ours to say. Never: a signal,
a hang, another status, anything left over, a step that fails above one that works.

Exit: 0 all held; 1 a result was neither; 2 could not run.
"""

import argparse
import os
import re
import resource
import signal
import struct
import subprocess
import sys
import tempfile

HANG_SECONDS = 60
NOTHING = r"$^"
NAMES = {
    "AS": (resource.RLIMIT_AS, 1 << 24, 1 << 34, r"RLIMIT_AS\b|ulimit -v"),
    "DATA": (resource.RLIMIT_DATA, 1 << 16, 1 << 30, r"RLIMIT_DATA\b|ulimit -d"),
    "FSIZE": (resource.RLIMIT_FSIZE, 1 << 12, 1 << 34, r"RLIMIT_FSIZE\b|ulimit -f"),
    "STACK": (resource.RLIMIT_STACK, 1 << 12, 1 << 24, r"RLIMIT_STACK\b|ulimit -s"),
    "NOFILE": (resource.RLIMIT_NOFILE, 1, 64, r"RLIMIT_NOFILE\b|ulimit -n"),
    "NPROC": (resource.RLIMIT_NPROC, 1, 64, r"RLIMIT_NPROC\b|ulimit -u"),
    "MEMLOCK": (resource.RLIMIT_MEMLOCK, 1 << 12, 1 << 24, r"RLIMIT_MEMLOCK\b|ulimit -l"),
    "CORE": (resource.RLIMIT_CORE, 1 << 12, 1 << 24, NOTHING),
    "SIGPENDING": (resource.RLIMIT_SIGPENDING, 1, 64, NOTHING),
    "MSGQUEUE": (resource.RLIMIT_MSGQUEUE, 1 << 12, 1 << 24, NOTHING),
    "NICE": (resource.RLIMIT_NICE, 1, 40, NOTHING),
    "RSS": (resource.RLIMIT_RSS, 1 << 12, 1 << 24, NOTHING),
}
# A user without processes of its own: the limit on processes counts all of a user's, and not root's.
NOBODY = 54321


# Programs that are not the tool: how they end with an error is theirs.
OTHERS = {"member", "alone", "leader"}


def write_npy(path):
    """200,000 doubles: mean and extremes are known."""
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (200000,), }"
    header += b" " * (117 - len(header)) + b"\n"
    with open(path, "wb") as file:
        file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)
        file.write(struct.pack("<200000d", *range(200000)))
    os.chmod(path, 0o644)


def run(command, limit, value, folder):
    """(status, output, errors) of a command under a limit; status None: it hung."""

    def prepare():
        if NAMES.get(limit, [None])[0] == resource.RLIMIT_NPROC:
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        if limit:
            resource.setrlimit(NAMES[limit][0], (value, value))

    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            preexec_fn=prepare, start_new_session=True, cwd=folder)
    except (subprocess.SubprocessError, OSError) as error:
        return 127, "", f"error while loading: {error}\n"
    try:
        output, errors = process.communicate(timeout=HANG_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return None, "", "hung"
    return process.returncode, output.decode(errors="replace"), errors.decode(errors="replace")


def leftovers(pid_text):
    """Processes that carry the mark of this test in their environment."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                if pid_text in file.read() and int(pid) != os.getpid():
                    found.append(pid)
        except OSError:
            pass
    return found


def ladder(limit, steps):
    low, high = NAMES[limit][1:3]
    most = resource.getrlimit(NAMES[limit][0])[1]
    if most != resource.RLIM_INFINITY:
        high = min(high, most)
    if NAMES[limit][3] == NOTHING:
        return [0, high]  # nothing that it is about: it works without any
    values, factor = {0}, (high / low) ** (1 / (steps - 1))
    for step in range(steps):
        values.add(round(low * factor**step))
    return sorted(values)


def is_loader(status, errors):
    """Whether the program did not come to its first line."""
    if "error while loading" in errors or "cannot allocate TLS" in errors:
        return True
    return status in (-signal.SIGKILL, -signal.SIGSEGV) and errors == ""


def judge(name, limit, value, result, right):
    """None: allowed; else what is wrong."""
    status, output, errors = result
    if status is None:
        return "hung"
    if status == 0:
        return None if right(output) else f"wrong output: {output[:200]!r}"
    lines = errors.strip().split("\n")
    if name in OTHERS:
        # A program that hands the library's error on, among other lines.
        lines = [line for line in lines if re.search(NAMES[limit][3], line)][:1] or lines
        errors, status = lines[0], 2
    if status != 2:
        return f"exit status {status}: {errors.strip()[-300:]!r}"
    if len(lines) != 1:
        return f"{len(lines)} lines: {errors.strip()[:300]!r}"
    if not re.search(NAMES[limit][3], errors):
        return f"does not name the limit: {lines[0]!r}"
    if not re.search(r"allows .*\d.* needs .*\d.*(raise|lower)", errors):
        return f"names no value or need: {lines[0]!r}"
    return None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("muster")
    parser.add_argument("--member")
    parser.add_argument("--leader")
    parser.add_argument("--steps", type=int, default=14)
    parser.add_argument("--only")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    muster = os.path.abspath(options.muster)
    mark = f"MUSTER_LADDER={os.getpid()}"
    os.environ["MUSTER_LADDER"] = str(os.getpid())
    os.environ.setdefault("SWIFT_BACKTRACE", "enable=no")
    wrong = tried = 0
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        data = os.path.join(folder, "data.npy")
        write_npy(data)
        works = {
            "hello": ([muster, "hello", "-n", "2"], lambda o: "each exactly once, by 2 ranks" in o),
            "stats": ([muster, "stats", "-n", "2", data], lambda o: "99999.5" in o),
            "run": ([muster, "run", "-n", "2", "--", "/bin/echo", "here"], lambda o: o == "here\nhere\n"),
            "storm": ([muster, "storm", "-n", "2", "--kills", "3"], lambda o: "exactly" in o),
        }
        if options.member:
            member = [os.path.abspath(options.member)]
            works["member"] = ([muster, "run", "-n", "2", "--"] + member, lambda o: "78498 primes" in o)
            works["alone"] = (member, lambda o: "78498 primes" in o)
        if options.leader:
            works["leader"] = ([os.path.abspath(options.leader)], lambda o: len(o) > 0)
        for name, (command, right) in works.items():
            status, output, errors = run(command, None, 0, folder)
            if status != 0 or not right(output):
                print(f"{name}: fails without a limit: {status} {output} {errors}")
                return 2
        for limit in [options.only] if options.only else NAMES:
            if limit == "NPROC" and os.geteuid() != 0:
                print("NPROC: skipped: needs root, to become a user without processes")
                continue
            for name, (command, right) in works.items():
                worked = loaded = None
                for value in ladder(limit, options.steps):
                    result = run(command, limit, value, folder)
                    tried += 1
                    if loaded is None and is_loader(result[0], result[2]):
                        continue
                    loaded = value if loaded is None else loaded
                    problem = judge(name, limit, value, result, right)
                    if problem is None and result[0] == 0:
                        worked = value if worked is None else worked
                    elif worked is not None:
                        problem = problem or f"fails above {worked}, which works: {result[2].strip()}"
                    if problem:
                        wrong += 1
                        print(f"{limit} {value}: {name}: {problem}")
                    elif options.verbose and result[0] != 0:
                        print(f"{limit} {value}: {name}: {result[2].strip()}")
                left = leftovers(mark.encode())
                if left:
                    wrong += 1
                    print(f"{limit}: {name}: left over: {left}")
                print(f"{limit}: {name}: is its own from {loaded}, works from {worked}")
    print(f"{tried} runs, {wrong} wrong")
    return 1 if wrong or tried == 0 else 0


if __name__ == "__main__":
    sys.exit(main())

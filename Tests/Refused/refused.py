#!/usr/bin/env python3
"""refused.py - refuses each system call, one at a time, to each thing that the tool does.

    Tests/Refused/refused.py MUSTER --refuse PROGRAM --nothing PROGRAM PROGRAM --member PROGRAM
                             [--leader PROGRAM] [--c-leader PROGRAM] [--only CALL,...]
                             [--kind KIND,...] [--verbose]

The calls are those of the table in CSources/os/refusal.c, and all others that the programs are seen
to make (strace): what the C library and Swift's runtime do on their behalf, too. Each is refused
with EPERM and with ENOSYS by a seccomp filter, as container runtimes set them.

What is allowed: the program works, since there is another way; or exit status 2 and one sentence on
standard error that names the call and says where such filters come from. Never: a hang, a death by a
signal, another status, words of another library's, a process or a file that is left. Where a
program that does nothing fails under the same filter too, what this one does is not ours to say,
but it must end and leave nothing.

Exit: 0 all held; 1 something did not; 2 could not run.
"""

import argparse
import concurrent.futures
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

HANG_SECONDS = 20
SOURCES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../CSources")
ERRORS = {"EPERM": 1, "ENOSYS": 38}

# Calls whose one option matters more than all others: NAME[INDEX]=VALUE.
OPTIONS = {
    "prctl": ["prctl[0]=%d" % n for n in (1, 15, 36)],  # PDEATHSIG, NAME, CHILD_SUBREAPER
    "futex": ["futex[1]=%d" % n for n in (0, 1)],  # WAIT, WAKE between processes
    "fcntl": ["fcntl[1]=%d" % n for n in (2, 4, 8, 10, 1030, 1033, 1034)],
    "madvise": ["madvise[2]=%d" % n for n in (10, 14, 18, 22, 23, 25)],
    "prlimit64": ["prlimit64[1]=7"],  # NOFILE
}
# Calls that doctor can't ask for: the kernel itself makes this one, after a sleep that was interrupted.
UNASKED = {"restart_syscall"}
# Calls that are seen and not tried.
IMPOSSIBLE = {
    "execveat": "the program is started by it",
    "rseq": "the C library tries it at the start of each program, and does without",
}


def numbers():
    text = subprocess.run(
        ["gcc", "-dM", "-E", "-include", "sys/syscall.h", "-x", "c", "/dev/null"],
        check=True, capture_output=True, text=True).stdout
    return {name: int(n) for name, n in re.findall(r"#define __NR_(\w+) (\d+)", text)}


class Kind:
    """One thing that is run, and how its success shows."""

    def __init__(self, name, command, output, status=0, swift=True, inner=False):
        self.name, self.command, self.output = name, command, re.compile(output, re.S)
        self.status, self.swift, self.inner = status, swift, inner


def kinds(options):
    muster, member = options.muster, options.member
    each_once = r"each exactly once, by 2 ranks"
    found = [
        Kind("team", [muster, "hello", "-n", "2"], each_once),
        Kind("run", [muster, "run", "-n", "2", "--", options.nothing[0]], r"alive\nalive\n"),
        Kind("member", [muster, "run", "-n", "2", "--", member], r"rank 0 of 2.*|rank 1 of 2.*"),
        Kind("storm", [muster, "storm", "-n", "2", "--kills", "2", "--gap", "0.02"],
             r"bits +equal.*left over 0"),
        Kind("doctor", [muster, "doctor"], r"\d+ checks", status=(0, 1)),
    ]
    if options.leader:
        found.append(Kind("leader", [options.leader], r"."))
    if options.c_leader:
        found.append(Kind("forked", [options.c_leader, "fork"], each_once))
        found.append(Kind("served", [options.c_leader, "server"], each_once))
    return found


def run(options, command, number, error, folder, seconds=HANG_SECONDS):
    """How it ended: the helper's words, standard output and standard error."""
    result, writer = os.pipe()
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("SWIFT_", "MUSTER_"))}
    process = subprocess.run(
        [options.refuse, number, str(error), str(seconds), str(writer), folder] + command,
        capture_output=True, pass_fds=[writer], env=environment, stdin=subprocess.DEVNULL)
    os.close(writer)
    with open(result) as lines:
        words = lines.read().split()
    if process.returncode != 0 or len(words) != 4:
        sys.exit(f"refuse ended with {process.returncode}: {process.stderr.decode()}")
    end, value, processes, files = words[0], *map(int, words[1:])
    return (end, value, processes, files, process.stdout.decode(errors="replace"),
            process.stderr.decode(errors="replace"))


def seen(options, kind, folder):
    """The calls that a program makes, by strace."""
    strace = shutil.which("strace") or sys.exit("strace is missing")
    with tempfile.NamedTemporaryFile("r") as trace:
        # A storm's blows come faster than ranks get on under strace: a few seconds are enough.
        run(options, [strace, "-f", "-qq", "-o", trace.name] + kind.command, "-1", 1, folder, 4)
        return set(re.findall(r"^\d+ +(?:<\.\.\. )?(\w+)(?:\(| resumed)", trace.read(), re.M))


def nameless(table):
    """Calls that os/*.c make through taken and RETRY and that the table of os/refusal.h lacks."""
    functions = set()
    for line in table:
        functions.update(line.split())
    missing = set()
    for path in sorted(glob.glob(os.path.join(SOURCES, "os", "*.c"))):
        with open(path) as source:
            text = source.read()
        made = re.findall(r"(?<![_\w])taken\(\s*(?:\(int64_t\))?(?:muster__)?(?:os_)?(\w+)\((SYS_\w+)?", text)
        made += re.findall(r"RETRY\(\w+,\s*(?:muster__)?(?:os_)?(\w+)\((SYS_\w+)?", text)
        for function, call in made:
            name = call[4:] if call else function
            if name not in functions:
                missing.add(f"{name} ({os.path.basename(path)})")
    return missing


def listed():
    """The calls of the table in the sources, on this architecture, and the functions of each."""
    text = subprocess.run(
        ["gcc", "-E", "-P", "-I", SOURCES, "-x", "c", "-"], check=True, capture_output=True,
        input='#include "os/refusal.h"\n#define CALL(name, functions, meaning) @ #name functions\n'
        "MUSTER__CALLS(CALL)\n", text=True).stdout
    return dict(re.findall(r'@ "(\w+)" "([^"]*)"', text))


def judge(options, kind, call, ended, excuses):
    """Nothing, or what is wrong."""
    end, value, processes, files, output, errors = ended
    name = call.split("[")[0]
    if end == "hang":
        return f"hangs: {errors.strip()[:200]}"
    if processes or files:
        return f"leaves {processes} processes and {files} files"
    lines = [line for line in errors.splitlines()
             if not line.startswith("muster: note: ") and line not in excuses["lines"]]
    statuses = kind.status if isinstance(kind.status, tuple) else (kind.status,)
    if end == "exit" and value in statuses and kind.output.search(output):
        audits = [line for line in lines if line.startswith("muster: audit")]
        if len(audits) == len(lines):
            # What a filter does to other arguments than doctor's, doctor can't know.
            if (kind.name == "doctor" and (call == name or name == "prctl") and name not in UNASKED
                    and not re.search(rf"\b{name}\b", output)):
                return "doctor does not name it"
            return None
        return f"works, with words: {errors.strip()[:300]}"
    # Of a run, the program that is started may be at fault (126), or each member has its own words.
    statuses = {"run": (2, 126), "member": (1, 2, 126)}.get(kind.name, (2,))
    if kind.name == "member":
        # The other rank is ended meanwhile, and may say so.
        lines = [line for line in lines if not re.match(
            r"muster: rank \d |heat: the launcher (is gone|ended)", line)]
    if (end == "exit" and value in statuses and lines
            and (len(lines) == 1 or kind.name == "member")
            and all(re.match(r"(muster|heat): ", line) and re.search(rf"\b{name}\b", line)
                    and "seccomp" in line for line in lines)):
        return None
    if excuses["fails"]:
        return None
    return f"{end} {value}: {errors.strip()[:300] or output[-200:]}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("muster")
    parser.add_argument("--refuse", required=True)
    parser.add_argument("--nothing", nargs=2, required=True, help="in C, in Swift")
    parser.add_argument("--member", required=True)
    parser.add_argument("--leader")
    parser.add_argument("--c-leader")
    parser.add_argument("--only")
    parser.add_argument("--kind")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    for name in ("muster", "refuse", "member", "leader", "c_leader"):
        if getattr(options, name):
            setattr(options, name, os.path.abspath(getattr(options, name)))
    options.nothing = [os.path.abspath(path) for path in options.nothing]
    table = numbers()
    chosen = [k for k in kinds(options) if not options.kind or k.name in options.kind.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        calls = set()
        for kind in chosen:
            _, value, processes, files, output, errors = run(
                options, kind.command, "-1", 1, folder)
            statuses = kind.status if isinstance(kind.status, tuple) else (kind.status,)
            if value not in statuses or processes or files or not kind.output.search(output):
                sys.exit(f"{kind.name} does not work without a filter: {value} {output} {errors}")
            calls |= seen(options, kind, folder)
        unknown = calls - set(listed()) - set(IMPOSSIBLE) - UNASKED
        for call in sorted(unknown):
            print(f"FAULT {call}: is made, and is not in the table of os/refusal.h", flush=True)
        cases = []
        for call in sorted((calls | set(listed())) & set(table)):
            if call in IMPOSSIBLE:
                continue
            cases += [call] + OPTIONS.get(call, [])
        if options.only:
            wanted = options.only.split(",")
            cases = [c for c in cases if c in wanted or c.split("[")[0] in wanted]
            cases += [c for c in wanted if c not in cases]
        missing = nameless(listed().values())
        for call in sorted(missing):
            print(f"FAULT {call}: no line of os/refusal.h has this function", flush=True)
        faults = len(unknown) + len(missing)

        def number(case):
            name, index, value = re.fullmatch(r"(\w+)(?:\[(\d)\]=(\d+))?", case).groups()
            if name not in table:
                sys.exit(f"{name}: no such call here")
            return f"{table[name]}" + (f",{index},{value}" if index else "")

        def one(case):
            found = []
            for error, code in ERRORS.items():
                excuses = {"fails": False, "lines": set()}
                for nothing in options.nothing:
                    end, value, _, _, output, errors = run(
                        options, [nothing], number(case), code, folder)
                    excuses["fails"] |= (end, value, output) != ("exit", 0, "alive\n")
                    excuses["lines"] |= set(errors.splitlines())
                for kind in chosen:
                    ended = run(options, kind.command, number(case), code, folder)
                    wrong = judge(options, kind, case, ended, excuses)
                    found.append((case, error, kind.name, wrong, ended, excuses))
            return found

        print(f"{len(cases)} calls: {' '.join(cases)}", flush=True)
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            for found in pool.map(one, cases):
                for case, error, kind, wrong, ended, excuses in found:
                    if wrong:
                        faults += 1
                        print(f"FAULT {case} {error} {kind}: {wrong}", flush=True)
                    elif options.verbose:
                        print(f"ok    {case} {error} {kind}: {ended[0]} {ended[1]}"
                              + (" excused" if excuses["fails"] else "") + f" {ended[5].strip()}",
                              flush=True)
        print(f"{len(cases)} calls, {len(cases) * len(ERRORS) * len(chosen)} runs, {faults} faults")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()

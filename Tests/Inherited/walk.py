#!/usr/bin/env python3
"""walk.py - begins Muster's programs with every kind of state that a parent may hand down.

    Tests/Inherited/walk.py MUSTER --member PROGRAM --leader PROGRAM --host PROGRAM [--only STATE]
                            [--verbose]

Each state is set in a new process, which then executes the tool (a team of its own, `run`, `storm`), a
member and a leader. All of them must do as they do without it: the same status, the same output, and
nothing left over. Then what does not end by itself is asked to end, stopped, continued and killed, each
process of it by itself. PROGRAM: the Swift examples and muster-test-host. Needs gcc, for libraries that are preloaded, and
root, for a PID namespace in which killall can be let loose.

Exit: 0 all held; 1 something did not; 2 could not run.
"""

import argparse
import ctypes
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time

HANG_SECONDS = 60
libc = ctypes.CDLL(None, use_errno=True)
PR_SET_TIMERSLACK, PR_SET_CHILD_SUBREAPER, PR_SET_THP_DISABLE, PR_SET_DUMPABLE = 29, 36, 41, 4
SIGNALS = sorted(set(range(1, 65)) - {signal.SIGKILL, signal.SIGSTOP, 32, 33})
MARK = "MUSTER_WALK"
ENDINGS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT}

# A library that is there before main: setenv moves the environment, beside which arguments are looked for.
PRELOADED = """
#include <stdlib.h>
#include <sys/mman.h>
__attribute__((constructor)) static void begin(void)
{
    setenv("MUSTER_WALK_PRELOADED", "yes", 1);
    if (getenv("MUSTER_WALK_LOCKS"))
        mlockall(MCL_FUTURE);
}
"""


def ignore(*numbers):
    def apply():
        for number in numbers:
            # Python's signal() refuses what the C library keeps for itself.
            libc.signal(number, ctypes.c_void_p(1))
    return apply


def block(*numbers):
    return lambda: signal.pthread_sigmask(signal.SIG_SETMASK, numbers)


def close(*descriptors):
    def apply():
        for descriptor in descriptors:
            os.close(descriptor)
    return apply


def open_many():
    for _ in range(200):
        os.set_inheritable(os.open("/dev/null", os.O_RDWR), True)


def leave_directory():
    folder = tempfile.mkdtemp()
    os.chdir(folder)
    os.rmdir(folder)


def children():
    for _ in range(3):
        if os.fork() == 0:
            os.execvp("sleep", ["sleep", "5"])


def prctl(option, value):
    return lambda: libc.prctl(option, value, 0, 0, 0)


def states():
    """(name, what sets it, whether standard output is still there)"""
    for number in SIGNALS:
        yield f"signal {number} ignored", ignore(number), True
    yield "all signals ignored", ignore(*SIGNALS), True
    for number in (signal.SIGCHLD, signal.SIGALRM, signal.SIGUSR1, signal.SIGCONT, signal.SIGTSTP):
        yield f"{number.name} blocked", block(number), True
    yield "all signals blocked", block(*SIGNALS), True
    yield "all blocked and ignored", lambda: (ignore(*SIGNALS)(), block(*SIGNALS)()), True
    for which in range(1, 8):
        closed = [fd for fd in range(3) if which >> fd & 1]
        yield f"closed: {closed}", close(*closed), not which & 2
    yield "200 descriptors open", open_many, True
    yield "umask 0777", lambda: os.umask(0o777), True
    yield "umask 0", lambda: os.umask(0), True
    yield "nice 19", lambda: os.nice(19), True
    yield "SCHED_IDLE", lambda: os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0)), True
    yield "SCHED_BATCH", lambda: os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0)), True
    yield "a directory that is gone", leave_directory, True
    yield "timer slack of 1 s", prctl(PR_SET_TIMERSLACK, 10**9), True
    yield "adopts orphans", prctl(PR_SET_CHILD_SUBREAPER, 1), True
    yield "no huge pages", prctl(PR_SET_THP_DISABLE, 1), True
    yield "children", children, True
    yield "an alarm in an hour", lambda: signal.setitimer(signal.ITIMER_REAL, 3600), True
    yield "a timer of CPU time in an hour", lambda: signal.setitimer(signal.ITIMER_PROF, 3600), True
    yield "no environment", None, True
    yield "preloaded", None, True
    yield "preloaded, mlockall", None, True


def marked():
    """Processes of this test, by what stands in their environment; not the children of a state."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                if f"{MARK}={os.getpid()}".encode() not in file.read() or int(pid) == os.getpid():
                    continue
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if file.read() != b"sleep\x005\x00":
                    found.append(int(pid))
        except OSError:
            pass
    return found


def gone(seconds=HANG_SECONDS):
    """What is left when nothing more ends."""
    deadline = time.monotonic() + seconds
    while (left := marked()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return left


class Walk:
    def __init__(self, options, folder):
        self.options, self.folder, self.wrong, self.tried = options, folder, 0, 0
        self.muster = os.path.abspath(options.muster)
        self.environment = {**os.environ, MARK: str(os.getpid())}
        self.environment["SWIFT_BACKTRACE"] = "enable=yes,color=no"
        self.host = os.path.abspath(options.host)
        source, self.library = f"{folder}/preloaded.c", f"{folder}/preloaded.so"
        with open(source, "w") as file:
            file.write(PRELOADED)
        subprocess.run(["gcc", "-shared", "-fPIC", source, "-o", self.library], check=True)
        member = os.path.abspath(options.member)
        self.works = {
            "team": [self.muster, "hello", "-n", "2"],
            "run": [self.muster, "run", "-n", "2", "--", "/bin/echo", "here"],
            "storm": [self.muster, "storm", "-n", "2", "--kills", "2"],
            "member": [self.muster, "run", "-n", "2", "--", member],
            "alone": [member],
            "leader": [os.path.abspath(options.leader)],
        }

    def say(self, what, problem):
        self.wrong += 1
        print(f"{what}: {problem}", flush=True)

    def run(self, command, state="", prepare=None):
        """(status, output, errors); status None: it hung."""
        environment = dict(self.environment)
        if state.startswith("preloaded"):
            environment["LD_PRELOAD"] = self.library
            if state.endswith("mlockall"):
                environment["MUSTER_WALK_LOCKS"] = "1"
        if state == "no environment":
            environment = {MARK: str(os.getpid())}
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, cwd=self.folder,
                preexec_fn=prepare, restore_signals=False, close_fds=False, start_new_session=True,
                env=environment)
            try:
                status = process.wait(HANG_SECONDS)
            except subprocess.TimeoutExpired:
                status = None
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            output.seek(0), errors.seek(0)
            return status, output.read().decode("utf8", "replace"), errors.read().decode("utf8", "replace")

    def each_state(self):
        right = {
            "team": lambda o: "each exactly once, by 2 ranks" in o,
            "run": lambda o: o == "here\nhere\n",
            "storm": lambda o: "0 lost, 0 doubled" in o or "exactly" in o,
            "member": lambda o: "78498 primes" in o,
            "alone": lambda o: "78498 primes" in o,
            "leader": lambda o: len(o) > 0,
        }
        for state, prepare, has_output in states():
            if self.options.only and self.options.only not in state:
                continue
            # One signal at a time for the one with most processes; the rest see all at once.
            names = ("run",) if state.startswith("signal ") else self.works
            if state == f"signal {int(signal.SIGCHLD)} ignored":
                names = self.works
            for name in names:
                self.tried += 1
                status, output, errors = self.run(self.works[name], state, prepare)
                # Output that nobody can have is an error of who writes it, in words.
                allowed = (0,) if has_output else (0, 1, 2)
                if status not in allowed:
                    self.say(f"{state}: {name}", f"status {status}: {errors.strip()[-300:]!r}")
                elif has_output and not right[name](output):
                    self.say(f"{state}: {name}", f"output {output[-200:]!r} {errors[-200:]!r}")
                elif has_output and "note:" in errors and state.startswith("preloaded"):
                    self.say(f"{state}: {name}", errors.strip())
                left = gone(5)
                if left:
                    self.say(f"{state}: {name}", f"left over: {left}")
                    for pid in left:
                        os.kill(pid, signal.SIGKILL)
            if self.options.verbose:
                print(state, flush=True)

    # -- what does not end by itself ----------------------------------------------------------------

    def begin(self, command, prepare=None, ready=None):
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            cwd=self.folder, preexec_fn=prepare, restore_signals=False, start_new_session=True,
            env=self.environment)
        deadline = time.monotonic() + HANG_SECONDS
        while ready and not ready() and time.monotonic() < deadline:
            time.sleep(0.005)
        return process

    def end(self, what, process, allowed):
        self.tried += 1
        try:
            status = process.wait(HANG_SECONDS)
        except subprocess.TimeoutExpired:
            self.say(what, "hung")
            status = None
        left = gone(5)
        if left:
            self.say(what, f"left over: {[(pid, name_of(pid)) for pid in left]}")
            for pid in left:
                kill(pid, signal.SIGKILL)
        if status is not None and allowed is not None and status not in allowed:
            self.say(what, f"status {status}, not one of {allowed}")
        process.kill()
        process.wait()

    def each_end(self):
        """INT and TERM end what was begun with them blocked."""
        for number in (signal.SIGINT, signal.SIGTERM):
            for name, command in {
                "storm": [self.muster, "storm", "-n", "2", "--seconds", "1000"],
                "bench": [self.muster, "bench", "barrier", "-n", "2", "--samples", "100000000"],
                "run": [self.muster, "run", "-n", "2", "--", "sleep", "1000"],
            }.items():
                process = self.begin(command, block(*SIGNALS), lambda: len(marked()) >= 3)
                time.sleep(0.3)
                os.kill(process.pid, number)
                self.end(f"{name}, all blocked, {number.name}", process, None)

    def run_of_shells(self, prefix=()):
        """A run whose ranks have children, and its processes: guard, keeper, supervisor."""
        script = "sleep 1000 & (trap '' INT TERM HUP; setsid sleep 1000 &) ; wait"
        process = self.begin(
            [*prefix, self.muster, "run", "-n", "2", "--grace", "0.2", "--", "sh", "-c", script],
            None, lambda: sum(name_of(pid) == "sleep" for pid in marked()) >= 4)
        chain = [process.pid]
        while len(chain) < 3:
            below = children_of(chain[-1])
            if not below:
                break
            chain.append(below[0])
        return process, chain

    def each_process(self):
        names = ("guard", "keeper", "supervisor")
        for index, name in enumerate(names):
            # Stopped and continued, it goes on; and TERM ends all.
            process, chain = self.run_of_shells()
            for _ in range(3):
                kill(chain[index], signal.SIGSTOP)
                time.sleep(0.05)
                kill(chain[index], signal.SIGCONT)
                time.sleep(0.05)
            kill(chain[0], signal.SIGTERM)
            self.end(f"stop, continue {name}, TERM", process, (143, -signal.SIGTERM))
            # Stopped, the others go on; killed, nothing is left.
            for stopped in range(3):
                process, chain = self.run_of_shells()
                kill(chain[stopped], signal.SIGSTOP)
                time.sleep(0.1)
                kill(chain[index], signal.SIGKILL)
                if stopped == 0 and index != 0:
                    time.sleep(0.3)
                    kill(chain[0], signal.SIGCONT)  # a shell's `fg`: it can't end while it is stopped
                self.end(f"stop {names[stopped]}, kill {name}", process, None)
        # Any two at once.
        for spared in range(3):
            process, chain = self.run_of_shells()
            for index in range(3):
                if index != spared:
                    kill(chain[index], signal.SIGKILL)
            self.end(f"kill all but the {names[spared]}", process, None)

    def each_rank_stopped(self):
        """A rank that is stopped and continued goes on; a stopped one is ended too."""
        process, _ = self.run_of_shells()
        for pid in marked():
            if name_of(pid) == "sleep":
                kill(pid, signal.SIGSTOP)
        kill(process.pid, signal.SIGINT)
        self.end("ranks stopped, INT", process, None)

    def killall(self):
        """killall -9 muster, in a PID namespace of its own; how many processes it leaves."""
        script = f"""
            {self.muster} run -n 2 -- sh -c '(setsid sleep 1000 &); sleep 1000 & wait' &
            until [ $(ps -e -o comm= | grep -c sleep) = 4 ]; do sleep 0.02; done
            for pid in $(ps -e -o pid=,comm= | awk '$2 == "muster" {{print $1}}'); do kill -9 $pid; done
            for i in $(seq 100); do [ $(ps -e -o comm= | grep -c sleep) = 0 ] && exit 0; sleep 0.05; done
            ps -e; exit 1"""
        self.tried += 1
        for _ in range(3):
            status, output, errors = self.run(
                ["unshare", "-pf", "--mount-proc", "bash", "-c", script])
            if status != 0:
                self.say("killall -9 muster", f"status {status}: {output[-600:]} {errors[-300:]}")

    def exec_in_a_shell(self):
        """What a shell has in the background is not the run's, also where `exec` makes it its child."""
        script = f"""sleep 20 & job=$!; echo $job >{self.folder}/job
            exec {self.muster} run -n 2 -- sh -c 'sleep 1000 & sleep 0.2'"""
        for _ in range(3):
            self.tried += 1
            status, _, errors = self.run(["bash", "-c", script])
            with open(f"{self.folder}/job") as file:
                job = int(file.read())
            left = [pid for pid in marked() if pid != job]
            if status != 0 or left or name_of(job) != "sleep":
                self.say("exec muster run", f"status {status}, left {left}, job {name_of(job)} {errors}")
            kill(job, signal.SIGKILL)
            gone(5)

    def alarm(self):
        """A script's alarm limits the time of what it executes."""
        for name, command in {
            "run": [self.muster, "run", "-n", "2", "--", "sleep", "1000"],
            "storm": [self.muster, "storm", "-n", "2", "--seconds", "1000"],
        }.items():
            process = self.begin(command, lambda: signal.setitimer(signal.ITIMER_REAL, 0.7))
            self.end(f"alarm, {name}", process, (-signal.SIGALRM, 128 + signal.SIGALRM))

    def crash(self):
        """A leader that is sent a crash's signal ends by it, with all ranks, and without a backtracer."""
        for number in (signal.SIGSEGV, signal.SIGILL, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE,
                       signal.SIGTRAP, signal.SIGQUIT):
            process = self.begin(
                [self.muster, "storm", "-n", "2", "--seconds", "1000"], None,
                lambda: len(marked()) >= 3)
            time.sleep(0.2)
            kill(process.pid, number)
            self.end(f"storm, {number.name}", process, (-number,))
            for kind in ("team", "member", "back"):
                self.tried += 1
                status, output, errors = self.run([self.host, "crash", kind, str(int(number)), self.folder])
                if status != (0 if kind == "back" else -number) or "went on" in output:
                    self.say(f"{kind}, {number.name}", f"status {status}: {output} {errors[-400:]}")
                left = gone(5)
                if left or [pid for pid in os.listdir("/proc") if pid.isdigit()
                            and name_of(pid) == "swift-backtrace"]:
                    self.say(f"{kind}, {number.name}", f"left over: {left}")

    def drafts(self):
        """A run that is killed leaves no half-written file."""
        for options in (["--trace", "trace.json"], ["--json", "report.json"]):
            folder = tempfile.mkdtemp(dir=self.folder)
            process = self.begin(
                [self.muster, "run", "-n", "2", *[f"{folder}/{o}" if "." in o else o for o in options],
                 "--", "sleep", "1000"], None, lambda: len(marked()) >= 5)
            for pid in marked():
                if name_of(pid) == "muster":
                    kill(pid, signal.SIGKILL)
            self.end(f"kill -9 under {options[0]}", process, None)
            if os.listdir(folder):
                self.say(f"kill -9 under {options[0]}", f"left: {os.listdir(folder)}")


def name_of(pid):
    try:
        with open(f"/proc/{pid}/comm") as file:
            return file.read().strip()
    except OSError:
        return None


def children_of(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(child) for child in file.read().split()]
    except OSError:
        return []


def kill(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("muster")
    parser.add_argument("--member", required=True)
    parser.add_argument("--leader", required=True)
    parser.add_argument("--host", required=True)
    parser.add_argument("--only")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("needs root, for a PID namespace of its own")
        return 2
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    with tempfile.TemporaryDirectory() as folder:
        walk = Walk(options, folder)
        for name, command in walk.works.items():
            status, _, errors = walk.run(command)
            if status != 0:
                print(f"{name}: fails without any state: {status} {errors}")
                return 2
        steps = [walk.each_state, walk.each_end, walk.each_process, walk.each_rank_stopped, walk.killall,
                 walk.exec_in_a_shell, walk.alarm, walk.crash, walk.drafts]
        for step in steps:
            if not options.only or step.__name__ == options.only or (
                    step == walk.each_state and not hasattr(walk, options.only)):
                step()
        print(f"{walk.tried} begun, {walk.wrong} wrong")
        return 1 if walk.wrong or walk.tried == 0 else 0


if __name__ == "__main__":
    sys.exit(main())

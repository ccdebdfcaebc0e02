#!/usr/bin/env python3
"""The pools of Python: multiprocessing.Pool over shared memory with NumPy, the section-by-rank way,
ProcessPoolExecutor, joblib with loky.

    pools.py dispatch | start N | stream BYTES | sum BYTES

One JSON object a line, as peer.h says.
"""

import json
import multiprocessing
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import shared_memory

import numpy as np

WORKERS = multiprocessing.cpu_count()
FACTOR = 0.4


def report(test, **value):
    print(json.dumps({"test": test} | value), flush=True)


def nothing(_):
    return None


def mean_ns(call, seconds=0.3):
    call()
    start, calls = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        call()
        calls += 1
    return (time.perf_counter() - start) / calls * 1e9


def dispatch():
    tasks = range(WORKERS)
    with multiprocessing.get_context("fork").Pool(WORKERS) as pool:
        time_ns = mean_ns(lambda: pool.map(nothing, tasks, chunksize=1))
        report(f"pool/dispatch/{WORKERS}", ns=time_ns)
    with ProcessPoolExecutor(WORKERS) as pool:
        time_ns = mean_ns(lambda: list(pool.map(nothing, tasks)))
        report(f"executor/dispatch/{WORKERS}", ns=time_ns)
    from joblib import Parallel, delayed

    with Parallel(n_jobs=WORKERS) as parallel:
        time_ns = mean_ns(lambda: parallel(delayed(nothing)(i) for i in tasks))
        report(f"joblib/dispatch/{WORKERS}", ns=time_ns)


def start(size):
    context = multiprocessing.get_context("fork")
    for turn in range(4):
        begun = time.perf_counter()
        with context.Pool(size) as pool:
            pool.map(nothing, range(size), chunksize=1)
            pool.close()
            pool.join()
        if turn > 0:
            report(f"pool/start/{size}", ns=(time.perf_counter() - begun) * 1e9)


KERNELS = {
    "copy": (16, lambda a, b, c: np.copyto(c, a)),
    "scale": (16, lambda a, b, c: np.multiply(c, FACTOR, out=b)),
    "add": (24, lambda a, b, c: np.add(a, b, out=c)),
    "triad": (24, lambda a, b, c: np.add(np.multiply(c, FACTOR, out=a), b, out=a)),
}
arrays = None


def attach(names, count):
    global arrays
    blocks = [shared_memory.SharedMemory(name) for name in names]
    arrays = blocks, [np.ndarray((count,), buffer=block.buf) for block in blocks]


def section(task):
    name, first, end = task
    a, b, c = (array[first:end] for array in arrays[1])
    if name == "begin":
        a[:], b[:], c[:] = 1, 2, 0
    elif name == "sum":
        return float(a.sum())
    else:
        KERNELS[name][1](a, b, c)
    return 0.0


def with_arrays(size_bytes, body):
    count = size_bytes // 8
    blocks = [shared_memory.SharedMemory(create=True, size=count * 8) for _ in range(3)]
    try:
        borders = [count * worker // WORKERS for worker in range(WORKERS + 1)]
        names = [block.name for block in blocks]
        context = multiprocessing.get_context("fork")
        with context.Pool(WORKERS, attach, (names, count)) as pool:

            def run(name):
                tasks = [(name, first, end) for first, end in zip(borders, borders[1:])]
                begun = time.perf_counter()
                results = pool.map(section, tasks, chunksize=1)
                return sum(results), (time.perf_counter() - begun) * 1e9

            run("begin")
            body(run, count)
    finally:
        for block in blocks:
            block.close()
            block.unlink()


def stream(size_bytes):
    def body(run, count):
        for name, (element_bytes, _) in KERNELS.items():
            rates = [element_bytes * count / run(name)[1] for _ in range(4)]
            report(f"pool/stream/{name}", gb_per_s=statistics.median(rates[1:]))

    with_arrays(size_bytes, body)


def total(size_bytes):
    def body(run, count):
        rates = []
        for _ in range(4):
            result, elapsed = run("sum")
            if result != count:
                sys.exit("wrong sum")
            rates.append(8 * count / elapsed)
        report("pool/sum", gb_per_s=statistics.median(rates[1:]))

    with_arrays(size_bytes, body)


if __name__ == "__main__":
    what = sys.argv[1] if len(sys.argv) > 1 else ""
    number = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    if what == "dispatch":
        dispatch()
    elif what == "start":
        start(number)
    elif what == "stream":
        stream(number)
    elif what == "sum":
        total(number)
    else:
        sys.exit(__doc__)

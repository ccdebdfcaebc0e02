"""The job that pools with sections by a worker's number do, verified: fill one array, and reduce it.

    muster run -n 8 -- python3 member.py [ELEMENTS [ROUNDS]]     (after pip install ./Sources/Python)

All ranks share one NumPy array. Each chunk of it is filled by exactly one rank, and read by exactly
one; the audit of both loops is printed by `muster run` at the end. Kill any of them: with
`--on-death continue` the others take over its chunks, with `--on-death restart` a new process does.
"""

import sys

import muster
import numpy


def work(me, elements, rounds):
    x = me.array("x", elements)
    for _ in range(rounds):
        # Out of place: what a dead rank has begun may be begun again, so the loop adopts it.
        with me.loop("fill", elements, grain=4096, adopt=True) as fill:
            for chunk in fill:
                x[chunk.slice] = numpy.sqrt(numpy.arange(chunk.first, chunk.end))
        with me.loop("sum", elements, grain=4096, adopt=True, partial=()) as total:
            for chunk in total:
                total.partial(chunk)[...] = x[chunk.slice].sum()
        result = total.reduce()
    return total.report, result


def main():
    elements = int(sys.argv[1]) if len(sys.argv) > 1 else 1 << 20
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    me = muster.join()
    # A process that was started in place of a dead one finds the others waiting for it in recover.
    must_recover = me.incarnation > 1
    while True:
        try:
            if must_recover:
                me.recover()
            must_recover = False
            report, result = work(me, elements, rounds)
            me.barrier()
            break
        except muster.WorkerDied:
            must_recover = True
    print(f"rank {me.rank} of {me.size}: {report.own} of {report.chunks} chunks, sum {result:.17g}")
    me.leave()


main()

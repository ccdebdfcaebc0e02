#!/usr/bin/env python3
"""Compares `muster bench latency` with the independent chase beside this file, in turns, in one run.

    compare_latency.py MUSTER [ROUNDS]

Memory's speed moves by itself on a shared machine, so each round measures both, and what counts is the
median of the rounds' ratios. Prints a line a kind of page; judges nothing: figures are for people."""
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    muster, rounds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) == 3 else 5
    with tempfile.TemporaryDirectory() as folder:
        chase = f"{folder}/chase"
        subprocess.run(["cc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", chase,
                        HERE / "chase.c"], check=True)
        for pages in ("thp", "4k"):
            pairs = []
            for _ in range(rounds):
                report = json.loads(subprocess.run(
                    [muster, "bench", "latency", "--pages", pages, "--json"], check=True,
                    capture_output=True).stdout)
                row = next(r for r in report["rows"]
                           if r["kernel"] == "random" and r["time_ns"])
                size = row["parameters"]["size_bytes"]
                cpu = report["environment"]["node_list"][0]["cpus"][0]
                other = float(subprocess.run([chase, str(size), pages, str(cpu)], check=True,
                                             capture_output=True).stdout)
                pairs.append((row["time_ns"]["median"], other))
            ratio = statistics.median(a / b for a, b in pairs)
            print(f"{pages}: muster {statistics.median(a for a, _ in pairs):.1f} ns, "
                  f"independent {statistics.median(b for _, b in pairs):.1f} ns, "
                  f"ratio {ratio:.3f}, {size} bytes, {rounds} rounds")


main()

"""measure.py - runs a program and writes the most memory that one of its processes had, in KiB.

    python3 measure.py FILE SECONDS PROGRAM ARGUMENT...

Exits as the program does; 124 when it took longer than SECONDS: it is killed then.
"""

import resource
import subprocess
import sys

path, seconds, command = sys.argv[1], float(sys.argv[2]), sys.argv[3:]
try:
    status = subprocess.run(command, timeout=seconds).returncode
except subprocess.TimeoutExpired:
    status = 124
with open(path, "w", encoding="ascii") as file:
    file.write(f"{resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss}\n")
sys.exit(status if status >= 0 else 128 - status)

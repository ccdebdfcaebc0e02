"""Bytes that are too many for a loop's arguments: files in memory, which ranks map."""

from __future__ import annotations

import os
from typing import Any

from ._errors import OutOfMemoryError


def available_bytes() -> int | None:
    """What the machine and this process's cgroup can still give; None: not known."""
    found = []
    try:
        with open("/proc/meminfo") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    found.append(int(line.split()[1]) * 1024)
        with open("/proc/self/cgroup") as file:
            path = next((line[3:].strip() for line in file if line.startswith("0::")), None)
        while path is not None:
            folder = "/sys/fs/cgroup" + path.rstrip("/")
            try:
                with open(folder + "/memory.max") as most, open(folder + "/memory.current") as now:
                    limit = most.read().strip()
                    if limit != "max":
                        found.append(int(limit) - int(now.read()))
            except OSError:
                pass
            path = None if path in ("", "/") else os.path.dirname(path)
    except (OSError, ValueError):
        pass
    return min(found, default=None)


class Blob:
    """A file in memory with the parts of a pickle. It lives as long as this object, and in ranks that
    have mapped it as long as they use it."""

    def __init__(self, parts: list[Any]):
        self.size = sum(len(part) if isinstance(part, bytes) else part.nbytes for part in parts)
        available = available_bytes()
        if available is not None and self.size > available:
            raise OutOfMemoryError(
                f"what the function captures takes {self.size} bytes more, and only {available} are "
                "available (MemAvailable and cgroup limits): put large data into team.array(...)"
            )
        self.fd = os.memfd_create("muster-pickle", os.MFD_CLOEXEC)
        try:
            for part in parts:
                left = memoryview(part).cast("B") if not isinstance(part, bytes) else memoryview(part)
                while len(left):
                    left = left[os.write(self.fd, left[: 1 << 30]) :]
        except OSError as error:
            os.close(self.fd)
            self.fd = -1
            raise OutOfMemoryError(
                f"what the function captures takes {self.size} bytes, which can't be had: {error.strerror}"
            ) from None

    def __del__(self) -> None:
        if getattr(self, "fd", -1) >= 0:
            os.close(self.fd)
            self.fd = -1

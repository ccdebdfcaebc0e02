"""Bytes that are too many for a loop's arguments: files in memory, which ranks map."""

from __future__ import annotations

import os
from typing import Any

from ._errors import OutOfMemoryError


def _read(path: str) -> int | None:
    try:
        with open(path) as file:
            text = file.read().strip()
        return None if text == "max" else int(text)
    except (OSError, ValueError):
        return None


def available_bytes() -> int | None:
    """What the machine and this process's cgroups can still give; None: not known."""
    found = []
    try:
        with open("/proc/meminfo") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    found.append(int(line.split()[1]) * 1024)
        with open("/proc/self/cgroup") as file:
            groups = [line.strip().split(":", 2) for line in file]
    except (OSError, ValueError):
        groups = []
    for _, kinds, path in groups:
        if kinds == "":  # version 2
            root, most, now = "/sys/fs/cgroup", "memory.max", "memory.current"
        elif "memory" in kinds.split(","):
            root, most, now = "/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
        else:
            continue
        while True:
            folder = root + path.rstrip("/")
            limit, used = _read(f"{folder}/{most}"), _read(f"{folder}/{now}")
            if limit is not None and used is not None:
                found.append(max(0, limit - used))
            if path in ("", "/"):
                break
            path = os.path.dirname(path)
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

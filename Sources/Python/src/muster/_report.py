"""Reports: what the ranks recorded of a loop."""

from __future__ import annotations

from typing import Any, NamedTuple

from . import _core

SCHEDULES = ("static", "cyclic", "dynamic", "guided", "static-steal")


class Death(NamedTuple):
    """A worker that died in a loop."""

    rank: int
    chunk: int | None
    """The chunk it was working on; None: it was between chunks."""
    pid: int
    signal: int
    """The signal that killed it; 0: it left by itself."""
    exit_code: int
    """Its exit status where `signal` is 0."""
    attempt: int
    """The number of this attempt at the chunk, from 1."""
    stalled: bool
    """Whether the team killed it because its chunk took longer than `stall`."""

    def __str__(self) -> str:
        if self.stalled:
            how = "was killed because its chunk took too long"
        elif self.signal:
            how = f"was killed by signal {self.signal} ({_core.signal_name(self.signal)})"
        else:
            how = f"left with exit status {self.exit_code}"
        return f"rank {self.rank} {how}" + ("" if self.chunk is None else f" in chunk {self.chunk}")


class Finding(NamedTuple):
    """Neighbouring chunks first..<end with the same fault."""

    first: int
    end: int
    repeated: bool
    """False: they are missing; True: committed more than once."""


class Report:
    """The audit of a loop: how often each chunk was committed, by what the ranks recorded.

    `print(report)` is one line: "4096 chunks, each exactly once, by 8 ranks". A notebook shows a table.
    """

    # What the library says is read when it is asked for, or when the next loop is about to replace it.
    __slots__ = ("__weakref__", "_leader", "_values")

    def __init__(self, leader: Any = None, values: dict[str, Any] | None = None):
        self._leader = leader
        self._values = values

    def _fill(self) -> dict[str, Any]:
        if self._values is None:
            self._values = self._leader.report() or {"text": "no loop has run"}
            self._leader = None
        return self._values

    def _value(self, name: str) -> Any:
        values = self._fill()
        return values[name] if name in values else 0

    @property
    def chunks(self) -> int:
        """Chunks that the loop has."""
        return self._value("chunks")

    @property
    def exactly_once(self) -> int:
        """Chunks that were committed exactly once."""
        return self._value("exactly_once")

    @property
    def missing(self) -> int:
        """Chunks that were never committed."""
        return self._value("missing")

    @property
    def repeated(self) -> int:
        """Chunks that were committed more than once."""
        return self._value("repeated")

    @property
    def redone(self) -> int:
        """Chunks whose worker died, and which another process did again."""
        return self._value("redone")

    @property
    def adopted(self) -> int:
        """Chunks of a member's loop that dead ranks left, and survivors did."""
        return self._value("adopted")

    @property
    def own(self) -> int:
        """Chunks of a member's loop that this rank committed."""
        return self._value("own")

    @property
    def elements(self) -> int:
        """Elements (or rows) of the loop."""
        return self._value("elements")

    @property
    def grain(self) -> int:
        """Elements (or rows) a chunk; the last may have fewer."""
        return self._value("grain")

    @property
    def size(self) -> int:
        """Ranks of the team."""
        return self._value("size")

    @property
    def schedule(self) -> str:
        """How chunks were dealt."""
        return SCHEDULES[self._value("schedule")]

    @property
    def clean(self) -> bool:
        """Whether every chunk was committed exactly once."""
        return bool(self._value("clean"))

    @property
    def cancelled(self) -> bool:
        """Whether the loop was asked to end early."""
        return bool(self._value("cancelled"))

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is missing or repeated, by rising chunk; the first thousand of each kind."""
        return tuple(Finding(first, end, bool(again)) for first, end, again in self._value("findings") or ())

    @property
    def deaths(self) -> tuple[Death, ...]:
        """Workers that died in the loop, in the order seen."""
        return tuple(Death._make((*death[:6], bool(death[6]))) for death in self._value("deaths") or ())

    @property
    def quarantined(self) -> tuple[int, ...]:
        """Chunks left alone because they killed each worker that tried them, old contents put back."""
        return tuple(self._value("quarantined") or ())

    @property
    def vacant(self) -> tuple[int, ...]:
        """Ranks without a process: none could be started for them."""
        return tuple(self._value("vacant") or ())

    @property
    def failed_chunk(self) -> int | None:
        """The chunk whose function failed; None: none failed."""
        return self._fill().get("failed_chunk")

    @property
    def failed_rank(self) -> int | None:
        """The rank whose function failed; None: none failed."""
        return self._fill().get("failed_rank")

    def __str__(self) -> str:
        return str(self._value("text"))

    def __repr__(self) -> str:
        return f"<muster.Report: {self}>"

    def _repr_html_(self) -> str:
        from html import escape

        rows = [
            ("audit", str(self)),
            ("elements", f"{self.elements:,}, {self.grain:,} a chunk"),
            ("schedule", self.schedule),
        ]
        if self.redone:
            rows.append(("redone", f"{self.redone:,}"))
        rows += [("died", str(death)) for death in self.deaths[:10]]
        if len(self.deaths) > 10:
            rows.append(("died", f"and {len(self.deaths) - 10} more"))
        if self.quarantined:
            rows.append(("quarantined", ", ".join(map(str, self.quarantined[:20]))))
        cells = "".join(
            f"<tr><th style='text-align:left'>{escape(name)}</th>"
            f"<td style='text-align:left'>{escape(text)}</td></tr>"
            for name, text in rows
        )
        return f"<table>{cells}</table>"

    def __reduce__(self) -> tuple[Any, ...]:
        return Report, (None, self._fill())

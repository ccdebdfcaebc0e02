"""Random numbers that belong to a chunk: the same for any team, schedule and death."""

from __future__ import annotations

import operator

import numpy


def generator(seed: int, chunk: int) -> numpy.random.Generator:
    """The generator of a chunk: its stream is that of (seed, chunk), independent of all others."""
    seed = operator.index(seed)
    sequence = numpy.random.SeedSequence(abs(seed), spawn_key=(chunk, int(seed < 0)))
    return numpy.random.Generator(numpy.random.PCG64(sequence))

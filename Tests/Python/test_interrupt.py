"""Ctrl-C, once and twice; signals of the user's own."""

import os
import signal
import threading
import time

import pytest

import muster


def send(number, *delays):
    def run():
        for delay in delays:
            time.sleep(delay)
            os.kill(os.getpid(), number)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_once_lets_chunks_end(team):
    x = team.array(400)

    def slow(chunk, part):
        time.sleep(0.02)
        part += 1

    thread = send(signal.SIGINT, 0.3)
    with pytest.raises(KeyboardInterrupt) as caught:
        team.run(slow, muster.in_place(x), grain=1)
    thread.join()
    assert "of 400" in caught.value.__notes__[-1]
    report = team.report
    assert report.cancelled and 0 < report.exactly_once < 400 and not report.deaths
    assert x.sum() == report.exactly_once, "whole chunks only"


def test_twice_kills_the_ranks(team):
    x = team.array(30)
    x[:] = 7

    def endless(chunk, part):
        part += 1
        time.sleep(60)

    start = time.monotonic()
    thread = send(signal.SIGINT, 0.3, 0.4)
    with pytest.raises(KeyboardInterrupt):
        team.run(endless, muster.in_place(x), grain=1)
    thread.join()
    assert time.monotonic() - start < 30
    assert (x == 7).all(), "old contents are back"


def test_in_a_kernel_that_runs_again(team):
    step = muster.kernel(lambda chunk, seconds: time.sleep(seconds))
    for _ in range(3):
        team.run(step, 0.0, count=3, grain=1)
    thread = send(signal.SIGINT, 0.3, 0.4)
    with pytest.raises(KeyboardInterrupt):
        team.run(step, 30.0, count=3, grain=1)
    thread.join()


def test_a_handler_that_does_not_raise_lets_the_loop_go_on(team):
    seen = []
    before = signal.signal(signal.SIGUSR1, lambda *_: seen.append(time.monotonic()))
    try:
        thread = send(signal.SIGUSR1, 0.2)
        report = team.run(lambda chunk: time.sleep(0.05), count=30, grain=1)
        end = time.monotonic()
        thread.join()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert report.clean and len(seen) == 1 and seen[0] < end


def test_a_handler_that_raises_ends_it(team):
    class Alarm(Exception):
        pass

    def raise_it(*_):
        raise Alarm

    before = signal.signal(signal.SIGALRM, raise_it)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(Alarm):
            team.run(lambda chunk: time.sleep(0.05), count=100, grain=1)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_progress_that_raises_ends_it(team):
    def progress(done, chunks, seconds):
        raise LookupError("enough")

    with pytest.raises(LookupError, match="enough") as caught:
        team.run(lambda chunk: time.sleep(0.05), count=100, grain=1, progress=progress)
    assert "of 100" in caught.value.__notes__[-1]

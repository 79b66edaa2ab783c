"""Quality and threads: what all rooms stand on."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from functools import partial
from operator import mul

import numpy as np
import pytest

from pillow_lic import entropy, errors, quality, threads

pytestmark = pytest.mark.quick


@pytest.fixture
def count():
    """Sets the number of threads for one test."""
    yield threads.set_threads
    threads.set_threads(None)


# ---- Quality ------------------------------------------------------------------------------------------------------


def test_qualities_and_q_are_inverse():
    for q in range(100, 10001):
        assert quality.to_q(quality.from_q(q)) == q == quality.q_at(quality.position(q))
    assert (quality.position(100), quality.position(10000)) == (0.0, 1.0)


@pytest.mark.parametrize("wrong", [-0.01, 100.01, float("nan"), "75", True, None])
def test_other_qualities_are_refused(wrong):
    with pytest.raises(errors.LicBadOption, match="quality"):
        quality.to_q(wrong)


@pytest.mark.parametrize("low", [0, 0.99, 1])
def test_below_one_counts_as_one(low):
    assert quality.to_q(low) == 100


def test_lambda_is_geometric():
    assert quality.lambda_at((0.01, 1.0), 5050) == pytest.approx(0.1)
    assert quality.lambda_at((0.01, 1.0), 100) == 0.01
    assert quality.lambda_at((0.01, 1.0), 10000) == 1.0


@pytest.mark.parametrize("points", [2, 4, 64])
def test_rate_points_are_those_of_the_tables(points):
    """FORMAT 7.1, of which the tables have a copy of their own."""
    for q in [100, 101, 5050, 9999, 10000, *np.random.default_rng(1).integers(100, 10001, 200).tolist()]:
        assert quality.rate_point(q, points) == entropy.rate_point(q, points)


# ---- Threads ------------------------------------------------------------------------------------------------------


def test_spread_is_in_order_and_uses_many(count):
    count(4)
    seen = set()

    def work(a, b):
        seen.add(threading.get_ident())
        time.sleep(0.001)
        return a - b

    assert threads.spread(work, range(100), [1] * 100) == list(range(-1, 99))
    assert threading.get_ident() in seen
    assert len(seen) > 1
    assert threads.spread(work, [], []) == []


def test_spread_within_spread_does_not_wait_for_itself(count):
    for number in (1, 2, 3):
        count(number)
        found = threads.spread(lambda a: threads.spread(partial(mul, a), range(5)), range(7))
        assert found == [[a * b for b in range(5)] for a in range(7)]


def test_an_error_in_a_thread_is_raised(count):
    count(3)
    done = []

    def work(n):
        done.append(n)
        if n == 5:
            raise ValueError("five")

    with pytest.raises(ValueError, match="five"):
        threads.spread(work, range(10_000))
    assert len(done) < 10_000


def test_ahead_is_bounded_and_in_order(count):
    count(2)
    taken = []

    def items():
        for number in range(30):
            taken.append(number)
            yield number

    for number, found in enumerate(threads.ahead(lambda n: n * n, items(), 4)):
        assert found == number * number
        assert len(taken) <= number + 5


def test_who_says_how_many(count, monkeypatch):
    monkeypatch.delenv(threads.VARIABLE, raising=False)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert threads.count() == cores
    assert threads.asked() is None
    monkeypatch.setenv(threads.VARIABLE, "3")
    assert threads.count() == threads.asked() == 3
    count(5)
    assert threads.count() == 5
    for wrong in (0, -1, 1.5, True, "many"):
        with pytest.raises(errors.LicBadOption, match="threads must be a whole number"):
            threads.set_threads(wrong)
    count(None)
    monkeypatch.setenv(threads.VARIABLE, "none")
    with pytest.raises(errors.LicBadOption, match="PILLOW_LIC_THREADS"):
        threads.count()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_has_one_and_a_pool_of_its_own():
    program = """
import os
from pillow_lic import threads
threads.set_threads(3)
threads.spread(lambda n: n, range(9))
threads.set_threads(None)
child = os.fork()
if child == 0:
    print(threads.count(), threads.spread(lambda n: n + 1, range(3)), flush=True)
    threads.set_threads(2)
    print(threads.count(), threads.spread(lambda n: n + 1, range(3)), flush=True)
    os._exit(0)
os.waitpid(child, 0)
"""
    command = [sys.executable, "-W", "ignore", "-c", program]
    environment = {key: value for key, value in os.environ.items() if key != threads.VARIABLE}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    assert done.stdout.splitlines() == ["1 [1, 2, 3]", "2 [1, 2, 3]"], done.stderr

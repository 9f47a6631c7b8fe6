"""The liveness engine on a machine that wakes it late, by a clock of its own: cuts are found, what is well stays well.

Only time is simulated: probes come back a round trip after they left, and each wake-up is late by what a test draws.
"""

from __future__ import annotations

import itertools
import json
import random
import socket
from types import SimpleNamespace
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.linux.liveness import engine as engine_module
from controller.linux.liveness.engine import Engine
from controller.linux.liveness.messages import Watch
from controller.linux.liveness.protected_policy import Backup
from controller.linux.liveness.watched_path import WatchedPath

INTERVAL, DETECT = 0.010, 0.025
MISSES = 2
SWING, GRACE = 0.010, 0.1
OWN, BACKUP = 1, 2
MOST_LATE = 0.020
CUT = 1.0


class Network:
    """Virtual time, two paths with their probes under way, and the kernel's table. Stands in for sockets and select."""

    def __init__(self, lateness, round_trip, cut=None, ends=2.0, frozen=()):
        """`lateness`: of each wake-up in turn; `frozen`: (begin, end) in which the whole machine stands still."""
        self.now, self.moved_at = 0.0, None
        self._lateness, self._round_trip, self._cut, self._ends = lateness, round_trip, cut, ends
        self._frozen = list(frozen)
        self._paths = {n: WatchedPath(INTERVAL, DETECT) for n in (OWN, BACKUP)}
        self._due = dict.fromkeys(self._paths, INTERVAL)
        self._under_way = []
        self.returns, self.carriers = object(), SimpleNamespace(socket=object())
        self._target, peer = socket.socketpair()
        with self._target, peer, patch.object(engine_module, "select", self):
            engine = Engine(peer, self, self, clock=lambda: self.now)
            engine.follow(Watch({}, {7: Backup(8, OWN, BACKUP, 0, 60_000, True)}, (), {}))
            engine.run()
            peer.close()
            self.said = self._listen()

    def _listen(self):
        data = b"".join(iter(lambda: self._target.recv(1 << 16), b""))
        return [item for line in data.splitlines() for item in json.loads(line)["sessions"]]

    # ---- select

    def select(self, readable, writable, broken, timeout):
        arrivals = [at for at, _, _ in self._under_way if at > self.now]
        self.now = min([self.now + timeout, *arrivals]) + next(self._lateness)
        for begin, end in list(self._frozen):
            if self.now >= begin:
                self._frozen.remove((begin, end))
                # What is under way stands still as well, and arrives a moment behind the wake-up.
                rest = [(max(at, end + 0.001 + at - begin), n, q) for at, n, q in self._under_way if at >= begin]
                self._under_way = [item for item in self._under_way if item[0] < begin] + rest
                self.now = max(self.now, end)
        if self.now < self._ends and self.moved_at is None:
            return [], [], []
        self._target.shutdown(socket.SHUT_WR)
        return [target for target in readable if isinstance(target, socket.socket)], [], []

    # ---- the probes

    def follow(self, sessions, ports):
        return self._paths

    def take(self):
        arrived = sorted(item for item in self._under_way if item[0] <= self.now)
        self._under_way = [item for item in self._under_way if item[0] > self.now]
        for _, number, sequence in arrived:
            self._paths[number].returned(sequence, self._round_trip, self.now)

    def lose(self, now):
        pass

    def judge(self, now):
        for path in self._paths.values():
            path.judge(now)

    def send(self, now):
        for number, path in self._paths.items():
            if self._due[number] > now:
                continue
            sequence = path.send(now)
            self._due[number] = max(self._due[number] + INTERVAL, now + INTERVAL / 2)
            if number != OWN or self._cut is None or now < self._cut:
                self._under_way.append((now + self._round_trip, number, sequence))

    def wakes_at(self):
        deadlines = [when for path in self._paths.values() if (when := path.deadline()) is not None]
        return min(self._due.values()), min(deadlines, default=None)

    # ---- the kernel's table

    def make(self, moves):
        self.moved_at = self.now
        return [0] * len(moves)


def bound(late):
    """From the cut until traffic has moved, if no wake-up is later than this; a round trip comes on top.

    Each of the probes that must be missed leaves late, as does the one before the cut. Then one postponement after the
    other, 0.1 s in all, each behind a wake-up that was late by as much; and the wake-up that judges.
    """
    graces = 2 * GRACE if late > 0.0019 else 0.0
    return DETECT + (MISSES + 1) * late + SWING + graces + 2 * late + 0.002


def drawn(kind, late, seed):
    """Lateness of one wake-up after the other, at most so late."""
    source = random.Random(seed)
    draws = {
        "constant": lambda: late,
        "uniform": lambda: source.uniform(0, late),
        "exponential": lambda: min(source.expovariate(3 / late), late),
    }
    return iter(draws[kind], None)


KINDS = st.sampled_from(["constant", "uniform", "exponential"])
LATE = st.floats(0.0001, MOST_LATE)
ROUND_TRIPS = st.sampled_from([0.0002, 0.002, 0.030])


@pytest.mark.parametrize("late", [0.001, 0.003, 0.004, 0.008, 0.012, MOST_LATE])
def test_a_cut_is_found_by_who_is_always_late(late):
    found = Network(itertools.repeat(late), 0.002, CUT).moved_at
    assert found is not None
    assert 0 < found - CUT <= bound(late) + 0.002


@settings(max_examples=60, deadline=None)
@given(KINDS, LATE, st.integers(0, 2**16), ROUND_TRIPS, st.floats(1.0, 1.2))
def test_a_cut_is_found_whatever_the_lateness(kind, late, seed, round_trip, at):
    found = Network(drawn(kind, late, seed), round_trip, at).moved_at
    assert found is not None
    assert 0 < found - at <= bound(late) + round_trip


@settings(max_examples=60, deadline=None)
@given(st.lists(LATE, min_size=1, max_size=12), st.floats(1.0, 1.2))
def test_a_cut_is_found_however_the_lateness_is_arranged(pattern, at):
    found = Network(itertools.cycle(pattern), 0.002, at).moved_at
    assert found is not None
    assert 0 < found - at <= bound(max(pattern)) + 0.002


LENGTHS = st.one_of(st.floats(0, 0.002), LATE, st.floats(MOST_LATE, 0.5))


@settings(max_examples=100, deadline=None)
@given(st.lists(LENGTHS, min_size=1, max_size=12), ROUND_TRIPS)
def test_lateness_alone_is_no_cut(pattern, round_trip):
    """However late: every probe is back in the socket a round trip after it left."""
    network = Network(itertools.cycle([*pattern, 0.001]), round_trip, ends=3.0)
    assert network.moved_at is None
    assert all(item["up"] for item in network.said)


@pytest.mark.parametrize("late", [0.0, 0.003, 0.008])
@pytest.mark.parametrize("length", [0.05, 0.3, 2.0])
def test_a_machine_that_stood_still_as_a_whole_is_no_cut(late, length):
    """Probes under way stand still with it, and come behind the wake-up."""
    network = Network(itertools.repeat(late), 0.030, ends=5.0, frozen=[(1.0, 1.0 + length)])
    assert network.moved_at is None
    assert {item["session"] for item in network.said} == {OWN, BACKUP}
    assert all(item["up"] for item in network.said)

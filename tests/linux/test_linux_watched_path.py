"""When a watched path is found down or whole again, and which list a protected policy takes: by drawn histories."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.linux.liveness.protected_policy import Backup, ProtectedPolicy, Reason
from controller.linux.liveness.watched_path import GOOD, MOST_SWING_S, Health, WatchedPath

INTERVAL, DETECT = 0.010, 0.025


def run(path, lives, probes, *, start=0.0, round_trip=0.002, gaps=None, tick=0.001):
    """Send so many probes, `lives(time)` says whether one comes back; the times at which health changed.

    `gaps` are times (begin, end) in which nobody runs: nothing is sent, taken or judged.
    """
    changes, waiting, now, due, sent = [], [], start, start, 0
    while sent < probes or waiting:
        stalled = next((end for begin, end in gaps or () if begin <= now < end), None)
        if stalled is not None:
            now = stalled
        for back, number in [item for item in waiting if item[0] <= now]:
            waiting.remove((back, number))
            if path.returned(number, round_trip, now):
                changes.append((now, path.health))
        if path.judge(now):
            changes.append((now, path.health))
        if sent < probes and now >= due:
            number, sent = path.send(now), sent + 1
            due = max(due + path.interval_s, now + path.interval_s / 2)
            if lives(now):
                waiting.append((now + round_trip, number))
        now = round(now + tick, 6)
    return changes


def whole(**values):
    path = WatchedPath(INTERVAL, DETECT)
    run(path, lambda now: True, 20, **values)
    assert path.health is Health.UP
    return path


def test_three_in_a_row_make_it_whole():
    path = WatchedPath(INTERVAL, DETECT)
    for number in range(1, GOOD + 1):
        assert path.health is Health.UNKNOWN
        assert path.send(number * INTERVAL) == number
        path.returned(number, 0.002, number * INTERVAL + 0.002)
    assert path.health is Health.UP


@given(st.floats(1.0, 1.02), st.sampled_from([0.0002, 0.002, 0.008, 0.030]))
def test_a_cut_is_found_in_the_detection_time(at, round_trip):
    """From the last answer, and up to an interval later from the cut; never before two probes are overdue."""
    path = whole(round_trip=round_trip)
    changes = run(path, lambda now: now < at, 40, start=0.9, round_trip=round_trip)
    (found, health) = changes[-1]
    assert health is Health.DOWN
    assert DETECT - INTERVAL <= found - at <= DETECT + round_trip + MOST_SWING_S + 0.002


@given(st.integers(0, 30))
def test_the_loss_of_one_probe_is_no_cut(lost):
    path = whole()
    missing = round(0.9 + lost * INTERVAL, 6)
    assert run(path, lambda now: abs(now - missing) > INTERVAL / 4, 40, start=0.9) == []


@given(st.lists(st.tuples(st.floats(0.9, 1.2), st.floats(0.001, 0.5)), max_size=4), st.sampled_from([0.002, 0.04]))
def test_who_does_not_run_finds_no_cut(stalls, round_trip):
    """However long and often it stands still: what was sent has come back, and nothing else was sent."""
    path = whole(round_trip=round_trip)
    gaps = [(begin, begin + length) for begin, length in stalls]
    assert run(path, lambda now: True, 40, start=0.9, gaps=gaps, round_trip=round_trip) == []


@given(st.floats(0.001, 0.009), st.floats(0.012, 0.5))
def test_a_lost_probe_and_a_stall_are_no_cut_together(behind, length):
    """It stands still behind the one probe that is lost, and has had no time to send another one."""
    path = whole()
    gaps = [(1.0 + behind, 1.0 + behind + length)]
    assert run(path, lambda now: abs(now - 1.0) > INTERVAL / 4, 40, start=0.9, gaps=gaps) == []


def test_copies_old_and_unknown_probes_count_for_nothing():
    path = whole()
    newest = path.newest
    path.send(1.0)
    for number in (0, newest, newest - 1, path.sequence + 1, -1):
        assert not path.returned(number, 0.001, 1.0)
    assert path.newest == newest


def test_it_is_down_until_three_in_a_row_came():
    path = whole()
    run(path, lambda now: False, 5, start=0.9)
    assert path.health is Health.DOWN
    for number, comes in enumerate([1, 1, 0, 1, 1, 0, 1, 1], path.sequence + 1):
        path.send(2.0 + number)
        if comes:
            path.returned(number, 0.001, 2.0 + number)
        assert path.health is Health.DOWN
    path.returned(path.send(20.0), 0.001, 20.0)
    assert path.health is Health.UP


def test_a_first_answer_has_time():
    """Nobody knows how far the way is."""
    path = WatchedPath(INTERVAL, DETECT)
    changes = run(path, lambda now: False, 100)
    ((found, health),) = changes
    assert health is Health.DOWN
    assert 0.5 <= found <= 0.6


# ---- policies


def way(health, since=0.0):
    path = WatchedPath(INTERVAL, DETECT)
    path.health, path.since = health, since
    return path


ENTRY = Backup(9, 1, 2, hold_off_ms=50, wait_to_restore_ms=5000, revertive=True)
HEALTHS = st.sampled_from([*Health, None])


WAITED = st.sampled_from([0.0, 0.049, 0.05, 1.0, 4.999, 5.0, 100.0])


@given(HEALTHS, HEALTHS, st.booleans(), WAITED, st.booleans())
def test_a_policy_moves_by_this_table(own, backup, on_backup, waited, revertive):
    """Written down by hand, row by row; whatever is in none of the rows stays."""
    entry = Backup(9, 1, 2, 50, 5000, revertive)
    policy = ProtectedPolicy(entry, on_backup)
    expected = None
    if not on_backup and own is Health.DOWN and backup is Health.UP and waited >= 0.05:
        expected = Reason.SIGNAL_FAIL
    if on_backup and own is Health.UP and backup is Health.DOWN:
        expected = Reason.BACKUP_LOST
    elif on_backup and own is Health.UP and revertive and waited >= 5:
        expected = Reason.REVERTED
    paths = [None if health is None else way(health) for health in (own, backup)]
    assert policy.wanted(*paths, waited) is expected


@pytest.mark.parametrize(
    ("on_backup", "health", "since", "when"),
    [
        (False, Health.DOWN, 7.0, 7.05),
        (False, Health.UP, 7.0, None),
        (True, Health.UP, 7.0, 12.0),
        (True, Health.DOWN, 7.0, None),
        (False, Health.DOWN, 1.0, None),
    ],
)
def test_it_is_looked_at_again_when_time_alone_moves_it(on_backup, health, since, when):
    assert ProtectedPolicy(ENTRY, on_backup).wakes_at(way(health, since), 7.0) == when

"""Two ends of a protected slice over simulated paths: what moves their selectors, how fast, and what never does."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Sequence, Set
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.linecard.continuity import ProtectionEnd, Reason, Select, Send, Timing
from controller.linecard.continuity_frames import BadFrame, Health, Path, Report, Request, decode, encode

PERIOD = 0.005
WTR = 0.5
TIMING = Timing(PERIOD, wait_to_restore_s=WTR)
SLICE = 7
SETTLED = 0.3
"""Both paths are whole by then."""

Span = tuple[float, float]


def within(spans: Sequence[Span], time: float) -> Span | None:
    return next((span for span in spans if span[0] <= time < span[1]), None)


@dataclass
class Channel:
    """One direction of one path."""

    delay: float = 0.001
    cuts: list[Span] = field(default_factory=list)
    stalls: list[Span] = field(default_factory=list)
    """What would arrive then arrives at the end."""
    loss: float = 0.0
    lossy: Span = (0.0, 0.0)


@dataclass
class World:
    """Both ends, by number; channels by (path, sender)."""

    delays: tuple[float, float] = (0.001, 0.003)
    phase: float = 0.002
    seed: int = 0
    jitter: float = 0.001
    stalls: tuple[list[Span], list[Span]] = field(default_factory=lambda: ([], []))
    channels: dict[tuple[Path, int], Channel] = field(default_factory=dict)
    moves: list[tuple[float, int, Select]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.ends = [ProtectionEnd(SLICE, session=100 + end, timing=TIMING) for end in (0, 1)]
        for path, end in itertools.product(Path, (0, 1)):
            self.channels[path, end] = Channel(self.delays[path])
        self._events: list[tuple[float, int, int, tuple[Path, bytes] | None]] = []
        self._order = itertools.count()
        self._backlog: tuple[list[tuple[Path, bytes]], list[tuple[Path, bytes]]] = ([], [])
        for end in (0, 1):
            self._push(end * self.phase, end, None)

    def cut(self, path: Path, start: float, end: float, senders: Sequence[int] = (0, 1)) -> None:
        for sender in senders:
            self.channels[path, sender].cuts.append((start, end))

    def run(self, until: float) -> None:
        while self._events and self._events[0][0] < until:
            now, _, end, arrived = heapq.heappop(self._events)
            stall = within(self.stalls[end], now)
            if arrived is not None:
                self._backlog[end].append(arrived)
            if stall is not None:
                if arrived is None:
                    self._push(stall[1], end, None)
                continue
            for path, data in self._backlog[end]:
                self.ends[end].received(path, decode(data))
            self._backlog[end].clear()
            if arrived is None:
                self._tick(end, now)

    def _tick(self, end: int, now: float) -> None:
        for output in self.ends[end].tick(now):
            if isinstance(output, Select):
                self.moves.append((now, end, output))
            else:
                self._transmit(end, output, now)
        beats = int((now - end * self.phase) / PERIOD + 0.5) + 1
        self._push(end * self.phase + beats * PERIOD + self.random.uniform(0, self.jitter), end, None)

    def _transmit(self, end: int, output: Send, now: float) -> None:
        channel = self.channels[output.report.path, end]
        arrival = now + channel.delay
        if stall := within(channel.stalls, arrival):
            arrival = stall[1]
        lost = within([channel.lossy], now) and self.random.random() < channel.loss
        if not lost and within(channel.cuts, now) is None and within(channel.cuts, arrival) is None:
            self._push(arrival, 1 - end, (output.report.path, encode(output.report)))

    def _push(self, time: float, end: int, arrived: tuple[Path, bytes] | None) -> None:
        heapq.heappush(self._events, (time, next(self._order), end, arrived))

    @property
    def selectors(self) -> list[bool]:
        return [end.on_protection for end in self.ends]


ENDS = st.integers(0, 1)
delays = st.tuples(st.floats(0, 0.06), st.floats(0, 0.06))
spans = st.lists(
    st.tuples(st.floats(0, 2), st.floats(0.001, 0.8)).map(lambda pair: (pair[0], pair[0] + pair[1])), max_size=4
)
worlds = st.builds(
    World,
    delays=delays,
    phase=st.floats(0, PERIOD),
    seed=st.integers(0, 1 << 30),
    jitter=st.floats(0, 0.002),
)


@given(
    world=worlds, stalls=st.tuples(spans, spans), cuts=spans, loss=st.floats(0, 1), senders=st.sets(st.integers(0, 1))
)
@settings(max_examples=60, deadline=None)
def test_without_a_loss_on_the_working_path_no_selector_moves_whatever_stalls(
    world: World, stalls: tuple[list[Span], list[Span]], cuts: list[Span], loss: float, senders: Set[int]
) -> None:
    world.stalls = stalls
    for sender in senders:
        protection = world.channels[Path.PROTECTION, sender]
        protection.cuts, protection.loss, protection.lossy = cuts, loss, (0.5, 1.5)
    world.run(3.0)
    assert world.moves == []


@given(world=worlds, at=st.floats(0.5, 0.6), senders=st.sets(st.integers(0, 1), min_size=1))
@settings(max_examples=50, deadline=None)
def test_a_cut_moves_both_ends_in_four_periods_and_they_come_back_together_once(
    world: World, at: float, senders: Set[int]
) -> None:
    mended = at + 0.4
    world.cut(Path.WORKING, at, mended, sorted(senders))
    world.run(4.0)
    first = {end: time for time, end, select in reversed(world.moves) if select.on_protection}
    back = {end: time for time, end, select in world.moves if not select.on_protection}
    assert len(world.moves) == 4
    assert world.moves[0][2].reason is Reason.SIGNAL_FAIL
    # What is in flight on either path comes first; then a period of the sender, one for the tick's phase and jitter.
    bound = at + 4 * PERIOD + max(world.delays) + 2 * PERIOD
    told = min(first.values()) + min(world.delays[Path.PROTECTION], *world.delays) + 2 * PERIOD + world.delays[0]
    assert min(first.values()) <= bound
    assert max(first.values()) <= (bound if len(senders) == 2 else max(bound, told + world.delays[1]))
    assert min(back.values()) >= mended + WTR
    assert max(back.values()) - min(back.values()) <= max(world.delays) + 4 * PERIOD
    assert [select.reason for _, _, select in world.moves[2:]] == [Reason.REVERTED] * 2


@given(
    world=worlds,
    stalls=st.tuples(spans, spans),
    cuts=st.dictionaries(st.tuples(st.sampled_from(Path), st.integers(0, 1)), spans, max_size=4),
    loss=st.floats(0, 0.5),
    dead=st.sampled_from([None, Path.WORKING, Path.PROTECTION]),
)
@settings(max_examples=60, deadline=None)
def test_after_any_turmoil_both_ends_agree_on_a_path_that_is_whole_and_rest(
    world: World,
    stalls: tuple[list[Span], list[Span]],
    cuts: dict[tuple[Path, int], list[Span]],
    loss: float,
    dead: Path | None,
) -> None:
    world.stalls = stalls
    for key, channel in world.channels.items():
        channel.cuts, channel.loss, channel.lossy = list(cuts.get(key, [])), loss, (0.2, 2.5)
    if dead is not None:
        world.cut(dead, 2.5, 100.0)
    world.run(5.5)
    assert world.selectors == [dead is Path.WORKING] * 2
    moved = len(world.moves)
    world.run(7.5)
    assert len(world.moves) == moved


def test_a_flapping_working_path_restarts_the_wait() -> None:
    world = World()
    for start in (0.5, 0.9, 1.3):
        world.cut(Path.WORKING, start, start + 0.1)
    world.run(1.4 + WTR)
    assert world.selectors == [True, True]
    assert len(world.moves) == 2
    world.run(1.4 + WTR + 0.2)
    assert world.selectors == [False, False]


def test_nothing_moves_to_a_protection_path_that_has_failed() -> None:
    world = World()
    world.cut(Path.PROTECTION, 0.5, 1.5, senders=[1])  # one way only: the other end has to be told
    world.cut(Path.WORKING, 0.7, 3.0)
    world.run(1.49)
    assert world.moves == []
    world.run(2.5)
    assert world.selectors == [True, True]


def test_a_failed_protection_path_sends_traffic_back_without_waiting() -> None:
    world = World()
    world.cut(Path.WORKING, 0.5, 0.7)
    world.cut(Path.PROTECTION, 0.9, 9.0, senders=[0])
    world.run(0.96)
    assert world.selectors == [False, False]
    assert {select.reason for _, _, select in world.moves[2:]} == {Reason.SIGNAL_FAIL, Reason.FAR_END}


def test_recovery_needs_good_reports_in_a_row() -> None:
    world = World()
    world.cut(Path.WORKING, 0.5, 1.0)
    working = [world.channels[Path.WORKING, end] for end in (0, 1)]
    for n in range(80):  # one in four is lost for a while
        for channel in working:
            channel.cuts.append((1.0 + n * 4 * PERIOD, 1.0 + (n * 4 + 1) * PERIOD))
    world.run(2.5)
    assert [end.health(Path.WORKING) for end in world.ends] == [Health.FAILED] * 2
    world.run(3.0)
    assert [end.health(Path.WORKING) for end in world.ends] == [Health.WHOLE] * 2


def test_a_path_that_comes_back_in_one_burst_is_not_whole_at_once() -> None:
    world = World()
    world.channels[Path.WORKING, 0].stalls.append((0.5, 0.53))
    world.run(0.54)
    assert world.ends[1].health(Path.WORKING) is Health.FAILED
    world.run(0.7)
    assert world.ends[1].health(Path.WORKING) is Health.WHOLE


def test_two_losses_in_a_row_move_nothing_and_three_do() -> None:
    for lost, moved in ((2, []), (3, [True] * 2)):
        world = World(delays=(0.001, 0.001), phase=0.003, jitter=0.0)
        world.cut(Path.WORKING, 0.5045, 0.5045 + lost * PERIOD)
        world.run(0.7)
        assert [select.on_protection for _, _, select in world.moves] == moved


def test_a_working_path_that_never_was_whole_fails_when_the_other_one_proves_the_far_end() -> None:
    world = World()
    world.cut(Path.WORKING, 0.0, 9.0)
    world.cut(Path.PROTECTION, 0.0, 0.5)
    world.run(0.5 + 40 * PERIOD)
    assert world.moves == []
    world.run(0.5 + 60 * PERIOD)
    assert world.selectors == [True, True]


def test_traffic_does_not_return_to_a_path_that_the_far_end_does_not_hear() -> None:
    world = World()
    world.cut(Path.WORKING, 0.5, 9.0, senders=[0])
    world.cut(Path.PROTECTION, 0.9, 9.0)
    world.run(2.0)
    assert world.selectors == [True, True]


def test_a_working_path_that_is_whole_again_is_not_left_when_protection_returns() -> None:
    world = World()
    world.cut(Path.PROTECTION, 0.4, 0.9, senders=[1])
    world.cut(Path.WORKING, 0.5, 0.7)
    world.run(2.0)
    assert world.moves == []


def test_copies_of_a_report_keep_no_path_alive() -> None:
    end = ProtectionEnd(SLICE, 1, TIMING)
    whole = {"working_health": Health.WHOLE, "protection_health": Health.WHOLE}
    for number in range(1, 60):
        for path in Path:
            sequence = min(number, 30) if path is Path.WORKING else number
            end.received(path, Report(SLICE, path, 9, sequence, **whole))
        end.tick(number * PERIOD)
        if number == 30:
            assert end.health(Path.WORKING) is Health.WHOLE
    assert (end.health(Path.WORKING), end.on_protection) == (Health.FAILED, True)


def test_reports_of_another_group_or_on_the_wrong_path_count_for_nothing() -> None:
    end = ProtectionEnd(SLICE, 1, TIMING)
    for number in range(1, 30):
        end.received(Path.WORKING, Report(SLICE + 1, Path.WORKING, 9, number))
        end.received(Path.WORKING, Report(SLICE, Path.PROTECTION, 9, number))
        end.tick(number * PERIOD)
    assert [end.health(path) for path in Path] == [Health.UNKNOWN] * 2


@pytest.mark.parametrize("restarted", [0, 1])
def test_a_line_card_that_restarts_on_protection_waits_there_and_moves_nothing(restarted: int) -> None:
    world = World()
    world.cut(Path.WORKING, 0.5, 0.8)
    world.run(0.9)
    world.ends[restarted] = ProtectionEnd(SLICE, 999, TIMING, on_protection=True)
    world.run(0.9 + WTR)
    assert world.selectors == [True, True]
    assert len(world.moves) == 2
    world.run(0.9 + WTR + 0.3)
    assert world.selectors == [False, False]


def test_a_path_that_fell_silent_with_the_other_fails_when_that_one_comes_back() -> None:
    world = World()
    world.cut(Path.WORKING, 0.5, 9.0)
    world.cut(Path.PROTECTION, 0.5, 0.7)
    world.run(0.69)
    assert world.moves == []
    world.run(0.7 + 9 * PERIOD)
    assert world.selectors == [True, True]


def test_both_paths_silent_is_nobodys_fault() -> None:
    world = World()
    world.stalls[1].append((0.5, 0.7))
    world.run(0.69)
    assert [world.ends[0].health(path) for path in Path] == [Health.UNKNOWN] * 2
    world.run(0.75)
    assert [world.ends[0].health(path) for path in Path] == [Health.WHOLE] * 2
    assert world.moves == []


reports = st.builds(
    Report,
    working=st.integers(0, (1 << 32) - 1),
    path=st.sampled_from(Path),
    session=st.integers(0, (1 << 32) - 1),
    sequence=st.integers(0, (1 << 64) - 1),
    working_health=st.sampled_from(Health),
    protection_health=st.sampled_from(Health),
    request=st.sampled_from(Request),
    on_protection=st.booleans(),
)


@given(reports)
def test_a_report_survives_the_wire(report: Report) -> None:
    assert decode(encode(report)) == report


def test_a_report_by_hand() -> None:
    report = Report(7, Path.PROTECTION, 0x01020304, 5, Health.FAILED, Health.WHOLE, Request.SIGNAL_FAIL, True)
    assert encode(report).hex() == "000000070102030400000000000000050166"


@given(
    st.binary(max_size=24)
    | st.binary(min_size=18, max_size=18)
    | st.builds(lambda b, n: b + bytes(n), st.binary(min_size=18, max_size=18), st.integers(0, 40))
)
@settings(max_examples=500)
def test_what_is_no_report_is_refused_and_what_is_reads_back(data: bytes) -> None:
    try:
        report = decode(data)
    except BadFrame:
        return
    assert encode(report) == data[:18]
    assert not any(data[18:])
    assert len(data) <= 46

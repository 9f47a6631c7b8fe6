"""Slice meters hold their rate within 5 %, and mark by two rates (RFC 2698).

What is expected comes from the times at which the frames were sent, so a sender that is held up spoils nothing.
"""

from __future__ import annotations

from collections import Counter

import pytest
from crossing import crosses
from drop_reasons import COLOR
from exceptions import bearable, differs
from frames import from_host, inner6, on_channel, tunnelled
from packet_world import CARRIERS, METERED, color
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from targets import Target
from traffic import GREEN, RED, YELLOW, Bucket, colors, record, recorded, send_steadily

from controller.core.entries import Change, MeterEntry, Operation
from controller.drivers.p4runtime import P4RuntimeDevice

DSCP = 10
"""What the world's classifier sends into the metered corridor."""
TUNNEL_BYTES = 40
PREAMBLE_FCS_GAP = 24
OFFERED_S = 2.0
ATTEMPTS = 5
WITHIN = 0.05


@pytest.fixture
def target(programmed: Target) -> Target:
    """Stamps arrivals; the kernel begins with that a moment after it is asked."""
    record(programmed.sockets[1])
    programmed.drain()
    return programmed


def modify(target: Target, meter: MeterEntry) -> None:
    assert not target.ask(lambda device: device.apply([Change(Operation.MODIFY, meter)]))


def customer_frame(ip_bytes: int) -> bytes:
    return from_host(2, inner6(size=ip_bytes, dscp=DSCP))


LARGE = customer_frame(1000)


def offer(target: Target, bytes_per_s: float, frame: bytes = LARGE) -> tuple[list[float], list[tuple[float, bytes]]]:
    """Times of sending, and what came out of port 1 with its times.

    Only an offer that the target heard whole says something of its meter: on a busy machine BMv2 misses frames.
    """
    for _ in range(ATTEMPTS):
        before = heard(target)
        sent = send_steadily(target.sockets[2], frame, bytes_per_s, OFFERED_S)
        received = recorded(target.sockets[1], idle_s=0.6)
        if heard(target) - before > 0.99 * len(sent):
            return sent, received
    pytest.fail("this machine is too busy: the target does not get the frames")


def heard(target: Target) -> int:
    """Packets of the corridor that came to the meter, by the target's own count."""
    names = {"corridor_counter": METERED}
    if not differs(target.name, "drop reasons"):
        names["drop_counter"] = COLOR

    async def count(device: P4RuntimeDevice) -> int:
        return sum([(await device.counters(name)).get(cell, (0, 0))[0] for name, cell in names.items()])

    return target.ask(count)


@pytest.mark.parametrize(("mbit_per_s", "ip_bytes"), [(2, 200), (10, 1400)])
def test_a_meter_holds_its_rate(target: Target, mbit_per_s: int, ip_bytes: int) -> None:
    """In small packets a wrong unit shows: what is beside them would be more than 5 %."""
    rate = mbit_per_s * 125_000
    burst = rate // 4  # as long as a target may be kept from its work
    modify(target, MeterEntry("slice_meter", METERED, rate, burst))
    frame = customer_frame(ip_bytes)
    sent, received = offer(target, 2 * rate, frame)
    if differs(target.name, "policing"):
        assert _rate_of_the_queue(received, len(frame)) == pytest.approx(rate, rel=WITHIN)
    else:
        bucket = Bucket(rate, burst)
        expected = sum(found != RED for found in colors(sent, len(frame), bucket, bucket))
        assert len(received) == pytest.approx(expected, rel=WITHIN)
        # The model itself against the plain sum: the bucket once and the rate for as long as it lasted.
        assert expected * len(frame) == pytest.approx(burst + rate * (sent[-1] - sent[0]), rel=WITHIN)


def _rate_of_the_queue(received: list[tuple[float, bytes]], frame_bytes: int) -> float:
    """Wire bytes per second while the queue was full: behind the first burst, until the sender stopped."""
    start = received[0][0] + 0.4
    window = [time for time, _ in received if start <= time <= start + OFFERED_S - 0.6]
    wire_bytes = frame_bytes + TUNNEL_BYTES + PREAMBLE_FCS_GAP
    return (len(window) - 1) * wire_bytes / (window[-1] - window[0])


def test_less_than_the_rate_passes_whole(target: Target) -> None:
    modify(target, MeterEntry("slice_meter", METERED, 1_250_000, 125_000))
    sent, received = offer(target, 0.8 * 1_000_000)
    assert len(received) == len(sent)


@pytest.mark.covers("color_policy.mark_dscp", "color_policy.drop_colored")
@pytest.mark.parametrize("red_is", ["marked", "dropped", "of no policy"])
def test_three_colors(target: Target, red_is: str) -> None:
    """Offered twice the peak, which is twice what is committed: a quarter green, a quarter yellow, half red.

    Without a policy red alone is dropped, and nothing marked.
    """
    committed, peak = Bucket(125_000, 31_250), Bucket(250_000, 62_500)
    marks = {GREEN: 20, YELLOW: 12, RED: 14 if red_is == "marked" else None}
    policies = [color(METERED, number, mark) for number, mark in marks.items()]
    if red_is == "of no policy":
        policies, marks = [], dict.fromkeys(marks, DSCP)
    meter = MeterEntry("slice_meter", METERED, 125_000, 31_250, 250_000, 62_500)
    if differs(target.name, "policing"):
        assert bearable(target.name, [meter]) == [meter]
        _keeps_the_customers_mark(target)
        return
    modify(target, meter)
    with target.holding(*policies):
        sent, received = offer(target, 500_000)
    expected = Counter(colors(sent, len(LARGE), committed, peak))
    found = Counter(_dscp(frame) for _, frame in received)
    passing = Counter[int]()
    for number, count in expected.items():
        if number != RED or red_is == "marked":
            passing[marks[number]] += count
    assert found.keys() == passing.keys()
    assert found == pytest.approx(passing, rel=WITHIN)
    assert expected[GREEN] / len(sent) == pytest.approx(0.28, abs=0.03)


def test_a_mark_is_the_outer_header_alone(target: Target) -> None:
    """The inner DSCP is the customer's, and ECN is nobody's to mark (RFC 3168)."""
    modify(target, MeterEntry("slice_meter", METERED, 1_250_000, 125_000))
    packet = inner6(tc=DSCP << 2 | 2)
    policies = bearable(target.name, [color(METERED, GREEN, 20)])
    with target.holding(*policies):
        port, frame = crosses(target, 2, from_host(2, packet))
    expected = tunnelled(target.name, frame, packet, CARRIERS[0])
    if policies:
        expected.tc = 20 << 2 | 2
    assert (port, frame) == (1, on_channel(1, expected))


def _keeps_the_customers_mark(target: Target) -> None:
    """A shaper has no colors: what it lets out looks as it came in."""
    modify(target, MeterEntry("slice_meter", METERED, 125_000, 31_250))
    _, received = offer(target, 250_000)
    assert {_dscp(frame) for _, frame in received} == {DSCP}


def _dscp(frame: bytes) -> int:
    return int(Ether(frame)[IPv6].tc) >> 2

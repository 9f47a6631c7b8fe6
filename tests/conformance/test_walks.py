"""Random packets, whole and broken, through every target: out comes what the oracle reads in the RFCs, and no more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import pytest
from barrier import what_comes_out
from drawn_entries import worlds
from drawn_frames import Arrival, Limits, from_core, from_customers, questions, to_node
from exceptions import bearable
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from packet_world import ENTRIES, gateway, v6
from rfc_router import BMV2, LINUX, Outcome, Router
from scapy.layers.inet import ICMP
from scapy.layers.inet6 import _ICMPv6Error
from scapy.layers.l2 import Ether
from targets import Target

from controller.core.entries import Entry

CHOICES = {"bmv2": BMV2, "linux": LINUX}
LIMITS = {"bmv2": Limits(), "linux": Limits(bad_inner=False)}
SIDS = tuple(
    map(
        v6,
        (
            "fcbb:bb00:1:2:e003:d6::",
            "fcbb:bb00:1:2:3:4:5:6",
            "fcbb:bb00:1:e001:3:4:5:6",
            "fcbb:bb00:1::",
            "fcbb:bb00:1:e001:3:e107::",
            "fcbb:bb00:1:e001::",
            "fcbb:bb00:1:e107::",
            "fcbb:bb00:1:e207::",
            "fcbb:bb00:1:e208::",
            "fcbb:bb00:1:e300::1",
            "fcbb:bb00:1:e300::2",
            "fcbb:bb00:1:e300::3",
            "fcbb:bb00:1:e300::4",
            "fcbb:bb00:1:e300::6",
            "fcbb:bb00:1:e300::7",
            "fcbb:bb00:1:e300::8",
            "fcbb:bb00:1:e300::9",
            "fcbb:bb00:1:e300::a",
            "fcbb:bb00:1:e300::b",
            "fcbb:bb00:1:e300::c",
            "fcbb:bb00:2::",
            "fcbb:bb00:3:e107::",
            "fcbb:bb00:7::",
        ),
    )
)
THOROUGH = settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


def compare(target: Target, oracle: Router, arrivals: Sequence[Arrival]) -> None:
    """Every frame that comes out was foreseen, and every one that was foreseen comes out."""
    expected = [(port, frame, oracle.receive(port, frame)) for port, frame in arrivals]
    for port, frame in what_comes_out(target, arrivals):
        if target.name == "linux" and is_error(frame):
            continue
        fitting = next((each for each in expected if each[2].allows([(port, frame)])), None)
        assert fitting, f"unforeseen out of {port}: {Ether(frame)!r}\nof {told(expected)}"
        expected.remove(fitting)
    missing = [each for each in expected if each[2].sent]
    assert not missing, f"lost: {told(missing)}"


def told(expected: Sequence[tuple[int, bytes, Outcome]]) -> str:
    return "\n".join(f"{port}: {frame.hex()} {Ether(frame)!r} -> {outcome}" for port, frame, outcome in expected)


def is_error(frame: bytes) -> bool:
    """What a kernel answers to a packet that it drops."""
    packet = Ether(frame).payload.payload
    return isinstance(packet, _ICMPv6Error) or (isinstance(packet, ICMP) and packet.type in (3, 11, 12))


def oracle_of(target: Target, more: Sequence[Entry] = ()) -> Router:
    return Router([*bearable(target.name, ENTRIES), *more], CHOICES[target.name])


@THOROUGH
@given(st.data())
def test_customers(target: Target, data: st.DataObject) -> None:
    arrivals = data.draw(st.lists(from_customers(), min_size=1, max_size=10))
    compare(target, oracle_of(target), arrivals)


@THOROUGH
@given(st.data())
def test_the_core(target: Target, data: st.DataObject) -> None:
    arrivals = data.draw(st.lists(from_core(SIDS, LIMITS[target.name]), min_size=1, max_size=10))
    compare(target, oracle_of(target), arrivals)


@THOROUGH
@given(st.lists(to_node(), min_size=1, max_size=10))
def test_the_node_itself(target: Target, arrivals: Sequence[Arrival]) -> None:
    compare(target, oracle_of(target), arrivals)


@pytest.fixture
def gateways(target: Target) -> Iterator[list[Entry]]:
    """What makes the router a gateway; the kernel answers for its own addresses, of which it has none there."""
    known = bearable(target.name, [gateway(2)])
    with target.holding(*known):
        yield known


@THOROUGH
@given(st.data())
def test_the_gateway(target: Target, gateways: list[Entry], data: st.DataObject) -> None:
    """What it answers, and which errors it tells of whom."""
    arrivals = data.draw(st.lists(questions(answered=bool(gateways)), min_size=1, max_size=10))
    compare(target, oracle_of(target, gateways), arrivals)


def packets(target: Target, counter: str) -> Counter[int]:
    cells = target.ask(lambda device: device.counters(counter))
    return Counter({index: cell[0] for index, cell in cells.items()})


@settings(THOROUGH, max_examples=6)
@given(st.lists(st.one_of(from_customers(), from_core(SIDS, Limits(bad_inner=False))), min_size=5, max_size=20))
def test_every_packet_is_counted_where_it_ends(target: Target, arrivals: Sequence[Arrival]) -> None:
    """Into a corridor, too big for one, or dropped; Linux has no counter of the last."""
    outcomes = [oracle_of(target).receive(port, frame) for port, frame in arrivals]
    counters = ("corridor_counter", "oversize_counter", *(["drop_counter"] if target.name == "bmv2" else []))
    before = {name: packets(target, name) for name in counters}
    what_comes_out(target, arrivals)
    grown = {name: packets(target, name) - before[name] for name in counters}
    wanted = Counter(each for outcome in outcomes for each in outcome.counted)
    for name in counters[:2]:
        assert grown[name] == Counter({index: count for (its, index), count in wanted.items() if its == name})
    if target.name == "bmv2":
        assert grown["drop_counter"].total() == sum(outcome.dropped is not None for outcome in outcomes)


@settings(THOROUGH, max_examples=15)
@given(st.data())
def test_random_entries(target: Target, data: st.DataObject) -> None:
    """Segments, flavors and lists of any content beside those that stand."""
    world = data.draw(worlds(target.name))
    arriving = st.one_of(from_core(world.destinations, LIMITS[target.name]), from_customers())
    arrivals = data.draw(st.lists(arriving, min_size=5, max_size=20))
    with target.holding(*world.entries):
        compare(target, oracle_of(target, world.entries), arrivals)

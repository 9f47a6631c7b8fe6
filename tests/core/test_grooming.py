"""Grooming: where slices go, fibre by fibre, beside what a search of all servers would say."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from networks import adjacency, domain, fibre, link_name

from controller.core.errors import Infeasible
from controller.core.layers import Layers
from controller.core.model import Container, SliceHop
from controller.core.otn import Claim, Ledger, RowKey
from controller.core.otn.grooming import Groomed, groom, open_servers, room
from controller.core.otn.ledger import slice_claims
from controller.core.topology import Topology
from controller.core.trails import initial_ledger

FINE, FLEX = Container.FGODUFLEX, Container.ODUFLEX
FIBRE = link_name("F-1")
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def line(
    odu: Container = Container.ODU2, slots: int = 8, servers: Iterable[Container] = (), trails: int = 0
) -> Topology:
    """One fibre, with trails of one tributary slot each."""
    links = [replace(fibre("F-1", 1, 2, 60, servers, slots), line=odu)]
    links += [adjacency(f"A-{n}", 1, 2, ["F-1"]) for n in range(trails)]
    return domain((1, 2), links)


def held(topology: Topology, *hops: tuple[str, str]) -> Ledger:
    """A ledger where these (server, slots) of the fibre are taken, each by another."""
    ledger = initial_ledger(topology)
    for number, (server, slots) in enumerate(hops):
        ledger = ledger.change(frozenset(), frozenset(slice_claims(f"other{number}", [SliceHop(FIBRE, server, slots)])))
    return ledger


def one(topology: Topology, ledger: Ledger, count: int, container: Container = FINE, kept: str = "") -> SliceHop:
    standing = [SliceHop(FIBRE, *kept.split(" "))] if kept else []
    (hop,) = groom(topology, ledger, [FIBRE], container, count, standing).hops
    return hop


@pytest.mark.parametrize(
    ("odu", "slots", "trails", "name", "fgts"),
    [
        (Container.ODU2, 8, 0, "odu1:1-2", 238),
        (Container.ODU2, 8, 5, "odu1:6-7", 238),
        (Container.ODU2, 8, 7, "odu0:8", 119),
        (Container.ODU4, 80, 0, "odu2:1-8", 952),
        (Container.ODU4, 80, 70, "odu2:71-78", 952),
        (Container.ODU4, 80, 73, "odu1:74-75", 238),
        (Container.ODU4, 80, 79, "odu0:80", 119),
        (Container.ODUC, 20, 0, "odu2:1-2", 952),
        (Container.ODUC, 20, 19, "odu1:20", 238),
    ],
)
def test_the_largest_server_below_the_line_is_opened(
    odu: Container, slots: int, trails: int, name: str, fgts: int
) -> None:
    topology = line(odu, slots, trails=trails)
    ledger = initial_ledger(topology)
    groomed = groom(topology, ledger, [FIBRE], FINE, 3)
    assert groomed == Groomed((SliceHop(FIBRE, name, "1-3"),), ((FIBRE, name),))
    assert room(topology, ledger, FIBRE, FINE) == fgts
    after = ledger.change(frozenset(), frozenset(slice_claims("a", groomed.hops)))
    assert {(key.direction, row.capacity) for key, row in after.rows.items() if key.server == name} == {
        (0, fgts),
        (1, fgts),
    }


def test_a_full_line_opens_nothing() -> None:
    topology = line(trails=8)
    ledger = initial_ledger(topology)
    assert room(topology, ledger, FIBRE, FINE) == room(topology, ledger, FIBRE, FLEX) == 0
    for container in (FINE, FLEX):
        with pytest.raises(Infeasible, match="F-1") as refusal:
            one(topology, ledger, 1, container)
        assert refusal.value.reason == "NO_CAPACITY"
        assert refusal.value.metadata["links"] == FIBRE


def test_the_fullest_server_with_room_is_taken_before_any_is_opened() -> None:
    topology = line(servers=(Container.ODU0, Container.ODU0, Container.ODU1))
    ledger = held(topology, ("odu0-1", "1-100"), ("odu0-2", "1-60"), ("odu1-3", "1-170"))
    assert one(topology, ledger, 19) == SliceHop(FIBRE, "odu0-1", "101-119")
    assert one(topology, ledger, 20) == SliceHop(FIBRE, "odu0-2", "61-80")
    assert one(topology, ledger, 60) == SliceHop(FIBRE, "odu1-3", "171-230")
    assert one(topology, ledger, 69) == SliceHop(FIBRE, "odu1:5-6", "1-69")
    assert groom(topology, ledger, [FIBRE], FINE, 60).opened == ()


def test_slots_are_those_free_both_ways_and_the_lowest() -> None:
    topology = line(servers=(Container.ODU0,))
    ledger = initial_ledger(topology)
    ways = {Claim("x", RowKey(FIBRE, "odu0-1", 0), 0b00101), Claim("x", RowKey(FIBRE, "odu0-1", 1), 0b10001)}
    ledger = ledger.change(frozenset(), frozenset(ways))
    assert one(topology, ledger, 3).slots == "2,4,6"
    assert room(topology, ledger, FIBRE, FINE) == 238
    assert one(topology, ledger, 116).slots == "2,4,6-119"
    assert one(topology, ledger, 117).server == "odu1:2-3"


def test_a_standing_slice_keeps_its_server_and_its_order() -> None:
    topology = line(servers=(Container.ODU0, Container.ODU0))
    ledger = held(topology, ("odu0-1", "5-7,1"), ("odu0-1", "2"), ("odu0-2", "1-100"))
    own = "odu0-1 5-7,1"
    assert one(topology, ledger, 6, kept=own) == SliceHop(FIBRE, "odu0-1", "5-7,1,3-4")
    assert one(topology, ledger, 2, kept=own) == SliceHop(FIBRE, "odu0-1", "5-6")
    assert one(topology, ledger, 118, kept=own).server == "odu0-1"
    assert one(topology, ledger, 119, kept=own) == SliceHop(FIBRE, "odu1:3-4", "1-119")
    elsewhere = groom(topology, ledger, [FIBRE], FINE, 6, [SliceHop(link_name("F-2"), "odu0-1", "5-7,1")])
    assert elsewhere.hops == (SliceHop(FIBRE, "odu0-2", "101-106"),), "numbers of another fibre are nothing here"


def test_an_oduflex_takes_slots_of_the_line_itself() -> None:
    topology = line(servers=(Container.ODU1,), trails=1)
    ledger = held(topology, ("line", "5"))
    assert room(topology, ledger, FIBRE, FLEX) == 4
    assert one(topology, ledger, 3, FLEX) == SliceHop(FIBRE, "line", "4,6-7")
    assert one(topology, ledger, 3, FLEX, kept="line 5") == SliceHop(FIBRE, "line", "5,4,6")
    with pytest.raises(Infeasible):
        one(topology, ledger, 5, FLEX)
    taken = ledger.change(frozenset(), frozenset(slice_claims("a", [SliceHop(FIBRE, "line", "4,6-7")])))
    assert room(topology, taken, FIBRE, FINE) == 238, "an ODU1 stands"
    assert [each.name for each in open_servers(topology.links[FIBRE], taken)] == ["odu1-1"]


def test_what_is_promised_to_a_booking_is_no_room() -> None:
    topology = line(trails=6, servers=(Container.ODU0, Container.ODU0))
    ledger = initial_ledger(topology)
    claims = {Claim("b", RowKey(FIBRE, "odu0-1", way), slots=100, start=NOON) for way in (0, 1)}
    booked = ledger.change(frozenset(), frozenset(claims))
    assert one(topology, booked, 19) == SliceHop(FIBRE, "odu0-1", "1-19")
    assert one(topology, booked, 20) == SliceHop(FIBRE, "odu0-2", "1-20")
    standing = booked.change(frozenset(), frozenset(slice_claims("a", [SliceHop(FIBRE, "odu0-1", "1-9")])))
    assert one(topology, standing, 19, kept="odu0-1 1-9") == SliceHop(FIBRE, "odu0-1", "1-19")
    assert one(topology, standing, 20, kept="odu0-1 1-9").server == "odu0-2"


def test_slots_of_the_line_may_be_promised_too() -> None:
    topology = line(trails=4)
    claims = {Claim("b", RowKey(FIBRE, "line", way), slots=3, start=NOON) for way in (0, 1)}
    booked = initial_ledger(topology).change(frozenset(), frozenset(claims))
    assert (room(topology, booked, FIBRE, FLEX), room(topology, booked, FIBRE, FINE)) == (1, 119)
    assert one(topology, booked, 1, FLEX).slots == "5"
    assert one(topology, booked, 1).server == "odu0:5"
    with pytest.raises(Infeasible):
        one(topology, booked, 2, FLEX)


def test_every_fibre_of_a_route_has_its_own_servers() -> None:
    links = [fibre("F-1", 1, 2, 60, (Container.ODU0,)), fibre("F-2", 2, 3, 60, ())]
    topology = domain((1, 2, 3), links)
    groomed = groom(topology, initial_ledger(topology), [link_name("F-2"), FIBRE], FINE, 10)
    assert [(hop.link, hop.server) for hop in groomed.hops] == [(link_name("F-2"), "odu1:1-2"), (FIBRE, "odu0-1")]
    assert groomed.opened == ((link_name("F-2"), "odu1:1-2"),)


@settings(max_examples=150, deadline=None)
@given(
    st.integers(2, 8),
    st.lists(st.sampled_from([Container.ODU0, Container.ODU1]), max_size=2),
    st.lists(st.tuples(st.integers(1, 119), st.booleans()), max_size=16),
)
def test_room_is_the_largest_that_is_not_refused_and_nothing_is_opened_in_vain(
    slots: int, servers: list[Container], wishes: list[tuple[int, bool]]
) -> None:
    topology = line(slots=max(slots, sum(1 if each is Container.ODU0 else 2 for each in servers)), servers=servers)
    ledger, standing = initial_ledger(topology), []
    for count, leaves in wishes:
        most = room(topology, ledger, FIBRE, FINE)
        open_now = {each.name: each.free_forward for each in open_servers(topology.links[FIBRE], ledger)}
        try:
            groomed = groom(topology, ledger, [FIBRE], FINE, count)
        except Infeasible:
            assert most < count
            continue
        assert most >= count
        (hop,) = groomed.hops
        fitting = [free for free in open_now.values() if free >= count]
        assert bool(groomed.opened) is not bool(fitting)
        assert not fitting or open_now[hop.server] == min(fitting)
        event(f"opened {bool(groomed.opened)}")
        claims = frozenset(slice_claims(f"c{len(standing)}", groomed.hops))
        ledger = ledger.change(frozenset(), claims)
        if leaves:
            ledger = ledger.change(claims, frozenset())
        standing.append(claims)
        layers = Layers.of(topology, ledger)
        assert int(layers.optical.free[0]) == room(topology, ledger, FIBRE, FINE)

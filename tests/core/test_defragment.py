"""Freeing server ODUs: whatever the network, the moves can be made one by one, and what was promised is empty."""

from __future__ import annotations

from dataclasses import replace

import pytest
from bookkeeping import numbers
from hypothesis import event, given, settings
from hypothesis import strategies as st
from networks import Network, chain, corridor, square

from controller.core.errors import FailedPrecondition, Infeasible, Refused
from controller.core.model import Container, Isolation, Protection, Stage, State, Status
from controller.core.otn import LINE, RowKey
from controller.core.otn.defragment import defragment, is_empty, moved, require_worth
from controller.core.otn.moves import Defragmentation, FreedServer
from controller.core.records import Record
from controller.core.topology import Topology

SERVERS = (Container.ODU0,) * 3
KBPS = {slots: slots * 9_400 for slots in (30, 40, 50, 70)}
"""Customer bandwidth by the slots that it takes."""


def stand(net: Network, short: str, slots: int, a: int = 1, z: int = 2, **fields: object) -> Record:
    fields = {"state": State.UP, "isolation": Isolation.HARD, **fields}
    record = net.stand(corridor(short, a, z, rates=(KBPS[slots],), **fields))  # type: ignore[arg-type]
    assert record.target is not None
    assert record.target.slice is not None
    assert record.target.slice.claimed_slots == slots
    return record


def go(net: Network, short: str) -> None:
    net.take_away(f"tenants/acme/corridors/{short}")


def stand_distinct(net: Network, short: str, slots: int, number: int, a: int = 1, z: int = 2, **f: object) -> Record:
    """Told from others between the same ports by their code point."""
    made = corridor(short, a, z)
    ends = {end: replace(getattr(made, end), dscp=number) for end in ("a_end", "z_end")}
    return stand(net, short, slots, a, z, **ends, **f)


def scattered() -> Network:
    """One fibre of three ODU0: `a` of 40 slots in one, `b` of 40 in another, `c` of 50 in the third."""
    net = Network.of(chain(2, SERVERS))
    for number, (name, slots) in enumerate((("a", 40), ("a2", 50), ("b", 40), ("b2", 50), ("c", 50), ("c2", 50))):
        stand_distinct(net, name, slots, number)
    for name in ("a2", "b2", "c2"):
        go(net, name)
    return net


def held(net: Network) -> dict[tuple[str, str], list[set[int]]]:
    """The slot numbers of every slice in every server, as the records say."""
    found: dict[tuple[str, str], list[set[int]]] = {}
    for record in net.records.values():
        for part in (part for placement in record.placements for part in placement.leg.slices):
            for hop in part.hops:
                assert len(numbers(hop.slots)) == part.claimed_slots
                found.setdefault((hop.link, hop.server), []).append(numbers(hop.slots))
    return found


def consistent(net: Network) -> None:
    """No slot twice, and the ledger holds what the slices say, both ways."""
    slots = held(net)
    for seat, lists in slots.items():
        assert sum(map(len, lists)) == len(set().union(*lists)), seat
    for key, row in net.ledger.rows.items():
        if key.server not in ("", LINE):
            taken = set().union(*slots.get((key.link, key.server), [])) if (key.link, key.server) in slots else set()
            assert {n + 1 for n in range(row.capacity) if row.bitmap >> n & 1} == taken


def carry_out(net: Network, plan: Defragmentation) -> None:
    for move in plan.moves:
        before = net.records[move.corridor]
        net.commit(moved(net.snapshot, move))
        assert net.records[move.corridor].stage is Stage.BUILD
        consistent(net)  # the old slices and the new beside them
        net.settle(move.corridor)
        consistent(net)
        after = net.records[move.corridor]
        assert before.target is not None
        assert after.target is not None
        same = replace(after.target.leg, slices=before.target.leg.slices)
        assert replace(after.target, leg=same) == before.target, "only its slots are others"


def empty(net: Network, server: FreedServer) -> bool:
    return (server.link, server.server) not in held(net)


def test_three_scattered_corridors_share_a_server_afterwards() -> None:
    """40 + 40 + 50 are more than 119: two of them go together, one server is freed by one move."""
    net = scattered()
    assert len(held(net)) == 3
    plan = defragment(net.snapshot, 5)
    assert (len(plan.moves), len(plan.freed), plan.exhaustive) == (1, 1, True)
    assert plan.freed[0].fgts == 119
    carry_out(net, plan)
    assert len(held(net)) == 2
    assert empty(net, plan.freed[0])
    assert defragment(net.snapshot, 5).moves == ()


def test_a_plan_touches_nothing_and_is_the_same_again() -> None:
    net = scattered()
    snapshot = net.snapshot
    assert defragment(snapshot, 5) == defragment(net.snapshot, 5)
    assert (net.ledger, net.ids, net.records) == (snapshot.ledger, snapshot.ids, dict(snapshot.records))


def test_what_cannot_move_keeps_its_server() -> None:
    net = scattered()
    down = {name: replace(r, corridor=replace(r.corridor, state=State.DOWN)) for name, r in net.records.items()}
    assert defragment(replace(net.snapshot, records=down), 5).moves == ()
    net.link("F-1-2", Status.DOWN)
    assert defragment(net.snapshot, 5).moves == ()
    net.link("F-1-2", Status.UP)
    for name in ("a", "b"):  # a change under way
        net.ask(replace(net.records[f"tenants/acme/corridors/{name}"].corridor, display_name="new"))
    for move in defragment(net.snapshot, 5).moves:
        assert move.corridor.endswith("/c")


def test_a_move_is_checked_again_on_the_network_as_it_is() -> None:
    net = scattered()
    plan = defragment(net.snapshot, 5)
    (move,), (change,) = plan.moves, plan.moves[0].changes
    other = net.snapshot
    full = dict(net.ledger.rows)
    for way in (0, 1):
        key = RowKey(change.link, change.to_server, way)
        full[key] = full[key]._replace(bitmap=(1 << 119) - 1)
    with pytest.raises(Infeasible, match="no room"):
        moved(replace(other, ledger=type(net.ledger)(full), kept=None), move)
    stand_distinct(net, "late", 30, 40)
    (late,) = [hop for part in net.records["tenants/acme/corridors/late"].target.leg.slices for hop in part.hops]  # type: ignore[union-attr]
    came_back = replace(plan, freed=(replace(plan.freed[0], server=late.server),))
    with pytest.raises(FailedPrecondition, match="in use again"):
        require_worth(net.snapshot, came_back, 0)
    require_worth(net.snapshot, came_back, 1)
    go(net, move.corridor.rpartition("/")[2])
    with pytest.raises(FailedPrecondition):
        moved(net.snapshot, move)


@st.composite
def fragmented(draw: st.DrawFn) -> Network:
    """Corridors over a chain or a ring that fill servers, and then most of them leave."""
    topology: Topology = draw(st.sampled_from([chain(2, SERVERS), chain(3, SERVERS), square(SERVERS[:2])]))
    net, sites, names = Network.of(topology), len(topology.routers), []
    protected = draw(st.booleans())
    for number in range(draw(st.integers(5, 10))):
        a, z = draw(st.permutations(range(1, sites + 1)))[:2]
        protection = Protection.PROTECT if protected and number % 2 else Protection.RESTORE
        try:
            stand_distinct(net, f"c{number}", draw(st.sampled_from(sorted(KBPS))), number, a, z, protection=protection)
        except Refused:
            continue
        names.append(f"c{number}")
    for name in names:
        if draw(st.integers(0, 2)):
            go(net, name)
    return net


@settings(max_examples=200, deadline=None)
@given(fragmented(), st.integers(1, 6))
def test_moves_can_be_made_and_free_what_they_promise(net: Network, max_moves: int) -> None:
    before = held(net)
    plan = defragment(net.snapshot, max_moves)
    event(f"{len(plan.freed)} freed by {len(plan.moves)}")
    assert len(plan.moves) <= max_moves
    assert len({move.corridor for move in plan.moves}) == len(plan.moves)
    assert [each.after_moves for each in plan.freed] == sorted(each.after_moves for each in plan.freed)
    carry_out(net, plan)
    for server in plan.freed:
        assert (server.link, server.server) in before
        assert empty(net, server)
        assert is_empty(net.ledger, server)
    assert held(net).keys() <= before.keys(), "no other server was opened"
    assert len(defragment(net.snapshot, max_moves).freed) <= len(plan.freed)


@settings(max_examples=40, deadline=None)
@given(fragmented())
def test_every_prefix_of_the_moves_frees_what_it_says(net: Network) -> None:
    plan = defragment(net.snapshot, 6)
    for number, move in enumerate(plan.moves, 1):
        carry_out(net, replace(plan, moves=(move,)))
        assert all(empty(net, server) for server in plan.freed if server.after_moves <= number)

"""A slice that branches off to another route keeps its id, its slots on what both share, and every packet."""

from __future__ import annotations

from dataclasses import replace

import pytest
from bookkeeping import numbers, slice_of, slots
from hypothesis import event, given, settings
from hypothesis import strategies as st
from journeys import Tables, consistent, flows, port_of, stages, world
from networks import Network, corridor, domain, fibre, link_name, square

from controller.core.diff import changes
from controller.core.entries import CrossConnect, Operation
from controller.core.errors import Infeasible, Refused
from controller.core.model import Container, PathConstraints, Profile, Protection, Slice, Stage, Status
from controller.core.names import short
from controller.core.placement.branching import shared_ends
from controller.core.records import Record

FINE = (Container.ODU0,)


def fibres(part: Slice) -> list[str]:
    return [short(hop.link) for hop in part.hops]


def ladder() -> Network:
    """1 - 2 - 3 - 4 in a row, and a way round 2 - 3 by 5; another from 1 to 4 far off."""
    links = [
        fibre("F-12", 1, 2, 10, FINE),
        fibre("F-23", 3, 2, 10, FINE),
        fibre("F-34", 3, 4, 10, FINE),
        fibre("F-25", 2, 5, 20, FINE),
        fibre("F-53", 3, 5, 20, FINE),
        fibre("F-16", 6, 1, 500, FINE),
        fibre("F-64", 6, 4, 500, FINE),
    ]
    return Network.of(domain(range(1, 7), [replace(link, line_slots=1) for link in links]))


def test_routes_part_once_and_meet_once_or_are_no_branch() -> None:
    for old, new, ends in (
        ("abc", "axc", (1, 1)),
        ("abc", "abx", (2, 0)),
        ("abc", "xyc", (0, 1)),
        ("abcd", "axcy", None),  # c is between
        ("abc", "xyz", None),
        ("abc", "abc", (3, 0)),
        ("abcde", "axbye", None),
    ):
        assert shared_ends(old, new) == ends


def test_a_cut_in_the_middle_is_branched_around_in_full_fibres() -> None:
    """More than half of each server: old and new slots could not stand side by side on what both routes share."""
    net = ladder()
    standing = net.stand(corridor(a=1, z=4, rates=(700_000,)))
    assert fibres(slice_of(standing)) == ["F-12", "F-23", "F-34"]
    net.link("F-23", Status.DOWN)
    moved = net.ask(standing.corridor)
    old, new = slice_of(standing), slice_of(moved)
    assert fibres(new) == ["F-12", "F-25", "F-53", "F-34"]
    assert new.id == old.id
    assert (new.hops[0], new.hops[-1]) == (old.hops[0], old.hops[-1])


def test_another_size_is_another_slice() -> None:
    """No handshake runs while a slice has three line ports at a node."""
    net = ladder()
    standing = net.stand(corridor(a=1, z=4, rates=(500_000,)))
    net.link("F-23", Status.DOWN)
    moved = net.stand(replace(standing.corridor, profiles=(Profile("p0", 510_000),)))
    assert slice_of(moved).id != slice_of(standing).id
    assert not {hop.slots for hop in slice_of(moved).hops} & {hop.slots for hop in slice_of(standing).hops}


@pytest.mark.parametrize("fine", [True, False])
def test_an_oduflex_branches_only_to_lines_of_its_own_unit(fine: bool) -> None:
    """2.4 Gbit/s need 3 slots beside an ODU2 (1.244 Gbit/s) and 2 of an ODU4 (1.296); fine-grain ones are all alike."""
    large = [replace(fibre(f"F-{a}{z}", a, z, 10, (), 80), line=Container.ODU4) for a, z in ((1, 2), (2, 4), (4, 3))]
    net = Network.of(domain(range(1, 5), [*large, fibre("F-23", 2, 3, 10, ())]))
    standing = net.stand(corridor(a=1, z=3, rates=(100_000 if fine else 2_400_000,)))
    assert fibres(slice_of(standing)) == ["F-12", "F-23"]
    assert (slice_of(standing).container is Container.FGODUFLEX) is fine
    net.link("F-23", Status.DOWN)
    moved = net.ask(standing.corridor)
    assert fibres(slice_of(moved)) == ["F-12", "F-24", "F-43"]
    counts = [slice_of(record).claimed_slots for record in (standing, moved)]
    assert counts == ([slots(100_000)] * 2 if fine else [3, 2])
    assert (slice_of(moved).id == slice_of(standing).id) is fine


def test_where_old_and_new_cannot_both_stand_the_fibre_is_named_and_why() -> None:
    """Another size, and all ways out share a fibre that has no room for both."""
    net = ladder()
    net.link("F-64", Status.DOWN)
    standing = net.stand(corridor(a=1, z=4, rates=(700_000,)))
    net.link("F-23", Status.DOWN)
    with pytest.raises(Infeasible) as refusal:
        net.ask(replace(standing.corridor, profiles=(Profile("p0", 710_000),)))
    assert refusal.value.reason == "NO_CAPACITY"
    assert set(refusal.value.metadata["links"].split(",")) == {link_name("F-12"), link_name("F-34")}
    assert "old and new slice must both stand" in str(refusal.value)


def test_a_wish_to_leave_a_fibre_is_a_branch_too() -> None:
    net = ladder()
    standing = net.stand(corridor(a=1, z=4, rates=(700_000,)))
    away = replace(standing.corridor, path_constraints=PathConstraints(exclude_links=(link_name("F-34"),)))
    assert slice_of(net.stand(away)).id != slice_of(standing).id, "nothing is shared with the far way"
    back = net.stand(replace(standing.corridor, path_constraints=PathConstraints()))
    assert fibres(slice_of(back)) == ["F-16", "F-64"], "kept: no exclusion is no reason to move"


@st.composite
def meshes(draw: st.DrawFn) -> Network:
    """A row of sites with chords: many ways to go round a fibre."""
    sites = draw(st.integers(4, 6))
    pair = st.lists(st.integers(1, sites), min_size=2, max_size=2, unique=True).map(tuple)
    edges = [(n, n + 1) for n in range(1, sites)] + draw(st.lists(pair, min_size=3, max_size=7))
    made = [
        fibre(f"F-{i}", *draw(st.permutations(edge)), draw(st.integers(1, 60)), FINE) for i, edge in enumerate(edges)
    ]
    return Network.of(domain(range(1, sites + 1), made))


def writes_of(before: Tables, after: Tables) -> dict[str, list[tuple[Operation, object]]]:
    """Per device the writes of a stage, in the order of `diff`."""
    found = {}
    for name in before:
        held, wanted = ({e.key: e for e in tables[name]} for tables in (before, after))
        found[name] = [(change.operation, change.entry) for change in changes(held, wanted)]
    return {name: writes for name, writes in found.items() if writes}


def interleaved(data: st.DataObject, before: Tables, after: Tables) -> list[Tables]:
    """The tables after each write, the devices' writes shuffled together in any way."""
    queues = writes_of(before, after)
    order = data.draw(st.permutations([name for name, writes in queues.items() for _ in writes]))
    held = {name: {e.key: e for e in entries} for name, entries in before.items()}
    seen = []
    for name in order:
        operation, entry = queues[name].pop(0)
        held[name].pop(entry.key, None)  # type: ignore[attr-defined]
        if operation is not Operation.DELETE:
            held[name][entry.key] = entry  # type: ignore[attr-defined,assignment]
        seen.append({device: tuple(entries.values()) for device, entries in held.items()})
    return seen


def carried_all_along(data: st.DataObject, net: Network, record: Record, before: Tables) -> None:
    """Each stage, by any interleaving of its writes: every packet arrives, on the old route or the new one."""
    assert record.target is not None
    kept = list(flows(net, record.target))
    name = record.name
    while True:
        after = net.tables()
        for tables in interleaved(data, before, after):
            consistent(tables)
            here = world(net, tables)
            for flow in kept:
                journey = here.send(flow.source.node, port_of(net, flow.source), flow.packet)
                assert journey.delivered == (flow.sink.node, port_of(net, flow.sink), record.target.vrf)
        before = after
        if net.records[name].stage is Stage.SETTLED:
            return
        net.step(name)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_branch_loses_no_packet_in_any_order_of_writes(data: st.DataObject) -> None:
    net = data.draw(meshes())
    sites = len(net.topology.routers)
    a, z = data.draw(st.permutations(range(1, sites + 1)))[:2]
    try:
        standing = net.stand(corridor(a=a, z=z, rates=(data.draw(st.sampled_from([20_000, 700_000])),)))
        before = net.tables()
        net.link(data.draw(st.sampled_from(fibres(slice_of(standing)))), Status.DOWN)
        moved = net.ask(standing.corridor)
    except Refused as refusal:
        event(refusal.reason)
        return
    same = slice_of(moved).id == slice_of(standing).id
    event("branch" if same else "new slice")
    carried_all_along(data, net, standing, before)
    held = {(hop.link, hop.server): hop.slots for hop in slice_of(standing).hops}
    if same:
        assert all(held.get((hop.link, hop.server), hop.slots) == hop.slots for hop in slice_of(moved).hops)
    left = {hop.link for hop in slice_of(net.records[moved.name]).hops}
    for name, row in net.ledger.rows.items():
        assert not row.bitmap or name.server in ("", "line") or name.link in left, "nothing of the old branch stays"


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_protection_comes_changes_and_goes_without_a_packet_lost_in_any_order_of_writes(data: st.DataObject) -> None:
    net = Network.of(square())
    wanted = corridor(a=1, z=3)
    steps = data.draw(st.lists(st.sampled_from(["protect", "restore", "F-13", "F-23", "F-41"]), min_size=2, max_size=5))
    net.stand(wanted)
    for step in ["protect", *steps]:
        record, before = net.records[wanted.name], net.tables()
        asked = record.corridor
        if step.startswith("F-"):
            down = net.topology.links[link_name(step)].status is Status.DOWN
            net.link(step, Status.UP if down else Status.DOWN)
        else:
            asked = replace(asked, protection=Protection.PROTECT if step == "protect" else Protection.RESTORE)
        try:
            net.ask(asked)
        except Infeasible as refusal:
            event(refusal.reason)
            continue
        target = net.records[wanted.name].target
        event(f"{len(target.leg.slices) if target else 0} slices after {step}")
        carried_all_along(data, net, record, before)


def test_the_branch_stands_before_the_turn_and_the_old_one_until_after_it() -> None:
    net = ladder()
    standing = net.stand(corridor(a=1, z=4, rates=(700_000,)))
    net.link("F-23", Status.DOWN)
    moved = net.ask(standing.corridor)
    number = slice_of(moved).id

    def routes() -> list[int]:
        """Cross-connects of the slice at 2, where the routes part, and at 5."""
        tables = net.tables()
        names = [next(n for n in tables if n.endswith(f"/o{site}")) for site in (2, 5)]
        return [sum(isinstance(e, CrossConnect) and e.slice_id == number for e in tables[name]) for name in names]

    counts = []
    for tables in stages(net, moved.name):
        consistent(tables)
        counts.append(routes())
    assert counts == [[3, 2], [3, 2], [2, 2], [2, 2]]
    assert all(len(numbers(hop.slots)) == 74 for hop in slice_of(moved).hops)

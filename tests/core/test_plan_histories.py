"""Nothing leaks: after any history the ledger is what trails and records add up to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import pytest
from bookkeeping import numbers, slice_of, taken
from hypothesis import event, given, settings
from hypothesis import strategies as st
from networks import (
    Network,
    adjacency,
    corridor,
    corridors_on,
    domain,
    domains,
    fibre,
    link_name,
    seeing_far,
    square,
)

from controller.core.errors import Refused
from controller.core.layers import Layers
from controller.core.model import (
    Container,
    Corridor,
    Isolation,
    LinkKind,
    Protection,
    Stage,
    Status,
)
from controller.core.otn import RowKey
from controller.core.plan import plan
from controller.core.records import Placement, Record


@pytest.mark.parametrize("isolation", Isolation)
def test_removal_restores_ledger_and_ids_once_settled(isolation: Isolation) -> None:
    net = Network.of(square())
    net.stand(corridor("shared", isolation=Isolation.SOFT, a=1, z=3, tenant="globex"))
    net.stand(corridor("first", isolation=isolation))
    net.take_away("tenants/acme/corridors/first")
    books, ids = taken(net.ledger), dict(net.ids.assigned)
    net.wait(61)
    record = net.stand(corridor(isolation=isolation))
    assert taken(net.ledger) != books
    net.remove(record.name)
    for _ in (Stage.BUILD, Stage.STEER, Stage.CLEAN):
        assert taken(net.ledger) != books, "held until every device has let go"
        net.step(record.name)
    assert record.name not in net.records
    assert (taken(net.ledger), dict(net.ids.assigned)) == (books, ids)


def test_freed_ids_rest_and_come_back() -> None:
    net = Network.of(square())
    first = slice_of(net.stand(corridor())).id
    net.take_away("tenants/acme/corridors/c1")
    assert slice_of(net.stand(corridor())).id != first
    net.take_away("tenants/acme/corridors/c1")
    net.wait(60)
    assert slice_of(net.stand(corridor())).id == first


def test_a_roll_back_gives_back_what_only_the_new_state_held_once_devices_let_go() -> None:
    net = Network.of(square())
    standing = net.stand(corridor())
    books, assigned = taken(net.ledger), dict(net.ids.assigned)
    net.link("F-13", Status.DOWN)
    net.ask(standing.corridor)
    moving = taken(net.ledger)
    assert moving != books
    net.roll_back(standing.name)
    assert taken(net.ledger) == moving, "its devices may still hold what was built of it"
    net.settle(standing.name)
    assert (taken(net.ledger), dict(net.ids.assigned)) == (books, assigned)
    assert net.records[standing.name].target == standing.target


def test_ids_never_change_under_a_standing_corridor() -> None:
    net = Network.of(square())
    net.stand(corridor())
    before = dict(net.ids.assigned)
    net.stand(corridor("c2", 2, 4, Isolation.SOFT))
    net.stand(corridor("c3", 2, 4, tenant="globex"))
    net.take_away("tenants/acme/corridors/c2")
    assert before.items() <= dict(net.ids.assigned).items()


def test_a_plan_is_a_function_of_what_it_sees() -> None:
    net = Network.of(square())
    wanted = corridor()
    first, second = plan(net.snapshot, wanted), plan(net.snapshot, wanted)
    assert first == second
    assert net.snapshot.records == {}


def expected_books(net: Network) -> dict[RowKey, tuple[int, int]]:
    """The ledger that trails and records add up to, written from the ledger's definition."""
    books = dict.fromkeys(net.ledger.rows, (0, 0))

    def put(key: RowKey, bitmap: int, kbps: int) -> None:
        books[key] = books[key][0] | bitmap, books[key][1] + kbps

    for link in net.topology.of_kind(LinkKind.FIBRE):
        lines = sum(server.tributary_slots for server in link.servers)
        sizes = {Container.ODU0: 1, Container.ODU1: 2, Container.ODU2: 8}
        lines += sum(sizes[t.container] for t in net.topology.of_kind(LinkKind.ADJACENCY) if link.name in t.trail)
        for way in (0, 1):
            put(RowKey(link.name, "line", way), (1 << lines) - 1, 0)
    for record in net.records.values():
        soft: dict[RowKey, int] = {}
        held = (record.target,) if record.stage is Stage.SETTLED else both(record)
        for placement in (p for p in held if p):
            for key, slots in taken_slots(placement):
                put(key, sum(1 << (number - 1) for number in numbers(slots)), 0)
            for key, kbps in soft_rates(net, placement):
                soft[key] = max(soft.get(key, 0), kbps)
        for key, kbps in soft.items():
            put(key, 0, kbps)
    return books


def taken_slots(placement: Placement) -> Iterator[tuple[RowKey, str]]:
    """Its own, and those of the line below servers that were opened, as their names tell."""
    for hop in (hop for part in placement.leg.slices for hop in part.hops):
        for way in (0, 1):
            yield RowKey(hop.link, hop.server, way), hop.slots
            if ":" in hop.server:
                yield RowKey(hop.link, "line", way), hop.server.split(":")[1]


def soft_rates(net: Network, placement: Placement) -> Iterator[tuple[RowKey, int]]:
    """What a placement holds of each adjacency, by the direction in which it passes it: the backup as much."""
    leg = placement.leg
    yield from soft_rates_over(net, placement, leg.links if not leg.slices else ())
    if leg.backup is not None:
        yield from soft_rates_over(net, placement, leg.backup.links)


def soft_rates_over(net: Network, placement: Placement, links: Iterable[str]) -> Iterator[tuple[RowKey, int]]:
    here = placement.a_end.node
    for name in links:
        link = net.topology.links[name]
        way = int(link.a_node != here)
        here = link.z_node if link.a_node == here else link.a_node
        yield RowKey(name, "", way), placement.claimed_forward_kbps
        yield RowKey(name, "", 1 - way), placement.claimed_reverse_kbps


def both(record: Record) -> tuple[Placement | None, Placement | None]:
    return record.current, record.target


def layers_in_step(net: Network) -> None:
    """What was kept in step is what would be built from nothing."""
    built = Layers.of(net.topology, net.ledger)
    for mine, fresh in zip(vars(net.snapshot.layers).values(), vars(built).values(), strict=True):
        assert (mine.shape.links, mine.room.tolist(), mine.free.tolist()) == (
            fresh.shape.links,
            fresh.room.tolist(),
            fresh.free.tolist(),
        )


def nobody_shares(net: Network) -> None:
    """No slot has two owners, except old and new of one corridor's own slice; no adjacency is overbooked."""
    owners: dict[tuple[str, str, int], tuple[str, int]] = {}
    for record in net.records.values():
        for placement in record.placements:
            for part in placement.leg.slices:
                for hop in part.hops:
                    for n in numbers(hop.slots):
                        owner = record.name, part.id
                        assert owners.setdefault((hop.link, hop.server, n), owner) == owner
    for row in net.ledger.rows.values():
        assert row.kbps <= row.capacity
        assert row.bitmap >> row.capacity == 0 or row.kbps


def slices_belong_together(net: Network) -> None:
    """Both slices of a protected corridor are alike and apart; one that stays keeps what it has on what both share."""
    for record in net.records.values():
        working = {p.protection.id: p.slice.id for p in record.placements if p.protection and p.slice}
        pairs = {(p.slice.id, p.protection.id) for p in record.placements if p.protection and p.slice}
        assert len(working) == len({protection for _, protection in pairs}), "no slice protects two"
        for placement in record.placements:
            sizes = {(p.container, p.claimed_slots, p.active_slots) for p in placement.leg.slices}
            used = [hop.link for part in placement.leg.slices for hop in part.hops]
            assert len(sizes) <= 1
            assert len(used) == len(set(used))
            assert all(len(numbers(hop.slots)) == p.claimed_slots for p in placement.leg.slices for hop in p.hops)
        old, new = both(record)
        for before in old.leg.slices if old else ():
            for after in (part for part in (new.leg.slices if new else ()) if part.id == before.id):
                standing = {hop.link: hop for hop in before.hops}
                for hop in (hop for hop in after.hops if hop.link in standing):
                    one, other = numbers(hop.slots), numbers(standing[hop.link].slots)
                    assert hop.server == standing[hop.link].server
                    assert one <= other or other <= one


def wish(data: st.DataObject, net: Network, short: str) -> Corridor:
    """A corridor, larger than one server now and then, and protected now and then."""
    made = data.draw(corridors_on(net.topology, short))
    if made.isolation is Isolation.SOFT:
        return replace(made, protection=data.draw(st.sampled_from(Protection)))
    scale = data.draw(st.sampled_from([1, 1, 1, 3]))
    profiles = tuple(replace(p, bandwidth_kbps=scale * p.bandwidth_kbps) for p in made.profiles)
    return replace(made, profiles=profiles, protection=data.draw(st.sampled_from(Protection)))


def changed(data: st.DataObject, net: Network, standing: Corridor) -> Corridor:
    """Another wish in all that may change, or only in its protection."""
    other = wish(data, net, "x")
    if data.draw(st.booleans()):
        return replace(standing, protection=data.draw(st.sampled_from(Protection)))
    fields = ("profiles", "active_profile", "isolation", "reservation", "protection")
    return replace(standing, **{field: getattr(other, field) for field in fields})


def choices(net: Network) -> dict[str, list[str]]:
    """What may happen next, and to which corridors or fibres."""
    busy = sorted(n for n, r in net.records.items() if r.stage is not Stage.SETTLED)
    calm = sorted(net.records.keys() - set(busy))
    fresh = [n for n in busy if net.records[n].stage is Stage.BUILD and None not in both(net.records[n])]
    fibres = [link.name for link in net.topology.of_kind(LinkKind.FIBRE)]
    lists = {"step": busy, "settle": busy, "change": calm, "remove": calm, "roll back": fresh, "flip": fibres}
    return {"new": [""], **{kind: names for kind, names in lists.items() if names}}


def happens(data: st.DataObject, net: Network, kind: str, name: str, number: int) -> None:
    match kind:
        case "new":
            net.ask(wish(data, net, f"c{number}"))
        case "change":
            net.ask(changed(data, net, net.records[name].corridor))
        case "flip":
            net.link(name.rsplit("/", 1)[1], data.draw(st.sampled_from([Status.UP, Status.DOWN])))
        case _:
            getattr(net, kind.replace(" ", "_"))(name)


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_any_history_of_wishes_stages_cuts_and_removals(data: st.DataObject) -> None:
    topology = data.draw(st.one_of(domains(), st.just(square()), st.just(square((Container.ODU0,)))))
    net = Network.of(seeing_far(topology) if data.draw(st.booleans()) else topology)
    for number in range(data.draw(st.integers(1, 18))):
        may = choices(net)
        kind = data.draw(st.sampled_from([each for each in ("new", "new", "step", *may) if each in may]))
        name = data.draw(st.sampled_from(may[kind]))
        before, rows = net.snapshot, taken(net.ledger)
        try:
            happens(data, net, kind, name, number)
            event(kind)
            event(f"protected: {any(len(p.leg.slices) > 1 for r in net.records.values() for p in r.placements)}")
            event(f"backed up: {any(bool(p.leg.backup) for r in net.records.values() for p in r.placements)}")
        except Refused as refusal:
            event(f"{kind} refused: {refusal.reason}")
            assert net.snapshot == before
            assert taken(net.ledger) == rows
        assert taken(net.ledger) == expected_books(net)
        layers_in_step(net)
        nobody_shares(net)
        slices_belong_together(net)
        net.wait(data.draw(st.sampled_from([0, 30, 61])))
    for name in sorted(net.records):
        net.settle(name)
        if name in net.records:
            net.take_away(name)
    fresh = Network.of(net.topology)
    assert taken(net.ledger) == taken(fresh.ledger)
    left = set(net.ids.assigned) - set(fresh.ids.assigned)
    assert not [
        key for key in left if key.kind in ("slice", "policy", "corridor", "session") or key.owner.startswith("slice:")
    ]


def test_parallel_adjacencies_are_told_apart() -> None:
    links = [
        fibre("F-1", 1, 2, 10),
        fibre("F-2", 1, 2, 30),
        adjacency("A-1", 1, 2, ["F-1"], 50),
        adjacency("A-2", 2, 1, ["F-2"], 70),
    ]
    net = Network.of(domain((1, 2), links))
    for number, road in enumerate(("A-1", "A-2")):
        record = net.stand(corridor(f"c{number}", 1, 2, Isolation.SOFT, (700_000,), ("acme", "globex")[number]))
        assert record.target is not None
        assert record.target.leg.links == (link_name(road),)

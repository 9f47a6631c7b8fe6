"""What is said to lose nothing loses no packet, write by write; what is said to lose something does lose it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_network

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from journeys import Tables, all_arrive, consistent, in_band, port_of, rates, sizes_after, world, writes
from networks import Network, corridor, domain, end_point, fibre, link_name, square
from packet_walk import Lost, Packet, World

from controller.core.conditions import ConditionType, with_condition
from controller.core.errors import FailedPrecondition, Infeasible, Refused
from controller.core.hitless import Loss, Occasion, interruption, plan_anew, require_consent, with_move
from controller.core.model import (
    Container,
    Corridor,
    EndPoint,
    Isolation,
    PathConstraints,
    Profile,
    Protection,
    Reservation,
    Stage,
    State,
    Status,
)
from controller.core.otn import Ledger
from controller.core.plan import Plan, advance, interrupting, plan
from controller.core.promises import Reordering
from controller.core.records import Placement, claims_of
from controller.core.stages import next_record

FOUR = {1: "10.9.1.0/24", 3: "10.9.3.0/24"}
MARKS = (13, 26, 46)
Sent = tuple[EndPoint, EndPoint, Packet]


def sent_over(placement: Placement) -> Iterator[Sent]:
    """Packets that a placement promises to carry: from both halves of each prefix, small and as large as may be."""
    ends = placement.a_end, placement.z_end
    for source, sink in (ends, ends[::-1]):
        families = (source.ipv4_prefixes, sink.ipv4_prefixes), (source.ipv6_prefixes, sink.ipv6_prefixes)
        pairs = ((a, z) for mine, theirs in families for a in mine for z in theirs)
        for a, z in (
            (here, there) for one, other in pairs for here, there in zip(hosts(one), hosts(other), strict=True)
        ):
            for mark in MARKS if source.dscp is None else (source.dscp,):
                yield source, sink, Packet(a, z, mark, 100)
            yield source, sink, Packet(a, z, MARKS[0] if source.dscp is None else source.dscp, placement.mtu_bytes)


def hosts(prefix: str) -> tuple[str, str]:
    network = ip_network(prefix)
    return str(network[7]), str(network[-8])


def delivered(net: Network, here: World, sent: Sent, vrf: int) -> bool:
    source, sink, packet = sent
    try:
        journey = here.send(source.node, port_of(net, source), packet)
    except Lost:
        return False
    return journey.delivered == (sink.node, port_of(net, sink), vrf)


def walked(net: Network, name: str) -> Iterator[Tables]:
    """The stages of a change, as the controller takes them, and what line cards resize between them."""
    while name in net.records and (record := net.records[name]).stage is not Stage.SETTLED:
        tables = net.tables()
        yield tables
        resized = in_band(tables, sizes_after(record))
        if rates(resized) != rates(tables):
            yield resized
        net.commit(advance(net.snapshot, record, next_record(net.topology, record, net.now)))
    yield net.tables()


ROADS = ("F-12", "F-13", "F-34", "A-12", "A-14")


@st.composite
def changes_of(draw: st.DrawFn, standing: Corridor) -> Corridor:
    """Of some fields; the ends now and then."""

    def end(site: int, before: EndPoint) -> EndPoint:
        split = "10.9.1.0/25", "10.9.1.128/25"
        kinds: dict[str, tuple[str, ...]] = {"whole": (FOUR[site],), "more": (FOUR[site], f"10.7.{site}.0/24")}
        if site == 1:
            kinds |= {"halves": split, "half": split[:1], "wide": ("10.9.0.0/23",)}
        made = replace(before, ipv4_prefixes=kinds[draw(st.sampled_from(sorted(kinds)))])
        made = replace(made, dscp=draw(st.sampled_from([before.dscp, before.dscp, None, 26, 46])))
        return replace(made, port=draw(st.sampled_from([before.port, before.port, "acme", "acme-b"])))

    hard = standing.isolation is Isolation.HARD
    fields = {
        "a_end": end(1, standing.a_end),
        "z_end": end(3, standing.z_end),
        "mtu_bytes": draw(st.sampled_from([1300, 1500, 2000])),
        "reference_packet_bytes": draw(st.sampled_from([200, 1300])),
        "reservation": draw(st.sampled_from(Reservation)),
        "profiles": tuple(replace(p, bandwidth_kbps=draw(st.integers(1, 400_000))) for p in standing.profiles),
        "active_profile": draw(st.sampled_from([p.name for p in standing.profiles])),
        "path_constraints": PathConstraints(exclude_links=(link_name(draw(st.sampled_from(ROADS))),)),
        "protection": draw(st.sampled_from([Protection.RESTORE, Protection.PROTECT])) if hard else Protection.RESTORE,
    }
    named = draw(st.sets(st.sampled_from(sorted(fields)), min_size=1, max_size=4))
    return replace(standing, **{name: fields[name] for name in named})  # type: ignore[arg-type]


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_what_is_called_hitless_loses_no_packet_and_what_is_not_does(data: st.DataObject) -> None:
    net = Network.of(square())
    wanted = corridor(isolation=data.draw(st.sampled_from(Isolation)), rates=(20_000, 100_000))
    try:
        standing = net.stand(data.draw(changes_of(wanted)))
        change = plan(net.snapshot, data.draw(changes_of(standing.corridor)))
    except Refused:
        return
    old, found = standing.target, interruption(net.topology, change)
    assert old is not None
    event(str(found and found.loss))
    kept, before = list(sent_over(old)), net.tables()
    order = data.draw(st.permutations(sorted(before)))
    before = {name: before[name] for name in order}
    net.commit(change)
    lost = set()
    for tables in walked(net, standing.name):
        consistent(tables)
        for mixed in writes(before, tables):
            here = world(net, mixed)
            lost |= {each[2] for each in kept if not delivered(net, here, each, old.vrf)}
        before = {name: tables[name] for name in order}
    new = change.record.target
    assert new is not None
    assert all(delivered(net, world(net), each, new.vrf) for each in sent_over(new))
    assert bool(lost) is (found is not None)


def narrower(standing: Corridor) -> dict[Loss, Corridor]:
    a = standing.a_end
    return {
        Loss.ENDS: replace(standing, a_end=end_point(2, "acme")),
        Loss.PREFIXES: replace(standing, a_end=replace(a, ipv4_prefixes=("10.9.1.0/25",))),
        Loss.DSCP: replace(standing, a_end=replace(a, dscp=46)),
        Loss.MTU: replace(standing, mtu_bytes=1400),
    }


@pytest.mark.parametrize("loss", [Loss.ENDS, Loss.PREFIXES, Loss.DSCP, Loss.MTU])
def test_what_loses_packets_needs_consent(loss: Loss) -> None:
    net = Network.of(square())
    standing = net.stand(corridor()).corridor
    asked = narrower(standing)[loss]
    with pytest.raises(FailedPrecondition) as refusal:
        require_consent(net.topology, plan(net.snapshot, asked), Occasion.OWNER)
    assert (refusal.value.reason, refusal.value.metadata["loss"]) == ("NEEDS_INTERRUPTION", loss.value)
    agreed = plan(net.snapshot, replace(asked, allow_interruption=True))
    require_consent(net.topology, agreed, Occasion.OWNER)
    require_consent(net.topology, plan(net.snapshot, asked), Occasion.RESTORED)


def test_a_dead_path_has_nothing_to_lose() -> None:
    net = Network.of(square())
    standing = net.stand(corridor())
    assert standing.target is not None
    net.link(standing.target.leg.links[0].rsplit("/", 1)[1], Status.DOWN)
    change = plan(net.snapshot, replace(standing.corridor, mtu_bytes=1400))
    require_consent(net.topology, change, Occasion.OWNER)
    move = told(net, change, Occasion.RESTORED).last_move
    assert move is not None
    assert (move.hitless, move.reason, move.overtaken_packets) == (False, "RESTORED", 0)


def told(net: Network, change: Plan, occasion: Occasion = Occasion.OWNER) -> Corridor:
    return with_move(net.topology, change, occasion, net.now).record.corridor


# -- the order of packets ---------------------------------------------------------------------------------------------


def two_roads() -> Network:
    """1 - 3 by a short fibre, or by a long one: 900 µs more."""
    return Network.of(domain((1, 3), [fibre("F-short", 1, 3, 100), fibre("F-long", 3, 1, 1000)]))


def on(road: str, standing: Corridor) -> Corridor:
    other = {"short": "F-long", "long": "F-short"}[road]
    return replace(standing, path_constraints=PathConstraints(exclude_links=(link_name(other),)))


def test_a_faster_path_lets_no_more_overtake_than_the_slower_holds() -> None:
    """900 µs of 100 Mbit/s are 90 000 bits: 8.04 packets of 1400 bytes."""
    net = two_roads()
    standing = net.stand(on("long", corridor(rates=(100_000,))))
    move = told(net, plan(net.snapshot, on("short", standing.corridor))).last_move
    assert move is not None
    assert (move.hitless, move.reason, move.faster_us, move.overtaken_packets) == (True, "OWNER", 900, 9)
    there = net.stand(on("short", standing.corridor))
    back = told(net, plan(net.snapshot, on("long", there.corridor))).last_move
    assert back is not None
    assert (back.faster_us, back.overtaken_packets) == (0, 0)


@pytest.mark.parametrize("road", ["short", "long"])
def test_where_order_is_guarded_only_a_faster_path_needs_consent(road: str) -> None:
    net = two_roads()
    first = {"short": "long", "long": "short"}[road]
    standing = net.stand(replace(on(first, corridor()), reordering=Reordering.FORBID)).corridor
    change = plan(net.snapshot, on(road, standing))
    found = interruption(net.topology, change)
    assert (found and found.loss) is (Loss.REORDERING if road == "short" else None)
    assert (
        interruption(net.topology, plan(net.snapshot, replace(on(road, standing), reordering=Reordering.ALLOW))) is None
    )


def test_a_resize_is_no_move_and_a_new_slice_on_the_same_fibre_is_one_that_overtakes_nothing() -> None:
    net = two_roads()
    standing = net.stand(on("short", corridor(rates=(100_000,)))).corridor
    larger = replace(standing, profiles=(Profile("p0", 300_000),))
    assert told(net, plan(net.snapshot, larger)).last_move is None


def test_protected_by_the_faster_way_is_judged_by_the_way_that_carries() -> None:
    """The working slice has the short fibre; once switched, the way back there is the one that overtakes."""
    net = two_roads()
    standing = net.stand(corridor(protection=Protection.PROTECT, rates=(100_000,)))
    away = replace(standing.corridor, protection=Protection.RESTORE, reordering=Reordering.FORBID)
    assert interruption(net.topology, plan(net.snapshot, away)) is None
    switched = with_condition(standing.corridor, ConditionType.PROTECTION_SWITCHED, True, "SIGNAL_FAIL", "", net.now)
    net.commit(advance(net.snapshot, standing, replace(standing, corridor=switched)))
    moved = replace(away, path_constraints=PathConstraints(exclude_links=(link_name("F-long"),)))
    assert interruption(net.topology, plan(net.snapshot, moved)) is None, "it keeps its slice, and no path changes"


# -- break before make ------------------------------------------------------------------------------------------------


def full() -> tuple[Network, Corridor]:
    """A fibre with one server: two slices of more than half of it cannot stand side by side."""
    line = replace(fibre("F-13", 1, 3, 100, (Container.ODU0,)), line_slots=1)
    net = Network.of(domain((1, 3), [line]))
    standing = net.stand(corridor(rates=(700_000,), protection=Protection.RESTORE)).corridor
    return net, replace(standing, state=State.UP)


def test_two_that_do_not_fit_beside_each_other_take_turns() -> None:
    net, standing = full()
    other = replace(standing, a_end=standing.z_end, z_end=standing.a_end)  # another slice: its ends are others
    with pytest.raises(Infeasible):
        plan(net.snapshot, other)
    change = plan_anew(net.snapshot, other)
    found = interruption(net.topology, change)
    assert found is not None
    assert found.loss is Loss.BREAK_BEFORE_MAKE
    with pytest.raises(FailedPrecondition, match="do not fit"):
        require_consent(net.topology, change, Occasion.OWNER)
    record = net.commit(change)
    held, states = claims_of(record), []
    for tables in walked(net, standing.name):
        consistent(tables)
        now = net.records[standing.name]
        states.append((now.stage, now.corridor.state))
        if now.then is not None:
            assert claims_of(now) == held, "nobody else gets what the new slice needs"
    assert states == [
        (Stage.BUILD, State.UP),
        (Stage.STEER, State.UP),
        (Stage.CLEAN, State.DOWN),
        (Stage.BUILD, State.DOWN),
        (Stage.STEER, State.DOWN),
        (Stage.CLEAN, State.UP),
        (Stage.SETTLED, State.UP),
    ]
    all_arrive(net)
    assert not net.records[standing.name].corridor.conditions


def test_an_interruption_gives_back_all_that_it_does_not_need() -> None:
    net, standing = full()
    net.commit(interrupting(net.snapshot, replace(standing, profiles=(Profile("p0", 20_000),))))
    for _ in walked(net, standing.name):
        pass
    fresh = Network.of(net.topology)
    fresh.stand(replace(standing, profiles=(Profile("p0", 20_000),), legs=()))
    assert amounts(net.ledger) == amounts(fresh.ledger)


def amounts(ledger: Ledger) -> dict[object, int]:
    return {key: row.bitmap.bit_count() for key, row in ledger.rows.items()}

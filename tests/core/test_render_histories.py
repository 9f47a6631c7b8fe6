"""Any domain, any corridors, any changes: what is steered arrives, and tenants never meet."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import event, given, settings
from hypothesis import strategies as st
from journeys import (
    all_arrive,
    carried,
    consistent,
    fibre_route,
    flows,
    walk_through,
)
from networks import (
    Network,
    corridors_on,
    domains,
    prefixes,
    seeing_far,
)

from controller.core.errors import Refused
from controller.core.model import Corridor, EndPoint, Isolation, Profile, Protection, Reservation, Stage, Status
from controller.core.records import Record


def other_ends(draw: st.DrawFn, end: EndPoint) -> EndPoint:
    """The same end with another port of its tenant, another prefix more, or another code point."""
    tenant = end.port.removesuffix("-b")
    ports = ["acme", "acme-b"] if tenant == "acme" else [tenant]
    more = draw(st.booleans()) and bool(end.ipv4_prefixes)
    site = int(end.node.rsplit("r", 1)[1])
    return replace(
        end,
        port=draw(st.sampled_from(ports)),
        ipv4_prefixes=prefixes(site)[0] + prefixes(site, 8)[0] * more if end.ipv4_prefixes else (),
        dscp=draw(st.sampled_from([end.dscp, None, 46])),
    )


def alternatives(draw: st.DrawFn, standing: Corridor) -> Corridor:
    """Another wish for a standing corridor, its ends untouched."""
    rates = draw(st.lists(st.integers(1, 900_000), min_size=1, max_size=3))
    isolation = draw(st.sampled_from(Isolation))
    soft = isolation is Isolation.SOFT
    return replace(
        standing,
        protection=draw(st.sampled_from(Protection)) if soft else standing.protection,
        profiles=tuple(Profile(f"p{i}", rate) for i, rate in enumerate(rates)),
        active_profile=f"p{draw(st.integers(0, len(rates) - 1))}",
        reservation=draw(st.sampled_from(Reservation)),
        isolation=isolation,
        mtu_bytes=draw(st.sampled_from([1500, 4000])),
    )


def try_to(net: Network, wanted: Corridor) -> Record | None:
    try:
        return net.ask(wanted)
    except Refused as refusal:
        event(refusal.reason)
        return None


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_history_loses_nothing_and_mixes_no_tenants(data: st.DataObject) -> None:
    net = Network.of(seeing_far(data.draw(domains())))
    for number in range(data.draw(st.integers(1, 4))):
        wanted = data.draw(corridors_on(net.topology, f"c{number}"))
        if try_to(net, wanted):
            walk_through(net, wanted.name)
    for _ in range(data.draw(st.integers(0, 3))):
        if not net.records:
            return
        record = net.records[data.draw(st.sampled_from(sorted(net.records)))]
        assert record.target is not None
        kind = data.draw(st.sampled_from(["change", "cut", "remove"]))
        event(kind)
        before, kept = net.tables(), list(flows(net, record.target))
        if kind == "cut":
            net.link(data.draw(st.sampled_from(fibre_route(net, record.target))).rsplit("/", 1)[1], Status.DOWN)
        if kind == "remove":
            net.remove(record.name)
        elif not try_to(net, alternatives(data.draw, record.corridor) if kind == "change" else record.corridor):
            continue
        for tables in walk_through(net, record.name):
            for flow in kept if kind != "remove" else ():
                carried(net, before, tables, flow, record.target.vrf)
            before = tables


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_changes_of_many_corridors_under_way_at_once(data: st.DataObject) -> None:
    """Ends, profiles and isolation change in any interleaving: what is steered arrives, and nothing else does."""
    net = Network.of(seeing_far(data.draw(domains(4))))
    for number in range(data.draw(st.integers(2, 16))):
        busy = sorted(n for n, r in net.records.items() if r.stage is not Stage.SETTLED)
        calm = sorted(net.records.keys() - set(busy))
        kinds = ["new", *["step"] * (3 * bool(busy)), *["change", "remove"] * bool(calm)]
        match data.draw(st.sampled_from(kinds)):
            case "new":
                try_to(net, data.draw(corridors_on(net.topology, f"c{number}")))
            case "step":
                net.step(data.draw(st.sampled_from(busy)))
            case "remove":
                net.remove(data.draw(st.sampled_from(calm)))
            case _:
                wanted = alternatives(data.draw, net.records[data.draw(st.sampled_from(calm))].corridor)
                a_end, z_end = (other_ends(data.draw, end) for end in (wanted.a_end, wanted.z_end))
                try_to(net, replace(wanted, a_end=a_end, z_end=z_end))
        consistent(net.tables())
        all_arrive(net)

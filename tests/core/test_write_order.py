"""The order of writes: never a moment in which an entry refers to nothing, or a rate exceeds its path."""

from __future__ import annotations

from itertools import groupby

from hypothesis import given
from hypothesis import strategies as st

from controller.core.diff import changes
from controller.core.entries import (
    Change,
    Entry,
    Exact,
    GroupEntry,
    GroupMember,
    Lpm,
    MeterEntry,
    Operation,
    TableEntry,
)

REFERS_TO = {"next_hop": "next_hop", "group": "next_hop_group", "policy": "policy"}
"""What a parameter's number is the key of."""


def keyed(table: str, field: str, number: int, action: str, **params: int) -> TableEntry:
    return TableEntry(table, ((field, Exact(number)),), action, tuple(params.items()))


ENTRIES: tuple[Entry, ...] = (
    keyed("next_hop", "next_hop", 10, "to_customer", port=2),
    keyed("next_hop", "next_hop", 11, "to_customer", port=3),
    GroupEntry("next_hop_group", (("group", Exact(20)),), (GroupMember("set_next_hop", (("next_hop", 10),)),)),
    GroupEntry("next_hop_group", (("group", Exact(21)),), (GroupMember("set_next_hop", (("next_hop", 11),), 2, 3),)),
    TableEntry("route_v6", (("dst", Lpm(1, 128)), ("vrf", Exact(0))), "set_next_hop_group", (("group", 20),)),
    TableEntry("route_v4", (("dst", Lpm(1, 32)), ("vrf", Exact(0))), "set_next_hop_group", (("group", 21),)),
    TableEntry("route_v6", (("dst", Lpm(2, 128)), ("vrf", Exact(0))), "set_next_hop", (("next_hop", 10),)),
    TableEntry("local_sid", (("dst", Lpm(3, 128)),), "end_x_flavors", (("next_hop", 11), ("flavors", 1))),
    keyed("policy", "policy", 5, "encap_red_1", next_hop=10, carrier1=1),
    TableEntry("classifier_v6", (("vrf", Exact(7)),), "set_policy", (("policy", 5), ("corridor", 3), ("mtu", 1500)), 9),
    MeterEntry("slice_meter", 3, 1000, 1000),
    TableEntry("color_policy", (("color", Exact(1)), ("corridor", Exact(3))), "mark_dscp", (("dscp", 10),)),
)


def references(entry: Entry) -> set[tuple[str, int]]:
    """Tables and numbers that must stand while the entry stands."""
    if isinstance(entry, GroupEntry):
        params = [param for member in entry.members for param in member.params]
    else:
        params = list(entry.params) if isinstance(entry, TableEntry) else []
    found = {(REFERS_TO[name], number) for name, number in params if name in REFERS_TO}
    if isinstance(entry, TableEntry) and entry.table.startswith(
        "classifier"
    ):  # limited and coloured from the first packet
        found |= {("slice_meter", 3), ("color_policy", 3)}
    return found


def standing(entries: dict[object, Entry]) -> set[tuple[str, int]]:
    names = {(e.meter, e.index) for e in entries.values() if isinstance(e, MeterEntry)}
    for entry in entries.values():
        if isinstance(entry, TableEntry | GroupEntry):
            names |= {(entry.table, match.value) for _, match in entry.match if isinstance(match, Exact)}
    return names


@given(st.sets(st.sampled_from(range(len(ENTRIES)))), st.randoms())
def test_nothing_ever_refers_to_what_is_not_there(kept: set[int], chance) -> None:
    """From nothing to all, and back to any part that is whole in itself, in whatever order they are given."""
    shuffled = chance.sample(ENTRIES, len(ENTRIES))
    everything = {entry.key: entry for entry in shuffled}
    part = {ENTRIES[n].key: ENTRIES[n] for n in kept}
    while broken := [e for e in part.values() if not references(e) <= standing(part)]:
        for entry in broken:
            del part[entry.key]
    held: dict[object, Entry] = {}
    for target in (everything, part):
        for change in changes(dict(held), target):
            _write(held, change)
            assert all(references(entry) <= standing(held) for entry in held.values()), change
        assert held == target


def _write(held: dict[object, Entry], change: Change) -> None:
    if change.operation is Operation.DELETE:
        del held[change.entry.key]
    else:
        held[change.entry.key] = change.entry


def corridor(number: int, rate: int) -> tuple[Entry, ...]:
    """What a router holds of one, in no order that a device would want."""
    hop, list_6, list_4 = number, 2 * number, 2 * number + 1
    return (
        keyed("next_hop", "next_hop", hop, "to_customer", port=2),
        TableEntry("route_v6", (("dst", Lpm(number, 128)), ("vrf", Exact(0))), "set_next_hop", (("next_hop", hop),)),
        TableEntry("route_v4", (("dst", Lpm(number, 32)), ("vrf", Exact(0))), "set_next_hop", (("next_hop", hop),)),
        TableEntry("local_sid", (("dst", Lpm(number, 128)),), "u_a", (("next_hop", hop),)),
        MeterEntry("icmp_limit", number, 100, 100),
        MeterEntry("slice_meter", number, rate, 1),
        keyed("policy", "policy", list_6, "encap_red_1", next_hop=hop, carrier1=rate),
        TableEntry("classifier_v6", (("vrf", Exact(number)),), "set_policy", (("policy", list_6),), 9),
        keyed("policy", "policy", list_4, "encap_red_1", next_hop=hop, carrier1=rate),
        TableEntry("classifier_v4", (("vrf", Exact(number)),), "set_policy", (("policy", list_4),), 9),
    )


def runs(writes: tuple[Change, ...]) -> list[tuple[Operation, str]]:
    """What a device that takes one table and operation at a time is asked, request by request."""
    names = ((w.operation, w.entry.meter if isinstance(w.entry, MeterEntry) else w.entry.table) for w in writes)
    return [what for what, _ in groupby(names)]


@given(st.integers(1, 12), st.integers(0, 12), st.integers(0, 12), st.integers(1, 3))
def test_each_table_is_written_in_one_run_however_many_corridors_there_are(
    before: int, gone: int, more: int, rate: int
) -> None:
    """Some go, some come, and the others change."""
    held = {entry.key: entry for n in range(before) for entry in corridor(n, 2)}
    wanted = {entry.key: entry for n in range(gone, before + more) for entry in corridor(n, rate)}
    asked = runs(changes(held, wanted))
    assert len(asked) == len(set(asked))


STEERED = keyed("policy", "policy", 5, "encap_red_1", next_hop=11, carrier1=1)


@given(st.tuples(*[st.integers(1, 9)] * 4))
def test_what_passes_at_most_falls_before_traffic_is_steered_and_rises_after(limits: tuple[int, ...]) -> None:
    rate, more, new_rate, new_more = limits
    old = MeterEntry("slice_meter", 3, rate, 1, rate + more, 1)
    new = MeterEntry("slice_meter", 3, new_rate, 1, new_rate + new_more, 1)
    policy = ENTRIES[8]
    writes = changes({old.key: old, policy.key: policy}, {new.key: new, STEERED.key: STEERED})
    order = [change.entry for change in writes]
    if old != new:
        rises = new_rate + new_more > rate + more
        assert order == ([STEERED, new] if rises else [new, STEERED])


def test_a_peak_that_is_the_committed_rate_is_no_difference() -> None:
    plain, twice = MeterEntry("slice_meter", 3, 7, 2), MeterEntry("slice_meter", 3, 7, 2, 7, 2)
    assert changes({plain.key: plain}, {twice.key: twice}) == ()


def test_the_order_of_members_is_no_difference() -> None:
    hops = tuple(GroupMember("set_next_hop", (("next_hop", n),)) for n in (3, 1, 2))
    group, other = (GroupEntry("next_hop_group", (("group", Exact(1)),), each) for each in (hops, hops[::-1]))
    assert changes({group.key: group}, {other.key: other}) == ()
    assert group.members == tuple(sorted(hops))

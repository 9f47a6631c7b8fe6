"""Entries in words: each kind says what it is about and what it holds; whatever differs is told by where it differs."""

from __future__ import annotations

from dataclasses import fields, replace
from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from networks import Network, corridor, square

from controller.core.drift import MAX_LISTED, DriftKind, differences
from controller.core.entries import (
    SELECTOR,
    CrossConnect,
    Entry,
    Exact,
    GroupEntry,
    GroupMember,
    Lpm,
    MeterEntry,
    ProtectionGroup,
    SliceMeter,
    SlotAssignment,
    TableEntry,
    Ternary,
)
from controller.core.entry_text import entry_text
from controller.core.model import Isolation, Protection

CARRIER = int(IPv6Address("fcbb:bb00:2:e003:d6::"))
POLICY = TableEntry("policy", (("policy", Exact(17)),), "encap_red_1", (("next_hop", 3), ("carrier1", CARRIER)))
SAMPLES = {
    "policy 17 → encap_red_1(next_hop=3, carrier1=fcbb:bb00:2:e003:d6::)": POLICY,
    "local_sid dst=fcbb:bb00:2::/48 → u_n()": TableEntry(
        "local_sid", (("dst", Lpm(int(IPv6Address("fcbb:bb00:2::")), 48)),), "u_n"
    ),
    "route_v4 dst=10.1.0.0/16 vrf=4 → to_next_hop(next_hop=9)": TableEntry(
        "route_v4", (("dst", Lpm(10 << 24 | 1 << 16, 16)), ("vrf", Exact(4))), "to_next_hop", (("next_hop", 9),)
    ),
    "classifier_v4 dscp=10&63 src=10.0.0.0&255.0.0.0 priority 7 → set_policy(policy=1)": TableEntry(
        "classifier_v4",
        (("dscp", Ternary(10, 63)), ("src", Ternary(10 << 24, 255 << 24))),
        "set_policy",
        (("policy", 1),),
        7,
    ),
    "tunnel_source default → set_tunnel_source(addr=fcbb:bb00:1::)": TableEntry(
        "tunnel_source", (), "set_tunnel_source", (("addr", int(IPv6Address("fcbb:bb00:1::"))),)
    ),
    "next_hop 3 → to_mac(port=1, dst_mac=02:00:00:00:07:00)": TableEntry(
        "next_hop", (("next_hop", Exact(3)),), "to_mac", (("port", 1), ("dst_mac", 0x020000000700))
    ),
    "next_hop_group group=5 → 1 × to(next_hop=1), 2 × to(next_hop=2) while port 4 is up": GroupEntry(
        "next_hop_group",
        (("group", Exact(5)),),
        (GroupMember("to", (("next_hop", 2),), 2, 4), GroupMember("to", (("next_hop", 1),))),
    ),
    "slice_meter 4 → 1000/s, burst 9": MeterEntry("slice_meter", 4, 1000, 9),
    "slice_meter 4 → 1000/s, burst 9, peak 2000/s burst 9": MeterEntry("slice_meter", 4, 1000, 9, 2000),
    "slice 7 A to Z from port 1 to 02:00:00:00:07:00 → port 3": CrossConnect(7, 0, 1, 0x020000000700, 3),
    "slice 7 Z to A from port 3 to 02:00:00:00:07:01 → its selector as 0a:00:00:00:00:01": CrossConnect(
        7, 1, 3, 0x020000000701, SELECTOR, 0x0A0000000001
    ),
    "meter of slice 7 A to Z → 100000 kbit/s, burst 25000 kbit": SliceMeter(7, 0, 100_000, 25_000),
    "meter of slice 7 Z to A → 1 kbit/s, burst 2 kbit to begin with": SliceMeter(7, 1, 1, 2, follows=True),
    "slots of slice 7 at port 3 → odu1-1 4,2,9": SlotAssignment(7, 3, "odu1-1", (4, 2, 9), 2),
    "protection of slice 7 port 3, by slice 8 port 4": ProtectionGroup(7, 8, 0, 3, 4),
}


@pytest.mark.parametrize("text", SAMPLES)
def test_an_entry_in_words(text: str) -> None:
    assert entry_text(SAMPLES[text]) == text


def test_every_kind_is_among_the_samples() -> None:
    assert {type(each) for each in SAMPLES.values()} == set(Entry.__args__)  # type: ignore[attr-defined]


@given(st.sampled_from(list(SAMPLES.values())), st.data())
def test_another_value_is_another_text(entry: Entry, data: st.DataObject) -> None:
    """Of what is compared, every field that a number can be put in shows."""
    told = {"direction", "follows", "transit", "slot_bps", "priority"}
    numbers = [each.name for each in fields(entry) if each.type == "int" and each.compare and each.name not in told]
    if not numbers:
        return
    name = data.draw(st.sampled_from(numbers))
    other = replace(entry, **{name: getattr(entry, name) + data.draw(st.integers(1, 1000))})
    if other != entry or isinstance(entry, SliceMeter):  # a peak that equals what is committed is none
        assert entry_text(other) != entry_text(entry)


def test_whatever_is_rendered_is_told_in_one_short_line_each_its_own() -> None:
    network = Network.of(square())
    for number, (isolation, protection) in enumerate(
        [(Isolation.SOFT, Protection.RESTORE), (Isolation.HARD, Protection.PROTECT)]
    ):
        tenant = ("acme", "globex")[number]
        network.stand(corridor(f"c{number}", isolation=isolation, protection=protection, tenant=tenant))
    for entries in network.tables().values():
        lines = [entry_text(entry) for entry in entries]
        assert len(set(lines)) == len(lines)
        assert all("\n" not in line and len(line) < 200 for line in lines)


def test_differences_by_kind_in_order_of_reference() -> None:
    def policy(number: int, next_hop: int = 1) -> TableEntry:
        return TableEntry("policy", (("policy", Exact(number)),), "encap_red_1", (("next_hop", next_hop),))

    hop = TableEntry("next_hop", (("next_hop", Exact(1)),), "to_port", (("port", 1),))
    desired = {each.key: each for each in (policy(1), policy(2), hop)}
    actual = {each.key: each for each in (policy(2, 9), policy(3))}
    found, truncated = differences(desired, actual)
    assert [(each.kind, each.entry.split(" →")[0], bool(each.actual)) for each in found] == [
        (DriftKind.MISSING, "next_hop 1", False),
        (DriftKind.MISSING, "policy 1", False),
        (DriftKind.DIFFERENT, "policy 2", True),
        (DriftKind.UNEXPECTED, "policy 3", False),
    ]
    assert not truncated
    assert differences(desired, desired) == ((), False)


@pytest.mark.parametrize("count", [MAX_LISTED, MAX_LISTED + 1])
def test_no_more_are_listed_than_can_be_read(count: int) -> None:
    desired: dict[object, Entry] = {("m", i): MeterEntry("slice_meter", i, 1, 1) for i in range(count)}
    found, truncated = differences(desired, {})
    assert (len(found), truncated) == (MAX_LISTED, count > MAX_LISTED)

"""Entries to protobuf and back: whatever the contract can express comes back as it went."""

from __future__ import annotations

import random
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from packet_entries import ENTRIES, prefix

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
    Ternary,
)
from controller.drivers import pipeline
from controller.drivers.p4runtime_codec import decode, encode

PIPELINE = pipeline.load()

# Tables of the contract, written out again so as not to ask the code under test: field -> (kind, bits).
KEYS = {
    "port_role": {"port": ("exact", 9)},
    "edge_filter": {"dst": ("lpm", 128)},
    "local_sid": {"dst": ("lpm", 128)},
    "classifier_v6": {"vrf": ("exact", 16), "src": ("ternary", 128), "dst": ("ternary", 128), "dscp": ("ternary", 6)},
    "classifier_v4": {"vrf": ("exact", 16), "src": ("ternary", 32), "dst": ("ternary", 32), "dscp": ("ternary", 6)},
    "policy": {"policy": ("exact", 16)},
    "route_v6": {"vrf": ("exact", 16), "dst": ("lpm", 128)},
    "route_v4": {"vrf": ("exact", 16), "dst": ("lpm", 32)},
    "next_hop": {"next_hop": ("exact", 16)},
    "host_v6": {"port": ("exact", 9), "addr": ("exact", 128)},
    "host_v4": {"port": ("exact", 9), "addr": ("exact", 32)},
    "tunnel_source": {},
    "gateway": {"port": ("exact", 9)},
    "node_address": {"dst": ("exact", 128)},
    "color_policy": {"corridor": ("exact", 16), "color": ("exact", 2)},
}
CARRIERS = tuple((f"carrier{n}", 128) for n in (1, 2, 3))
ACTIONS = {
    "port_role": {"network": [("mac", 48)], "customer": [("mac", 48), ("vrf", 16)]},
    "edge_filter": {"drop_infrastructure": []},
    "local_sid": {
        "end": [],
        "end_x": [("next_hop", 16)],
        "end_dt6": [("vrf", 16)],
        "end_dt4": [("vrf", 16)],
        "end_dx4": [("next_hop", 16)],
        "u_n": [],
        "u_a": [("next_hop", 16)],
        "u_dt6": [("vrf", 16)],
        "u_dt4": [("vrf", 16)],
        "end_flavors": [("flavors", 3)],
        "end_x_flavors": [("next_hop", 16), ("flavors", 3)],
    },
    "classifier_v6": {"set_policy": [("policy", 16), ("corridor", 16), ("mtu", 16)]},
    "classifier_v4": {"set_policy": [("policy", 16), ("corridor", 16), ("mtu", 16)]},
    "policy": {f"encap_red_{n}": [("next_hop", 16), *CARRIERS[:n]] for n in (1, 2, 3)},
    "route_v6": {"set_next_hop": [("next_hop", 16)], "set_next_hop_group": [("group", 16)], "drop_route": []},
    "route_v4": {"set_next_hop": [("next_hop", 16)], "set_next_hop_group": [("group", 16)], "drop_route": []},
    "next_hop": {"to_adjacency": [("port", 9), ("src_mac", 48), ("dst_mac", 48)], "to_customer": [("port", 9)]},
    "host_v6": {"set_dst_mac": [("mac", 48)]},
    "host_v4": {"set_dst_mac": [("mac", 48)]},
    "tunnel_source": {"set_tunnel_source": [("addr", 128)]},
    "gateway": {"set_gateway": [("ipv4", 32), ("ipv6", 128)]},
    "node_address": {"to_node": []},
    "color_policy": {"mark_dscp": [("dscp", 6)], "drop_colored": []},
}


def numbers(bits: int) -> st.SearchStrategy[int]:
    return st.integers(0, 2**bits - 1)


@st.composite
def matches(draw: st.DrawFn, kind: str, bits: int) -> Exact | Lpm | Ternary | None:
    if kind == "exact":
        return Exact(draw(numbers(bits)))
    if kind == "lpm":
        length = draw(st.integers(0, bits))
        return Lpm(draw(numbers(bits)) & prefix(bits, length), length)
    mask = draw(st.one_of(numbers(bits), st.sampled_from([0, 2**bits - 1])))
    return Ternary(draw(numbers(bits)) & mask, mask) if mask else None


@st.composite
def table_entries(draw: st.DrawFn) -> TableEntry:
    table = draw(st.sampled_from(sorted(KEYS)))
    match = {name: draw(matches(*spec)) for name, spec in KEYS[table].items()}
    action = draw(st.sampled_from(sorted(ACTIONS[table])))
    return TableEntry(
        table=table,
        match=tuple(sorted((name, value) for name, value in match.items() if value is not None)),
        action=action,
        params=tuple((name, draw(numbers(bits))) for name, bits in ACTIONS[table][action]),
        priority=draw(st.integers(1, 2**31 - 1)) if table.startswith("classifier") else 0,
    )


COUNTS = st.integers(0, 2**40)


@st.composite
def meters(draw: st.DrawFn) -> MeterEntry:
    """Of two rates or one, in octets or packets."""
    meter, cells = draw(st.sampled_from([("slice_meter", 65_536), ("icmp_limit", 512)]))
    rate, burst, more, peak_burst = draw(st.tuples(COUNTS, COUNTS, COUNTS, COUNTS))
    return MeterEntry(meter, draw(st.integers(0, cells - 1)), rate, burst, rate + more, peak_burst)


@st.composite
def groups(draw: st.DrawFn) -> GroupEntry:
    members = st.builds(
        lambda hop, weight, port: GroupMember("set_next_hop", (("next_hop", hop),), weight, port),
        numbers(16),
        st.integers(1, 8),  # 64 together, at most 8 of them
        numbers(9),
    )
    match = (("group", Exact(draw(numbers(16)))),)
    return GroupEntry("next_hop_group", match, tuple(draw(st.lists(members, min_size=1, max_size=8))))


@given(st.one_of(table_entries(), meters(), groups()), st.sampled_from([Operation.INSERT, Operation.MODIFY]))
def test_every_entry_of_the_contract_comes_back_as_itself(entry: Entry, operation: Operation) -> None:
    wire = encode(PIPELINE, Change(operation, entry)).SerializeToString()
    assert decode(PIPELINE, type(encode(PIPELINE, Change(operation, entry))).FromString(wire).entity) == entry


@given(table_entries())
def test_numbers_travel_in_the_shortest_form_and_without_dont_cares(entry: TableEntry) -> None:
    encoded = encode(PIPELINE, Change(Operation.INSERT, entry)).entity.table_entry
    values = [param.value for param in encoded.action.action.params]
    for match in encoded.match:
        kind = match.WhichOneof("field_match_type")
        values.append(getattr(match, kind).value)
        assert kind != "lpm" or match.lpm.prefix_len > 0
        assert kind != "ternary" or any(match.ternary.mask)
    assert all(value == b"\0" or (value and value[0] != 0) for value in values)


def test_host_bits_and_masked_bits_are_cleared() -> None:
    route = next(entry for entry in ENTRIES if isinstance(entry, TableEntry) and entry.table == "local_sid")
    ((name, lpm),) = route.match
    assert isinstance(lpm, Lpm)
    sloppy = replace(route, match=((name, Lpm(lpm.value | 1, lpm.prefix_len)),))
    assert decode(PIPELINE, encode(PIPELINE, Change(Operation.INSERT, sloppy)).entity) == route


def test_a_default_action_is_only_ever_modified() -> None:
    source = ENTRIES[0]
    for operation in (Operation.INSERT, Operation.MODIFY, Operation.DELETE):
        update = encode(PIPELINE, Change(operation, source))
        assert update.type == update.MODIFY
        assert update.entity.table_entry.is_default_action
        assert update.entity.table_entry.HasField("action") == (operation is not Operation.DELETE)


@given(groups(), st.randoms())
def test_a_group_is_the_same_in_whatever_order_a_device_tells_it(group: GroupEntry, chance: random.Random) -> None:
    entity = encode(PIPELINE, Change(Operation.INSERT, group)).entity
    told = list(entity.table_entry.action.action_profile_action_set.action_profile_actions)
    chance.shuffle(told)
    del entity.table_entry.action.action_profile_action_set.action_profile_actions[:]
    entity.table_entry.action.action_profile_action_set.action_profile_actions.extend(told)
    assert decode(PIPELINE, entity) == group


def test_a_watched_port_is_written_as_bytes_and_read_either_way() -> None:
    group = GroupEntry(
        "next_hop_group", (("group", Exact(1)),), (GroupMember("set_next_hop", (("next_hop", 5),), 2, 300),)
    )
    entity = encode(PIPELINE, Change(Operation.INSERT, group)).entity
    (member,) = entity.table_entry.action.action_profile_action_set.action_profile_actions
    assert (member.weight, member.WhichOneof("watch_kind"), member.watch_port) == (2, "watch_port", b"\x01\x2c")
    member.watch = 300
    assert decode(PIPELINE, entity) == group


def test_a_group_with_an_action_of_another_program_is_not_ours() -> None:
    hop = GroupMember("set_next_hop", (("next_hop", 5),))
    entity = encode(
        PIPELINE, Change(Operation.INSERT, GroupEntry("next_hop_group", (("group", Exact(1)),), (hop,)))
    ).entity
    foreign = entity.table_entry.action.action_profile_action_set.action_profile_actions.add(weight=1)
    foreign.action.action_id = 0x01FFFFFF
    assert decode(PIPELINE, entity) is None


def test_a_meter_has_two_rates_or_one_twice() -> None:
    config = encode(
        PIPELINE, Change(Operation.INSERT, MeterEntry("slice_meter", 1, 10, 2, 30, 4))
    ).entity.meter_entry.config
    assert (config.cir, config.cburst, config.pir, config.pburst) == (10, 2, 30, 4)
    config = encode(PIPELINE, Change(Operation.INSERT, MeterEntry("slice_meter", 1, 10, 2))).entity.meter_entry.config
    assert (config.cir, config.cburst, config.pir, config.pburst) == (10, 2, 10, 2)
    assert MeterEntry("slice_meter", 1, 10, 2, 10, 2) == MeterEntry("slice_meter", 1, 10, 2)


def test_two_programs_have_two_cookies() -> None:
    info = (pipeline.DIRECTORY / "corridor.p4info.txtpb").read_bytes()
    config = (pipeline.DIRECTORY / "corridor.json").read_bytes()
    cookies = {
        pipeline.parse(info, config).cookie,
        pipeline.parse(info + b"\n", config).cookie,
        pipeline.parse(info, config + b" ").cookie,
    }
    assert len(cookies) == 3
    assert PIPELINE.cookie in cookies
    assert 0 < PIPELINE.cookie < 2**64

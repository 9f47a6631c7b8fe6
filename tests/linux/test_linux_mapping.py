"""Entries to kernel commands and kernel dumps to entries, without a kernel.

The dumps are what iproute2 6.1 and nftables 1.0.6 printed for such objects.
"""

from __future__ import annotations

from ipaddress import IPv6Network
from itertools import pairwise

import grpc
import pytest
from canned_kernel import OWN_MAC, CannedKernel, CannedPorts
from hypothesis import given
from hypothesis import strategies as st

from controller.core.entries import Exact, Lpm, Operation, TableEntry, Ternary
from controller.linux import marks
from controller.linux.classifier import parse, rules
from controller.linux.forwarding import Forwarding, Update
from controller.linux.kernel import FamilyDump, documents, failed_lines
from controller.linux.traffic_control import HtbClass
from controller.linux.view import Rule

PORTS = CannedPorts({1: "eth1", 2: "eth2"})
CARRIER = 0xFCBBBB000002_0003 << 64
NEXT_HOP = (
    {"id": 7, "gateway": "fdc0:de::7", "dev": "eth1", "scope": "link", "protocol": "200", "flags": ["onlink"]},
    {"id": 8, "dev": "eth2", "scope": "link", "protocol": "200", "flags": []},
)
NEIGHBOUR = (
    {"dst": "fdc0:de::7", "dev": "eth1", "lladdr": "02:00:00:00:01:00", "state": ["PERMANENT"], "protocol": "200"},
)
ON_LINK = {"dst": "fdc0:de::7", "dev": "eth1", "protocol": "200", "metric": 1024, "flags": [], "pref": "medium"}
OF_IPV4 = {"dst": "169.254.0.7", "nhid": 7, "via": {"family": "inet6", "host": "fdc0:de::7"}, "dev": "eth1"}
ADJACENCY = TableEntry(
    "next_hop",
    (("next_hop", Exact(7)),),
    "to_adjacency",
    (("port", 1), ("src_mac", OWN_MAC), ("dst_mac", 0x020000000100)),
)


def kernel(routes6=(), routes4=(), rules6=(), rules4=(), **others):
    v6 = FamilyDump((ON_LINK, *routes6), NEXT_HOP, NEIGHBOUR, frozenset(rules6), "::")
    v4 = FamilyDump((OF_IPV4, *routes4), (), (), frozenset(rules4), "::")
    return CannedKernel(v6, v4, **others)


def read(canned, *tables):
    return Forwarding(canned, PORTS).standing().entries(lambda name: name in tables)


def write(canned, *updates):
    return Forwarding(canned, PORTS).write([Update(operation, entry) for operation, entry in updates])


def sid(dst, behaviour, **route):
    common = {"dst": dst, "encap": "seg6local", "dev": "sr0", "table": "262144", "protocol": "200", "metric": 1024}
    return {**common, "action": behaviour, **route}


def test_next_hops_are_read_from_nexthops_neighbours_and_routes():
    customer = TableEntry("next_hop", (("next_hop", Exact(8)),), "to_customer", (("port", 2),))
    assert set(read(kernel(), "next_hop")) == {ADJACENCY, customer}


@pytest.mark.parametrize("missing", ["neighbours", "routes"])
def test_next_hop_without_one_of_its_parts_is_not_there(missing):
    canned = kernel()
    parts = {name: getattr(canned.ipv6, name) for name in FamilyDump.__slots__}
    canned.ipv6 = FamilyDump(**{**parts, missing: ()})
    assert ADJACENCY not in read(canned, "next_hop")


@pytest.mark.parametrize(
    ("route", "prefix", "action", "params"),
    [
        (sid("fcbb:bb00:1::/48", "End", flavors=["next-csid"], lblen=32, nflen=16), 48, "u_n", ()),
        (sid("fcbb:bb00:1::/48", "End", metric=1025), 48, "end", ()),
        (sid("fcbb:bb00:1::/48", "End.X", nh6="fdc0:de::7", lblen=32, nflen=32), 48, "u_a", (("next_hop", 7),)),
        (sid("fcbb:bb00:1::/48", "End.X", nh6="fdc0:de::7", metric=1025), 48, "end_x", (("next_hop", 7),)),
        (sid("fcbb:bb00:1::/48", "End.DT6", inner_table="65541"), 48, "u_dt6", (("vrf", 5),)),
        (sid("fcbb:bb00:1::/48", "End.DT6", inner_table="main", metric=1025), 48, "end_dt6", (("vrf", 0),)),
        (sid("fcbb:bb00:1::/48", "End.DX4", nh4="169.254.1.2"), 48, "end_dx4", (("next_hop", 0x102),)),
    ],
)
def test_seg6local_routes_are_read_as_local_sids(route, prefix, action, params):
    wanted = TableEntry("local_sid", (("dst", Lpm(0xFCBBBB000001 << 80, prefix)),), action, params)
    assert read(kernel([route], nft_objects=covered("fcbb:bb00:1::/48")), "local_sid") == [wanted]


def covered(*prefixes):
    """The nft set of the SIDs that decapsulate at the end of a list alone."""
    elements = [{"prefix": {"addr": a, "len": int(n)}} for a, n in (text.split("/") for text in prefixes)]
    return [{"set": {"name": "decapsulating", "elem": elements}}]


def test_decapsulating_sid_is_there_only_under_its_guard():
    crossing = sid("fcbb:bb00:1::/48", "End.DX4", nh4="169.254.1.2")
    for elements in ((), ("fcbb:bb00:1::/64",), ("fcbb:bb00:2::/48",)):
        assert read(kernel([crossing], nft_objects=covered(*elements)), "local_sid") == []
    assert len(read(kernel([crossing], nft_objects=covered("fcbb::/16")), "local_sid")) == 1


SIDS = st.builds(
    lambda value, length: IPv6Network((value << 112, length), strict=False), st.integers(0, 15), st.integers(12, 16)
)


def decapsulating(network):
    match = (("dst", Lpm(int(network.network_address), network.prefixlen)),)
    return TableEntry("local_sid", match, "u_dt6", (("vrf", 0),))


@given(st.sets(SIDS), st.sets(SIDS, min_size=1))
def test_the_guard_is_of_the_outermost_sids(before, changed):
    """Whatever comes and goes, for an nft set holds no prefix within another; and no more is told than what changes."""

    def outermost(some):
        return {each for each in some if not any(each != other and each.subnet_of(other) for other in some)}

    standing = [sid(str(each), "End.DT6", inner_table="main") for each in before]
    canned = kernel(standing, nft_objects=covered(*map(str, outermost(before))))
    updates = [(Operation.DELETE if each in before else Operation.INSERT, decapsulating(each)) for each in changed]
    assert write(canned, *updates) == {}
    guard, lines = outermost(before), [line for tool, line in canned.told if tool == "nft"]
    for line in lines:
        verb, named = line.split()[0], line.partition("{")[2].strip(" }").split(", ")
        elements = {IPv6Network(each) for each in named}
        assert elements <= guard if verb == "delete" else elements.isdisjoint(guard)
        guard = guard - elements if verb == "delete" else guard | elements
    assert guard == outermost(before ^ changed)
    assert len(lines) <= 2


def test_routes_of_other_behaviours_or_tables_are_not_ours_to_show():
    routes = [
        sid("fcbb:bb00:1::/48", "End.T", inner_table="7"),
        sid("fcbb:bb00:1::/48", "End", table="77"),
        sid("fcbb:bb00:1::/48", "End.X", nh6="2001:db8::1"),
        sid("fcbb:bb00:1::/48", "End.DX4", nh4="0.0.0.0"),
    ]
    assert read(kernel(routes), "local_sid") == []


ENCAP = {"dst": "default", "encap": "seg6", "mode": "encap.red", "dev": "sr0", "table": "131073", "protocol": "200"}
SEGMENTS = ["fcbb:bb00:2:3::", "fcbb:bb00:4::"]
WAY = {"dst": "fcbb:bb00:2:3::", "nhid": 7, "dev": "eth1", "table": "131073", "metric": 100}
RULE = (marks.POLICY_PREFERENCE, 1, 0xFFFF, 131073)


def test_policy_is_read_only_when_both_families_stand():
    whole = {"routes6": [ENCAP | {"segs": SEGMENTS}, WAY], "routes4": [ENCAP | {"segs": SEGMENTS}]}
    rules_ = {"rules6": [RULE], "rules4": [RULE]}
    wanted = TableEntry(
        "policy",
        (("policy", Exact(1)),),
        "encap_red_2",
        (("next_hop", 7), ("carrier1", CARRIER), ("carrier2", 0xFCBBBB000004 << 80)),
    )
    assert read(kernel(**whole, **rules_), "policy") == [wanted]
    assert read(kernel(**whole, rules6=[RULE]), "policy") == []
    assert read(kernel(whole["routes6"], [], **rules_), "policy") == []
    assert read(kernel(whole["routes6"][:1], whole["routes4"], **rules_), "policy") == []
    assert read(kernel(whole["routes6"], [ENCAP | {"segs": SEGMENTS[:1]}], **rules_), "policy") == []


def test_meter_cell_is_read_when_every_network_port_has_it():
    cell, other = HtbClass(1000, 1000, 1500, 24), HtbClass(999, 999, 1500, 24)
    sets = [{"set": {"name": "network_ports", "elem": ["eth1"]}}]
    wanted = TableEntry("slice_meter", (("index", Exact(5)),), "meter", (("rate", 1000), ("burst", 1500)))
    for on_port, found in (({5: cell}, [wanted]), ({5: other}, []), ({}, []), (None, [])):
        canned = CannedKernel(nft_objects=sets, classes={"sr0": {5: cell, 0xFFFF: cell}, "eth1": on_port})
        assert read(canned, "slice_meter") == found


# ---- classifier rules, there and back


def statements(text, bits):
    """What nft 1.0.6 lists for a rule of ours: an oracle by the grammar of the text, not by the code under test."""
    words, found = text.split(), []
    while words:
        word = words.pop(0)
        if word in ("ip", "ip6"):
            name, value = words.pop(0), words.pop(0)
            if name == "frag-off":
                key = {"payload": {"protocol": "ip", "field": "frag-off"}}
                found.append({"mangle": {"key": key, "value": int(words.pop(0), 16)}})
                continue
            left = {"payload": {"protocol": word, "field": name}}
            found.append({"match": {"op": "==", "left": left, "right": _listed(value, bits)}})
        elif word == "counter":
            words.pop(0)
            found.append({"counter": words.pop(0)})
        elif word == "meta" and words[0] == "length":
            left = {"meta": {"key": words.pop(0)}}
            found.append({"match": {"op": words.pop(0), "left": left, "right": int(words.pop(0))}})
        elif word == "meta":
            key = words.pop(0)
            assert words.pop(0) == "set"
            value = words.pop(0)
            listed = value if ":" in value else int(value, 16)
            found.append({"mangle": {"key": {"meta": {"key": key}}, "value": listed}})
        else:
            assert word == "accept"
            found.append({"accept": None})
            comment = words[1].strip('"')
            return Rule(tuple(found), comment)
    raise AssertionError(text)


def _listed(value, bits):
    if value.isdigit():
        return int(value)
    address, _, length = value.partition("/")
    return address if int(length) == bits else {"prefix": {"addr": address, "len": int(length)}}


@st.composite
def classifiers(draw):
    table, bits = draw(st.sampled_from([("classifier_v6", 128), ("classifier_v4", 32)]))
    match = [("vrf", Exact(draw(st.integers(0, 65535))))]
    for name in ("src", "dst"):
        length = draw(st.integers(0, bits))
        if length:
            mask = ((1 << length) - 1) << (bits - length)
            match.append((name, Ternary(draw(st.integers(0, (1 << bits) - 1)) & mask, mask)))
    if draw(st.booleans()):
        match.append(("dscp", Ternary(draw(st.integers(0, 63)), 63)))
    params = (
        ("policy", draw(st.integers(1, 0x7FFF))),
        ("corridor", draw(st.integers(1, 0xFFFE))),
        ("mtu", draw(st.integers(1280, 9000))),
    )
    return TableEntry(table, tuple(sorted(match)), "set_policy", params, draw(st.integers(1, (1 << 31) - 1)))


@given(classifiers())
def test_classifier_entries_survive_the_way_through_nft(entry):
    bits = 128 if entry.table == "classifier_v6" else 32
    too_big, rule = (statements(text.strip(), bits) for text in rules(entry))
    assert parse(entry.table, bits, dict(entry.match)["vrf"].value, too_big, rule) == entry


@given(classifiers())
def test_half_or_swapped_rules_are_no_entry(entry):
    bits = 128 if entry.table == "classifier_v6" else 32
    vrf = dict(entry.match)["vrf"].value
    too_big, rule = (statements(text.strip(), bits) for text in rules(entry))
    assert parse(entry.table, bits, vrf, rule, too_big) is None
    assert parse(entry.table, bits, vrf, rule, rule) is None
    assert parse(entry.table, bits, vrf ^ 1, too_big, rule) is None


# ---- writes


ROUTE = TableEntry(
    "route_v6", (("dst", Lpm(0x20010DB8 << 96, 32)), ("vrf", Exact(5))), "set_next_hop", (("next_hop", 7),)
)


def test_next_hop_comes_before_its_route_and_goes_after_it():
    canned = CannedKernel()
    updates = [(Operation.INSERT, ROUTE), (Operation.INSERT, ADJACENCY)]
    # Order inside a batch is the target's business: the route is named first.
    assert write(canned, *updates) == {}
    lines = [line for _, line in canned.told]
    assert [line.split(" ")[0] for line in lines] == ["neigh", "route", "nexthop", "route", "route"]
    assert "2001:db8::/32 table 65541 proto 200 nhid 7" in lines[3]
    standing = {"dst": "2001:db8::/32", "nhid": 7, "dev": "eth1", "table": "65541", "protocol": "200"}
    canned = kernel([standing])
    assert write(canned, (Operation.DELETE, ADJACENCY), (Operation.DELETE, ROUTE)) == {}
    lines = [line for _, line in canned.told]
    place = {line.split(" ")[2]: position for position, line in enumerate(lines)}
    assert place["2001:db8::/32"] < place["id"]


MEMBERS = (("next_hop", 7), ("weight", 1), ("watch_port", 1), ("next_hop", 8), ("weight", 5), ("watch_port", 2))
GROUP = TableEntry("next_hop_group", (("group", Exact(7)),), "set_next_hop", MEMBERS)
GROUP_7 = {"id": 65543, "group": [{"id": 8, "weight": 5}, {"id": 7}], "protocol": "200", "flags": []}


def test_groups_are_read_whole_or_not_at_all():
    foreign = {"id": 77, "group": [{"id": 7}], "protocol": "200"}
    unknown = {"id": 65544, "group": [{"id": 7}, {"id": 9}], "protocol": "200"}
    assert read(kernel(groups=(GROUP_7, foreign, unknown)), "next_hop_group") == [GROUP]


def test_group_comes_between_its_next_hops_and_the_routes_of_both_families():
    way = (("group", 7),)
    routes = [
        TableEntry("route_v6", ROUTE.match, "set_next_hop_group", way),
        TableEntry("route_v4", (("dst", Lpm(10 << 24, 8)), ("vrf", Exact(5))), "set_next_hop_group", way),
    ]
    customer = TableEntry("next_hop", (("next_hop", Exact(8)),), "to_customer", (("port", 2),))
    whole = [*routes, GROUP, ADJACENCY, customer]
    canned = CannedKernel()
    assert write(canned, *((Operation.INSERT, entry) for entry in whole)) == {}
    lines = [f"{tool}: {line}" for tool, line in canned.told]
    assert "ip: nexthop add id 65543 group 7,1/8,5 protocol 200" in lines
    assert places(lines, "nexthop add id 7 ", "id 65543") == places(lines, "nexthop add id 8 ", "id 65543") == (True,)
    assert places(lines, "id 65543", "2001:db8::/32") == places(lines, "id 65543", "10.0.0.0/8") == (True,)
    standing = {"nhid": 65543, "protocol": "200", "table": "65541"}
    routes6, routes4 = [standing | {"dst": "2001:db8::/32"}], [standing | {"dst": "10.0.0.0/8"}]
    canned = kernel(routes6, routes4, groups=(GROUP_7,))
    assert write(canned, *((Operation.DELETE, entry) for entry in whole)) == {}
    lines = [line for _, line in canned.told]
    assert places(lines, "2001:db8::/32", "id 65543") == places(lines, "10.0.0.0/8", "id 65543") == (True,)
    assert places(lines, "id 65543", "del id 7", "neigh del fdc0:de::7") == (True, True)


def places(lines, *parts):
    """Whether each part's first line stands before the next one's."""
    found = [next(place for place, line in enumerate(lines) if part in line) for part in parts]
    return tuple(first < second for first, second in pairwise(found))


def test_a_batch_takes_the_same_number_of_exchanges_whatever_its_size():
    def exchanges(count):
        canned = kernel()
        entries = [
            TableEntry("route_v6", (("dst", Lpm(n << 64, 64)), ("vrf", Exact(5))), "drop_route")
            for n in range(1, count + 1)
        ]
        assert write(canned, *((Operation.INSERT, entry) for entry in entries)) == {}
        assert len(canned.told) == count
        return canned.exchanges

    assert exchanges(1) == exchanges(500) == 1


def test_delete_and_insert_of_one_key_in_a_batch_is_a_replacement():
    standing = {"dst": "2001:db8::/32", "nhid": 7, "dev": "eth1", "table": "65541", "protocol": "200"}
    dropped = TableEntry("route_v6", ROUTE.match, "drop_route")
    canned = kernel([standing])
    assert write(canned, (Operation.DELETE, ROUTE), (Operation.INSERT, dropped)) == {}
    assert [line for _, line in canned.told] == ["route replace blackhole 2001:db8::/32 table 65541 proto 200"]


def test_what_the_kernel_refuses_is_told_of_the_update_that_asked_for_it():
    other = TableEntry("route_v6", (("vrf", Exact(5)),), "drop_route")
    popping = TableEntry("local_sid", (("dst", Lpm(0xFCBB << 112, 64)),), "end_flavors", (("flavors", 1),))
    canned = kernel(
        refuses={
            "::/0": "Error: Nexthop device is not up.",
            "2001:db8::": "RTNETLINK answers: File exists",
            "psp": "Error: Unsupported Flavor operation(s).",
            "65543": "Error: Invalid nexthop id.",
        }
    )
    refused = write(canned, *((Operation.INSERT, entry) for entry in (other, ROUTE, popping, GROUP)))
    assert {position: why.code for position, why in refused.items()} == {
        0: grpc.StatusCode.UNAVAILABLE,
        1: grpc.StatusCode.ALREADY_EXISTS,
        2: grpc.StatusCode.UNIMPLEMENTED,
        3: grpc.StatusCode.ABORTED,
    }


def test_one_refused_nft_block_does_not_stop_the_others():
    params = (("policy", 1), ("corridor", 2), ("mtu", 1500))
    filters = [
        TableEntry("edge_filter", (("dst", Lpm(0xFCBB << 112, 16)),), "drop_infrastructure"),
        TableEntry("classifier_v6", (("vrf", Exact(5)),), "set_policy", params, 3),
    ]
    canned = kernel(refuses={"classify_v6_5": "Error: No buffer space"})
    refused = write(canned, *((Operation.INSERT, entry) for entry in filters))
    assert {position: why.code for position, why in refused.items()} == {1: grpc.StatusCode.INTERNAL}
    assert ("nft", "add rule inet corridor edge_filter ip6 daddr fcbb::/16 counter drop") in canned.told


def test_references_are_undone_to_the_last():
    """A next hop whose insertion fails takes the policy that needs it along, and leaves the rest."""
    wrong = TableEntry("next_hop", (("next_hop", Exact(9)),), "to_customer", (("port", 77),))
    needs = TableEntry("policy", (("policy", Exact(1)),), "encap_red_1", (("next_hop", 9), ("carrier1", CARRIER)))
    fine = TableEntry("route_v6", (("vrf", Exact(5)),), "drop_route")
    canned = kernel()
    refused = write(canned, *((Operation.INSERT, entry) for entry in (needs, wrong, fine)))
    assert {position: why.code for position, why in refused.items()} == {
        0: grpc.StatusCode.ABORTED,
        1: grpc.StatusCode.INVALID_ARGUMENT,
    }
    assert len(canned.told) == 1


# ---- small print of the tools


def test_failed_lines_of_a_batch():
    text = (
        "Error: Nexthop id does not exist.\nCommand failed -:27\nRTNETLINK answers: File exists\nCommand failed -:2\n"
    )
    assert failed_lines(text) == [(27, "Error: Nexthop id does not exist."), (2, "RTNETLINK answers: File exists")]


def test_documents_keep_both_tables_of_a_decapsulating_route():
    (first, second) = documents('[{"action":"End.DT6","table":"65541","dev":"sr0","table":"262144"}]\n[]\n')
    assert (first[0]["inner_table"], first[0]["table"], second) == ("65541", "262144", [])


@given(st.integers(1, 0xFFFF))
def test_synthetic_addresses_and_tables_name_their_numbers(number):
    assert marks.of_synthetic_v6(marks.synthetic_v6(number)) == number
    assert marks.of_synthetic_v4(marks.synthetic_v4(number)) == number
    assert marks.table_vrf(marks.vrf_table(number)) == number
    assert marks.table_policy(marks.policy_table(number)) == number
    assert marks.table_vrf(marks.policy_table(number)) is None
    assert marks.of_synthetic_v6("2001:db8::7") is None

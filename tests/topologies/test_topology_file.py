"""The loader: what it fills in, and that whatever is wrong is said with its line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.core.addresses import A_TO_Z, Z_TO_A, channel_address, host_mac, mac_text, router_mac
from controller.core.errors import Invalid
from controller.core.model import Container, Link, LinkKind, NodeKind
from controller.topology_file import TopologyFile, load, loads

TWO_SITES = """\
domain: test
title: Two sites
srv6: {block: "fcbb:bb00::/32"}
fibre: {us_per_km: 4.9, route_factor: 1.3}
sites:
  - {name: a, title: A, latitude: 40.0, longitude: 116.0, role: enterprise}
  - {name: b, title: B, latitude: 40.0, longitude: 116.1, role: compute}
routers:
  - name: a-r
    site: a
    node_id: 1
    processing_us: 15
    access:
      - {name: p1, kind: enterprise, ipv4_gateway: 10.1.0.1/24, ipv6_gateway: "2001:db8:1::1/64"}
  - {name: b-r, site: b, node_id: 2, processing_us: 15}
otn_nodes:
  - {name: a-o, site: a, router: a-r, datapath_id: 0x101, processing_us: 20}
  - {name: m-o, site: b, datapath_id: 0x102, processing_us: 30}
  - {name: b-o, site: b, router: b-r, datapath_id: 0x103, processing_us: 25}
fibres:
  - {name: F-1, a: a-o, z: m-o, km: 10.0, line: ODU2, servers: [{name: odu1-1, odu: ODU1}], srlgs: [7, 3]}
  - {name: F-2, a: b-o, z: m-o, km: 20.5, line: ODU2, srlgs: [3]}
trails:
  - {name: A-1, a: a-r, z: b-r, container: ODU1, fibres: [F-1, F-2]}
hosts:
  - {name: h-1, router: a-r, port: p1, ipv4: 10.1.0.2/24, ipv6: "2001:db8:1::2/64"}
"""


def link(topology: TopologyFile, name: str) -> Link:
    return next(k for k in topology.links if k.name == f"domains/test/links/{name}")


def test_fills_what_follows_from_the_file() -> None:
    topology = loads(TWO_SITES)
    assert [n.name.rsplit("/", 1)[-1] for n in topology.nodes] == ["a-r", "b-r", "a-o", "m-o", "b-o"]
    assert [n.node_id for n in topology.nodes if n.kind is NodeKind.OTN] == [0x101, 0x102, 0x103]
    fibre = link(topology, "F-2")
    assert (fibre.kind, fibre.length_km, fibre.delay_us) == (LinkKind.FIBRE, 20.5, 101)  # 100.45 rounded up
    assert link(topology, "F-1").servers[0].fgts == 238
    adjacency = link(topology, "A-1")
    assert adjacency.delay_us == 49 + 101 + 20 + 30 + 25
    assert adjacency.igp_metric == adjacency.delay_us
    assert (adjacency.length_km, adjacency.capacity_kbps, adjacency.srlgs) == (30.5, 2_488_320, (3, 7))
    assert adjacency.trail == ("domains/test/links/F-1", "domains/test/links/F-2")
    assert adjacency.container is Container.ODU1
    client = link(topology, "C-a-r")
    assert (client.kind, client.delay_us, client.z_node) == (LinkKind.CLIENT, 0, "domains/test/nodes/a-o")
    assert topology.hosts[0].ipv6_gateway == "2001:db8:1::1"
    port = topology.nodes[0].access_ports[0]
    assert (port.port, port.tenant) == (2, "default")


def test_a_machine_is_a_known_neighbour_of_its_port() -> None:
    topology = loads(TWO_SITES)
    assert topology.hosts[0].mac == "0a:00:00:01:00:02"
    (port,) = topology.nodes[0].access_ports
    assert [(n.address, n.mac) for n in port.neighbors] == [
        ("10.1.0.2", "0a:00:00:01:00:02"),
        ("2001:db8:1::2", "0a:00:00:01:00:02"),
    ]
    other = loads(TWO_SITES.replace("port: p1, ipv4", 'port: p1, mac: "3C:fd:FE:00:01:02", ipv4'))
    assert other.hosts[0].mac == "3c:fd:fe:00:01:02"
    assert {n.mac for n in other.nodes[0].access_ports[0].neighbors} == {"3c:fd:fe:00:01:02"}


def test_neighbours_are_listed_of_a_port_and_machines_of_the_lab_follow() -> None:
    (port,) = loads(TWO_SITES.replace(*LISTED)).nodes[0].access_ports
    assert [(n.address, n.mac) for n in port.neighbors] == [
        ("10.1.0.9", "0a:00:00:00:00:01"),
        ("2001:db8:1::9", "0a:00:00:00:00:01"),
        ("10.1.0.2", "0a:00:00:01:00:02"),
        ("2001:db8:1::2", "0a:00:00:01:00:02"),
    ]


def test_a_neighbour_is_behind_a_port_whatever_subnet_it_is_of() -> None:
    """A customer's router takes what is behind it; machines of its own choose their addresses, 02:… among them."""
    far = neighbors(("172.16.0.5", "02:42:ac:10:00:05"), ("2001:db8:7::", "06:01:00:00:00:01"))
    (port,) = loads(TWO_SITES.replace(LISTED[0], far)).nodes[0].access_ports
    assert [(n.address, n.mac) for n in port.neighbors[:2]] == [
        ("172.16.0.5", "02:42:ac:10:00:05"),
        ("2001:db8:7::", "06:01:00:00:00:01"),
    ]


@given(slice_id=st.integers(0, (1 << 32) - 1), node_id=st.integers(1, 0xDFFF), port=st.integers(1, 0xFFFF))
def test_no_machine_has_an_address_that_the_controller_gives(slice_id: int, node_id: int, port: int) -> None:
    own = [channel_address(slice_id, A_TO_Z), channel_address(slice_id, Z_TO_A), router_mac(node_id, port)]
    for mac in map(mac_text, own):
        with pytest.raises(Invalid, match="marks a channel"):
            loads(TWO_SITES.replace("port: p1, ipv4", f'port: p1, mac: "{mac}", ipv4'))
    machine = mac_text(host_mac(node_id, port))
    assert loads(TWO_SITES.replace("port: p1, ipv4", f'port: p1, mac: "{machine}", ipv4')).hosts[0].mac == machine


def neighbors(*pairs: tuple[str, str]) -> str:
    listed = ", ".join(f'{{address: "{address}", mac: "{mac}"}}' for address, mac in pairs)
    return f'"2001:db8:1::1/64", neighbors: [{listed}]}}'


ONE_MAC = "0a:00:00:00:00:01"
LISTED = '"2001:db8:1::1/64"}', neighbors(("10.1.0.9", ONE_MAC), ("2001:db8:1:0::9", ONE_MAC))
FAR = neighbors(("2001:db8:7::9", ONE_MAC))


def test_line_ports_follow_the_order_of_the_file() -> None:
    topology = loads(TWO_SITES)
    node = "domains/test/nodes/m-o"
    assert [topology.line_port(node, f"domains/test/links/F-{n}") for n in (1, 2)] == [2, 3]


def test_length_defaults_to_great_circle_times_route_factor() -> None:
    topology = loads(TWO_SITES.replace("km: 10.0, ", ""))
    degrees_km = 111.195 * 0.1 * 0.766044  # 0.1 degree of longitude at 40 degrees north
    assert link(topology, "F-1").length_km == pytest.approx(degrees_km * 1.3, rel=1e-3)


def test_engineering_figures_default_to_the_delay_and_to_the_fibres() -> None:
    fibre, adjacency = link(loads(TWO_SITES), "F-2"), link(loads(TWO_SITES), "A-1")
    assert (fibre.igp_metric, fibre.te_metric, fibre.jitter_us, fibre.affinities) == (101, 101, 0, ())
    assert (adjacency.te_metric, adjacency.jitter_us, adjacency.affinities) == (adjacency.delay_us, 0, ())
    painted = TWO_SITES.replace(
        "srlgs: [7, 3]", "srlgs: [7, 3], jitter_us: 4, te_metric: 9, affinities: [gold, buried]"
    )
    painted = painted.replace("srlgs: [3]", "srlgs: [3], jitter_us: 3, igp_metric: 5, affinities: [gold, aerial]")
    one, other, adjacency = (link(loads(painted), name) for name in ("F-1", "F-2", "A-1"))
    assert (one.igp_metric, one.te_metric, one.jitter_us, one.affinities) == (49, 9, 4, ("buried", "gold"))
    assert (other.igp_metric, other.te_metric, other.jitter_us, other.affinities) == (5, 101, 3, ("aerial", "gold"))
    assert (adjacency.jitter_us, adjacency.affinities) == (7, ("aerial", "buried", "gold"))
    assert (adjacency.igp_metric, adjacency.te_metric) == (225, 225)


def test_what_a_trail_states_of_itself_holds() -> None:
    painted = TWO_SITES.replace("srlgs: [3]", "srlgs: [3], jitter_us: 3, affinities: [gold]")
    stated = painted.replace("container: ODU1", "igp_metric: 10, te_metric: 20, jitter_us: 1, affinities: [ip]")
    adjacency = link(loads(stated), "A-1")
    assert (adjacency.igp_metric, adjacency.te_metric, adjacency.jitter_us) == (10, 20, 1)
    assert adjacency.affinities == ("ip",)
    assert link(loads(stated.replace("[ip]", "[]")), "A-1").affinities == ()


def test_a_layer_tells_64_affinities_apart() -> None:
    colours = ", ".join(f"c{n}" for n in range(64))
    text = TWO_SITES.replace("srlgs: [7, 3]", f"srlgs: [7, 3], affinities: [{colours}]")
    assert len(link(loads(text), "A-1").affinities) == 64
    with pytest.raises(Invalid, match=r"^<text>:22: topology\.fibres\[1\]\.affinities: this makes 65 affinities of f"):
        loads(text.replace("srlgs: [3]", "srlgs: [3], affinities: [c1, c64]"))
    with pytest.raises(Invalid, match=r"^<text>:24: .*trails.*: this makes 65 affinities of trails"):
        loads(text.replace("container: ODU1", f"affinities: [{colours}, c64]"))


WRONG = [
    ("domain: test", "domain: Test", "does not match"),
    ("title: Two sites", "title: [x]", "single value"),
    ("title: Two sites", "titel: Two sites", "unknown key 'titel'"),
    ("title: Two sites", "title: Two sites\ntitle: again", "given twice"),
    ('"fcbb:bb00::/32"', '"fcbb:bb00::/48"', "not 32 bits"),
    ('"fcbb:bb00::/32"', "nonsense", "nonsense"),
    ("us_per_km: 4.9", "us_per_km: 0.1", "within"),
    ("us_per_km: 4.9", "us_per_km: .nan", "decimal number"),
    ("latitude: 40.0, longitude: 116.0", "latitude: 91, longitude: 116.0", "within"),
    ("role: enterprise", "role: palace", "not one of"),
    ("name: b, title: B", "name: a, title: B", "given twice"),
    ("node_id: 1\n", "node_id: 0\n", "within 1..57343"),
    ("node_id: 1\n", "node_id: 0xE000\n", "within 1..57343"),
    ("node_id: 2", "node_id: 1", "given twice"),
    ("node_id: 2", "node_id: two", "whole number"),
    ("node_id: 2", "node_id: 1:30", "whole number"),
    ("node_id: 2", "node_id: 010", "whole number"),
    ("datapath_id: 0x103", "datapath_id: 0x101", "given twice"),
    ("name: b-o,", "name: b-r,", "given twice"),
    ("site: b, router: b-r", "site: nowhere, router: b-r", "no 'nowhere'"),
    ("site: b, router: b-r", "site: a, router: b-r", "the router is at b"),
    ("site: b, router: b-r", "site: a, router: a-r", "given twice"),
    ("router: b-r, ", "", "no OTN node names 'b-r'"),
    ("km: 10.0", "km: -10.0", "within"),
    ("km: 10.0", "km: 8.0", "shorter than the great circle"),
    ("km: 10.0", "km: 10000.0", "absurd"),
    ("km: 20.5, ", "", "give its km"),
    ("z: m-o, km: 10.0", "z: a-o, km: 10.0", "two nodes"),
    ("line: ODU2, servers", "line: ODU3, servers", "not one of ODU2, ODU4, ODUC1"),
    ("line: ODU2, servers", "line: ODUC11, servers", "not one of"),
    ("line: ODU2, servers", "line: [ODU2], servers", "single value"),
    ("odu: ODU1}]", "odu: ODU4}]", "not one of ODU0, ODU1, ODU2"),
    ("name: odu1-1,", "name: line,", "given twice"),
    ("container: ODU1", "container: ODU4", "the line of F-1 carries no ODU4"),
    ("container: ODU1", "container: ODU3", "not one of"),
    ("container: ODU1", "container: ODUC", "not one of"),
    ("[{name: odu1-1, odu: ODU1}]", "[{name: x, odu: ODU2}, {name: y, odu: ODU0}]", "9 of 8"),
    ("[{name: odu1-1, odu: ODU1}]", "[{name: x, odu: ODU0}, {name: x, odu: ODU0}]", "given twice"),
    ("[{name: odu1-1, odu: ODU1}]", "[{name: x, odu: ODU2}]", "10 of the 8 tributary slots of F-1"),
    ("container: ODU1", "container: FGODUFLEX", "not one of"),
    ("fibres: [F-1, F-2]", "fibres: [F-2, F-1]", "does not continue from a-o"),
    ("fibres: [F-1, F-2]", "fibres: [F-1]", "ends at m-o"),
    ("fibres: [F-1, F-2]", "fibres: [F-1, F-1]", "comes back to a-o"),
    ("fibres: [F-1, F-2]", "fibres: []", "ends at a-o"),
    ("fibres: [F-1, F-2]", "fibres: [F-1, F-9]", "no 'F-9'"),
    ("name: A-1", "name: F-1", "given twice"),
    ("name: A-1", "name: C-a-r", "name of a client link"),
    ("srlgs: [7, 3]", "srlgs: [7, 7]", "given twice"),
    ("srlgs: [7, 3]", "affinities: [gold, gold]", "given twice"),
    ("srlgs: [7, 3]", "affinities: [Gold]", "does not match"),
    ("srlgs: [7, 3]", "affinities: [7]", "expected a text"),
    ("srlgs: [7, 3]", 'affinities: [""]', "does not match"),
    ("srlgs: [7, 3]", "affinities: gold", "expected a list"),
    ("srlgs: [7, 3]", "te_metric: 0", "within 1..16777215"),
    ("srlgs: [7, 3]", "te_metric: 16777216", "within 1..16777215"),
    ("srlgs: [7, 3]", "igp_metric: 0", "within 1..16777215"),
    ("srlgs: [7, 3]", "jitter_us: -1", "within 0..16777215"),
    ("srlgs: [7, 3]", "jitter_us: 0.5", "whole number"),
    ("container: ODU1", "te_metric: cheap", "whole number"),
    ("container: ODU1", "jitter_us: 16777216", "within 0..16777215"),
    ("container: ODU1", "affinities: [a b]", "does not match"),
    ("container: ODU1", "colour: gold", "unknown key 'colour'"),
    ("ipv4: 10.1.0.2/24", "ipv4: 10.1.1.2/24", "not in the gateway's"),
    ("ipv4: 10.1.0.2/24", "ipv4: 10.1.0.2/25", "not in the gateway's"),
    ("ipv4: 10.1.0.2/24", "ipv4: 10.1.0.1/24", "own address"),
    ("ipv4: 10.1.0.2/24", "ipv4: 10.1.0.255/24", "no machine's address"),
    ("ipv4: 10.1.0.2/24", 'ipv4: "2001:db8:1::3/64"', "not an ipv4 address"),
    ("ipv4: 10.1.0.2/24", "ipv4: 10.1.0.2", "prefix length"),
    ("port: p1", "port: p2", "no 'p2'"),
    ("port: p1", 'port: p1, mac: "01:00:5e:00:00:01"', "no machine's address"),
    ("port: p1", 'port: p1, mac: "00:00:00:00:00:00"', "no machine's address"),
    ("port: p1", 'port: p1, mac: "0a:00:00:00:01"', "not six octets"),
    ("port: p1", 'port: p1, mac: "0a:00:00:00:00:+1"', "not six octets"),
    ("port: p1", "port: p1, mac: 1:00", "expected a text"),
    ("port: p1", 'port: p1, mac: "06:00:00:01:00:02"', "06:00:00:01:00:02 is a router's or marks a channel"),
    ("port: p1", 'port: p1, mac: "06:00:DF:FF:FF:FF"', "marks a channel"),
    ("port: p1", 'port: p1, mac: "02:00:00:00:01:00"', "marks a channel"),
    ("port: p1", 'port: p1, mac: "02:ff:ff:ff:ff:01"', "marks a channel"),
    (LISTED[0], neighbors(("10.1.0.9", "02:00:00:01:00:00")), "marks a channel"),
    (LISTED[0], neighbors(("10.1.0.0", ONE_MAC)), "10.1.0.0 is no machine's address in 10.1.0.0/24"),
    (LISTED[0], neighbors(("10.1.0.255", ONE_MAC)), "no machine's address"),
    (LISTED[0], neighbors(("2001:db8:1::", ONE_MAC)), "no machine's address"),
    (LISTED[0], neighbors(("2001:db8:1::7%p1", ONE_MAC)), "no zone"),
    (LISTED[0], neighbors(("224.0.0.9", ONE_MAC)), "224.0.0.9 is not a customer's unicast"),
    (LISTED[0], neighbors(("0.0.0.0", ONE_MAC)), "unicast"),
    (LISTED[0], neighbors(("255.255.255.255", ONE_MAC)), "unicast"),
    (LISTED[0], neighbors(("127.0.0.1", ONE_MAC)), "unicast"),
    (LISTED[0], neighbors(("fe80::1", ONE_MAC)), "unicast"),
    (LISTED[0], neighbors(("ff02::1", ONE_MAC)), "unicast"),
    (LISTED[0], neighbors(("fcbb:bb00:1::1", ONE_MAC)), "overlaps the infrastructure"),
    (LISTED[0], neighbors(("fdc0:de::9", ONE_MAC)), "overlaps the infrastructure"),
    (f"ipv6_gateway: {LISTED[0]}", FAR.partition(", ")[2], "neighbors[0].address: the port has no ipv6_gateway"),
    (LISTED[0], neighbors(("10.1.0.1", ONE_MAC)), "own address"),
    (LISTED[0], neighbors(("10.1.0.900", ONE_MAC)), "10.1.0.900"),
    (LISTED[0], neighbors(("10.1.0.9", "ff:ff:ff:ff:ff:ff")), "no machine's address"),
    (LISTED[0], neighbors(("10.1.0.9", ONE_MAC), ("10.1.0.9", "0a:00:00:00:00:02")), "already"),
    (LISTED[0], neighbors(("2001:db8:1::2", ONE_MAC)), "2001:db8:1::2 is a neighbour of the port already"),
    ('"2001:db8:1::1/64"', '"fcbb:bb00:1::1/64"', "SRv6 block"),
    ("  - {name: h-1", "  - 3\n  - {name: h-1", "mapping"),
]


LINES = [
    ("ODU2", "ODU2", Container.ODU2, 8, 9_995_276),
    ("ODU4", "ODU1", Container.ODU4, 80, 104_355_975),
    ("ODUC1", "ODU0", Container.ODUC, 20, 104_817_727),
    ("ODUC10", "ODU2", Container.ODUC, 200, 1_048_177_274),
]


@pytest.mark.parametrize(("line", "odu", "kind", "slots", "kbps"), LINES)
def test_a_line_has_the_slots_and_the_payload_of_its_odu(
    line: str, odu: str, kind: Container, slots: int, kbps: int
) -> None:
    text = TWO_SITES.replace("line: ODU2, srlgs", f"line: {line}, servers: [{{name: s, odu: {odu}}}], srlgs", 1)
    fibre = link(loads(text[: text.index("trails")]), "F-2")
    assert (fibre.line, fibre.line_slots, fibre.capacity_kbps) == (kind, slots, kbps)
    taken = {("ODU2", "ODU2"): 8, ("ODU4", "ODU1"): 2, ("ODUC1", "ODU0"): 1, ("ODUC10", "ODU2"): 2}[line, odu]
    fgts = {"ODU0": 119, "ODU1": 238, "ODU2": 952}[odu]
    assert [(s.tributary_slots, s.fgts) for s in fibre.servers] == [(taken, fgts)]


def on_lines(first: str, second: str, container: str) -> str:
    text = TWO_SITES.replace("line: ODU2, servers", f"line: {first}, servers")
    return text.replace("line: ODU2, srlgs", f"line: {second}, srlgs").replace(
        "container: ODU1", f"container: {container}"
    )


def test_what_carries_no_line_is_an_odu2() -> None:
    assert link(loads(TWO_SITES.replace("line: ODU2, srlgs", "srlgs")), "F-2").line is Container.ODU2


def test_a_client_link_is_as_fast_as_the_lines_of_its_node() -> None:
    mixed = loads(on_lines("ODU4", "ODU2", "ODU1"))
    assert [link(mixed, name).capacity_kbps for name in ("C-a-r", "C-b-r")] == [100_000_000, 10_000_000]


def test_a_trail_takes_of_each_line_what_that_one_s_slots_ask_for() -> None:
    """A server ODU1 stands on F-1: 2 slots of 1.25G or one of 5G; an ODU4 needs 80 or 20."""
    assert link(loads(on_lines("ODUC2", "ODU4", "ODU4")), "A-1").capacity_kbps == 104_355_975
    assert link(loads(on_lines("ODU4", "ODUC1", "ODU2")), "A-1").container is Container.ODU2
    with pytest.raises(Invalid, match=r"^<text>:24: .*take 82 of the 80 tributary slots of F-1"):
        loads(on_lines("ODU4", "ODUC1", "ODU4"))
    with pytest.raises(Invalid, match=r"^<text>:24: .*take 21 of the 20 tributary slots of F-1"):
        loads(on_lines("ODUC1", "ODUC1", "ODU4"))
    with pytest.raises(Invalid, match=r"^<text>:24: .*the line of F-2 carries no ODU4"):
        loads(on_lines("ODUC2", "ODU2", "ODU4"))


ELSEWHERE = {
    "no OTN node names 'b-r'": 15,
    "10 of the 8 tributary slots of F-1": 24,
    "2001:db8:1::2 is a neighbour of the port already": 26,
}
"""Where the fault shows in another line than the one changed: the router's, the trail's, the host's."""


@pytest.mark.parametrize(("right", "wrong", "words"), WRONG)
def test_says_what_is_wrong_and_where(right: str, wrong: str, words: str) -> None:
    assert TWO_SITES.count(right) >= 1
    at = TWO_SITES.index(right)
    with pytest.raises(Invalid) as raised:
        loads(TWO_SITES[:at] + wrong + TWO_SITES[at + len(right) :], "lab.yaml")
    message = raised.value.message
    assert words in message
    line = int(re.match(r"lab\.yaml:(\d+): ", message).group(1))  # type: ignore[union-attr]
    around = TWO_SITES[:at].count("\n") + 1
    assert line - ELSEWHERE.get(words, around) in (0, 1)


def test_two_ports_of_one_tenant_may_not_share_a_prefix_but_those_of_two_tenants_may() -> None:
    port = '      - {name: p1, kind: enterprise, ipv4_gateway: 10.1.0.1/24, ipv6_gateway: "2001:db8:1::1/64"}\n'
    second = port.replace("p1", "p2")
    with pytest.raises(Invalid, match=r"^<text>:15: .*overlaps"):
        loads(TWO_SITES.replace(port, port + second))
    loads(TWO_SITES.replace(port, port + second.replace("kind:", "tenant: acme, kind:")))


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"", 1),
        (b"a: b\n---\nc: d\n", 2),
        (b"a: [1\nb: 2\n", 2),
        (b"a: b\n\xff\n", 2),
        (b"a: b\nc: \x00\n", 2),
        (b'a: "\\UFFFFFFFF"\n', 1),
        (b"[" * 5000, 1),
        (b"&a [*a]", 1),
    ],
)
def test_what_is_not_yaml(tmp_path: Path, data: bytes, line: int) -> None:
    file = tmp_path / "bad.yaml"
    file.write_bytes(data)
    with pytest.raises(Invalid, match=f"^{re.escape(str(file))}:{line}: "):
        load(file)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="cannot be read"):
        load(tmp_path / "none.yaml")


FRAGMENTS = ["", "{", "]", "- ", ":", "#", "'", '"', "&x ", "*x", "!!int ", "!!python/object:os.system ", "<<: ", "\t"]
FRAGMENTS += [
    "null",
    "~",
    "-1",
    "1e999",
    ".inf",
    "9" * 40,
    "0x",
    "yes",
    "2026-99-99",
    "\x85",
    "\ud800",
    "10.1.0.2/24",
    "a-o",
]


def assert_loads_or_names_a_line(text: str) -> None:
    message = ""
    try:
        loads(text, "f")
    except Invalid as error:
        message = error.message
    assert re.match(r"(f:[1-9]\d*: \S|$)", message)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    start=st.integers(0, len(TWO_SITES)),
    length=st.integers(0, 40),
    insert=st.one_of(st.sampled_from(FRAGMENTS), st.text(max_size=12)),
)
def test_any_change_of_a_file_loads_or_is_invalid_with_a_line(start: int, length: int, insert: str) -> None:
    assert_loads_or_names_a_line(TWO_SITES[:start] + insert + TWO_SITES[start + length :])


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_any_lines_swapped_or_dropped(data: st.DataObject) -> None:
    lines = TWO_SITES.splitlines(keepends=True)
    kept = data.draw(st.lists(st.sampled_from(range(len(lines))), min_size=len(lines) - 3, max_size=len(lines) + 3))
    assert_loads_or_names_a_line("".join(lines[n] for n in sorted(kept)))

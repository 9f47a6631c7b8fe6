"""The standard view, read back by its own rules: topology against tunnels, and both against what was booked."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from networks import Network, chain, corridor, corridors_on, domain, domains, fibre, link_name, square

from controller.core.errors import Refused
from controller.core.fgotn_view import networks, tunnels
from controller.core.model import (
    Container,
    Isolation,
    Link,
    LinkKind,
    Profile,
    Reservation,
    ResizeState,
    Slice,
    SliceHop,
    SliceRole,
    Status,
)
from controller.core.otn import Claim, RowKey
from controller.core.topology import Topology

FGTS = {"ODU0": 119, "ODU1": 238, "ODU2": 952}
TAKEN = {
    Container.ODU2: {"ODU0": 1, "ODU1": 2, "ODU2": 8},
    Container.ODU4: {"ODU0": 1, "ODU1": 2, "ODU2": 8, "ODU3": 31, "ODU4": 80},
    Container.ODUC: {"ODU0": 1, "ODU1": 1, "ODU2": 2, "ODU3": 8, "ODU4": 20},
}
"""Slots that each ODU takes of a line."""
SLOTS = {Container.ODU2: 8, Container.ODU4: 80, Container.ODUC: 20}

Segment = tuple[str, str]
"""Link of the view, tributary slots of a server in it."""


def numbers(text: str) -> list[int]:
    """Of a ts-list, which must ascend and whose ranges must not touch."""
    found: list[int] = []
    for part in filter(None, text.split(",")):
        low, *high = (int(each) for each in part.split("-"))
        assert not found or low > found[-1] + 1
        assert not high or high[0] > low
        found += range(low, (high or [low])[0] + 1)
    return found


class Read:
    """Both views as a client reads them, after a journey through JSON."""

    def __init__(self, net: Network) -> None:
        [network] = json.loads(json.dumps(networks(net.topology, net.ledger)))["ietf-network:networks"]["network"]
        te = json.loads(json.dumps(tunnels(net.topology, net.records)))["ietf-te:te"]
        self.network = network
        self.links = {link["link-id"]: link for link in network["ietf-network-topology:link"]}
        self.tunnels = {tunnel["name"]: tunnel for tunnel in te["tunnels"]["tunnel"]}
        self.lsps = {(lsp["tunnel-name"], lsp["lsp-id"]): lsp for lsp in te["lsps"]["lsp"]}
        self.ports: dict[tuple[str, int], tuple[str, str]] = {}
        for node in network["node"]:
            for tp in node["ietf-network-topology:termination-point"]:
                port = node["ietf-te-topology:te-node-id"], tp["ietf-te-topology:te-tp-id"]
                self.ports[port] = node["node-id"], tp["tp-id"]
        self.leaving = {(k["source"]["source-node"], k["source"]["source-tp"]): name for name, k in self.links.items()}

    def attributes(self, link: str) -> dict[str, Any]:
        return self.links[link]["ietf-te-topology:te"]["te-link-attributes"]  # type: ignore[no-any-return]

    def ranges(self, link: str) -> dict[str, dict[str, Any]]:
        [restriction] = self.attributes(link)["label-restrictions"]["label-restriction"]
        assert restriction["ietf-otn-topology:otn-label-range"]["range-type"] == "trib-slot"
        return {each["odu-ts-number"]: each for each in restriction["ietf-fgotn-topology:fgts-range"]}

    def free_tributaries(self, link: str) -> set[int]:
        [restriction] = self.attributes(link)["label-restrictions"]["label-restriction"]
        bitmap = int(restriction["range-bitmap"].replace(":", ""), 16)
        last = restriction["label-end"]["te-label"]["ietf-otn-topology:otn-label"]["ts"]
        assert bitmap >> last == 0
        return {slot for slot in range(1, last + 1) if bitmap >> (slot - 1) & 1}

    def numbers(self, link: str, what: str) -> dict[str, int]:
        bandwidth = self.attributes(link)[what]
        [entry] = bandwidth if isinstance(bandwidth, list) else [bandwidth]
        odus = entry["te-bandwidth"]["ietf-otn-topology:otn-bandwidth"]["odulist"]
        return {each["odu-type"].split(":")[1]: each.get("number", each.get("ts-number")) for each in odus}

    def hops(self, objects: list[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
        """(link, label): each label belongs to the port before it, and each link begins where the last one ended."""
        found: list[tuple[str, dict[str, Any]]] = []
        for port, label in zip(objects[::2], objects[1::2], strict=True):
            hop = port["unnumbered-link-hop"]
            link = self.leaving[self.ports[hop["node-id"], hop["link-tp-id"]]]
            if found:
                assert self.links[found[-1][0]]["destination"]["dest-node"] == self.links[link]["source"]["source-node"]
            found.append((link, label["label-hop"]["te-label"]["ietf-otn-tunnel:otn-label"]))
        return found

    def paths(self, name: str) -> dict[str, list[tuple[str, dict[str, Any]]]]:
        """Hops of each path of a tunnel by the path's name."""
        tunnel = self.tunnels[name]
        listed = list(tunnel["primary-paths"]["primary-path"])
        listed += [path["primary-reverse-path"] for path in listed]
        listed += tunnel.get("secondary-paths", {}).get("secondary-path", [])
        listed += tunnel.get("secondary-reverse-paths", {}).get("secondary-reverse-path", [])
        return {
            path["name"]: self.hops(path["explicit-route-objects"]["route-object-include-exclude"]) for path in listed
        }


def thin_in(line: Container, free: int) -> int:
    """Fine-grain slots of the servers that fit: 119 per 1.25G, in 5G slots an ODU2 in two and an ODU1 in one."""
    return free // 2 * 952 + free % 2 * 238 if line is Container.ODUC else free * 119


def agrees(net: Network, line: Container = Container.ODU2) -> Read:
    """Every slot that a link reports as taken is in the label of a tunnel, and the other way about."""
    read = Read(net)
    fine: dict[Segment, set[int]] = defaultdict(set)
    whole: dict[str, set[int]] = defaultdict(set)
    for name in read.tunnels:
        for hops in read.paths(name).values():
            for link, label in hops:
                if "ietf-fgotn-tunnel:fgts-numbers" in label:
                    fine[link, label["ts-list"]] |= set(numbers(label["ietf-fgotn-tunnel:fgts-numbers"]))
                else:
                    whole[link] |= set(numbers(label["ts-list"]))
    for link in read.links:
        left = 0
        for tributaries, each in read.ranges(link).items():
            reserved, unreserved = (set(numbers(each[f"fgts-{what}"])) for what in ("reserved", "unreserved"))
            odu = each["odu-type"].split(":")[1]
            assert len(numbers(tributaries)) == TAKEN[line][odu]
            assert reserved == fine.pop((link, tributaries), set())
            assert not reserved & unreserved
            assert reserved | unreserved == set(range(1, FGTS[odu] + 1))
            assert not whole[link] & set(numbers(tributaries))
            whole[link] |= set(numbers(tributaries))
            left += len(unreserved)
        free = read.free_tributaries(link)
        assert free == set(range(1, SLOTS[line] + 1)) - whole[link]
        assert read.numbers(link, "unreserved-bandwidth") == counts(line, len(free), left)
        assert read.numbers(link, "max-link-bandwidth") == counts(line, SLOTS[line], 0)
    assert not fine
    return read


def counts(line: Container, free: int, thin: int) -> dict[str, int]:
    flexible = {"ODUflex-resizable": free} if free else {}
    odus = {odu: free // taken for odu, taken in TAKEN[line].items()}
    return odus | flexible | {"fgODUflex": thin + thin_in(line, free)}


def test_a_network_at_rest_by_hand() -> None:
    """On F-12 an ODU1 in slots 1-2 and an ODU0 in 3, then two trails of an ODU0: 5 of 8 are taken."""
    read = agrees(Network.of(square()))
    there = f"{link_name('F-12')}/a-z"
    assert len(read.links) == 10
    assert read.links[there]["source"] == {"source-node": "domains/lab/nodes/o1", "source-tp": "F-12"}
    assert read.links[there]["destination"]["dest-node"] == "domains/lab/nodes/o2"
    assert read.attributes(there)["label-restrictions"]["label-restriction"][0]["range-bitmap"] == "e0"
    assert read.ranges(there) == {
        "1-2": {
            "odu-type": "ietf-layer1-types:ODU1",
            "odu-ts-number": "1-2",
            "fgts-reserved": "",
            "fgts-unreserved": "1-238",
        },
        "3": {
            "odu-type": "ietf-layer1-types:ODU0",
            "odu-ts-number": "3",
            "fgts-reserved": "",
            "fgts-unreserved": "1-119",
        },
    }
    assert read.numbers(there, "unreserved-bandwidth")["fgODUflex"] == 238 + 119 + 3 * 119
    trail = read.paths(link_name("A-13"))
    assert trail["working"] == [
        (there, {"tsg": "ietf-layer1-types:tsg-1.25G", "ts-list": "5"}),
        (f"{link_name('F-23')}/a-z", {"tsg": "ietf-layer1-types:tsg-1.25G", "ts-list": "4"}),
    ]
    assert [link for link, _ in trail["working-reverse"]] == [f"{link_name(f)}/z-a" for f in ("F-23", "F-12")]
    assert read.tunnels[link_name("A-13")]["te-bandwidth"]["ietf-otn-tunnel:otn-bandwidth"] == {
        "odu-type": "ietf-layer1-types:ODU0"
    }


def test_a_slice_by_hand() -> None:
    """11 slots are reserved for 100 Mbit/s, the 3 of the active profile carry traffic."""
    net = Network.of(chain(2))
    record = net.stand(corridor(z=2))
    read = agrees(net)
    assert record.target is not None
    assert record.target.slice is not None
    number = record.target.slice.id
    tunnel = read.tunnels[record.name]
    assert (tunnel["identifier"], tunnel["source"], tunnel["bidirectional"]) == (number, te_node(net, "o1"), True)
    assert tunnel["te-bandwidth"]["ietf-otn-tunnel:otn-bandwidth"] == {
        "odu-type": "ietf-fgotn-types:fgODUflex",
        "ietf-fgotn-tunnel:fgoduflex-bandwidth": "30.027918",
    }
    label = {
        "tsg": "ietf-layer1-types:tsg-1.25G",
        "ts-list": "1-2",
        "ietf-fgotn-tunnel:fgts-numbers": "1-11",
    }
    assert read.paths(record.name) == {
        "working": [(f"{link_name('F-1-2')}/a-z", label)],
        "working-reverse": [(f"{link_name('F-1-2')}/z-a", label)],
    }
    lsp = read.lsps[record.name, number]
    assert (lsp["operational-state"], lsp["lsp-protection-role"]) == ("ietf-te-types:lsp-state-up", "working")
    [(_, actual)] = read.hops(lsp["lsp-actual-route-information"]["lsp-actual-route-information"])
    assert actual["ietf-fgotn-tunnel:fgts-numbers"] == "1-3"
    assert "corridor-otn:bandwidth-state" not in lsp
    net.link("F-1-2", Status.DOWN)
    down = Read(net)
    assert down.lsps[record.name, number]["operational-state"] == "ietf-te-types:lsp-state-down"
    assert down.links[f"{link_name('F-1-2')}/a-z"]["ietf-te-topology:te"]["oper-status"] == "down"


def test_while_a_change_is_under_way_both_paths_are_told() -> None:
    net = Network.of(square())
    wanted = corridor(rates=(20_000, 1_000_000), reservation=Reservation.ACTIVE)
    net.stand(wanted)
    larger = replace(wanted, active_profile="p1")
    net.ask(larger)
    sizes = {"working": 3, "working-next": 106}
    for stage, active in (("BUILD", 3), ("STEER", 106), ("CLEAN", 106)):
        read = agrees(net)
        assert active_slots(read, wanted.name) == active
        paths = read.paths(wanted.name)
        assert set(paths) == {f"{name}{reverse}" for name in sizes for reverse in ("", "-reverse")}, stage
        labels = {name: paths[name][0][1]["ietf-fgotn-tunnel:fgts-numbers"] for name in sizes}
        assert {name: len(numbers(label)) for name, label in labels.items()} == sizes
        net.step(wanted.name)
        sizes = {"working": 106, "working-previous": 3}
    assert set(agrees(net).paths(wanted.name)) == {"working", "working-reverse"}
    net.ask(wanted)
    for active in (106, 106, 3):
        assert active_slots(agrees(net), wanted.name) == active, "it shrinks when its traffic is steered"
        net.step(wanted.name)


def active_slots(read: Read, corridor_name: str) -> int:
    """Of the only LSP of a corridor; its tunnel must say the same in Mbit/s."""
    [lsp] = [each for (name, _), each in read.lsps.items() if name == corridor_name]
    hops = read.hops(lsp["lsp-actual-route-information"]["lsp-actual-route-information"])
    [count] = {len(numbers(label["ietf-fgotn-tunnel:fgts-numbers"])) for _, label in hops}
    bandwidth = read.tunnels[corridor_name]["te-bandwidth"]["ietf-otn-tunnel:otn-bandwidth"]
    assert Decimal(bandwidth["ietf-fgotn-tunnel:fgoduflex-bandwidth"]) == count * Decimal("10.009306")
    return count


def test_a_change_that_leaves_the_slice_alone_has_one_path() -> None:
    net = Network.of(square())
    wanted = corridor()
    net.stand(wanted)
    net.ask(replace(wanted, mtu_bytes=1400))
    assert set(agrees(net).paths(wanted.name)) == {"working", "working-reverse"}


def te_node(net: Network, short: str) -> str:
    return f"0.0.{(number := net.topology.nodes[f'domains/lab/nodes/{short}'].node_id) >> 8}.{number & 0xFF}"


@pytest.mark.parametrize(
    ("state", "name"),
    [
        (ResizeState.MODIFYING, "lsp-bandwidth-modifying"),
        (ResizeState.MODIFIED_OK, "lsp-bandwidth-modified-ok"),
        (ResizeState.MODIFY_FAILED, "lsp-bandwidth-modify-failed"),
    ],
)
def test_the_state_of_the_last_change_of_size_is_the_lsp_s(state: ResizeState, name: str) -> None:
    net = Network.of(chain(2))
    record = net.stand(corridor(z=2))
    [leg] = record.corridor.legs
    told = replace(leg, slices=tuple(replace(part, resize_state=state) for part in leg.slices))
    net.records[record.name] = replace(record, corridor=replace(record.corridor, legs=(told,)))
    [lsp] = Read(net).lsps.values()
    assert lsp["corridor-otn:bandwidth-state"] == name


def test_a_protection_slice_is_the_secondary_path() -> None:
    net = Network.of(square())
    record = net.stand(corridor(a=1, z=3))
    assert record.target is not None
    [working] = record.target.leg.slices
    hops = (SliceHop(link_name("F-41"), "odu1-1", "9-10,2"), SliceHop(link_name("F-34"), "odu0-2", "7-9"))
    spare = Slice(4711, Container.FGODUFLEX, 3, 2, hops, SliceRole.PROTECTION)
    target = replace(record.target, leg=replace(record.target.leg, slices=(working, spare)))
    net.records[record.name] = replace(record, target=target)
    read = Read(net)
    tunnel = read.tunnels[record.name]
    assert tunnel["protection"] == {"enable": True, "protection-type": "ietf-te-types:lsp-protection-1-for-1"}
    paths = read.paths(record.name)
    assert {name: [link for link, _ in hops] for name, hops in paths.items() if name.startswith("protection")} == {
        "protection": [f"{link_name('F-41')}/z-a", f"{link_name('F-34')}/z-a"],
        "protection-reverse": [f"{link_name('F-34')}/a-z", f"{link_name('F-41')}/a-z"],
    }
    assert [label["ietf-fgotn-tunnel:fgts-numbers"] for _, label in paths["protection"]] == ["2,9-10", "7-9"]
    assert [label["ts-list"] for _, label in paths["protection"]] == ["1-2", "3"]
    lsp = read.lsps[record.name, 4711]
    assert lsp["lsp-protection-role"] == "protection"
    actual = read.hops(lsp["lsp-actual-route-information"]["lsp-actual-route-information"])
    assert [label["ietf-fgotn-tunnel:fgts-numbers"] for _, label in actual] == ["9-10", "7-8"], "the first that it got"


def test_a_larger_slice_in_tributary_slots_is_an_oduflex() -> None:
    """3 Gbit/s are 3.17 on the wire: three slots of 1.244, after an ODU1 and a trail; the other profile needs two."""
    net = Network.of(chain(2))
    placed = net.stand(corridor(z=2, rates=(2_000_000, 3_000_000)))
    read = agrees(net)
    assert read.tunnels[placed.name]["te-bandwidth"]["ietf-otn-tunnel:otn-bandwidth"] == {
        "odu-type": "ietf-layer1-types:ODUflex-resizable",
        "gfp-n": 2,
        "gfp-k": "2",
    }
    [(_, label)] = read.paths(placed.name)["working"]
    assert label == {"tsg": "ietf-layer1-types:tsg-1.25G", "ts-list": "4-6"}


@pytest.mark.parametrize(
    ("line", "slots", "numbers_of"),
    [
        (Container.ODU4, 80, {"ODU0": 80, "ODU1": 40, "ODU2": 10, "ODU3": 2, "ODU4": 1, "fgODUflex": 9520}),
        (Container.ODUC, 20, {"ODU0": 20, "ODU1": 20, "ODU2": 10, "ODU3": 2, "ODU4": 1, "fgODUflex": 9520}),
        (Container.ODUC, 200, {"ODU0": 200, "ODU1": 200, "ODU2": 100, "ODU3": 25, "ODU4": 10, "fgODUflex": 65535}),
    ],
)
def test_faster_lines(line: Container, slots: int, numbers_of: dict[str, int]) -> None:
    """fgTS are in ODU2s of theirs; what the models' 16 bits cannot hold is their largest number."""
    fast = replace(fibre("F", 1, 2, servers=(), line_slots=slots), line=line)
    net = Network.of(domain((1, 2), [fast]))
    read = Read(net)
    there = f"{link_name('F')}/a-z"
    assert read.numbers(there, "max-link-bandwidth") == numbers_of | {"ODUflex-resizable": slots}
    assert read.numbers(there, "unreserved-bandwidth") == numbers_of | {"ODUflex-resizable": slots}
    tsg = read.attributes(there)["ietf-otn-topology:otn-link"]["tsg"]
    assert tsg == f"ietf-layer1-types:tsg-{'5G' if line is Container.ODUC else '1.25G'}"
    assert read.free_tributaries(there) == set(range(1, slots + 1))


def test_a_server_that_was_opened_on_demand_is_known_by_its_slots() -> None:
    net = Network.of(chain(2))
    rows = [RowKey(link_name("F-1-2"), "odu1:6,8", way) for way in (0, 1)]
    ledger = net.ledger.change(frozenset(), frozenset(Claim("c", row, bitmap=0b1001) for row in rows))
    net = replace(net, ledger=ledger)
    opened = Read(net).ranges(f"{link_name('F-1-2')}/z-a")["6,8"]
    assert (opened["odu-type"], opened["fgts-reserved"]) == ("ietf-layer1-types:ODU1", "1,4")
    assert opened["fgts-unreserved"] == "2-3,5-238"
    assert Read(net).free_tributaries(f"{link_name('F-1-2')}/a-z") == {4, 5, 7}


def test_before_anything_is_seen_there_are_no_port_numbers() -> None:
    net = Network.of(square(), up=False)
    view = networks(net.topology, net.ledger)["ietf-network:networks"]["network"][0]
    assert all(set(tp) == {"tp-id"} for n in view["node"] for tp in n["ietf-network-topology:termination-point"])
    states = {k["ietf-te-topology:te"]["oper-status"] for k in view["ietf-network-topology:link"]}
    assert states == {"unknown"}


def with_lines(topology: Topology, line: Container, servers: bool) -> Topology:
    """The same with lines of one kind, on which each server takes what it takes there, or without servers."""

    def rebuilt(link: Link) -> Link:
        standing = tuple(replace(each, tributary_slots=TAKEN[line][each.odu]) for each in link.servers if servers)
        return replace(link, line=line, line_slots=SLOTS[line], servers=standing)

    links = [rebuilt(link) if link.kind is LinkKind.FIBRE else link for link in topology.links.values()]
    return Topology.planned(topology.domain, topology.srv6_block, topology.nodes.values(), links)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_links_and_tunnels_agree_at_every_stage(data: st.DataObject) -> None:
    line = data.draw(st.sampled_from(list(SLOTS)))
    net = Network.of(with_lines(data.draw(domains()), line, data.draw(st.booleans())))
    for number in range(data.draw(st.integers(1, 6))):
        wanted = data.draw(corridors_on(net.topology, f"c{number % 4}"))
        scale = data.draw(st.sampled_from([1, 1, 4]))  # beyond 1.1 Gbit/s in tributary slots
        profiles = tuple(Profile(p.name, p.bandwidth_kbps * scale) for p in wanted.profiles)
        wanted = replace(wanted, isolation=Isolation.HARD, profiles=profiles)
        try:
            net.ask(wanted)
        except Refused:
            continue
        for _ in range(data.draw(st.integers(0, 3))):
            net.step(wanted.name)
        agrees(net, line)

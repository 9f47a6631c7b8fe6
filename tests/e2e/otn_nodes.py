"""What the OTN nodes hold, read from their line cards and switches, and what they should by the API's own words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from line_cards import line_card

from controller.linecard.gen import line_card_pb2 as pb
from topologies.lab import Lab
from topologies.system import Controller

SLOT_BPS = 10_009_306
"""Ethernet that a fine-grain slot carries."""
TRANSIT_KBPS = 512
_METER = re.compile(r"meter=(\d+) .*\n.*rate=(\d+) burst_size=(\d+)")
_DIRECTORY = re.compile(r"metadata=0x([0-9a-f]+) actions=meter:(\d+)")
_COUNTERS = re.compile(r"(duration|n_packets|n_bytes|idle_age|hard_age)=\S+,? ?")
_GENERATION = re.compile(r"cookie=0x(c0d[ef])[0-9a-f]{4}")


@dataclass(frozen=True, slots=True)
class Held:
    """The slots of a slice at one line port, in their order, and its size there, A to Z and Z to A."""

    server: str
    slots: tuple[int, ...]
    sizes: tuple[int, int]


Slots = dict[tuple[str, int, int], Held]
"""By node, slice and line port."""
Meters = dict[tuple[str, int, int], tuple[int, int]]
"""(rate in kbit/s, burst in kbit) by node, slice and direction."""


def otn_nodes(controller: Controller) -> list[str]:
    return [short(node["name"]) for node in controller.topology()["nodes"] if node["kind"] == "OTN"]


def slots(lab: Lab, nodes: list[str], slices: set[int] | None = None) -> Slots:
    """All of these slices, or of every slice."""
    found: Slots = {}
    for node in nodes:
        with line_card(lab, node) as stub:
            table = stub.GetSlotTable(pb.GetSlotTableRequest(), timeout=5)
            for held in table.holdings:
                if slices is None or held.slice_id in slices:
                    size = stub.GetSlice(pb.GetSliceRequest(slice_id=held.slice_id), timeout=5)
                    assert not size.modifying
                    both = size.forward_count, size.reverse_count
                    found[node, held.slice_id, held.line_port] = Held(held.server, tuple(held.slots), both)
    return found


def meters(lab: Lab, nodes: list[str], slices: set[int] | None = None) -> Meters:
    """Straight from the switches: the directory says whose meter it is."""
    found: Meters = {}
    for node in nodes:
        known = {
            number: (int(rate), int(burst)) for number, rate, burst in _METER.findall(lab.ofctl(node, "dump-meters"))
        }
        for metadata, number in _DIRECTORY.findall(lab.ofctl(node, "dump-flows", "table=250")):
            slice_id, direction = int(metadata, 16) >> 8, int(metadata, 16) & 1
            if slices is None or slice_id in slices:
                found[node, slice_id, direction] = known[number]
    return found


def flows(lab: Lab, nodes: list[str]) -> dict[str, list[str]]:
    """Every flow, without its counters, its age and the generation of the controller that wrote it."""
    return {
        node: sorted(
            _GENERATION.sub(r"\1", _COUNTERS.sub("", line)) for line in lab.ofctl(node, "dump-flows").splitlines()[1:]
        )
        for node in nodes
    }


def everything(lab: Lab, nodes: list[str]) -> tuple[Slots, Meters, dict[str, list[str]]]:
    return slots(lab, nodes), meters(lab, nodes), flows(lab, nodes)


def expected(controller: Controller, corridors: list[dict[str, Any]]) -> tuple[Slots, Meters]:
    """What settled hard corridors of fine-grain slices should have at every node, by what the API says of them."""
    links = {link["name"]: link for link in controller.topology()["links"]}
    clients = {link["aNode"]: link["zNode"] for link in links.values() if link["kind"] == "CLIENT"}
    wanted_slots: Slots = {}
    wanted_meters: Meters = {}
    for corridor in corridors:
        for part in corridor["legs"][0]["slices"]:
            size = part["activeSlots"]
            route = [clients[corridor["aEnd"]["node"]]]
            for hop in part["hops"]:
                link = links[hop["link"]]
                held = Held(hop["server"], numbers(hop["slots"]), (size, size))
                assert len(held.slots) == part["claimedSlots"]
                for end in ("a", "z"):
                    wanted_slots[short(link[f"{end}Node"]), part["id"], link[f"{end}Port"]] = held
                route.append(link["zNode"] if link["aNode"] == route[-1] else link["aNode"])
            for direction, way in ((0, route), (1, route[::-1])):
                for place, node in enumerate(way):
                    if place > 0 or part["role"] == "WORKING":  # what enters is metered once, whichever way it goes
                        wanted_meters[short(node), part["id"], direction] = limit(size, transit=place > 0)
    return wanted_slots, wanted_meters


def limit(size: int, *, transit: bool) -> tuple[int, int]:
    """By hand: what that many slots carry, a quarter of a second of burst; behind another meter more of both."""
    rate = size * SLOT_BPS // 1000
    return (rate + TRANSIT_KBPS, 2 * int(rate * 0.25)) if transit else (rate, int(rate * 0.25))


def free_slots(controller: Controller) -> dict[tuple[str, str], tuple[int, int]]:
    """What the ledger says is free, by fibre and server."""
    return {
        (short(link["name"]), server["name"]): (server["freeForward"], server["freeReverse"])
        for link in controller.topology()["links"]
        for server in link["servers"]
    }


def slice_ids(corridor: dict[str, Any]) -> set[int]:
    return {part["id"] for part in corridor["legs"][0]["slices"]}


def numbers(text: str) -> tuple[int, ...]:
    """Of a list like `5-7,1`, in its order."""
    found: list[int] = []
    for part in text.split(","):
        low, *high = map(int, part.split("-"))
        found += range(low, (high or [low])[0] + 1)
    return tuple(found)


def short(name: str) -> str:
    return name.rpartition("/")[2]

"""One fault after the other in the lab, under traffic and under changes, and what must hold after each."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import httpx
from callers import Caller
from faults import Fault, System, drawn, struck
from history import violations
from otn_nodes import expected, meters, otn_nodes, slots
from places import ADDRESS, CP, ENDS, FT, SG, SY, YZ, ZGC, body

from topologies.lab import Capture
from topologies.system import Controller, wait_for
from topologies.traffic import Flow, Load, await_ping

STEADY = {
    "hard": (ZGC, YZ, "HARD", "RESTORE"),
    "soft": (CP, FT, "SOFT", "RESTORE"),
    "hard-protected": (SG, SY, "HARD", "PROTECT"),
    "soft-protected": (ZGC, FT, "SOFT", "PROTECT"),
    "far": (YZ, SG, "HARD", "RESTORE"),
}
"""Corridors that carry traffic all the while, and that nobody changes."""
CHANGING = {"changing-1": (CP, SY, "HARD"), "changing-2": (SY, YZ, "SOFT"), "changing-3": (FT, SG, "HARD")}
"""Corridors of the caller's."""
LOAD = Load(1_000, ip_bytes=500, seconds=7.0, steady=True)
CALM_S = 60.0
"""Within which a network that is whole again has settled."""
IN_LINE_S = 5.0
"""Within which, once it has, devices hold what is desired of them."""
REACHES_S = 30.0


@dataclass(frozen=True, slots=True)
class Round:
    """What one fault did."""

    number: int
    fault: str
    calm_s: float
    in_line_s: float
    lost: dict[str, tuple[int, bool]]
    """Packets by corridor, and whether the fault hit it."""

    def __str__(self) -> str:
        lost = ", ".join(f"{name}{'*' * hit} {count}" for name, (count, hit) in sorted(self.lost.items()))
        return (
            f"{self.number:3} {self.fault:45} calm {self.calm_s:5.1f} s, in line {self.in_line_s:4.1f} s, lost {lost}"
        )


@dataclass
class Chaos:
    system: System
    seed: int
    rounds: list[Round] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        bodies = {name: _asked(each, number) for number, (name, each) in enumerate(CHANGING.items())}
        self.caller = Caller(self.system.urls, bodies, self.seed)

    def run(self, seconds: float) -> None:
        """Faults until so many seconds are over; the schedule is printed whatever comes."""
        end = time.monotonic() + seconds
        self._calm()
        leader = self.system.leader()
        for name, (a, z, isolation, protection) in STEADY.items():
            leader.create(name, body(a, z, isolation, only=20) | {"protection": protection, "maxLatencyUs": 0})
        for a, z, *_ in STEADY.values():
            await_ping(self.system.lab, a, ADDRESS[z][1], REACHES_S)
        self.caller.start()
        try:
            while time.monotonic() < end:
                self._round()
        finally:
            self.caller.end()

    def _round(self) -> None:
        topology, before = self._topology(), self._standing()
        fault = drawn(self.system, self.chance, topology)
        print(f"{len(self.rounds) + 1}: {fault.what}", flush=True)
        hit = {name: not fault.hits.isdisjoint(resources(topology, before[name])) for name in STEADY}
        with ExitStack() as stack:
            wires = [stack.enter_context(self.system.lab.capture(node, "eth1", "ip6")) for node in _sources()]
            flows = {name: Flow(self.system.lab, a, z, ADDRESS[z][1], LOAD) for name, (a, z, *_) in STEADY.items()}
            self.caller.resume()
            time.sleep(0.5)
            struck(fault)
            results = {name: flow.result() for name, flow in flows.items()}
            self.caller.pause()
        self._judge(fault, hit, results, before, wires)

    def _judge(
        self,
        fault: Fault,
        hit: dict[str, bool],
        results: dict[str, dict[str, Any]],
        before: dict[str, dict[str, Any]],
        wires: list[Capture],
    ) -> None:
        self.system.revive()
        calm_s = self._calm()
        leader = self.system.leader()
        in_line_s = self._in_line()
        lost = {name: (int(result["lost"]), hit[name]) for name, result in results.items()}
        self.rounds.append(Round(len(self.rounds) + 1, fault.what, calm_s, in_line_s, lost))
        print(self.rounds[-1], flush=True)
        bystanders = {name: count for name, (count, touched) in lost.items() if count and not touched}
        assert not bystanders, f"lost, though not hit: {bystanders}"
        self._books(leader)
        self._apart(before, self._standing(), wires)
        self.caller.read_all(str(self.system.leader().client.base_url).rstrip("/"))
        assert not violations(self.caller.history), violations(self.caller.history)

    # -- what must hold -----------------------------------------------------------------------------------------------

    def _calm(self) -> float:
        """Seconds until every node answers, every link is up, and no corridor is under way or less than UP."""
        began = time.monotonic()
        try:
            wait_for("all is calm", lambda: not self._unrest(), CALM_S)
        except Exception:
            print(f"not calm: {self._unrest()}")
            raise
        return time.monotonic() - began

    def _unrest(self) -> list[object]:
        try:
            topology = self._topology()
            things = [*topology["nodes"], *topology["links"]]
            found: list[object] = [(each["name"], each["status"]) for each in things if each["status"] != "UP"]
            for name, each in self._standing().items():
                if each["state"] != "UP" or each["reconciling"]:
                    found.append((name, each["state"], each["stage"], each["conditions"]))
            return found
        except httpx.TransportError as failure:
            return [failure]

    def _in_line(self) -> float:
        """Seconds until every device holds what it shall, read anew."""
        began = time.monotonic()
        wait_for("desired = actual", lambda: not self._drift(), IN_LINE_S)
        return time.monotonic() - began

    def _drift(self) -> list[object]:
        devices = self.system.told(f"/v1/domains/{self.system.lab.domain}/topology:drift", readNow=True)["devices"]
        found = [each for each in devices if each.get("entries") or not each.get("connected")]
        if found:
            print(f"drift: {str(found)[:500]}")
        return found

    def _books(self, leader: Controller) -> None:
        """What the line cards and the meters hold is what the API says of the corridors; no slot is held twice."""
        nodes, standing = otn_nodes(leader), list(self._standing().values())
        trails = {link["sliceId"] for link in leader.topology()["links"] if link["kind"] == "ADJACENCY"}
        wanted_slots, wanted_meters = expected(leader, standing)
        held, measured = slots(self.system.lab, nodes), meters(self.system.lab, nodes)
        assert {key: each for key, each in held.items() if key[1] not in trails} == wanted_slots
        assert {key: each for key, each in measured.items() if key[1] not in trails} == wanted_meters
        taken: set[tuple[str, int, str, int]] = set()
        for (node, _, port), each in held.items():
            places = {(node, port, each.server, slot) for slot in each.slots}
            assert taken.isdisjoint(places), f"held twice: {taken & places}"
            taken |= places

    def _apart(self, before: dict[str, dict[str, Any]], after: dict[str, dict[str, Any]], wires: list[Capture]) -> None:
        """No packet of a corridor was seen on a slice of another."""
        owners = {part: name for each in (before, after) for name, c in each.items() for part in slices_of(c)}
        theirs = {(ADDRESS[a][1], ADDRESS[z][1]): name for name, (a, z, *_) in STEADY.items()}
        seen = 0
        for wire in wires:
            for channel, sources, sinks in wire.fields("eth.dst", "ipv6.src", "ipv6.dst", display_filter="udp"):
                name = theirs.get((sources.rpartition(",")[2], sinks.rpartition(",")[2]))
                number = int(channel.replace(":", "")[2:10], 16)
                if name is None or not channel.startswith("02:"):
                    continue
                seen += 1
                assert owners.get(number, name) == name, f"a packet of {name} on a slice of {owners[number]}"
        assert seen, "nothing was captured"

    def _topology(self) -> dict[str, Any]:
        found: dict[str, Any] = self.system.told(f"/v1/domains/{self.system.lab.domain}/topology")
        return found

    def _standing(self) -> dict[str, dict[str, Any]]:
        found = self.system.told("/v1/tenants/default/corridors")["corridors"]
        return {each["name"].rpartition("/")[2]: each for each in found}


def resources(topology: dict[str, Any], corridor: dict[str, Any]) -> frozenset[str]:
    """Short names of all links and nodes that a corridor runs over or keeps for its protection, of both layers."""
    links = {link["name"]: link for link in topology["links"]}
    clients = {link["aNode"]: link for link in links.values() if link["kind"] == "CLIENT"}
    found: set[str] = set()
    for leg in corridor["legs"]:
        found |= {*leg["nodes"], corridor["aEnd"]["node"], corridor["zEnd"]["node"]}
        for name in _links_of(leg):
            for carrier in (name, *links[name].get("trail", [])):
                found |= {carrier, links[carrier]["aNode"], links[carrier]["zNode"]}
    found |= {clients[node]["zNode"] for node in found if node in clients}
    return frozenset(each.rpartition("/")[2] for each in found)


def _links_of(leg: dict[str, Any]) -> Iterator[str]:
    yield from leg["links"]
    yield from (hop["link"] for part in leg.get("slices", []) for hop in part["hops"])
    yield from (leg.get("backup") or {}).get("links", [])


def slices_of(corridor: dict[str, Any]) -> set[int]:
    return {part["id"] for leg in corridor["legs"] for part in leg.get("slices", [])}


def _asked(corridor: tuple[str, str, str], number: int) -> dict[str, Any]:
    a, z, isolation = corridor
    wanted = body(a, z, isolation, only=20) | {"maxLatencyUs": 0}
    for end in ("aEnd", "zEnd"):
        wanted[end]["dscp"] = number + 1
    return wanted


def _sources() -> list[str]:
    return sorted({ENDS[a][0].replace("-r", "-o") for a, *_ in STEADY.values()})

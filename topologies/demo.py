"""`make demo`: the first corridors, end to end, on the metro network of Beijing.

Builds the lab, starts the controller, opens one hard and one soft corridor through REST, sends traffic, switches
profiles under it, cuts fibres, prints what the packets say, and takes everything down again.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from controller.core import names
from controller.core.errors import CorridorError
from topologies.lab import RUN_ROOT, Lab, up
from topologies.processes import terminated_as_exit
from topologies.system import Controller, end_point, profiles, running
from topologies.traffic import Flow, Load, await_ping, tcp_rate
from topologies.wire import carriers_on_the_wire, crossed_nodes

TOPOLOGY = Path(__file__).with_name("metro-beijing.yaml")
RUN_DIR = RUN_ROOT / "demo"
SMALL, LARGE = "inference", "training"
SMALL_MBPS, LARGE_MBPS = 20, 100
FITTING = Load(kbps=15_000, ip_bytes=1400, seconds=2.5)
"""A flow that fits both profiles: it must not lose a packet."""
BACKLOG = Load(kbps=130_000, ip_bytes=1400, seconds=3.0)
"""A flow above the larger profile: it shows the corridor's rate, and when it changes."""
OUTAGE = Load(kbps=10_000, ip_bytes=700, seconds=6.0)
BIN_MS = 2
TCP_SECONDS = 4
SWITCH_UP_S, SWITCH_DOWN_S = 1.0, 2.0
CUT_S = 1.0


@dataclass(frozen=True, slots=True)
class Demonstrated:
    """One corridor of the demo and the hosts at its ends."""

    name: str
    isolation: str
    a: tuple[str, str, str]
    """Router, access port, host."""
    z: tuple[str, str, str]
    ipv4: tuple[str, str]
    """Prefixes behind the ends, as are those of IPv6."""
    ipv6: tuple[str, str]
    address: str
    """Of the host at the Z end."""

    def body(self, domain: str) -> dict[str, Any]:
        return {
            "displayName": f"{self.isolation.lower()} corridor of the demo",
            "aEnd": end_point(domain, *self.a[:2], self.ipv4[0], self.ipv6[0]),
            "zEnd": end_point(domain, *self.z[:2], self.ipv4[1], self.ipv6[1]),
            "isolation": self.isolation,
            "reservation": "PEAK",
            "profiles": profiles(**{SMALL: SMALL_MBPS, LARGE: LARGE_MBPS}),
            "activeProfile": SMALL,
            "maxLatencyUs": 2000,
        }


HARD = Demonstrated(
    "hard-zgc-yz",
    "HARD",
    ("zgc-r", "campus", "h-zgc"),
    ("yz-r", "dc", "h-yz"),
    ("10.1.0.0/24", "10.5.0.0/24"),
    ("2001:db8:1::/64", "2001:db8:5::/64"),
    "2001:db8:5::2",
)
SOFT = Demonstrated(
    "soft-ft-cp",
    "SOFT",
    ("ft-r", "office", "h-ft"),
    ("cp-r", "dc", "h-cp"),
    ("10.6.0.0/24", "10.2.0.0/24"),
    ("2001:db8:6::/64", "2001:db8:2::/64"),
    "10.2.0.2",
)


class Demo:
    """One run; each step adds rows to the report."""

    def __init__(self, controller: Controller, console: Console) -> None:
        self.controller = controller
        self.lab: Lab = controller.lab
        self.console = console
        self.rows: dict[str, list[tuple[str, str]]] = {HARD.name: [], SOFT.name: []}

    def run(self) -> None:
        for corridor in (HARD, SOFT):
            self.create(corridor)
        self.measure_rates(SMALL)
        for corridor in (HARD, SOFT):
            self.switch_under_a_fitting_flow(corridor)
            self.switch_under_a_backlog(corridor)
        self.switch_both(LARGE)
        self.measure_rates(LARGE)
        for corridor in (HARD, SOFT):
            self.show_path(corridor)
        for corridor in (HARD, SOFT):
            self.cut(corridor)

    def add(self, corridor: Demonstrated, what: str, value: str) -> None:
        self.rows[corridor.name].append((what, value))

    def create(self, corridor: Demonstrated) -> None:
        self.say(f"create {corridor.name}")
        began = time.monotonic()
        self.controller.create(corridor.name, corridor.body(self.lab.domain))
        settled_ms = (time.monotonic() - began) * 1000
        await_ping(self.lab, corridor.a[2], corridor.address)
        self.add(corridor, "created: API call to all devices agreed", f"{settled_ms:.0f} ms")

    def measure_rates(self, profile: str) -> None:
        """iperf3 through both corridors at once: TCP payload, that is 96.6 % of the IP bits at most."""
        self.say(f"iperf3 through both at {profile}")
        with _tcp(self.lab, HARD) as hard, _tcp(self.lab, SOFT) as soft:
            pass
        for corridor, rate in ((HARD, hard), (SOFT, soft)):
            self.add(corridor, f"iperf3 at {profile}", f"{rate['kbps'] / 1000:.1f} Mbit/s TCP payload")

    def switch_both(self, profile: str) -> None:
        for corridor in (HARD, SOFT):
            self.switch(corridor, profile)
            self.controller.settled(corridor.name)

    def switch(self, corridor: Demonstrated, profile: str) -> int:
        """Returns when the API was called (CLOCK_MONOTONIC, ns)."""
        called = time.monotonic_ns()
        self.controller.patch(corridor.name, {"activeProfile": profile})
        return called

    def flow(self, corridor: Demonstrated, load: Load, bin_ms: int = 0) -> Flow:
        return Flow(self.lab, corridor.a[2], corridor.z[2], corridor.address, load, bin_ms)

    def switch_under_a_fitting_flow(self, corridor: Demonstrated) -> None:
        for profile in (LARGE, SMALL):
            self.say(f"switch {corridor.name} to {profile} under {FITTING.kbps // 1000} Mbit/s")
            flow = self.flow(corridor, FITTING)
            time.sleep(FITTING.seconds / 2)
            self.switch(corridor, profile)
            self.controller.settled(corridor.name)
            result = flow.result()
            self.add(corridor, f"lost by the switch to {profile}", f"{result['lost']} of {result['sent']} packets")

    def switch_under_a_backlog(self, corridor: Demonstrated) -> None:
        self.say(f"switch {corridor.name} up and down under a backlog")
        flow = self.flow(corridor, BACKLOG, BIN_MS)
        time.sleep(SWITCH_UP_S)
        grown = self.switch(corridor, LARGE)
        time.sleep(SWITCH_DOWN_S - SWITCH_UP_S)
        shrunk = self.switch(corridor, SMALL)
        rates = Rates(flow.result())
        threshold = (SMALL_MBPS + LARGE_MBPS) / 2
        up_ms, down_ms = rates.reaches(grown, threshold, above=True), rates.reaches(shrunk, threshold, above=False)
        before = rates.mean(grown - 500_000_000, grown)
        after = rates.mean(shrunk - 500_000_000, shrunk)
        self.add(corridor, f"IP rate at {SMALL}, then at {LARGE}", f"{before:.2f}, {after:.2f} Mbit/s")
        self.add(corridor, "API call to the data plane: up, down", f"{up_ms}, {down_ms}")
        self.controller.settled(corridor.name)

    def show_path(self, corridor: Demonstrated) -> None:
        answer = self.controller.get(corridor.name)
        leg = answer["legs"][0]
        forward = leg["forward"]
        wire = carriers_on_the_wire(self.lab, corridor.a[0], corridor.a[2], corridor.address)
        self.add(corridor, "segment list", forward["description"])
        self.add(corridor, "outer header seen on the wire", wire)
        path = " → ".join(names.short(link) for link in leg["links"])
        self.add(corridor, "path", path)
        for carried in leg.get("slices", []):
            slots = ", ".join(f"{names.short(hop['link'])} {hop['server']}: {hop['slots']}" for hop in carried["hops"])
            self.add(corridor, "slots (fgTS) of the slice", slots)
            crossed = crossed_nodes(self.lab, carried["id"], corridor.a[2], corridor.address)
            self.add(corridor, "switches that counted its frames", " → ".join(crossed))

    def cut(self, corridor: Demonstrated) -> None:
        fibre = self.fibre_of(corridor)
        self.say(f"cut {fibre} under {corridor.name}")
        flow = self.flow(corridor, OUTAGE)
        time.sleep(CUT_S)
        cut_at = self.lab.cut(fibre)
        result = flow.result()
        back_at = result["first_ns"] + (result["longest_gap_at_ms"] + result["longest_gap_ms"]) * 1e6
        value = f"{(back_at - cut_at) / 1e6:.0f} ms, {result['lost']} of {result['sent']} packets lost"
        if result["received"] and result["last_ns"] < cut_at + 1e9:
            value = "traffic did not come back"
        self.add(corridor, f"{fibre} cut: until traffic flows again", value)
        self.lab.mend(fibre)
        self.controller.await_topology()
        self.controller.settled(corridor.name)

    def fibre_of(self, corridor: Demonstrated) -> str:
        """The first fibre on the corridor's path."""
        first = self.controller.get(corridor.name)["legs"][0]["links"][0]
        links = {link["name"]: link for link in self.controller.topology()["links"]}
        return names.short(links[first].get("trail", [first])[0] if links[first].get("trail") else first)

    def say(self, what: str) -> None:
        self.console.print(f"  {what} …", style="dim")

    def report(self) -> None:
        for corridor in (HARD, SOFT):
            table = Table(title=f"{corridor.name}: {corridor.a[2]} to {corridor.z[2]}", show_header=False, min_width=80)
            for row in self.rows[corridor.name]:
                table.add_row(*row)
            self.console.print(table)


class Rates:
    """The rate of a received flow over time, from its bins."""

    def __init__(self, result: dict[str, Any]) -> None:
        self._first_ns: int = result["first_ns"]
        self._mbps = [ip_bytes * 8 / BIN_MS / 1000 for ip_bytes in result["bins"]]

    def mean(self, from_ns: int, to_ns: int) -> float:
        """Mbit/s of IP between two times."""
        bins = self._mbps[self._bin(from_ns) : self._bin(to_ns)]
        return sum(bins) / len(bins) if bins else 0.0

    def reaches(self, since_ns: int, threshold: float, *, above: bool, bins: int = 5) -> str:
        """Milliseconds until the rate passes the threshold and stays there for some bins, in words."""
        start = self._bin(since_ns)
        for at in range(start, len(self._mbps) - bins):
            mean = sum(self._mbps[at : at + bins]) / bins
            if (mean > threshold) is above:
                return f"{max(0.0, (self._first_ns - since_ns) / 1e6 + at * BIN_MS):.0f} ms"
        return "not seen"

    def _bin(self, at_ns: int) -> int:
        return max(0, int((at_ns - self._first_ns) / 1e6 / BIN_MS))


@contextmanager
def _tcp(lab: Lab, corridor: Demonstrated) -> Iterator[dict[str, float]]:
    with tcp_rate(lab, corridor.a[2], corridor.z[2], corridor.address, TCP_SECONDS) as rates:
        yield rates


def main() -> int:
    console = Console()
    began = time.monotonic()

    def build() -> Lab:
        lab = up(TOPOLOGY, run_dir=RUN_DIR)
        console.print(f"lab up after {time.monotonic() - began:.1f} s")
        return lab

    try:
        with terminated_as_exit(), running(TOPOLOGY, build) as controller:
            console.print(f"network discovered after {time.monotonic() - began:.1f} s")
            demo = Demo(controller, console)
            demo.run()
            demo.report()
    except (CorridorError, httpx.HTTPError) as error:
        console.print(f"the demo failed: {error}", style="red")
        return 1
    except KeyboardInterrupt:
        console.print("interrupted; the lab is down", style="red")
        return 130
    console.print(f"all taken down after {time.monotonic() - began:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())

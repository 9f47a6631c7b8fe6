"""`make demo`: the first corridors, end to end, on the metro network of Beijing.

Builds the lab, starts the controller, opens one hard and one soft corridor through REST, sends traffic, switches
profiles under it, cuts fibres, prints what the packets say, and takes everything down again. An argument names
another run directory.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from controller.core import names
from controller.core.errors import CorridorError
from topologies.lab import RUN_ROOT, Lab, temporary
from topologies.processes import terminated_as_exit
from topologies.rates import BIN_MS, Rates, outage
from topologies.system import Controller, controlled, end_point, profiles
from topologies.traffic import Flow, Load, await_ping, tcp_rate
from topologies.wire import carriers_on_the_wire, crossed_nodes

TOPOLOGY = Path(__file__).with_name("metro-beijing.yaml")
RUN_DIR = RUN_ROOT / "demo"
SMALL, LARGE = "inference", "training"
SMALL_MBPS, LARGE_MBPS = 20, 100
MIDWAY_MBPS = (SMALL_MBPS + LARGE_MBPS) / 2
FITTING = Load(kbps=15_000, ip_bytes=1400, seconds=2.0)
"""A flow that fits both profiles: it must not lose a packet."""
BACKLOG = Load(kbps=130_000, ip_bytes=1400, seconds=3.0)
"""A flow above the larger profile: it shows the corridor's rate, and when it changes."""
OUTAGE = Load(kbps=10_000, ip_bytes=700, seconds=4.0)
TCP_SECONDS = 3
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
        self.rows: dict[str, dict[str, str]] = {HARD.name: {}, SOFT.name: {}}

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
        self.rows[corridor.name][what] = value

    def create(self, corridor: Demonstrated) -> None:
        self.say(f"create {corridor.name}")
        began = time.monotonic()
        self.controller.create(corridor.name, corridor.body(self.lab.domain))
        settled_ms = (time.monotonic() - began) * 1000
        await_ping(self.lab, corridor.a[2], corridor.address)
        self.add(corridor, "created: API call to all devices agreed", f"{settled_ms:.0f} ms")

    def measure_rates(self, profile: str) -> None:
        """iperf3 through each corridor: TCP payload, which is 95 % of the IP bits (IPv6) or 97 % (IPv4)."""
        self.say(f"iperf3 through both at {profile}")
        for corridor in (HARD, SOFT):
            ends = corridor.a[2], corridor.z[2], corridor.address
            with tcp_rate(self.lab, *ends, TCP_SECONDS) as rate:
                pass
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
        up_ms = rates.passes(grown, MIDWAY_MBPS, above=True)
        down_ms = rates.passes(shrunk, MIDWAY_MBPS, above=False)
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
            self.add(corridor, "switches that counted its frames", ", ".join(crossed))

    def cut(self, corridor: Demonstrated) -> None:
        fibre = self.fibre_of(corridor)
        self.say(f"cut {fibre} under {corridor.name}")
        flow = self.flow(corridor, OUTAGE)
        time.sleep(CUT_S)
        cut_at = self.lab.cut(fibre)
        result = flow.result()
        value = f"{outage(result, cut_at)}, {result['lost']} of {result['sent']} packets lost"
        self.add(corridor, "a fibre of it cut: until traffic flows again", f"{fibre}: {value}")
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
        """One column per corridor; every figure but the path and the slots counts packets."""
        table = Table(title="Two corridors, as their packets tell", show_lines=False)
        table.add_column("")
        for corridor in (HARD, SOFT):
            table.add_column(f"{corridor.name}\n{corridor.a[2]} to {corridor.z[2]}", overflow="fold")
        for what in dict.fromkeys([*self.rows[HARD.name], *self.rows[SOFT.name]]):
            table.add_row(what, *(self.rows[corridor.name].get(what, "") for corridor in (HARD, SOFT)))
        self.console.print(table)


def main(run_dir: Path = RUN_DIR) -> int:
    """Exit status: 0 shown, 1 failed, 130 interrupted; the lab is down in any case."""
    console = Console(width=None if sys.stdout.isatty() else 132)
    began = time.monotonic()

    def so_far(what: str) -> None:
        console.print(f"{what} after {time.monotonic() - began:.1f} s")

    try:
        with terminated_as_exit(), temporary(TOPOLOGY, run_dir=run_dir) as lab:
            so_far("lab up")
            with controlled(lab, TOPOLOGY) as controller:
                so_far("network discovered")
                demo = Demo(controller, console)
                demo.run()
                demo.report()
    except (CorridorError, httpx.HTTPError) as error:
        console.print(f"the demo failed: {error}", style="red")
        return 1
    except KeyboardInterrupt:
        console.print("interrupted; the lab is down", style="red")
        return 130
    so_far("all taken down")
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:2])))

"""What frames say: the outer header on a router's network port, and which switches counted a slice's frames."""

from __future__ import annotations

import re

from controller.core import names
from controller.core.addresses import A_TO_Z, channel_address, mac_text
from topologies.lab import Lab
from topologies.system import wait_for
from topologies.traffic import ping

NETWORK_PORT = "eth1"
PROBES = 5


def carriers_on_the_wire(lab: Lab, router: str, host: str, address: str) -> str:
    """Outer destination, segments and destination MAC of an echo request as it leaves the router."""
    with lab.capture(router, NETWORK_PORT, "outbound and ip6") as capture:
        ping(lab, host, address, "-s", "99", count_=2)
    rows = capture.fields("eth.dst", "ipv6.dst", "ipv6.routing.srh.addr", display_filter="frame.len > 150")
    if not rows:
        return "nothing seen"
    mac, destinations, segments = (*rows[0], "", "")[:3]
    outer = destinations.split(",")[0]
    return f"{outer}{f', SRH {segments}' if segments else ''}, channel {mac}"


def crossed_nodes(lab: Lab, slice_id: int, host: str, address: str) -> list[str]:
    """The OTN nodes whose A-to-Z flow of this slice counted the echo requests that are sent now."""
    before = _frames(lab, slice_id)
    ping(lab, host, address, count_=PROBES)

    def counted() -> list[str] | None:
        after = _frames(lab, slice_id)
        nodes = [node for node in after if after[node] - before.get(node, 0) >= PROBES]
        return nodes if len(nodes) == len(after) else None

    return wait_for("the switches' counters", counted)


def _frames(lab: Lab, slice_id: int) -> dict[str, int]:
    channel = mac_text(channel_address(slice_id, A_TO_Z))
    found: dict[str, int] = {}
    for name in sorted(lab.status().processes):
        kind, _, node = name.partition("/")
        if kind == "vswitchd":
            flows = [f for f in lab.ofctl(names.short(node), "dump-flows").splitlines() if f"dl_dst={channel}" in f]
            counts = [int(m.group(1)) for f in flows if (m := re.search(r"n_packets=(\d+)", f))]
            if counts:
                found[node] = sum(counts)
    return found

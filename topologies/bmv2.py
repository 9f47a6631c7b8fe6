"""A router that BMv2 runs: its namespace, where the kernel stays out of the way, and its command."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from topologies.network import Router

PROGRAM = "simple_switch_grpc"
CPU_PORT = 510
"""511 is BMv2's drop port."""

_SETTINGS = """
for i in all default; do echo 1 >$i/disable_ipv6; done
echo 0 >/proc/sys/net/ipv4/ip_forward
"""


class Bmv2Router(Router):
    """Ports without addresses, neighbours or forwarding: whoever is answered there is answered by the program.

    Never set such a port down: BMv2 then hears nothing on any port. Cut at the far end instead. It reads link states
    in /sys/class/net, and `mnexec` gives each namespace that holds a node a /sys of its own.
    """

    settings = _SETTINGS

    def config(self, gateways: Sequence[tuple[int, str]] = (), **_params: Any) -> dict[str, Any]:
        """The gateways are entries of the program, so there are none here."""
        assert not gateways
        super().config()
        self.run("".join(f"ip link set {intf} arp off\n" for intf in self.intfList()))
        return {}


def command(program: Sequence[str], device_id: int, ports: Iterable[int], listen: Path) -> list[str]:
    """How BMv2 is started on interfaces `eth{port}`, empty, with P4Runtime at the socket `listen`.

    Its Thrift server keeps the default port: where others may have that, `program` brings `--thrift-port`.
    """
    switch = ["--no-p4", "--device-id", str(device_id), "--log-level", "off"]
    switch += [word for port in ports for word in ("-i", f"{port}@eth{port}")]
    return [*program, *switch, "--", "--grpc-server-addr", f"unix:{listen}", "--cpu-port", str(CPU_PORT)]

"""Three routers in a row in network namespaces, with two customers at each end that have the same addresses.

    h1, h1b - r1 == r2 - r3 - h3, h3b        (== : two parallel links)

Customer `a` is VRF 5, customer `b` VRF 6. Nothing but interfaces and gateway addresses is configured by hand.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

FAMILY = "la-"
PREFIX = f"{FAMILY}{os.getpid()}-"
"""Of this run: others may test on the same machine at the same time."""
ROOT = Path(__file__).parents[2]
LINKS = (
    ("r1", 1, "r2", 1),
    ("r1", 2, "r2", 2),
    ("r2", 3, "r3", 1),
    ("r1", 3, "h1", 0),
    ("r1", 4, "h1b", 0),
    ("r3", 2, "h3", 0),
    ("r3", 3, "h3b", 0),
)
ROUTERS = {"r1": 1, "r2": 2, "r3": 3}
HOSTS = {"h1": 1, "h1b": 1, "h3": 3, "h3b": 3}
"""Host to its site: 10.site.0.2/24, 2001:db8:site::2/64."""


def mac(router: str, port: int) -> str:
    return f"06:00:00:{ROUTERS[router]:02x}:00:{port:02x}"


def ports(router: str) -> list[int]:
    return sorted(p for a, p, z, q in LINKS if a == router) + sorted(q for a, p, z, q in LINKS if z == router)


def run(*command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, check=check, capture_output=True, text=True, timeout=60)


def inside(node: str, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return run("ip", "netns", "exec", PREFIX + node, *command, check=check)


def reaches(host: str, address: str) -> bool:
    return inside(host, "ping", "-c1", "-W1", address, check=False).returncode == 0


def start(node: str, *command: str, **options: object) -> subprocess.Popen[str]:
    return subprocess.Popen(("ip", "netns", "exec", PREFIX + node, *command), text=True, **options)


def batch(*lines: str) -> None:
    subprocess.run(("ip", "-batch", "-"), input="\n".join(lines), check=True, text=True)


def build() -> None:
    demolish()
    nodes = (*ROUTERS, *HOSTS)
    batch(*(f"netns add {PREFIX}{node}" for node in nodes))
    lines = []
    for a, p, z, q in LINKS:
        lines.append(
            f"link add eth{p} netns {PREFIX}{a} mtu 9000 type veth peer name eth{q} netns {PREFIX}{z} mtu 9000"
        )
    batch(*lines)
    for node in nodes:
        _configure(node)


def _configure(node: str) -> None:
    lines = ["link set lo up"]
    if node in HOSTS:
        site = HOSTS[node]
        lines += [
            "link set eth0 address 0a:00:00:00:00:0" + str(site + node.endswith("b")),
            "link set eth0 mtu 9000 up",
            f"addr add 10.{site}.0.2/24 dev eth0",
            f"addr add 2001:db8:{site}::2/64 dev eth0 nodad",
            f"route add default via 10.{site}.0.1",
            f"route add ::/0 via 2001:db8:{site}::1",
        ]
    else:
        lines += [f"link set eth{p} address {mac(node, p)} up" for p in ports(node)]
        for host, port in ((z, p) for a, p, z, _ in LINKS if a == node and z in HOSTS):
            lines.append(f"addr add 10.{HOSTS[host]}.0.1/24 dev eth{port} noprefixroute")
            lines.append(f"addr add 2001:db8:{HOSTS[host]}::1/64 dev eth{port} nodad noprefixroute")
    subprocess.run(("ip", "-n", PREFIX + node, "-batch", "-"), input="\n".join(lines), check=True, text=True)
    for name in ("eth0",) if node in HOSTS else [f"eth{p}" for p in ports(node)]:
        inside(node, "ethtool", "-K", name, "tx", "off", "tso", "off", "gso", "off", "gro", "off")


def demolish() -> None:
    """Remove what this run has built, and what runs that were killed have left."""
    for name in run("ip", "netns", "list").stdout.split():
        owner = name.removeprefix(FAMILY).partition("-")[0]
        if name.startswith(PREFIX) or (name.startswith(FAMILY) and not Path("/proc", owner).exists()):
            run("ip", "netns", "del", name, check=False)


class Agent:
    """One target program in a router's namespace."""

    def __init__(self, router: str, folder: Path) -> None:
        self.router, self.device_id = router, ROUTERS[router]
        self.address = f"unix:{folder}/{router}.sock"
        self._log = folder / f"{router}.log"
        self.process = self._start()

    def _start(self) -> subprocess.Popen[str]:
        command = [
            sys.executable,
            "-m",
            "controller.linux",
            "--device-id",
            str(self.device_id),
            "--listen",
            self.address,
        ]
        for port in ports(self.router):
            command += ["--port", f"{port}@eth{port}"]
        with self._log.open("a") as log:
            return start(self.router, *command, cwd=ROOT, stdout=log, stderr=log)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def restart(self) -> None:
        self.process = self._start()

    def log(self) -> str:
        return self._log.read_text()

"""Measured traffic between the hosts of a lab: every figure counts packets."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

from topologies.lab import Lab, LabError
from topologies.processes import realtime
from topologies.system import libexec, wait_for

_ports = count(20000)
STEADY_PRIORITY = 1
"""Behind line cards and fibres."""
_CLASS = re.compile(
    r"class htb (?P<id>\S+).*?Sent (?P<bytes>\d+) bytes (?P<packets>\d+) pkt \(dropped (?P<drops>\d+)"
    r".*?backlog \S+ (?P<backlog>\d+)p",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Load:
    """What a flow offers: IP packets of `ip_bytes`, evenly spaced."""

    kbps: int
    """IP bits per second / 1000."""
    ip_bytes: int = 1400
    seconds: float = 2.0
    steady: bool = False
    """Evenly spaced on a busy machine as well; for rates that leave it time for other things."""

    @property
    def pps(self) -> float:
        return self.kbps * 1000 / 8 / self.ip_bytes


class Flow:
    """Numbered UDP packets from one host to an address of another."""

    def __init__(self, lab: Lab, source: str, sink: str, address: str, load: Load, bin_ms: int = 0) -> None:
        self._port = next(_ports)
        patience = load.seconds + 5
        receive = [
            libexec("sequenced_udp"),
            "receive",
            str(self._port),
            f"{patience}",
            *([str(bin_ms)] if bin_ms else []),
        ]
        send = [libexec("sequenced_udp"), "send", address, str(self._port)]
        send += [f"{load.pps:.3f}", str(load.ip_bytes), f"{load.seconds}"]
        self._receiver = lab.popen(sink, receive, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert self._receiver.stderr is not None
        if "listening" not in self._receiver.stderr.readline():
            raise LabError(f"no receiver on {sink}")
        if load.steady:
            send = [*realtime(STEADY_PRIORITY), *send]
        self._sender = lab.popen(source, send, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self._timeout = patience + 10

    def stop(self) -> None:
        """Send no more; what is under way arrives yet."""
        self._sender.send_signal(signal.SIGINT)
        self._sender.wait(timeout=5)

    def end(self) -> None:
        """Count no more: the receiver of a flow that was stopped knows no last packet to wait for."""
        self._receiver.send_signal(signal.SIGTERM)

    def result(self) -> dict[str, Any]:
        """What the receiver counted, with `sent` as the sender counted it."""
        sent, complaint = self._sender.communicate(timeout=self._timeout)
        if self._sender.returncode:
            raise LabError(f"sender: {complaint}")
        got, _ = self._receiver.communicate(timeout=self._timeout)
        counted: dict[str, Any] = json.loads(got)
        counted["sent"] = json.loads(sent)["sent"]
        counted["lost"] = counted["sent"] - counted["received"]
        return counted


def ping(lab: Lab, source: str, address: str, *options: str, count_: int = 3) -> int:
    """How many of `count_` echo requests were answered."""
    argv = ["ping", "-n", "-c", str(count_), "-i", "0.05", "-W", "1", *options, address]
    output = lab.run(source, argv, check=False).stdout
    for line in output.splitlines():
        if "received" in line:
            return int(line.split(",")[1].split()[0])
    return 0


def await_ping(lab: Lab, source: str, address: str, timeout_s: float = 10.0) -> None:
    """Until an echo comes back: neighbours are resolved, the path carries packets."""
    wait_for(f"{source} reaches {address}", lambda: ping(lab, source, address, count_=1), timeout_s)


@contextmanager
def tcp_rate(lab: Lab, source: str, sink: str, address: str, seconds: int) -> Iterator[dict[str, float]]:
    """A TCP flow by iperf3 while the block runs; afterwards `kbps` holds the payload rate that was received."""
    port = str(next(_ports))
    server = lab.popen(
        sink, ["iperf3", "-s", "-1", "--forceflush", "-p", port], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert server.stdout is not None
    line = server.stdout.readline()
    while line and "listening" not in line.lower():
        line = server.stdout.readline()
    argv = ["iperf3", "-J", "-c", address, "-p", port, "-t", str(seconds), "-O", "1"]
    client = lab.popen(source, argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    rates: dict[str, float] = {}
    yield rates
    output, _ = client.communicate(timeout=seconds + 20)
    server.communicate(timeout=10)
    rates["kbps"] = json.loads(output)["end"]["sum_received"]["bits_per_second"] / 1000


@dataclass(frozen=True, slots=True)
class ShaperCount:
    """Counters of one shaper class on a router's network port."""

    packets: int
    drops: int
    backlog_packets: int
    bytes: int


def shaper_counts(lab: Lab, router: str, interface: str = "eth1") -> dict[str, ShaperCount]:
    """Per HTB class id, straight from the kernel."""
    output = lab.run(router, ["tc", "-s", "class", "show", "dev", interface]).stdout
    return {match["id"]: _count(match) for match in _CLASS.finditer(output)}


def _count(match: re.Match[str]) -> ShaperCount:
    return ShaperCount(*(int(match[name]) for name in ("packets", "drops", "backlog", "bytes")))


def interface_bytes(lab: Lab, node: str, interface: str, counter: str = "rx_bytes") -> int:
    """A byte counter of an interface (frames with their Ethernet header)."""
    return int(lab.run(node, ["cat", f"/sys/class/net/{interface}/statistics/{counter}"]).stdout)

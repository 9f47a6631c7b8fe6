"""A host with a real network stack on a customer port of BMv2: it resolves and pings its gateway, and believes it."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator

import namespaces
import pytest
from packet_world import A4, A6, ENTRIES, HOST, MAC, Z4, Z6
from targets import Bmv2, run, running
from waiting import wait_until

from controller.core.entries import Entry, Exact, TableEntry

pytestmark = [pytest.mark.root]
GATEWAY = {4: "10.1.0.1", 6: "2001:db8:1::1"}
FAR = {4: Z4, 6: Z6}
EMSGSIZE = 90
# Sends one datagram with hop limit 1, prints what the kernel has to say about it: origin, type, code, who.
PROBE = """
import socket, select, struct, sys
family, level, hops, errors = {"4": (socket.AF_INET, 0, 2, 11), "6": (socket.AF_INET6, 41, 16, 25)}[sys.argv[1]]
s = socket.socket(family, socket.SOCK_DGRAM)
s.setsockopt(level, hops, 1)
s.setsockopt(level, errors, 1)
s.sendto(b"x" * 32, (sys.argv[2], 33434))
poll = select.poll()
poll.register(s, select.POLLERR)
poll.poll(5000)
_, ((_, _, data),), _, _ = s.recvmsg(512, 512, socket.MSG_ERRQUEUE)
where, size = (20, 4) if family == socket.AF_INET else (24, 16)
print(*struct.unpack_from("BBB", data, 4), socket.inet_ntop(family, data[where:where + size]))
"""
# Sends datagrams until the kernel says (errno) that one was too long for the path, at most 20.
LONG = """
import socket, sys, time
family, level, discover = {"4": (socket.AF_INET, 0, 10), "6": (socket.AF_INET6, 41, 23)}[sys.argv[1]]
s = socket.socket(family, socket.SOCK_DGRAM)
if sys.argv[4] == "whole":
    s.setsockopt(level, discover, 2)
s.connect((sys.argv[2], 33434))
for _ in range(20):
    try:
        s.send(b"x" * int(sys.argv[3]))
    except OSError as error:
        sys.exit(print(error.errno))
    time.sleep(0.1)
"""


class Host:
    """A namespace at the far end of port 2."""

    def __init__(self, target: Bmv2) -> None:
        self.name = namespaces.own("host")
        run("ip", "netns", "add", self.name)
        target.ip("link", "set", "far2", "netns", self.name)
        self.inside("sysctl", "-qw", "net.ipv6.conf.far2.disable_ipv6=0", "net.ipv6.conf.far2.dad_transmits=1")
        self.ip("link", "set", "far2", "address", HOST[2], "mtu", "2000", "up")
        self.ip("address", "add", f"{A4}/24", "dev", "far2")
        self.ip("address", "add", f"{A6}/64", "dev", "far2", "nodad")
        for via in GATEWAY.values():
            self.ip("route", "add", "default", "via", via)

    def ip(self, *words: str) -> str:
        return run("ip", "-n", self.name, *words)

    def inside(self, *command: str) -> str:
        return run("ip", "netns", "exec", self.name, *command)

    def python(self, program: str, *words: str) -> str:
        return self.inside(sys.executable, "-c", program, *words).strip()

    def bad_messages(self) -> dict[str, int]:
        """What the kernel threw away of ICMP, by its own counters."""
        lines = self.inside("cat", "/proc/net/snmp6").splitlines()
        counted = {name: int(value) for name, value in (line.split() for line in lines)}
        names, values = (line.split() for line in self.inside("cat", "/proc/net/snmp").splitlines() if "Icmp: " in line)
        counted |= {name: int(value) for name, value in zip(names[1:], values[1:], strict=True)}
        return {name: counted[name] for name in ("Icmp6InErrors", "Icmp6InCsumErrors", "InErrors", "InCsumErrors")}


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    addresses = (("ipv4", int.from_bytes(b"\x0a\x01\x00\x01")), ("ipv6", 0x20010DB8000100000000000000000001))
    gateway: list[Entry] = [TableEntry("gateway", (("port", Exact(2)),), "set_gateway", addresses)]
    with running(Bmv2, tmp_path_factory.mktemp("bmv2"), MAC) as target:
        target.insert([*ENTRIES, *gateway])
        try:
            yield Host(target)
        finally:
            namespaces.delete(namespaces.own("host"))


@pytest.fixture(autouse=True)
def nothing_was_bad(host: Host) -> Iterator[None]:
    yield
    assert not any(host.bad_messages().values()), host.bad_messages()


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("size", [0, 56, 1001])
def test_the_gateway_is_found_and_answers(host: Host, family: int, size: int) -> None:
    """`ping` verifies checksum, identifier, sequence number and data."""
    host.inside("ping", "-q", "-c", "1", "-W", "5", "-s", str(size), GATEWAY[family])
    (neighbor,) = json.loads(host.ip("-json", "neigh", "show", "to", GATEWAY[family]))
    assert neighbor["lladdr"] == MAC[2]
    assert "router" in neighbor or family == 4


@pytest.mark.parametrize(("family", "message"), [(4, "2 11 0"), (6, "3 3 0")])
def test_a_socket_is_told_that_the_hop_limit_ended_at_the_gateway(host: Host, family: int, message: str) -> None:
    """Origin (2 ICMP, 3 ICMPv6), type and code, as the kernel puts them on the socket's error queue."""
    assert host.python(PROBE, str(family), FAR[family]) == f"{message} {GATEWAY[family]}"


@pytest.mark.parametrize(("family", "size", "how"), [(4, 1600, "whole"), (6, 1600, "whole"), (6, 5000, "in fragments")])
def test_the_path_mtu_is_learnt(host: Host, family: int, size: int, how: str) -> None:
    host.ip(f"-{family}", "route", "flush", "cache")
    assert host.python(LONG, str(family), FAR[family], str(size), how) == str(EMSGSIZE)
    assert re.search(r"\bmtu 1500\b", host.ip("route", "get", FAR[family]))


def test_a_host_finds_the_gateways_address_taken(host: Host) -> None:
    """RFC 4862 clause 5.4: its solicitation comes from the unspecified address."""
    host.ip("address", "add", f"{GATEWAY[6]}/64", "dev", "far2")
    try:
        wait_until(lambda: "dadfailed" in host.ip("address", "show", "dev", "far2"), "the duplicate is found")
    finally:
        host.ip("address", "delete", f"{GATEWAY[6]}/64", "dev", "far2")

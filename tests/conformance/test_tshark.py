"""What leaves a headend and an endpoint, as a decoder of other people reads it: SRH and carriers (RFC 8754 2)."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import machine
import pytest
from crossing import crosses
from frames import from_core, from_host, inner4, inner6, outer, srh
from packet_world import CARRIERS, CORRIDOR, SITES, SOURCE, Z4, Z6, classifier, v4
from scapy.packet import Packet
from scapy.utils import wrpcap
from targets import Target

from controller.core.entries import Exact, TableEntry, Ternary

FIELDS = (
    "ipv6.src",
    "ipv6.dst",
    "ipv6.nxt",
    "ipv6.plen",
    "ipv6.routing.type",
    "ipv6.routing.nxt",
    "ipv6.routing.len",
    "ipv6.routing.segleft",
    "ipv6.routing.srh.last_entry",
    "ipv6.routing.srh.flags",
    "ipv6.routing.srh.tag",
    "ipv6.routing.srh.addr",
    "ip.dst",
    "udp.dstport",
    "_ws.malformed",
    "_ws.expert.message",
)
FIRST_CODE_POINT = 20
"""Corridors for the test: this DSCP and the next ones take lists of one, two and three carriers."""


def classifier_v4(policy: int, priority: int, code_point: int) -> TableEntry:
    match = (("dscp", Ternary(code_point, 63)), ("dst", Ternary(v4("10.2.0.0"), 0xFFFFFF00)), ("vrf", Exact(7)))
    params = (("policy", policy), ("corridor", CORRIDOR), ("mtu", 1500))
    return TableEntry("classifier_v4", match, "set_policy", params, priority)


@pytest.fixture(scope="module")
def steering(programmed: Target) -> Iterator[Target]:
    machine.require("tshark")
    entries = []
    for carriers in (1, 2, 3):
        code_point = FIRST_CODE_POINT + carriers
        entries.append(classifier(carriers, CORRIDOR, 100 + carriers, **SITES, dscp=Ternary(code_point, 63)))
        entries.append(classifier_v4(carriers, 100 + carriers, code_point))
    with programmed.holding(*entries):
        yield programmed


@pytest.fixture
def target(steering: Target) -> Target:
    steering.drain()
    return steering


def decoded(frame: bytes, directory: Path) -> dict[str, list[str]]:
    """Every occurrence of each field, outer ones first; checksums of our own making are not looked at."""
    capture = directory / "one.pcap"
    wrpcap(str(capture), [frame], linktype=1)
    wanted = [word for field in FIELDS for word in ("-e", field)]
    command = [
        "tshark",
        "-r",
        str(capture),
        "-o",
        "udp.check_checksum:FALSE",
        "-T",
        "fields",
        "-E",
        "separator=|",
        *wanted,
    ]
    line = subprocess.run(command, check=True, capture_output=True, text=True).stdout.rstrip("\n")
    return {
        name: [each for each in value.split(",") if each] for name, value in zip(FIELDS, line.split("|"), strict=True)
    }


@pytest.mark.parametrize("carriers", [1, 2, 3])
@pytest.mark.parametrize("family", [6, 4], ids=["ipv6", "ipv4"])
def test_a_headend_writes_its_list(target: Target, tmp_path: Path, carriers: int, family: int) -> None:
    code_point = FIRST_CODE_POINT + carriers
    packet: Packet = inner6(dscp=code_point) if family == 6 else inner4(tos=code_point << 2)
    port, frame = crosses(target, 2, from_host(2, packet))
    found = decoded(frame, tmp_path)
    protocol, listed = ("41" if family == 6 else "4"), carriers - 1
    assert port == 1
    assert (found["ipv6.src"][0], found["ipv6.dst"][0]) == (SOURCE, CARRIERS[0])
    assert found["ipv6.nxt"][0] == ("43" if listed else protocol)
    assert found["ipv6.plen"][0] == str(len(packet) + (8 + 16 * listed if listed else 0))
    expected = {
        "type": ["4"],
        "nxt": [protocol],
        "len": [str(2 * listed)],
        "segleft": [str(listed)],
        "srh.last_entry": [str(listed - 1)],
        "srh.flags": ["0x00"],
        "srh.tag": ["0000"],
        "srh.addr": list(reversed(CARRIERS[1:carriers])),
    }
    for name, value in expected.items():
        assert found[f"ipv6.routing.{name}"] == (value if listed else []), name
    assert found["ipv6.dst" if family == 6 else "ip.dst"][-1] == (Z6 if family == 6 else Z4)
    assert found["udp.dstport"] == ["2"]
    assert not found["_ws.malformed"]
    assert not found["_ws.expert.message"]


@pytest.mark.parametrize("left", [2, 1])
def test_an_endpoint_moves_on_in_the_list(target: Target, tmp_path: Path, left: int) -> None:
    """Only Segments Left and the destination change; the list stays as its headend wrote it."""
    way = ("fcbb:bb00:2::", "fcbb:bb00:3:e107::")
    packet = outer("fcbb:bb00:1::", nh=43) / srh(41, left, *way) / inner6()
    _, frame = crosses(target, 1, from_core(packet))
    found = decoded(frame, tmp_path)
    assert found["ipv6.dst"][0] == way[2 - left]
    assert found["ipv6.routing.segleft"] == [str(left - 1)]
    assert found["ipv6.routing.srh.last_entry"] == ["1"]
    assert found["ipv6.routing.srh.addr"] == list(reversed(way))
    assert not found["_ws.malformed"]

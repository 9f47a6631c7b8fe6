"""Probes on the wire, taken apart by scapy; and which frames the engine's filter lets pass."""

from __future__ import annotations

from ipaddress import IPv6Address

from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrSegmentRouting
from scapy.layers.l2 import Ether
from test_linux_stamp import taken

from controller.linux.liveness.probe_frames import UDP_PORT, Returned, parse, probe_frame, program

ADDRESS = st.integers(1, (1 << 128) - 1)
KEY = bytes.fromhex("8899aabbccddeeff")
NUMBER, TIME = st.integers(0, 0xFFFF), st.integers(0, (1 << 63) - 1)


def number(address):
    return int(IPv6Address(address))


@given(st.lists(ADDRESS, min_size=1, max_size=3), NUMBER, st.integers(0, 0xFFFFFFFF), TIME)
def test_a_probe_is_what_the_contract_says(carriers, path, sequence, now_ns):
    frame = probe_frame(0x060000010001, 0x020000000700, carriers, KEY, path).at(sequence, now_ns)
    packet = Ether(frame)
    assert (packet.src, packet.dst) == ("06:00:00:01:00:01", "02:00:00:00:07:00")
    outer = packet[IPv6]
    assert (number(outer.src), number(outer.dst), outer.hlim) == (carriers[-1], carriers[0], 64)
    assert outer.plen == len(frame) - 54
    if len(carriers) > 1:
        srh = packet[IPv6ExtHdrSegmentRouting]
        assert [number(address) for address in srh.addresses] == carriers[:0:-1]
        assert (srh.segleft, srh.lastentry) == (len(carriers) - 1, len(carriers) - 2)
    else:
        assert outer.nh == 17
    udp = packet[UDP]
    assert (udp.sport, udp.dport, udp.len) == (UDP_PORT, UDP_PORT, len(udp))
    assert parse(frame, KEY) == Returned(path, sequence, now_ns)


@given(st.lists(ADDRESS, min_size=1, max_size=3), NUMBER, st.integers(0, 0xFFFFFFFF), TIME)
def test_its_checksum_is_that_of_its_last_destination(carriers, path, sequence, now_ns):
    frame = probe_frame(0x060000010001, 0x020000000700, carriers, KEY, path).at(sequence, now_ns)
    udp = Ether(frame)[UDP]
    found, own = udp.chksum, str(IPv6Address(carriers[-1]))
    del udp.chksum
    assert IPv6(bytes(IPv6(src=own, dst=own) / udp))[UDP].chksum == found


@given(st.lists(ADDRESS, min_size=1, max_size=3), st.binary(min_size=8, max_size=8))
def test_only_probes_with_the_key_pass(carriers, other):
    """As they come back: no segments left. A key is 64 random bits that no customer ever sees."""
    frame = bytearray(probe_frame(0x060000010001, 0x020000000700, carriers, KEY, 7).at(9, 0))
    if len(carriers) > 1:
        frame[57] = 0
    frame = bytes(frame)
    assert taken(program(KEY), frame)
    assert not taken(program(KEY), frame, packet_type=3), "for another machine"
    assert bool(taken(program(other), frame)) == (other == KEY)
    assert (parse(frame, other) is None) == (other != KEY)
    position = frame.rindex(KEY)
    for port in (862, 3784):
        changed = frame[: position - 6] + port.to_bytes(2, "big") + frame[position - 4 :]
        assert not taken(program(KEY), changed)


def test_frames_of_any_length_are_no_trouble():
    assert parse(b"", KEY) is None
    assert parse(bytes(40), KEY) is None

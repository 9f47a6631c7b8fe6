"""Discovery frames: what we build everyone can read, and what anyone sends us we survive."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from os_ken.lib.packet import ethernet, lldp, packet

from controller.core.addresses import channel_address, mac_text
from controller.probes import NEAREST_BRIDGE, OUI, Probe, build, parse

macs = st.integers(0, (1 << 48) - 1)
nodes = st.text(st.characters(codec="utf-8"), min_size=1, max_size=60).filter(lambda name: len(name.encode()) <= 255)
channels = st.none() | st.tuples(st.integers(0, (1 << 32) - 1), st.integers(0, 1))
probes = st.builds(Probe, nodes, st.integers(0, 65535), channels)


@given(probes, macs, macs)
def test_what_is_built_is_parsed(probe: Probe, source: int, destination: int) -> None:
    assert parse(build(probe, source, destination)) == probe


@given(probes, macs)
def test_a_foreign_parser_reads_the_same(probe: Probe, source: int) -> None:
    frame = packet.Packet(build(probe, source, NEAREST_BRIDGE))
    head, body = frame.get_protocol(ethernet.ethernet), frame.get_protocol(lldp.lldp)
    assert (head.dst, head.src, head.ethertype) == ("01:80:c2:00:00:0e", mac_text(source), 0x88CC)
    chassis, port, ttl, *own, end = body.tlvs
    assert (chassis.subtype, chassis.chassis_id) == (lldp.ChassisID.SUB_LOCALLY_ASSIGNED, probe.node.encode())
    assert (port.subtype, port.port_id) == (lldp.PortID.SUB_LOCALLY_ASSIGNED, str(probe.port).encode())
    assert ttl.ttl > 3
    assert isinstance(end, lldp.End)
    assert len(own) == (probe.channel is not None)
    if probe.channel is not None:
        slice_id, direction = probe.channel
        assert (own[0].oui, own[0].info) == (OUI, slice_id.to_bytes(4, "big") + bytes([direction]))
        assert channel_address(*probe.channel) >> 40 == 0x02


@given(st.binary(max_size=200))
def test_no_bytes_raise(frame: bytes) -> None:
    parse(frame)


@given(st.binary(max_size=600), st.data())
def test_no_bytes_raise_behind_an_lldp_header(payload: bytes, data: st.DataObject) -> None:
    parse(bytes(12) + b"\x88\xcc" + payload)
    frame = bytearray(build(data.draw(probes), 1, 2))
    for _ in range(data.draw(st.integers(1, 4))):
        frame[data.draw(st.integers(14, len(frame) - 1))] = data.draw(st.integers(0, 255))
    parse(bytes(frame))
    parse(bytes(frame[: data.draw(st.integers(0, len(frame)))]))


tlvs = st.lists(st.tuples(st.integers(0, 127), st.binary(max_size=511)), max_size=8)


@given(tlvs)
def test_no_well_formed_tlvs_raise(found: list[tuple[int, bytes]]) -> None:
    body = b"".join((kind << 9 | len(value)).to_bytes(2, "big") + value for kind, value in found)
    parse(bytes(12) + b"\x88\xcc" + body)


@pytest.mark.parametrize("digits", [b"7" * 510, b"70000", b"-1", b" 1", "１".encode(), b""])
def test_no_port_number_that_no_port_has(digits: bytes) -> None:
    """What comes out of here is stored and sent on: a number that does not fit a port must stop at the door."""
    value = b"\x07" + digits
    body = b"\x02\x02\x07n" + (2 << 9 | len(value)).to_bytes(2, "big") + value + b"\0\0"
    assert parse(bytes(12) + b"\x88\xcc" + body) is None


def test_what_others_send_is_not_ours() -> None:
    frame = build(Probe("n", 1, (5, 0)), 1, 2)
    assert parse(frame[:12] + b"\x08\x00" + frame[14:]) is None
    mac_chassis = frame[:16] + b"\x04" + frame[17:]
    assert parse(mac_chassis) is None
    foreign = frame.replace(OUI, b"\x00\x80\xc2")
    assert parse(foreign) == Probe("n", 1)

"""Discovery frames: LLDP (IEEE 802.1AB) that says where it was sent, and on which channel.

To the nearest-bridge address it finds what is wired; to a channel address it proves that a trail arrives.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from os_ken.lib.packet import ethernet, lldp, packet

from controller.core.addresses import mac_text

LLDP_ETHERTYPE = 0x88CC
NEAREST_BRIDGE = 0x0180C200000E
OUI = b"\x02\xc0\xde"
"""Locally administered organisation id: our TLVs are nobody else's."""
CHANNEL_SUBTYPE = 1
TTL_S = 4
MAX_PORT = 0xFFFF
"""A router's MAC address has room for no more."""


@dataclass(frozen=True, slots=True)
class Probe:
    """Sent by `node` from `port`; `channel` is (slice id, direction) where it went to a channel address."""

    node: str
    port: int
    channel: tuple[int, int] | None = None


@lru_cache(maxsize=8192)
def build(probe: Probe, source: int, destination: int) -> bytes:
    """The Ethernet frame of a probe between two 48-bit addresses; the same every round, so it is made once."""
    tlvs = [
        lldp.ChassisID(subtype=lldp.ChassisID.SUB_LOCALLY_ASSIGNED, chassis_id=probe.node.encode()),
        lldp.PortID(subtype=lldp.PortID.SUB_LOCALLY_ASSIGNED, port_id=str(probe.port).encode()),
        lldp.TTL(ttl=TTL_S),
    ]
    if probe.channel is not None:
        slice_id, direction = probe.channel
        info = slice_id.to_bytes(4, "big") + bytes([direction])
        tlvs.append(lldp.OrganizationallySpecific(oui=OUI, subtype=CHANNEL_SUBTYPE, info=info))
    frame = packet.Packet()
    frame.add_protocol(ethernet.ethernet(mac_text(destination), mac_text(source), LLDP_ETHERTYPE))
    frame.add_protocol(lldp.lldp((*tlvs, lldp.End())))
    frame.serialize()
    return bytes(frame.data)


def parse(frame: bytes) -> Probe | None:
    """The probe in a frame; None where it is not one of ours. Frames come from the wire: nothing in them is trusted."""
    if len(frame) < 14 or frame[12:14] != LLDP_ETHERTYPE.to_bytes(2, "big"):
        return None
    tlvs = _tlvs(frame[14:])
    chassis, port, own = tlvs.get((1, b"")), tlvs.get((2, b"")), tlvs.get((127, OUI + bytes([CHANNEL_SUBTYPE])))
    if not chassis or not port or chassis[0] != 7 or port[0] != 7 or not port[1:].isdigit():
        return None
    if int(port[1:]) > MAX_PORT:
        return None
    channel = (int.from_bytes(own[:4], "big"), own[4]) if own is not None and len(own) == 5 else None
    return Probe(chassis[1:].decode(errors="replace"), int(port[1:]), channel)


def _tlvs(payload: bytes) -> dict[tuple[int, bytes], bytes]:
    """(type, organisation) to value, up to the end TLV or where the frame is cut short."""
    found: dict[tuple[int, bytes], bytes] = {}
    while len(payload) >= 2:
        header = int.from_bytes(payload[:2], "big")
        kind, length = header >> 9, header & 0x1FF
        value, payload = payload[2 : 2 + length], payload[2 + length :]
        if kind == 0 or len(value) < length:
            break
        organisation = value[:4] if kind == 127 else b""
        found[kind, organisation] = value[len(organisation) :]
    return found

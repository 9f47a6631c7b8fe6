"""Layer-2 addresses that both layers must agree upon.

All are locally administered unicast (IEEE 802, bit 0x02 of the first octet set, bit 0x01 clear).
"""

from __future__ import annotations

A_TO_Z, Z_TO_A = 0, 1

_CHANNEL_TAG = 0x02
_ROUTER_TAG = 0x06


def channel_address(slice_id: int, direction: int) -> int:
    """The 48-bit MAC that marks one direction of a slice on a client port: 02 | slice id 32 | direction 8."""
    if not 0 <= slice_id < 1 << 32 or direction not in (A_TO_Z, Z_TO_A):
        raise ValueError(f"no channel for slice {slice_id} direction {direction}")
    return _CHANNEL_TAG << 40 | slice_id << 8 | direction


def router_mac(node_id: int, port: int) -> int:
    """48-bit MAC of a router's port: 06:00 | node id 16 | port 16."""
    return _ROUTER_TAG << 40 | (node_id & 0xFFFF) << 16 | (port & 0xFFFF)


def mac_text(mac: int) -> str:
    """Six lower-case hexadecimal octets between colons."""
    return mac.to_bytes(6, "big").hex(":")

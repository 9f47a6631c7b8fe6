"""Layer-2 addresses that both layers must agree upon.

All are locally administered unicast (IEEE 802, bit 0x02 of the first octet set, bit 0x01 clear).
"""

from __future__ import annotations

import re

A_TO_Z, Z_TO_A = 0, 1

_CHANNEL_TAG = 0x02
_ROUTER_TAG = 0x06
_HOST_TAG = 0x0A


def channel_address(slice_id: int, direction: int) -> int:
    """The 48-bit MAC that marks one direction of a slice on a client port: 02 | slice id 32 | direction 8."""
    if not 0 <= slice_id < 1 << 32 or direction not in (A_TO_Z, Z_TO_A):
        raise ValueError(f"no channel for slice {slice_id} direction {direction}")
    return _CHANNEL_TAG << 40 | slice_id << 8 | direction


def router_mac(node_id: int, port: int) -> int:
    """48-bit MAC of a router's port: 06:00 | node id 16 | port 16."""
    return _ROUTER_TAG << 40 | (node_id & 0xFFFF) << 16 | (port & 0xFFFF)


def host_mac(node_id: int, port: int) -> int:
    """48-bit MAC of a machine at a router's access port, where nothing else is said of it: 0a:00 | node id | port."""
    return _HOST_TAG << 40 | (node_id & 0xFFFF) << 16 | (port & 0xFFFF)


def is_given(mac: int) -> bool:
    """Whether a router has this 48-bit MAC, or it marks a channel, or could: both are of one kind each."""
    return mac >> 32 == _ROUTER_TAG << 8 or (mac >> 40 == _CHANNEL_TAG and mac & 0xFF in (A_TO_Z, Z_TO_A))


def mac_text(mac: int) -> str:
    """Six lower-case hexadecimal octets between colons."""
    return mac.to_bytes(6, "big").hex(":")


def mac_number(text: str) -> int:
    """The 48-bit number of six hexadecimal octets between colons; `ValueError` for anything else."""
    if not re.fullmatch(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}", text):
        raise ValueError(f"{text!r} is not six octets between colons")
    return int(text.replace(":", ""), 16)

"""How the contract's numbers map to the kernel's: marks, route tables, rule preferences, synthetic addresses.

A packet's mark has the VRF in its upper half. The lower half is the policy (1..0x7fff), or 0x8000 | MTU of a packet
that is too large for its corridor, or `EXPIRED` of one whose hop limit ends here, or `DECAPSULATED` of a tunnel packet
whose inner IPv4 packet belongs to the VRF.
"""

from __future__ import annotations

PROTOCOL = "200"
"""Protocol number of every route, rule, nexthop and neighbour of ours."""
SR_DEVICE = "sr0"
"""An ifb device for SID routes: one on `lo` drops silently, one on a real port vanishes with the port."""
MAIN_TABLE = 254
SID_TABLE = 0x40000
POLICY_LIMIT = 0x8000
DECAPSULATED = 0xFFFF
EXPIRED = 0xFFFE
EXPIRED_TABLE = 0x3FFFF
GROUP_BASE = 0x10000
"""Kernel ids of nexthop groups begin here; those of single next hops are the contract's own, of 16 bits."""
MTU_RANGE = range(68, 0x7FFF)

# The order of all our rules; module `rules` has what it is for.
SID_PREFERENCE = 50
DECAPSULATED_PREFERENCE = 51
OWN_PREFERENCE = 60
PLAIN_PREFERENCE = 61
UNCOVERED_PREFERENCE = 62
POLICY_PREFERENCE = 70
OVERSIZE_PREFERENCE = 80
EXPIRED_PREFERENCE = 81
CORRIDOR_FENCE_PREFERENCE = 90
VRF_ENTRANCE_PREFERENCE = 99
VRF_PREFERENCE = 100
FENCE_PREFERENCE = 400

VRF_MASK = 0xFFFF0000
POLICY_MASK = 0xFFFF


def vrf_table(vrf: int) -> int:
    return 0x10000 | vrf if vrf else MAIN_TABLE


def table_vrf(table: int) -> int | None:
    """The VRF whose routes the table holds; None for other tables."""
    if table == MAIN_TABLE:
        return 0
    return table & 0xFFFF if table >> 16 == 1 and table & 0xFFFF else None


def policy_table(policy: int) -> int:
    return 0x20000 | policy


def table_policy(table: int) -> int | None:
    return table & 0xFFFF if table >> 16 == 2 else None


def oversize_table(mtu: int) -> int:
    return 0x30000 | mtu


def policy_mark(vrf: int, policy: int) -> int:
    return vrf << 16 | policy


def oversize_mark(vrf: int, mtu: int) -> int:
    return vrf << 16 | 0x8000 | mtu


def group_id(group: int) -> int:
    return GROUP_BASE | group


def of_group_id(number: int) -> int | None:
    return number & 0xFFFF if number >> 16 == GROUP_BASE >> 16 else None


def synthetic_v6(next_hop: int) -> str:
    """The on-link address that stands for an adjacency next hop."""
    return f"fdc0:de::{next_hop:x}"


def synthetic_v4(next_hop: int) -> str:
    return f"169.254.{next_hop >> 8}.{next_hop & 0xFF}"


def of_synthetic_v6(address: str) -> int | None:
    head, _, last = address.rpartition("::")
    return int(last, 16) if head == "fdc0:de" and last else None


def of_synthetic_v4(address: str) -> int | None:
    parts = address.split(".")
    return int(parts[2]) << 8 | int(parts[3]) if parts[:2] == ["169", "254"] else None

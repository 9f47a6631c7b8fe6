"""SRv6 with NEXT-C-SID (RFC 8986, RFC 9800): SIDs, and carriers packed with them.

Block 32 bits, node and function ids 16 bits, so a carrier has room for six ids. A uA takes two of them (node and
function, consumed together at the node), a uDT as well; neither may straddle two carriers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network

from controller.core.errors import Infeasible
from controller.core.model import SegmentList

IDS_PER_CARRIER = 6
ID_BITS = 16
IPV6_HEADER_BYTES = 40
SRH_FIXED_BYTES = 8
SID_BYTES = 16


@dataclass(frozen=True, slots=True)
class Segment:
    """One instruction: the ids it takes in a carrier, and its name for people."""

    ids: tuple[int, ...]
    text: str


def locator(block: str, node_id: int) -> tuple[int, int]:
    """The uN prefix of a node: (128-bit address, prefix length)."""
    return carrier(block, (node_id,)), _block(block).prefixlen + ID_BITS


def function_sid(block: str, node_id: int, function: int) -> tuple[int, int]:
    """The prefix of a node's uA or uDT: (128-bit address, prefix length)."""
    return carrier(block, (node_id, function)), _block(block).prefixlen + 2 * ID_BITS


def node_address(block: str, node_id: int) -> int:
    """The router's own address in its locator, outer source of what it encapsulates."""
    return locator(block, node_id)[0] | 1


def carrier(block: str, ids: Iterable[int]) -> int:
    """The block followed by up to six ids, the rest zero (the end marker of RFC 9800 4.1)."""
    network = _block(block)
    value, shift = int(network.network_address), 128 - network.prefixlen
    for number in ids:
        shift -= ID_BITS
        if shift < 0:
            raise ValueError("more ids than a carrier holds")
        value |= number << shift
    return value


def segment_list(block: str, segments: Iterable[Segment], max_carriers: int) -> SegmentList:
    """Segments packed into as few carriers as order allows; `Infeasible` beyond what the headend can impose."""
    segments = tuple(segments)
    packed: list[list[int]] = [[]]
    for segment in segments:
        if len(packed[-1]) + len(segment.ids) > IDS_PER_CARRIER:
            packed.append([])
        packed[-1].extend(segment.ids)
    if len(packed) > max_carriers:
        raise Infeasible(
            f"the path needs {len(packed)} carriers, its headend imposes {max_carriers} (RFC 9352 H.Encaps MSD)",
            reason="SEGMENT_LIST_TOO_LONG",
            metadata={"carriers": str(len(packed)), "maxCarriers": str(max_carriers)},
        )
    return SegmentList(
        carriers=tuple(str(IPv6Address(carrier(block, ids))) for ids in packed),
        description=" ".join(segment.text for segment in segments),
        overhead_bytes=overhead_bytes(len(packed)),
    )


def overhead_bytes(carriers: int) -> int:
    """H.Encaps.Red: outer header, and an SRH without the first carrier where there are more (RFC 8986 5.2)."""
    return IPV6_HEADER_BYTES + (SRH_FIXED_BYTES + SID_BYTES * (carriers - 1) if carriers > 1 else 0)


def _block(block: str) -> IPv6Network:
    return IPv6Network(block)

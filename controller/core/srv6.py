"""SRv6 with NEXT-C-SID (RFC 8986, RFC 9800): SIDs, and carriers packed with them.

Block 32 bits, node and function ids 16 bits, so a carrier has room for six ids. A uA takes two of them (node and
function, consumed together at the node), a uDT as well; neither may straddle two carriers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network
from itertools import takewhile

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
    carriers = packed(segment.ids for segment in segments)
    if len(carriers) > max_carriers:
        raise Infeasible(
            f"the path needs {len(carriers)} carriers, its headend imposes {max_carriers} (RFC 9352 H.Encaps MSD)",
            reason="SEGMENT_LIST_TOO_LONG",
            metadata={"carriers": str(len(carriers)), "maxCarriers": str(max_carriers)},
        )
    return SegmentList(
        carriers=tuple(str(IPv6Address(carrier(block, ids))) for ids in carriers),
        description=" ".join(segment.text for segment in segments),
        overhead_bytes=overhead_bytes(len(carriers)),
    )


def packed(segments: Iterable[Sequence[int]]) -> list[list[int]]:
    """The ids of segments, in order, in as few carriers as that allows: no segment straddles two."""
    carriers: list[list[int]] = [[]]
    for ids in segments:
        if len(carriers[-1]) + len(ids) > IDS_PER_CARRIER:
            carriers.append([])
        carriers[-1].extend(ids)
    return carriers


def ids_of(block: str, address: int) -> list[int]:
    """The ids of a carrier, up to its end marker."""
    shifts = range(128 - _block(block).prefixlen - ID_BITS, -1, -ID_BITS)
    return list(takewhile(bool, (address >> shift & 0xFFFF for shift in shifts)))


def overhead_bytes(carriers: int) -> int:
    """H.Encaps.Red: outer header, and an SRH without the first carrier where there are more (RFC 8986 5.2)."""
    return IPV6_HEADER_BYTES + (SRH_FIXED_BYTES + SID_BYTES * (carriers - 1) if carriers > 1 else 0)


@lru_cache(maxsize=16)
def _block(block: str) -> IPv6Network:
    return IPv6Network(block)

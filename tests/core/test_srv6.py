"""Carriers against text joined by hand, packing, and sizes."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.errors import Infeasible
from controller.core.srv6 import (
    Segment,
    carrier,
    function_sid,
    locator,
    node_address,
    overhead_bytes,
    segment_list,
)

BLOCK = "fcbb:bb00::/32"
NODE_IDS, FUNCTIONS = st.integers(0x0001, 0xDFFF), st.integers(0xE000, 0xFDFF)


def joined(*ids: int) -> str:
    """The carrier as people write it: block, ids, and `::` for the end marker."""
    text = ":".join(["fcbb", "bb00", *(f"{each:x}" for each in ids)])
    return str(IPv6Address(text if len(ids) == 6 else text + "::"))


def lists() -> st.SearchStrategy[list[tuple[int, int]]]:
    return st.lists(st.tuples(NODE_IDS, FUNCTIONS), min_size=1, max_size=9)


def segments(pairs: list[tuple[int, int]]) -> list[Segment]:
    return [*(Segment(pair, "uA(a→b)") for pair in pairs[:-1]), Segment(pairs[-1], "uDT6(z, vrf 1)")]


@given(st.lists(st.integers(1, 0xFFFF), min_size=1, max_size=6))
def test_a_carrier_is_the_block_and_its_ids(ids: list[int]) -> None:
    assert str(IPv6Address(carrier(BLOCK, ids))) == joined(*ids)


def test_a_seventh_id_has_no_room() -> None:
    with pytest.raises(ValueError, match="more ids"):
        carrier(BLOCK, range(1, 8))


@given(NODE_IDS, FUNCTIONS)
def test_sids_are_prefixes_of_the_block(node: int, function: int) -> None:
    assert IPv6Network(locator(BLOCK, node)) == IPv6Network(f"{joined(node)}/48")
    assert IPv6Network(function_sid(BLOCK, node, function)) == IPv6Network(f"{joined(node, function)}/64")
    assert IPv6Address(node_address(BLOCK, node)) == IPv6Address(f"fcbb:bb00:{node:x}::1")


@given(lists())
def test_packing_takes_three_instructions_of_two_ids_per_carrier(pairs: list[tuple[int, int]]) -> None:
    made = segment_list(BLOCK, segments(pairs), 3)
    by_three = [pairs[i : i + 3] for i in range(0, len(pairs), 3)]
    assert made.carriers == tuple(joined(*(each for pair in three for each in pair)) for three in by_three)
    assert made.overhead_bytes == [40, 64, 80][len(by_three) - 1]
    assert made.description.split(" ")[0] == ("uA(a→b)" if len(pairs) > 1 else "uDT6(z,")


@given(st.lists(st.integers(1, 2), min_size=1, max_size=14))
def test_no_instruction_straddles_two_carriers(widths: list[int]) -> None:
    """Nodes consume node and function id together; with one-id segments in between the seam may fall anywhere."""
    made = segment_list(BLOCK, [Segment(tuple(range(i * 2 + 1, i * 2 + 1 + w)), "s") for i, w in enumerate(widths)], 99)
    carriers = [[int(part, 16) for part in IPv6Address(text).exploded.split(":")[2:]] for text in made.carriers]
    packed = [[each for each in ids if each] for ids in carriers]
    wanted = [tuple(range(i * 2 + 1, i * 2 + 1 + w)) for i, w in enumerate(widths)]
    for ids in packed:
        while ids:
            head = wanted.pop(0)
            assert tuple(ids[: len(head)]) == head
            ids = ids[len(head) :]
    assert not wanted


@pytest.mark.parametrize(("carriers", "size"), [(1, 40), (2, 64), (3, 80)])
def test_sizes_of_reduced_encapsulation(carriers: int, size: int) -> None:
    """Measured on the wire: one carrier 40 bytes, two 64 (RFC 8986 5.2: the SRH holds all but the first)."""
    assert overhead_bytes(carriers) == size
    assert overhead_bytes(carriers) == 40 + (8 + 16 * (carriers - 1) if carriers > 1 else 0)


def test_more_than_the_headend_imposes_is_refused_with_figures() -> None:
    four = segments([(n, 0xE000) for n in range(1, 5)])
    assert len(segment_list(BLOCK, four, 2).carriers) == 2
    with pytest.raises(Infeasible) as refusal:
        segment_list(BLOCK, four, 1)
    assert refusal.value.reason == "SEGMENT_LIST_TOO_LONG"
    assert refusal.value.metadata == {"carriers": "2", "maxCarriers": "1"}

"""Resizing along a chain of nodes on fibres that behave, and what each refusal leaves behind."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from resize_network import OK, Fibres, Network, Slice


def chain(length: int, size: int = 5, room: int = 20) -> tuple[Network, Slice]:
    each = Slice(1, 0, length - 1, size, room)
    return Network(length, [each]), each


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 6), st.lists(st.integers(1, 20), min_size=1, max_size=6))
def test_every_size_is_reached_at_every_node_both_ways(length: int, targets: list[int]) -> None:
    network, each = chain(length)
    for target in targets:
        assert network.resized(each, target).state is OK
        assert network.sizes(each) == {(target, target)}
        assert not any(node.modifying(1) for node in network.nodes)


@pytest.mark.parametrize("length", [2, 3, 6])
def test_it_takes_ten_frames_in_sequence_for_each_hop(length: int) -> None:
    network, each = chain(length)
    network.fibres = Fibres(delay=lambda: 0.001)
    begun = network.now
    network.command(each, 9)
    while not any(notice.state is OK for notice in network.notices):
        assert network.step()
    hops = length - 1
    assert round((network.now - begun) / 0.001) == 10 * hops
    assert len(network.sent) == 10 * hops

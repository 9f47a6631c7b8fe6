"""Resizing along a chain of nodes on fibres that behave, and what each refusal leaves behind."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from resize_network import FAILED, LEFT, MODIFYING, OK, RIGHT, TIMING, Fibres, Network, Slice

from controller.linecard.resize import ResizeNode
from controller.linecard.resize_messages import Kind, Reason, ResizeMessage, encode
from controller.linecard.resize_values import Commit
from controller.linecard.slot_table import Holding, HoldingKey, SlotError, SlotTable


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


def test_growing_commits_from_the_sink_back_and_shrinking_from_the_source_on() -> None:
    network, each = chain(3)
    assert commits(network, each, 9) == [(2, 0), (1, 0), (0, 0), (0, 1), (1, 1), (2, 1)]
    assert commits(network, each, 4) == [(0, 0), (1, 0), (2, 0), (2, 1), (1, 1), (0, 1)]
    assert commits(network, each, 4) == []


def commits(network: Network, each: Slice, target: int) -> list[tuple[int, int]]:
    """(node, direction), in their order."""
    before = {key: list(counts) for key, counts in network.meters.items()}
    order: list[tuple[int, int]] = []
    network.command(each, target)
    going = True
    while going:
        for (node, _), counts in network.meters.items():
            order += [(node, d) for d in (0, 1) if counts[d] != before[node, 1][d]]
            before[node, 1] = list(counts)
        going = network.step()
    return order


def test_the_source_commits_before_it_lets_its_neighbour_go_on() -> None:
    """A shrinking source: its meter first, then BWR_IND. In the order of the outputs, and whenever it is said again."""
    network, _ = chain(2, size=9)
    source, sink = network.nodes
    _, request = source.command(1, 4, 0.0)
    (accept,) = sink.received(LEFT, request.message, 0.0)
    committed, indication = source.received(RIGHT, accept.message, 0.0)
    assert committed == Commit(1, 0, 4)
    assert indication.message.kind is Kind.BWR_IND
    assert source.tick(TIMING.retry_s) == [committed, indication]
    committed, confirmation = sink.received(LEFT, indication.message, 0.0)
    assert committed == Commit(1, 0, 4)
    assert confirmation.message.kind is Kind.NCS
    assert sink.received(LEFT, indication.message, 0.0) == [committed, confirmation]


def test_the_same_target_joins_and_another_one_waits_its_turn() -> None:
    network, each = chain(3)
    network.command(each, 9)
    frames = len(network.sent)
    network.command(each, 9)
    assert len(network.sent) == frames
    with pytest.raises(SlotError) as refused:
        network.command(each, 8)
    assert refused.value.code == "FAILED_PRECONDITION"
    network.settle()
    assert [notice.state for notice in network.notices] == [MODIFYING, MODIFYING, OK]
    assert network.resized(each, 8).state is OK


@pytest.mark.parametrize(
    ("slice_id", "node", "target", "code"),
    [
        (2, 0, 5, "NOT_FOUND"),
        (1, 0, 0, "INVALID_ARGUMENT"),
        (1, 0, 513, "INVALID_ARGUMENT"),
        (1, 0, 21, "FAILED_PRECONDITION"),  # reserved are 20
        (1, 1, 5, "FAILED_PRECONDITION"),  # in transit
    ],
)
def test_what_the_source_cannot_do_is_refused_at_once(slice_id: int, node: int, target: int, code: str) -> None:
    network, _ = chain(3)
    with pytest.raises(SlotError) as refused:
        network.nodes[node].command(slice_id, target, 0.0)
    assert refused.value.code == code


def test_a_slice_is_commanded_from_one_end_only() -> None:
    network, each = chain(3)
    network.resized(each, 9)
    with pytest.raises(SlotError) as refused:
        network.nodes[2].command(1, 5, network.now)
    assert refused.value.code == "FAILED_PRECONDITION"


def test_a_source_with_two_branches_of_the_slice_is_no_end() -> None:
    network, _ = chain(2)
    network.tables[0].apply([Holding(1, 7, "odu2-1", tuple(range(1, 21)), 5)])
    with pytest.raises(SlotError) as refused:
        network.nodes[0].command(1, 9, 0.0)
    assert refused.value.code == "FAILED_PRECONDITION"


def test_nodes_that_differ_become_equal_by_a_command_to_the_size_of_the_source() -> None:
    """In the order that the rest of the slice asks for: no node ever lets through less than the one before it."""
    network, each = chain(4)
    for node, counts in enumerate([(3, 9), (5, 7), (5, 5), (9, 5)]):
        for direction, count in enumerate(counts):
            network.tables[node].commit(1, direction, count)
            network.meters[node, 1][direction] = count
    network.check()
    assert network.resized(each, 6).state is OK
    assert network.sizes(each) == {(6, 6)}


def test_force_sets_this_node_alone_and_ends_what_was_under_way() -> None:
    network, each = chain(3)
    network.guarded = False
    network.command(each, 9)
    for _ in range(3):
        network.step()
    for node in (0, 1):
        network.force(node, each, 7)
    assert [(notice.state, notice.reason) for notice in network.notices] == [(MODIFYING, ""), (FAILED, "ONE_SIDED")]
    network.settle()
    assert [network.tables[node].committed(1) for node in (0, 1)] == [(7, 7), (7, 7)]
    assert network.resized(each, 8).state is OK
    assert network.sizes(each) == {(8, 8)}


@pytest.mark.parametrize(("slice_id", "count", "code"), [(2, 5, "NOT_FOUND"), (1, 21, "FAILED_PRECONDITION")])
def test_more_than_is_reserved_cannot_be_forced(slice_id: int, count: int, code: str) -> None:
    network, _ = chain(2)
    with pytest.raises(SlotError) as refused:
        network.nodes[0].force(slice_id, count, 0.0)
    assert refused.value.code == code
    assert network.tables[0].committed(1) == (5, 5)


def test_a_later_slice_of_the_same_id_knows_nothing_of_the_earlier_one() -> None:
    """Even from the other end, by a source whose numbers start lower."""
    network, each = chain(3)
    assert network.resized(each, 9).state is OK
    for table in network.tables:
        table.apply([HoldingKey(1, LEFT), HoldingKey(1, RIGHT)])
    network.slices[0] = again = Slice(1, 2, 0, 5, 20)
    network.meters.clear()
    network.nodes[2] = ResizeNode("otn-2", network.tables[2], 0, TIMING)
    for node in range(3):
        network.fill(node)
    assert network.resized(again, 7).state is OK
    assert network.sizes(again) == {(7, 7)}


def clock_set_back(network: Network, each: Slice, size: int, incarnation: int = 0) -> None:
    """The source starts again, at a time before its last start, and is filled again."""
    network.restart(each.a, incarnation)
    network.fill(each.a, {each.slice_id: size})
    network.guarded = True


def numbers(network: Network) -> list[int]:
    """Of the attempts, in their order."""
    return list(dict.fromkeys(message.attempt for _, _, message in network.sent))


def test_a_source_whose_clock_was_set_back_goes_on_above_what_the_others_know() -> None:
    network, each = chain(4)
    assert network.resized(each, 9).state is OK
    clock_set_back(network, each, 9)
    assert network.resized(each, 4).state is OK
    assert network.sizes(each) == {(4, 4)}
    first, refused, above = numbers(network)
    assert refused < first < above
    assert network.resized(each, 7).state is OK
    assert numbers(network)[3:] == [above + 1]


def test_the_others_may_be_further_away_than_a_node_that_knows_nothing_either() -> None:
    network, each = chain(4)
    assert network.resized(each, 9).state is OK
    network.restart(1)
    network.fill(1, {1: 9})
    clock_set_back(network, each, 9)
    assert network.resized(each, 12).state is OK
    assert network.sizes(each) == {(12, 12)}


def test_what_was_said_before_the_clock_was_set_back_has_no_effect_after() -> None:
    """The next number after those that are known was given too, and what it asked for comes at last."""
    network, each = chain(3)
    assert network.resized(each, 9).state is OK
    network.command(each, 15)
    network.queue.clear()
    _, _, late = network.sent[-1]
    assert late.kind is Kind.REQUEST
    clock_set_back(network, each, 9)
    begun = len(network.sent)
    network.command(each, 4)
    while sum(sender == each.a for sender, _, _ in network.sent[begun:]) < 2:
        assert network.step()
    network.inject(1, LEFT, encode(late), 0.005)
    network.settle()
    assert network.notices[-1].state is OK
    assert network.sizes(each) == {(4, 4)}


def test_a_source_goes_on_above_what_is_known_once() -> None:
    network, _ = chain(2)
    source = network.nodes[0]
    _, request = source.command(1, 9, 0.0)
    refusal = overtaken(request.message, request.message.attempt + 1)
    (again,) = source.received(RIGHT, refusal, 0.0)
    assert again.message == replace(request.message, attempt=again.message.attempt)
    assert again.message.attempt > refusal.latest
    assert source.received(RIGHT, refusal, 0.0) == []
    *_, ended = source.received(RIGHT, overtaken(again.message, again.message.attempt + 1), 0.0)
    assert (ended.state, ended.reason, ended.message) == (FAILED, "REJECTED", "known")
    assert source.next_deadline is None
    _, later = source.command(1, 9, 0.0)
    assert later.message.attempt > again.message.attempt + 1


def test_a_number_that_leaves_no_others_is_not_believed() -> None:
    network, _ = chain(2)
    source = network.nodes[0]
    _, request = source.command(1, 9, 0.0)
    *_, ended = source.received(RIGHT, overtaken(request.message, 2**64 - 1), 0.0)
    assert (ended.state, ended.reason) == (FAILED, "REJECTED")
    assert source.command(1, 9, 0.0)[-1].message.attempt == request.message.attempt + 1


def overtaken(request: ResizeMessage, latest: int) -> ResizeMessage:
    return replace(
        request, kind=Kind.REJECT, server="", slots=(), reason=Reason.REJECTED, detail="known", latest=latest
    )


def test_a_slice_that_goes_while_it_is_resized_ends_the_command() -> None:
    network, each = chain(2)
    network.command(each, 9)
    for table in network.tables:
        table.apply([HoldingKey(1, LEFT), HoldingKey(1, RIGHT)])
    network.settle()
    assert [(notice.state, notice.reason) for notice in network.notices] == [(MODIFYING, ""), (FAILED, "ONE_SIDED")]
    assert network.nodes[0].next_deadline is None


@pytest.mark.parametrize("node", [0, 1, 2])
@pytest.mark.parametrize("fewer", [True, False])
def test_reservations_that_change_between_grant_and_commit_fail_and_are_taken_back(node: int, fewer: bool) -> None:
    """To fewer slots than were granted, or to others."""
    network, each = chain(3)
    network.command(each, 9)
    while not any(message.kind is Kind.BWR_IND for _, _, message in network.sent):
        network.step()
    changed = each.holdings(node, 5, room=8)
    if not fewer:
        changed = [replace(held, slots=(*held.slots, *range(500, 512))) for held in changed]
    assert network.tables[node].apply(changed) == ()
    while network.step():
        assert network.meters[node, 1] == [5, 5]
    assert (network.notices[-1].state, network.notices[-1].reason) == (FAILED, "REJECTED")
    assert network.sizes(each) == {(5, 5)}


@pytest.mark.parametrize("filled", [False, True])
def test_an_indication_without_a_grant_is_refused(filled: bool) -> None:
    """By a node that restarted, and by one that has waited too long for it."""
    network, _ = chain(3)
    source, transit, _ = network.nodes
    _, request = source.command(1, 4, 0.0)
    (onward,) = transit.received(LEFT, request.message, 0.0)
    accept = replace(onward.message, kind=Kind.ACCEPT, server="", slots=())
    transit.received(RIGHT, accept, 0.0)
    _, indication = source.received(RIGHT, accept, 0.0)
    if filled:
        assert transit.modifying(1)
        assert transit.tick(TIMING.patience_s) == []
        assert not transit.modifying(1)
    else:
        transit = ResizeNode("otn-1", SlotTable(), 9, TIMING)
    (answer,) = transit.received(LEFT, indication.message, TIMING.patience_s)
    assert (answer.line_port, answer.message.kind) == (LEFT, Kind.REJECT)
    assert network.tables[1].committed(1) == (5, 5)


@pytest.mark.parametrize("kind", [Kind.NCS, Kind.RELEASE])
def test_a_source_that_gets_a_branch_meanwhile_does_not_leave_its_command_open(kind: Kind) -> None:
    """It cannot take back either: it is no end of the slice any more."""
    network, each = chain(3)
    network.command(each, 9)
    while not any(message.kind is kind for _, _, message in network.sent):
        network.step()
    assert network.tables[0].apply([Holding(1, 7, "odu2-1", tuple(range(1, 21)), 5)]) == ()
    network.settle()
    assert (network.notices[-1].state, network.notices[-1].reason) == (FAILED, "ONE_SIDED")
    assert not network.nodes[0].modifying(1)

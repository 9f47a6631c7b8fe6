"""Resizing on fibres that delay, reorder, repeat and lose, past nodes that refuse, restart or fall silent.

At every instant and in each direction a node lets through at least what the one before it does: the network's own
meters watch that. Here stands what must be true once all is quiet.
"""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from resize_network import FAILED, LEFT, MODIFYING, OK, RIGHT, TIMING, Fibres, Network, Slice, shaken

from controller.linecard.resize_messages import Kind, ResizeMessage, encode
from controller.linecard.resize_values import Notice
from controller.linecard.slot_table import Holding, HoldingKey, SlotError

ROOM = 20
seeds = st.integers(0, 2**32)
sizes = st.integers(1, ROOM)


@st.composite
def chains(draw: st.DrawFn) -> tuple[Network, Slice]:
    """A slice over all or a part of a chain, in either sense."""
    length = draw(st.integers(2, 6))
    a, z = draw(st.lists(st.integers(0, length - 1), min_size=2, max_size=2, unique=True))
    each = Slice(1, a, z, draw(sizes), ROOM)
    return Network(length, [each]), each


def quiet(network: Network) -> None:
    """Nothing is under way, and nothing waits."""
    assert all(node.next_deadline is None for node in network.nodes)
    assert not any(node.modifying(each.slice_id) for node in network.nodes for each in network.slices)


def judge(network: Network, each: Slice, notice: Notice, before: int, target: int) -> None:
    """The notice says which size all nodes have; only ONE_SIDED may leave them different."""
    if notice.state is OK:
        assert network.sizes(each) == {(target, target)}
    elif notice.reason != "ONE_SIDED":
        assert notice.reason in ("REJECTED", "TIMEOUT")
        assert network.sizes(each) == {(before, before)}


@settings(max_examples=150, deadline=None)
@given(chains(), seeds, st.lists(sizes, min_size=1, max_size=4))
def test_few_losses_only_delay(chain: tuple[Network, Slice], seed: int, targets: list[int]) -> None:
    """Fewer losses than an end has tries: whatever is lost, every phase has one try that is not."""
    network, each = chain
    for k, target in enumerate(targets):
        network.fibres = shaken(seed + k, loss=0.3, twice=0.2, budget=TIMING.attempts - 1)
        assert network.resized(each, target).state is OK
        assert network.sizes(each) == {(target, target)}
        quiet(network)


@settings(max_examples=300, deadline=None)
@given(chains(), seeds, st.sampled_from([0.05, 0.2, 0.5]), st.sampled_from([0.05, 0.7, 4.0]), st.data())
def test_whatever_happens_the_notice_is_true(
    chain: tuple[Network, Slice], seed: int, loss: float, slowest: float, data: st.DataObject
) -> None:
    """Messages later than their own repetition, than the end of their attempt, and lost by half."""
    network, each = chain
    before = each.size
    for k in range(4):
        network.fibres = shaken(seed + k, loss, twice=0.3, slowest=slowest)
        target = data.draw(sizes)
        notice = network.resized(each, target)
        quiet(network)
        judge(network, each, notice, before, target)
        if notice.reason == "ONE_SIDED":
            network.fibres = Fibres()
            assert network.resized(each, target).state is OK
            assert network.sizes(each) == {(target, target)}
        before = network.meters[each.a, 1][0]


@settings(max_examples=150, deadline=None)
@given(chains(), seeds, st.lists(sizes, min_size=2, max_size=5), st.booleans())
def test_what_was_said_before_has_no_effect_later(
    chain: tuple[Network, Slice], seed: int, targets: list[int], lossy: bool
) -> None:
    """All that was ever sent comes again, at any time, during later attempts and after them."""
    network, each = chain
    random = Random(seed)
    for k, target in enumerate(targets):
        network.fibres = shaken(seed + k, loss=0.3 if lossy else 0.0, budget=2)
        for sender, receiver, message in network.sent:
            if random.random() < 0.5:
                network.inject(receiver, LEFT if sender < receiver else RIGHT, encode(message), random.uniform(0, 3))
        notice = network.resized(each, target)
        quiet(network)
        assert notice.state is OK
        assert network.sizes(each) == {(target, target)}


@settings(max_examples=100, deadline=None)
@given(chains(), seeds, st.permutations(range(10, 14)), st.lists(sizes, min_size=4, max_size=4), st.booleans())
def test_the_clock_of_a_source_may_go_either_way_at_each_of_its_starts(
    chain: tuple[Network, Slice], seed: int, clock: list[int], targets: list[int], lossy: bool
) -> None:
    """With all that was ever sent coming again."""
    network, each = chain
    random = Random(seed)
    size = each.size
    for k, (incarnation, target) in enumerate(zip(clock, targets, strict=True)):
        network.restart(each.a, incarnation)
        network.fill(each.a, {1: size})
        network.guarded = True
        network.fibres = shaken(seed + k, loss=0.3 if lossy else 0.0, twice=0.2, budget=2)
        for sender, receiver, message in network.sent:
            if random.random() < 0.5:
                network.inject(receiver, LEFT if sender < receiver else RIGHT, encode(message), random.uniform(0, 3))
        notice = network.resized(each, target)
        quiet(network)
        assert notice.state is OK
        assert network.sizes(each) == {(target, target)}
        size = target


@settings(max_examples=100, deadline=None)
@given(chains(), seeds, sizes, st.integers(1, 60), st.data())
def test_a_cut_fibre_leaves_no_node_with_more_than_the_one_behind_it(
    chain: tuple[Network, Slice], seed: int, target: int, after: int, data: st.DataObject
) -> None:
    network, each = chain
    before, low = each.size, min(each.a, each.z)
    cut = {low + data.draw(st.integers(0, abs(each.a - each.z) - 1))}
    cut.add(min(cut) + 1)
    whole = shaken(seed, twice=0.1)

    def copies(sender: int, receiver: int, message: ResizeMessage) -> int:
        return 0 if len(network.sent) > after and {sender, receiver} == cut else whole.copies(sender, receiver, message)

    network.fibres = Fibres(whole.delay, copies)
    notice = network.resized(each, target)
    quiet(network)
    judge(network, each, notice, before, target)
    if after < 9 * (len(each.nodes) - 1):  # the report has not passed any fibre before
        assert notice.state is FAILED
    network.fibres = Fibres()
    assert network.resized(each, target).state is OK
    assert network.sizes(each) == {(target, target)}


def spoil(network: Network, each: Slice, node: int, how: str, target: int) -> None:
    """Makes a node refuse `target`; the size that it has stays as it is."""
    table, size = network.tables[node], each.size
    if how == "too few":
        assert table.apply(each.holdings(node, size, room=target - 1)[-1:]) == ()
    elif how == "other slots":
        held = table.held(1)[-1]
        slots = (*held.slots[: target - 1], 63, *held.slots[target:])
        assert table.apply([Holding(1, held.line_port, held.server, slots, size)]) == ()
    elif how == "branching":
        ports = [holding.line_port for holding in table.held(1)]
        extra = [Holding(1, 7 + port, "odu2-9", tuple(range(1, ROOM + 1)), size) for port in (1, 2)[len(ports) - 1 :]]
        assert table.apply(extra) == ()
    else:
        assert table.apply([HoldingKey(1, LEFT), HoldingKey(1, RIGHT)]) == ()


@settings(max_examples=150, deadline=None)
@given(
    chains(),
    seeds,
    st.sampled_from(["too few", "other slots", "branching", "absent"]),
    st.data(),
)
def test_a_hop_that_refuses_leaves_all_as_it_was(
    chain: tuple[Network, Slice], seed: int, how: str, data: st.DataObject
) -> None:
    network, each = chain
    each.size = min(each.size, ROOM - 1)
    for node in each.nodes:
        network.tables[node].apply([HoldingKey(1, LEFT), HoldingKey(1, RIGHT)])
        network.meters.pop((node, 1))
        network.fill(node)
    target = data.draw(st.integers(each.size + 1, ROOM))
    refusing = data.draw(st.sampled_from(each.nodes[1:]))
    spoil(network, each, refusing, how, target)
    tables = [(table.holdings, table.version) for table in network.tables]
    meters = {key: list(counts) for key, counts in network.meters.items()}
    network.fibres = shaken(seed, loss=0.2, twice=0.2, budget=TIMING.attempts - 1)
    notice = network.resized(each, target)
    assert (notice.state, notice.reason) == (FAILED, "REJECTED")
    assert f"otn-{refusing}" in notice.message or how == "other slots"
    quiet(network)
    assert network.meters == meters
    assert [(table.holdings, table.version) for table in network.tables] == tables
    assert not [message for _, _, message in network.sent if message.kind is Kind.BWR_IND]


@settings(max_examples=200, deadline=None)
@given(chains(), seeds, sizes, st.integers(0, 100), st.sampled_from([0.2, 1.5, None]), st.data())
def test_a_node_that_restarts_in_the_middle_fails_cleanly(
    chain: tuple[Network, Slice], seed: int, target: int, after: int, filled: float | None, data: st.DataObject
) -> None:
    """It comes back empty, and is filled again at once, later, or not before the attempt is over."""
    network, each = chain
    before, node = each.size, data.draw(st.sampled_from(each.nodes))
    network.fibres = shaken(seed, twice=0.1)
    network.command(each, target)
    for _ in range(after):
        network.step()
    network.restart(node)
    until = network.now + (filled or 0.0)
    while filled is not None and network.now < until and network.step():
        pass
    if filled is not None:
        network.fill(node)
    network.settle()
    if filled is None:
        network.fill(node)
    quiet(network)
    ended = [notice for notice in network.notices if notice.state is not MODIFYING]
    assert len(ended) == 1 or node == each.a
    others = {tuple(network.meters[other, 1]) for other in each.nodes if other != node}
    if ended and ended[0].reason != "ONE_SIDED":
        assert others <= {(target, target) if ended[0].state is OK else (before, before)}
    network.fibres = Fibres()
    assert network.resized(each, target).state is OK
    assert network.sizes(each) == {(target, target)}


@pytest.mark.parametrize(("size", "target"), [(5, 9), (9, 5)])
def test_taking_back_waits_for_a_node_that_is_being_filled_again(size: int, target: int) -> None:
    each = Slice(1, 0, 2, size, ROOM)
    network = Network(3, [each])
    network.command(each, target)
    while not any(message.kind is Kind.NCS for _, _, message in network.sent):
        network.step()
    network.restart(1)
    until = network.now + 2.5 * TIMING.retry_s
    while network.now < until:
        network.step()
    network.fill(1)
    network.settle()
    assert (network.notices[-1].state, network.notices[-1].reason) == (FAILED, "REJECTED")
    assert network.sizes(each) == {(size, size)}


@settings(max_examples=60, deadline=None)
@given(seeds, st.integers(3, 6), st.data())
def test_slices_at_the_same_time_do_not_disturb_each_other(seed: int, length: int, data: st.DataObject) -> None:
    pairs = st.lists(st.integers(0, length - 1), min_size=2, max_size=2, unique=True)
    slices = [Slice(i, *data.draw(pairs), data.draw(sizes), ROOM) for i in range(1, 5)]
    network = Network(length, slices, shaken(seed, loss=0.1, twice=0.2, budget=TIMING.attempts - 1))
    targets = {each.slice_id: data.draw(sizes) for each in slices}
    for each in slices:
        network.command(each, targets[each.slice_id])
        for _ in range(data.draw(st.integers(0, 20))):
            network.step()
    network.settle()
    quiet(network)
    for each in slices:
        assert network.sizes(each) == {(targets[each.slice_id],) * 2}
    assert sorted(n.slice_id for n in network.notices if n.state is OK) == [1, 2, 3, 4]


@pytest.mark.parametrize(("size", "target"), [(5, 9), (9, 5)])
@pytest.mark.parametrize("lost", [Kind.REQUEST, Kind.ACCEPT, Kind.BWR_IND, Kind.NCS, Kind.RELEASE])
@pytest.mark.parametrize("direction", [0, 1])
def test_a_direction_that_fails_is_taken_back_in_band(size: int, target: int, lost: Kind, direction: int) -> None:
    """One kind of message is lost throughout the first attempt, on the second fibre; the next one finds it whole."""
    each = Slice(1, 0, 3, size, ROOM)
    network = Network(4, [each])

    def copies(sender: int, receiver: int, message: ResizeMessage) -> int:
        first = message.attempt == network.sent[0][2].attempt
        hit = (message.kind, message.direction) == (lost, direction) and {sender, receiver} == {1, 2}
        return 0 if first and hit else 1

    network.fibres = Fibres(copies=copies)
    notice = network.resized(each, target)
    assert (notice.state, notice.reason) == (FAILED, "TIMEOUT")
    assert network.sizes(each) == {(size, size)}
    assert network.resized(each, target).state is OK


@pytest.mark.parametrize(("size", "target"), [(5, 9), (9, 5)])
def test_what_cannot_be_taken_back_is_one_sided(size: int, target: int) -> None:
    each = Slice(1, 0, 2, size, ROOM)
    network = Network(3, [each], Fibres(copies=lambda sender, receiver, message: int(message.direction == 0)))
    notice = network.resized(each, target)
    assert (notice.state, notice.reason) == (FAILED, "ONE_SIDED")
    assert {reverse for _, reverse in network.sizes(each)} == {size}
    network.fibres = Fibres()
    assert network.resized(each, size).state is OK
    assert network.sizes(each) == {(size, size)}


def test_a_silent_neighbour_is_a_timeout_and_nothing_else() -> None:
    each = Slice(1, 0, 2, 5, ROOM)
    network = Network(3, [each], Fibres(copies=lambda sender, receiver, message: 0))
    begun = network.now
    notice = network.resized(each, 9)
    assert (notice.state, notice.reason) == (FAILED, "TIMEOUT")
    assert network.now - begun == TIMING.attempts * TIMING.retry_s
    assert network.sizes(each) == {(5, 5)}
    with pytest.raises(SlotError):
        network.command(each, ROOM + 1)

"""Lists through simulated routers in every ECMP branch, and against every other list that there is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import IPv6Address

import pytest
from every_list import states
from forced_paths import SEEDS, Case, case, changed, poorer
from hypothesis import given, settings
from router_simulation import BLOCK

from controller.core.errors import Infeasible
from controller.core.segments.encoding import Encoding
from controller.core.srv6 import carrier, overhead_bytes

Price = tuple[int, int]


def price(made: Encoding) -> Price:
    words = made.segments.carriers
    return len(words), sum(len(ids_of(each)) for each in words)


def ids_of(text: str) -> list[int]:
    number = int(IPv6Address(text))
    return [each for i in range(6) if (each := number >> 80 - 16 * i & 0xFFFF)]


@settings(max_examples=500, deadline=None)
@given(SEEDS)
def test_every_branch_of_a_packet_takes_the_path_and_no_cheaper_list_exists(seed: int) -> None:
    its = case(seed)
    made = its.encoded()
    assert its.sent(made) == its.delivered
    assert price(made) == least_price([its])
    assert made.segments.overhead_bytes == made.overhead_bytes == overhead_bytes(len(made.segments.carriers))


@settings(max_examples=100, deadline=None)
@given(SEEDS)
def test_long_paths(seed: int) -> None:
    its = case(seed, least_nodes=10, most_nodes=18)
    made = its.encoded()
    assert its.sent(made) == its.delivered
    assert price(made) == least_price([its])


@settings(max_examples=250, deadline=None)
@given(SEEDS, SEEDS)
def test_what_has_no_id_is_not_asked_for(seed: int, other: int) -> None:
    its = poorer(case(seed), other)
    least = least_price([its])
    if least is None:
        with pytest.raises(Infeasible) as refusal:
            its.encoded()
        assert refusal.value.reason == "LIST_LEAVES_PATH"
    else:
        made = its.encoded()
        assert its.sent(made) == its.delivered
        assert price(made) == least


@settings(max_examples=250, deadline=None)
@given(SEEDS, SEEDS)
def test_one_list_for_before_and_after_a_change(seed: int, other: int) -> None:
    before = case(seed)
    after = changed(before, other)
    made = before.encoded(after)
    assert before.sent(made) == before.delivered
    assert after.sent(made) == after.delivered
    assert price(made) == least_price([before, after])


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_no_shorter_list_whatever_its_instructions(seed: int) -> None:
    """All lists of fewer ids, sent as packets: the literal proof, where there are few enough."""
    its = case(seed, most_nodes=5)
    made, network = its.encoded(), its.network
    fewer = min(price(made)[1] - 1, 6)
    for ids in every_list(its, fewer):
        sent = network.send("n0", "p0", (str(IPv6Address(carrier(BLOCK, ids))),))
        assert sent != its.delivered


def every_list(its: Case, most: int) -> Iterator[tuple[int, ...]]:
    """Every list of uN, uA and one last uDT that is no longer than `most` ids."""
    names = [(number, node) for by in its.algorithms for node, number in its.ids(by).items()]
    single = [(number,) for number, _ in names]
    double = [(number, its.network.adjacency(node, link.name)) for number, node in names
              for link in its.network.ports(node)]  # fmt: skip
    ends = [(its.ids(by)[its.nodes[-1]], its.tail.function) for by in its.algorithms]
    begun: list[tuple[int, ...]] = [()]
    while begun:
        following = []
        for ids in begun:
            if len(ids) + 2 <= most:
                yield from (ids + end for end in ends)
                following += [ids + more for more in (*single, *double) if len(ids) + len(more) + 2 <= most]
        begun = following


def least_price(cases: Sequence[Case]) -> Price | None:
    """What a list costs at least that forces the path in every case."""
    complete = [state[:2] for state in states(cases, 1) if state[3] == cases[0].count]
    return min(complete, default=None)

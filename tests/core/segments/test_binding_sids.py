"""Lists longer than a headend imposes: bound to policies on the way, as few as can be, and walked in full."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from random import Random

import pytest
from every_list import alone, plus, states
from forced_paths import SEEDS, Case, case, row
from hypothesis import given, settings
from router_simulation import BINDING

from controller.core.errors import Infeasible
from controller.core.segments.encoding import encode, leaving
from controller.core.srv6 import overhead_bytes


def limited(its: Case, seed: int) -> Case:
    random = Random(seed)
    binders = frozenset(node for node in its.nodes if random.random() < 0.5)
    unbound = frozenset((node, link.name) for link in its.links for node in its.nodes if random.random() < 0.03)
    return replace(its, carriers=random.choice((1, 1, 1, 2)), binders=binders, unbound=unbound)


@settings(max_examples=300, deadline=None)
@given(SEEDS, SEEDS)
def test_as_few_tunnels_in_tunnels_as_can_be_or_a_refusal(seed: int, other: int) -> None:
    its = limited(case(seed, least_nodes=4, most_nodes=12), other)
    least = tunnels(its)
    if least is None:
        with pytest.raises(Infeasible):
            its.encoded()
        return
    made = its.encoded()
    assert its.sent(made) == its.delivered
    assert len(made.bindings) == least
    lists = [made.segments, *(each.segments for each in made.bindings)]
    assert all(len(each.carriers) <= its.carriers for each in lists)
    assert made.overhead_bytes == sum(overhead_bytes(len(each.carriers)) for each in lists)
    assert not leaving({"c": made}, its.sids, its.underlay)


def tunnels(its: Case) -> int | None:
    """The least number of binding SIDs, by trying each router that offers one, from the last back."""

    @cache
    def bound(headend: int) -> int | None:
        begun = states([its], headend + 1, its.carriers)
        if any(place == its.count for *_, place in begun):
            return 0
        tries = {at for *used, place in begun for at in range(place, its.count - 1) if fits(its, used, place, at)}
        found = [rest for at in tries if (rest := bound(at)) is not None]
        return 1 + min(found) if found else None

    return bound(0)


def fits(its: Case, used: list[int], place: int, at: int) -> bool:
    """Room for the binding SID and for the tail, and one way to there."""
    carriers = plus(plus((used[0], used[1], used[2]), 2), 2)[0]
    node = its.nodes[at]
    return (
        carriers <= its.carriers and node in its.binders and any(alone(its, by, place, node) for by in its.algorithms)
    )


def pinned(hops: int, carriers: int, *binders: int) -> Case:
    return replace(row(hops, parallel=True), carriers=carriers, binders=frozenset(f"n{i}" for i in binders))


def test_the_list_ends_at_the_binding_sid_and_the_policy_at_the_tail() -> None:
    its = pinned(14, 3, 8)
    made = its.encoded()
    words = made.segments.description.split(" ")
    assert [word for word in words if "uA" in word] == [f"uA(n{i}→n{i + 1})" for i in range(1, 8)]
    assert made.segments.description.endswith("uB6.Encaps.Red(n8) uDT6(n14, vrf 7)")
    (policy,) = made.bindings
    assert (policy.node, policy.function, policy.link) == ("n8", BINDING, "p8")
    assert policy.segments.description.endswith("uA(n13→n14) uDT6(n14, vrf 0)")
    assert made.overhead_bytes == 80 + 64
    assert its.sent(made) == its.delivered


def test_policies_are_bound_to_policies() -> None:
    its = pinned(12, 1, *range(12))
    made = its.encoded()
    assert len(made.bindings) == 5
    assert [each.node for each in made.bindings] == sorted(
        (each.node for each in made.bindings), key=lambda n: int(n[1:])
    )
    assert its.sent(made) == its.delivered


def test_without_a_router_that_binds_the_refusal_has_figures() -> None:
    for its in (pinned(14, 3), pinned(14, 3, 14), pinned(14, 3, 0)):
        with pytest.raises(Infeasible) as refusal:
            its.encoded()
        assert refusal.value.reason == "SEGMENT_LIST_TOO_LONG"
        assert refusal.value.metadata == {"carriers": "5", "maxCarriers": "3"}
        assert "5 carriers" in refusal.value.message


def test_without_an_underlay_function_at_the_tail_nothing_is_bound() -> None:
    its = pinned(14, 3, 8)
    with pytest.raises(Infeasible):
        encode(its.path, its.tail, replace(its.sids, underlay=lambda _node: None), [its.underlay])


def test_a_link_without_a_function_is_taken_by_the_policy_of_its_router() -> None:
    its = replace(pinned(3, 3, 1), unbound=frozenset({("n1", "p1")}))
    made = its.encoded()
    assert [each.link for each in made.bindings] == ["p1"]
    assert its.sent(made) == its.delivered
    with pytest.raises(Infeasible) as refusal:
        replace(its, binders=frozenset()).encoded()
    assert "beyond n1" in refusal.value.message

"""The walk against simulated routers on lists bent in every way; lists found again when routes change; bad input."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Address
from random import Random

import pytest
from forced_paths import SEEDS, Case, case, changed, row
from hypothesis import given, settings
from router_simulation import ADJACENCY, BLOCK, TAIL, Outcome

from controller.core.errors import Infeasible, Invalid
from controller.core.model import Link, LinkKind
from controller.core.paths.path import Path
from controller.core.segments.encoding import encode, leaving
from controller.core.segments.sids import Tail
from controller.core.segments.walk import Walked, expand
from controller.core.srv6 import carrier


def words(*carriers: tuple[int, ...]) -> tuple[str, ...]:
    return tuple(str(IPv6Address(carrier(BLOCK, ids))) for ids in carriers)


def walked(its: Case, carriers: tuple[str, ...], link: str = "p0") -> Walked:
    return expand(carriers, "n0", link, its.tail, its.sids, its.underlay)


def refused(its: Case, carriers: tuple[str, ...]) -> str:
    with pytest.raises(Infeasible) as refusal:
        walked(its, carriers)
    assert refusal.value.reason == "LIST_LEAVES_PATH"
    return refusal.value.message


@settings(max_examples=900, deadline=None)
@given(SEEDS, SEEDS)
def test_a_bent_list_goes_where_simulated_routers_send_it_or_nowhere(seed: int, other: int) -> None:
    its, random = case(seed, 7), Random(other)
    carriers = bent(its, its.encoded().segments.carriers, random)
    link = random.choice([each.name for each in its.network.ports("n0")]) if random.random() < 0.1 else "p0"
    found = its.network.send("n0", link, carriers)
    only = [each for each in found if (each.node, each.function) == (its.nodes[-1], TAIL)]
    if len(found) == len(only) == 1:
        assert walked(its, carriers, link).links == only[0].links
    else:
        with pytest.raises(Infeasible):
            walked(its, carriers, link)


def bent(its: Case, carriers: tuple[str, ...], random: Random) -> tuple[str, ...]:
    """One or two things about a list changed: an id lost, moved, another's, zero; carriers cut elsewhere."""
    rows = [[int(IPv6Address(text)) >> 80 - 16 * i & 0xFFFF for i in range(6)] for text in carriers]
    ids = [each for ids in rows for each in ids]
    for _ in range(random.randint(1, 2)):
        kind, at = random.randrange(6), random.randrange(len(ids))
        if kind == 0:
            ids = [each for each in ids if each]  # carriers are cut after each six, across instructions too
        elif kind == 1:
            del ids[at]
        elif kind == 2:
            ids[at], ids[at - 1] = ids[at - 1], ids[at]
        elif kind == 3:
            ids.insert(at, 0)
        else:
            known = [number for by in its.algorithms for number in its.ids(by).values()]
            ids.insert(at, random.choice([*known, ADJACENCY, ADJACENCY + 1, 0xD000]))
            if kind == 4:
                del ids[at + 1]
    ids = ids or [0xD000]
    return words(*(tuple(ids[i : i + 6]) for i in range(0, len(ids), 6)))


def test_an_instruction_that_straddles_two_carriers_is_noticed() -> None:
    """Its five ids before leave room for the node of a uA, not for its function."""
    its = row(8)
    one, two = (2, 3, 4, 5, 6), (7, its.network.adjacency("n6", "p6"), 9, TAIL)
    assert walked(its, words(one, two)).links == its.path.links
    assert "n6 meets e001:0009, which is nobody's" in refused(its, words((*one, two[0]), two[1:]))
    assert its.network.send("n0", "p0", words((*one, two[0]), two[1:])) == {Outcome(its.path.links[:6], "n6", None)}


def test_where_routes_branch_is_named() -> None:
    its = row(4, parallel=True)
    assert "n1 has several ways to n4" in refused(its, words((5, TAIL)))
    cut = replace(row(3), closed=frozenset({"p2"}))
    assert "n1 has no way to n3" in refused(cut, words((4, TAIL)))


@pytest.mark.parametrize(
    ("carriers", "why"),
    [
        ((), "no carrier"),
        ((words((0,))), "nobody's"),
        ((words((2, 0, 3), (4, TAIL))), "n1 meets 0000:0003"),
        ((words((2,))), "nothing follows at n1"),
        ((words((4, 2, TAIL))), "meets"),
        ((words((4, TAIL, 4))), "before the list ends"),
        ((words((4, TAIL), (4, TAIL))), "before the list ends"),
        ((words((4, 0xE0F6))), "should not"),
        (("2001:db8::1",), "not in"),
    ],
)
def test_what_does_not_hold_together_is_refused(carriers: tuple[str, ...], why: str) -> None:
    assert walked(row(3), words((4, TAIL))).links == ("p0", "p1", "p2")
    assert why in refused(row(3), carriers)


def test_a_list_over_a_link_that_is_down_is_refused() -> None:
    its = row(2, parallel=True)
    over = words((2, its.network.adjacency("n1", "x1"), 3, TAIL))
    assert walked(its, over).links == ("p0", "x1")
    assert "n1 has no x1 that is up" in refused(replace(its, closed=frozenset({"x1"})), over)


@pytest.mark.parametrize("hops", [1, 2, 3, 4, 7, 30])
def test_parallel_links_are_pinned(hops: int) -> None:
    its = row(hops, parallel=True)
    made = its.encoded()
    assert its.sent(made) == its.delivered
    assert made.segments.description.count("uA") == hops - 1
    assert len(made.segments.carriers) == (2 * hops + 5) // 6


def test_a_list_says_what_it_does() -> None:
    """A detour: routes would take the short cut from n1, so that the packet is handed over n1's own link."""
    short_cut = Link("x0", LinkKind.ADJACENCY, "n1", "n4", igp_metric=1, capacity_kbps=1)
    its = row(4)
    its = replace(its, links=(*its.links, short_cut))
    made = its.encoded()
    assert made.segments.description == "uA(n2→n3) uDT6(n4, vrf 7)"
    assert made.segments.carriers == words((3, its.network.adjacency("n2", "p2"), 5, TAIL))
    assert made.segments.overhead_bytes == 40


@settings(max_examples=400, deadline=None)
@given(SEEDS, SEEDS)
def test_lists_that_leave_their_path_are_those_that_simulated_routers_lose(seed: int, other: int) -> None:
    before = case(seed)
    after = changed(before, other)
    made = before.encoded()
    found = leaving({"c": made}, before.sids, after.underlay)
    assert ("c" in found) == (after.sent(made) != after.delivered)
    if found:
        assert after.sent(after.encoded()) == after.delivered, "encoded again"


def test_a_list_whose_link_is_gone_has_left() -> None:
    its, less = row(3, parallel=True), row(3)
    for links, why in ((("p0", "x1", "p2"), "n1 meets"), (("x0", "p1", "p2"), "x0 is not a link")):
        made = encode(replace(its.path, links=links), its.tail, its.sids, [its.underlay])
        assert why in leaving({"c": made}, its.sids, less.underlay)["c"]


def test_bad_paths_are_invalid() -> None:
    its = row(3)
    path, tail = its.path, its.tail
    bad = [
        (Path(("n3",), (), (), 0), tail),
        (path, Tail("n2", TAIL, "uDT6")),
        (replace(path, links=("p0", "p1", "no")), tail),
        (replace(path, nodes=("n0", "n1", "no", "n3")), tail),
        (replace(path, links=("p0", "p2", "p1")), tail),
        (replace(path, directions=(0, 0)), tail),
        (replace(path, directions=(0, 0, 1)), tail),
        (Path(("n0", "n1", "n0", "n1", "n2", "n3"), ("p0", "p0", "p0", "p1", "p2"), (0, 1, 0, 0, 0), 0), tail),
    ]
    for each, end in bad:
        with pytest.raises(Invalid):
            encode(each, end, its.sids, [its.underlay])


def test_a_path_over_a_closed_link_has_no_list() -> None:
    for closed in ("p0", "p1", "p2"):
        with pytest.raises(Infeasible):
            replace(row(3), closed=frozenset({closed})).encoded()

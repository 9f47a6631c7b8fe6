"""Entries drawn at random beside those of router 1: segments, lists and what is steered into them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hypothesis import strategies as st
from packet_world import SITES, classifier, sid, v4, v6

from controller.core.entries import Exact, TableEntry, Ternary

BEHAVIOURS = ("end", "end_x", "end_dt6", "end_dt4", "u_a", "u_dt6", "u_dt4", "end_flavors", "end_x_flavors", "end_dx4")
COMPRESSED = {"u_a", "u_dt6", "u_dt4"}
FLAVORS = {"bmv2": (0, 1, 2, 3), "linux": (1,)}
"""Of End; the kernel's End.X has none."""
FIRST_FUNCTION, FIRST_POLICY, FIRST_CORRIDOR = 0xF000, 100, 100
CODE_POINTS = (0, 46, 12)


@dataclass(frozen=True)
class Drawn:
    """The entries, and destinations that they are about."""

    entries: tuple[TableEntry, ...]
    destinations: tuple[int, ...]


@st.composite
def worlds(draw: st.DrawFn, target: str) -> Drawn:
    entries, destinations = [], []
    for number in range(draw(st.integers(1, 6))):
        behaviour = draw(st.sampled_from([each for each in BEHAVIOURS if target == "bmv2" or each != "end_x_flavors"]))
        length = 64 if behaviour in COMPRESSED else draw(st.sampled_from((64, 80, 96, 128)))
        base = f"fcbb:bb00:1:{FIRST_FUNCTION + number:x}::"
        entries.append(sid(base, length, behaviour, **draw(_params(behaviour, target))))
        argument = draw(st.sampled_from((0, 0, 0x0002_E107 << 32, 3 << 48, 1)))
        destinations += [v6(base), v6(base) | argument]
    for number in range(draw(st.integers(1, 3))):
        entries += draw(_steering(number))
    return Drawn(tuple(entries), tuple(destinations))


@st.composite
def _params(draw: st.DrawFn, behaviour: str, target: str) -> dict[str, int]:
    params = {}
    if behaviour in ("end_x", "u_a", "end_x_flavors", "end_dx4"):
        params["next_hop"] = draw(st.sampled_from((10, 11)))
    if behaviour.endswith(("dt6", "dt4")):
        params["vrf"] = draw(st.sampled_from((7, 8)))
    if behaviour.endswith("flavors"):
        params["flavors"] = draw(st.sampled_from(FLAVORS[target]))
    return params


@st.composite
def _steering(draw: st.DrawFn, number: int) -> list[TableEntry]:
    """A list of carriers of any content, and a classifier of each family that leads into it."""
    carriers = draw(st.lists(st.integers(1, (1 << 128) - 1).map(_carrier), min_size=1, max_size=3))
    index, corridor = FIRST_POLICY + number, FIRST_CORRIDOR + number
    mtu6, mtu4, code_point = draw(st.sampled_from((1280, 1500))), draw(st.sampled_from((70, 1500))), CODE_POINTS[number]
    params = [("next_hop", draw(st.sampled_from((10, 11)))), *((f"carrier{i}", c) for i, c in enumerate(carriers, 1))]
    policy = TableEntry("policy", (("policy", Exact(index)),), f"encap_red_{len(carriers)}", tuple(params))
    six = classifier(index, corridor, 100 + number, **SITES, dscp=Ternary(code_point, 63))
    six = replace(six, params=(("policy", index), ("corridor", corridor), ("mtu", mtu6)))
    match = (("dscp", Ternary(code_point, 63)), ("dst", Ternary(v4("10.2.0.0"), 0xFFFFFF00)), ("vrf", Exact(7)))
    four = TableEntry("classifier_v4", match, "set_policy", (*six.params[:2], ("mtu", mtu4)), six.priority)
    return [policy, six, four]


def _carrier(number: int) -> int:
    """Below the block, and of another node than router 1, which would meet it before it is sent."""
    return 0xFCBBBB00 << 96 | 2 << 80 | number & (1 << 80) - 1

"""Local SIDs: seg6local routes in a table of their own, which is looked up before the underlay's routes.

The NEXT-C-SID behaviours differ from the classic ones by their flavour, the decapsulating ones (which have none in the
kernel) by the route's metric. End.DT4 has no VRF device here: it is End.DX4 with next hop 0.0.0.0, which looks the
inner packet up under the packet's mark, and the mark comes from the nft map `decapsulation`, or from `segment_lists`
where the SID is the last one of a list. nft set `decapsulating` covers the other decapsulating SIDs, for which a list
has to be at its end. So a packet costs two lookups, however many SIDs there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from typing import TypeAlias, cast

from controller.core.entries import TableEntry
from controller.linux.kernel import GONE, Command, Json, Tool
from controller.linux.marks import (
    DECAPSULATED,
    MAIN_TABLE,
    PROTOCOL,
    SID_TABLE,
    SR_DEVICE,
    of_synthetic_v4,
    of_synthetic_v6,
    synthetic_v4,
    synthetic_v6,
    table_vrf,
    vrf_table,
)
from controller.linux.rejected import invalid, unimplemented
from controller.linux.room import Block, Entries, Step, Work, address, lpm, lpm_match, nft_prefix, param, prefix
from controller.linux.view import View, table_of
from controller.linux.vrfs import require_rules, ruled

RANK = 25
SRH_CHAIN = "decapsulation_srh"
SRH_RULES = (
    # The kernel passes over a routing header that it cannot follow, and would decapsulate behind it.
    "rt seg-left != 0 ip6 daddr @decapsulating drop",
    # The mark is needed on arrival, also by a packet that visits another SID of this node first; once no segment is
    # left, the destination alone says whose the packet is. nft counts the list from 1: sid[1] is Segment List[0], the
    # last segment. A rule that sets a mark takes no SID for a key, so there is a chain for each mark.
    "rt seg-left != 0 srh sid[1] vmap @segment_lists",
)
COMPRESSED_METRIC, CLASSIC_METRIC = 1024, 1025
_LENGTHS = {"u_n": 48, "u_a": 64}
_PSP = 1
_DT4 = ("end_dt4", "u_dt4")
_OTHERS_THAT_DECAPSULATE = ("end_dt6", "u_dt6", "end_dx4")
_Prefix: TypeAlias = tuple[int, int]
"""Value and length."""


class LocalSids:
    tables = frozenset({"local_sid"})

    def read(self, view: View) -> Iterator[TableEntry]:
        listed = _listed(view)
        marks = {where: mark for where, mark in _elements(view, "decapsulation") if where in listed}
        covered = _Prefixes(_covered(view))
        for route in view.ipv6.routes:
            if table_of(route) != SID_TABLE or route.get("encap") != "seg6local":
                continue
            action = _action(route, marks.get(lpm(route["dst"])))
            if action is None or (action[0] in _DT4 and not ruled(view, action[1]["vrf"])):
                continue
            if action[0] in _OTHERS_THAT_DECAPSULATE and lpm(route["dst"]) not in covered:
                continue
            yield TableEntry("local_sid", lpm_match(route["dst"]), action[0], tuple(action[1].items()))

    def check(self, entry: TableEntry, view: View) -> None:
        length = int(prefix(entry, "dst", 128).rpartition("/")[2])
        wanted = _LENGTHS.get(entry.action, length)
        if length != wanted or not length:
            raise invalid(f"{entry.action} takes a /{wanted} (32-bit block, 16-bit node and function), not a /{length}")
        if entry.action == "end_flavors" and param(entry, "flavors") != _PSP:
            raise unimplemented("flavors: the kernel's End has PSP (1) alone; none at all is action end")

    def work(self, steps: Sequence[Step], after: Entries, view: View) -> Work:
        marked, listed = {where for where, _ in _elements(view, "decapsulation")}, _listed(view)
        work = Work()
        vrfs = sorted({param(step.new, "vrf") for step in steps if step.new is not None and step.new.action in _DT4})
        work.blocks += [Block(frozenset(), tuple(_chain_lines(vrf))) for vrf in vrfs]
        for step in steps:
            work.commands += _commands(step, view)
            lines = (*_mark_lines(step, marked), *_list_lines(step, listed))
            if lines:
                work.blocks.append(Block(frozenset({step.key}), lines))
        concerned = [step.key for step in steps if _must_be_covered(step.new) or _must_be_covered(step.old)]
        if concerned:
            lines = tuple(_cover_lines(_covered(view), after.values()))
            work.blocks.append(Block(frozenset(concerned), lines))
        return work


class _Prefixes:
    """Which prefixes lie in one of these."""

    def __init__(self, prefixes: Set[_Prefix]) -> None:
        self._prefixes = prefixes
        self._lengths = sorted({length for _, length in prefixes})

    def __contains__(self, where: _Prefix) -> bool:
        return any(self._within(where, length) for length in self._lengths if length <= where[1])

    def outermost(self) -> set[_Prefix]:
        """Those that lie in no other one."""
        return {
            where
            for where in self._prefixes
            if not any(self._within(where, length) for length in self._lengths if length < where[1])
        }

    def _within(self, where: _Prefix, length: int) -> bool:
        rest = 128 - length
        return (where[0] >> rest << rest, length) in self._prefixes


def _elements(view: View, name: str) -> Iterator[tuple[_Prefix, object]]:
    """A map by prefix."""
    return ((lpm(nft_prefix(key)), value) for key, value in view.ports_and_marks.pairs(name))


def _listed(view: View) -> set[_Prefix]:
    return {where for where, _ in _elements(view, "segment_lists")}


def _covered(view: View) -> set[_Prefix]:
    elements = view.ports_and_marks.sets.get("decapsulating", [])
    return {lpm(nft_prefix(cast(Json | str, element))) for element in elements}


def _commands(step: Step, view: View) -> Iterator[Command]:
    new, old = step.new, step.old
    if new is not None:
        where = f"{prefix(new, 'dst', 128)} table {SID_TABLE} metric {_metric(new)} proto {PROTOCOL}"
        if new.action in _DT4:
            yield from require_rules(view, param(new, "vrf"), step.key)
        yield Command(Tool.IP6, f"route replace {where} {_behaviour(new)} dev {SR_DEVICE}", step.key, RANK)
    if old is not None and (new is None or _metric(new) != _metric(old)):
        line = f"route del {prefix(old, 'dst', 128)} table {SID_TABLE} metric {_metric(old)} proto {PROTOCOL}"
        yield Command(Tool.IP6, line, step.key, RANK, removes=True, tolerates=GONE)


def _mark_lines(step: Step, standing: Set[_Prefix]) -> Iterator[str]:
    where, vrf = _marked(step)
    if lpm(where) in standing:
        yield f"delete element inet corridor decapsulation {{ {where} }}"
    if vrf is not None:
        yield f"add element inet corridor decapsulation {{ {where} : {_mark(vrf)} }}"


def _list_lines(step: Step, standing: Set[_Prefix]) -> Iterator[str]:
    where, vrf = _marked(step)
    if lpm(where) in standing:
        yield f"delete element inet corridor segment_lists {{ {where} }}"
    if vrf is not None:
        yield f"add element inet corridor segment_lists {{ {where} : goto {_chain(vrf)} }}"


def _marked(step: Step) -> tuple[str, int | None]:
    """The SID, and the VRF that its packets are to be marked for."""
    entry = step.new or step.old
    assert entry is not None
    marks = step.new is not None and step.new.action in _DT4
    return prefix(entry, "dst", 128), param(entry, "vrf") if marks else None


def _chain_lines(vrf: int) -> Iterator[str]:
    """The chain stays when the last SID of the VRF goes: nothing then leads to it."""
    yield f"add chain inet corridor {_chain(vrf)}"
    yield f"flush chain inet corridor {_chain(vrf)}"
    yield f"add rule inet corridor {_chain(vrf)} meta mark set {_mark(vrf)} accept"


def _chain(vrf: int) -> str:
    return f"decapsulate_{vrf}"


def _mark(vrf: int) -> str:
    return f"{vrf << 16 | DECAPSULATED:#x}"


def _cover_lines(standing: Set[_Prefix], entries: Iterable[TableEntry]) -> Iterator[str]:
    """An nft set takes no prefix within another one."""
    wanted = _Prefixes({lpm(prefix(entry, "dst", 128)) for entry in entries if _must_be_covered(entry)}).outermost()
    for verb, prefixes in (("delete", standing - wanted), ("add", wanted - standing)):
        if prefixes:
            names = ", ".join(f"{address(value, 128)}/{length}" for value, length in sorted(prefixes))
            yield f"{verb} element inet corridor decapsulating {{ {names} }}"


def _must_be_covered(entry: TableEntry | None) -> bool:
    return entry is not None and entry.action in _OTHERS_THAT_DECAPSULATE


def _metric(entry: TableEntry) -> int:
    return COMPRESSED_METRIC if entry.action.startswith("u_") else CLASSIC_METRIC


def _behaviour(entry: TableEntry) -> str:
    flavour = {
        "u_n": " flavors next-csid lblen 32 nflen 16",
        "u_a": " flavors next-csid lblen 32 nflen 32",
        "end_flavors": " flavors psp",
    }
    action = entry.action
    if action in ("end", "u_n", "end_flavors"):
        text = "End"
    elif action in ("end_x", "u_a"):
        text = f"End.X nh6 {synthetic_v6(param(entry, 'next_hop'))}"
    elif action in ("end_dt6", "u_dt6"):
        text = f"End.DT6 table {vrf_table(param(entry, 'vrf'))}"
    elif action in _DT4:
        text = "End.DX4 nh4 0.0.0.0"
    else:
        text = f"End.DX4 nh4 {synthetic_v4(param(entry, 'next_hop'))}"
    return f"encap seg6local action {text}{flavour.get(action, '')} count"


def _action(route: Json, mark: object) -> tuple[str, dict[str, int]] | None:
    """The contract's action and its parameters; None where the route is of no known form."""
    behaviour, compressed = route.get("action"), route.get("metric") == COMPRESSED_METRIC
    dialect = "u" if compressed else "end"
    if behaviour == "End" and route.get("flavors") == ["psp"]:
        return None if compressed else ("end_flavors", {"flavors": _PSP})
    if behaviour == "End":
        return ("u_n" if compressed else "end"), {}
    if behaviour == "End.X":
        next_hop = of_synthetic_v6(route["nh6"])
        return None if next_hop is None else (("u_a" if compressed else "end_x"), {"next_hop": next_hop})
    if behaviour == "End.DT6":
        table = str(route["inner_table"])
        vrf = table_vrf(int(table) if table.isdigit() else MAIN_TABLE)
        return None if vrf is None else (f"{dialect}_dt6", {"vrf": vrf})
    if behaviour == "End.DX4" and route["nh4"] == "0.0.0.0":
        return (f"{dialect}_dt4", {"vrf": mark >> 16}) if isinstance(mark, int) else None
    if behaviour == "End.DX4":
        next_hop = of_synthetic_v4(route["nh4"])
        return None if next_hop is None else ("end_dx4", {"next_hop": next_hop})
    return None

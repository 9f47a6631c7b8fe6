"""The classifiers: per VRF and family one nft chain, its rules in order of priority.

An entry is two rules: one that catches what is larger than the corridor's MTU and marks it for the answer "too big",
one that gives mark and HTB class and counts customer packets. Named counters outlive the rules' replacement. A chain
that changes is written anew in the one transaction of the write, so that traffic sees either the old or the new.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from ipaddress import ip_network
from itertools import pairwise

from controller.core.entries import Exact, MatchValue, TableEntry, Ternary
from controller.linux.kernel import STANDS, Command, Json, Tool
from controller.linux.marks import (
    MTU_RANGE,
    OVERSIZE_PREFERENCE,
    POLICY_LIMIT,
    POLICY_MASK,
    PROTOCOL,
    SR_DEVICE,
    oversize_mark,
    oversize_table,
    policy_mark,
)
from controller.linux.rejected import invalid, unimplemented
from controller.linux.room import Block, Entries, Step, Work, address, exact, nft_prefix, param
from controller.linux.view import Rule, View

_FAMILIES = {"classifier_v6": ("v6", "ip6", 128), "classifier_v4": ("v4", "ip", 32)}
_DSCP_MASK = 0x3F
_MINIMUM_MTU = {"classifier_v6": 1280, "classifier_v4": 68}


class Classifiers:
    tables = frozenset(_FAMILIES)

    def read(self, view: View) -> Iterator[TableEntry]:
        for table, (family, _, bits) in _FAMILIES.items():
            for key, verdict in view.nft.pairs(f"classifiers_{family}"):
                assert isinstance(verdict, dict)
                chain = view.nft.chains.get(verdict["goto"]["target"], [])
                for too_big, rule in pairwise(chain):
                    entry = parse(table, bits, int(str(key)) >> 16, too_big, rule)
                    if entry is not None and _answered(view, param(entry, "mtu")):
                        yield entry

    def check(self, entry: TableEntry, view: View) -> None:
        bits = _FAMILIES[entry.table][2]
        for name, value in entry.match:
            if isinstance(value, Ternary) and name == "dscp" and value.mask != _DSCP_MASK:
                raise unimplemented("dscp is matched whole or not at all")
            if isinstance(value, Ternary) and name != "dscp" and _length(value.mask, bits) is None:
                raise unimplemented(f"{name}: the mask is no prefix")
        if not 0 < param(entry, "policy") < POLICY_LIMIT:
            raise invalid(f"this target has policies 1..{POLICY_LIMIT - 1}")
        mtu = param(entry, "mtu")
        if mtu not in MTU_RANGE or mtu < _MINIMUM_MTU[entry.table]:
            raise invalid(f"MTU {mtu} is out of {_MINIMUM_MTU[entry.table]}..{MTU_RANGE[-1]}")
        if param(entry, "corridor") in (0, POLICY_MASK):
            raise invalid("this target has corridors 1..65534")

    def work(self, steps: Sequence[Step], after: Entries, view: View) -> Work:
        work = Work()
        chains: dict[tuple[str, int], set[Hashable]] = {}
        for step in steps:
            entry = step.new or step.old
            assert entry is not None
            chains.setdefault((entry.table, exact(entry, "vrf")), set()).add(step.key)
            if step.new is not None and not _answered(view, param(step.new, "mtu")):
                work.commands += _answer(param(step.new, "mtu"), step.key)
        wanted: dict[tuple[str, int], list[TableEntry]] = {chain: [] for chain in chains}
        for entry in after.values():
            if (entry.table, exact(entry, "vrf")) in wanted:
                wanted[entry.table, exact(entry, "vrf")].append(entry)
        for (table, vrf), keys in chains.items():
            lines = tuple(_chain_lines(table, vrf, wanted[table, vrf], view))
            work.blocks.append(Block(frozenset(keys), lines))
        work.blocks += _spare_counters(after.values(), view)
        return work


def _length(mask: int, bits: int) -> int | None:
    """The prefix length that a mask is; None where it is not one."""
    length = mask.bit_count()
    return length if mask == ((1 << length) - 1) << (bits - length) else None


def _answered(view: View, mtu: int) -> bool:
    return (OVERSIZE_PREFERENCE, 0x8000 | mtu, POLICY_MASK, oversize_table(mtu)) in view.ipv6.rules


def _answer(mtu: int, key: Hashable) -> Iterator[Command]:
    """A route without encapsulation whose MTU makes the kernel answer; shared by all corridors of that MTU.

    Route and rule stay when the last of them goes: no packet then has the mark that they are for.
    """
    table = oversize_table(mtu)
    for tool, everything in ((Tool.IP6, "::/0"), (Tool.IP4, "0.0.0.0/0")):
        if tool is Tool.IP4 or mtu >= _MINIMUM_MTU["classifier_v6"]:
            route = f"route replace {everything} dev {SR_DEVICE} mtu lock {mtu} table {table} proto {PROTOCOL}"
            yield Command(tool, route, key, 5)
        rule = f"fwmark {0x8000 | mtu:#x}/{POLICY_MASK:#x} lookup {table} protocol {PROTOCOL}"
        yield Command(tool, f"rule add pref {OVERSIZE_PREFERENCE} {rule}", key, 6, tolerates=STANDS)


# ---- entries to rules


def _chain_lines(table: str, vrf: int, entries: list[TableEntry], view: View) -> Iterator[str]:
    family = _FAMILIES[table][0]
    chain, mark = f"classify_{family}_{vrf}", vrf << 16
    for corridor in sorted({param(entry, "corridor") for entry in entries}):
        yield f"add counter inet corridor corridor_{corridor}"
        yield f"add counter inet corridor oversize_{corridor}"
    if not entries:
        yield f"delete element inet corridor classifiers_{family} {{ {mark:#x} : goto {chain} }}"
        yield f"flush chain inet corridor {chain}"
        yield f"delete chain inet corridor {chain}"
        return
    yield f"add chain inet corridor {chain}"
    yield f"flush chain inet corridor {chain}"
    for entry in sorted(entries, key=lambda entry: (-entry.priority, entry.match)):
        yield from (f"add rule inet corridor {chain} {rule}" for rule in rules(entry))
    if chain not in view.nft.chains:
        yield f"add element inet corridor classifiers_{family} {{ {mark:#x} : goto {chain} }}"


def rules(entry: TableEntry) -> tuple[str, str]:
    """The two nft rules of an entry."""
    _, protocol, bits = _FAMILIES[entry.table]
    vrf, policy, corridor, mtu = (exact(entry, "vrf"), *(param(entry, name) for name in ("policy", "corridor", "mtu")))
    match = " ".join(_match(entry, protocol, bits))
    # Without DF the kernel would fragment; the contract is the same answer for both families.
    df = " ip frag-off set 0x4000" if bits == 32 else ""
    comment = f'accept comment "{entry.priority}"'
    return (
        f"{match} meta length > {mtu} counter name oversize_{corridor}{df} "
        f"meta mark set {oversize_mark(vrf, mtu):#x} {comment}",
        f"{match} counter name corridor_{corridor} meta priority set 1:{corridor:x} "
        f"meta mark set {policy_mark(vrf, policy):#x} {comment}",
    )


def _match(entry: TableEntry, protocol: str, bits: int) -> Iterator[str]:
    for name, value in entry.match:
        if isinstance(value, Ternary) and name == "dscp":
            yield f"{protocol} dscp {value.value}"
        elif isinstance(value, Ternary):
            yield f"{protocol} {name[0]}addr {address(value.value, bits)}/{_length(value.mask, bits)}"


def _spare_counters(entries: Iterable[TableEntry], view: View) -> Iterator[Block]:
    """Counters that no rule names any more go with the last of them."""
    used = {param(entry, "corridor") for entry in entries}
    for name in view.nft.counters:
        if int(name.rpartition("_")[2]) not in used:
            yield Block(frozenset(), (f"delete counter inet corridor {name}",))


# ---- rules to entries


def parse(table: str, bits: int, vrf: int, too_big: Rule, rule: Rule) -> TableEntry | None:
    """The entry that two adjacent rules realise; None where they are not a pair."""
    first, second = _take_apart(too_big, bits), _take_apart(rule, bits)
    if first is None or second is None or first.match != second.match or too_big.comment != rule.comment:
        return None
    mtu, corridor, policy = first.mtu, second.corridor, (second.mark or 0) & POLICY_MASK
    if mtu is None or first.mark != oversize_mark(vrf, mtu) or second.mark != policy_mark(vrf, policy):
        return None
    if not second.counts or second.mtu is not None or corridor is None or not rule.comment.isdigit():
        return None
    match: tuple[tuple[str, MatchValue], ...] = tuple(sorted([*first.match.items(), ("vrf", Exact(vrf))]))
    params = (("policy", policy), ("corridor", corridor), ("mtu", mtu))
    return TableEntry(table, match, "set_policy", params, int(rule.comment))


class _Parts:
    """What a classifier rule says."""

    __slots__ = ("corridor", "counts", "mark", "match", "mtu")

    def __init__(self) -> None:
        self.match: dict[str, MatchValue] = {}
        self.mtu: int | None = None
        self.mark: int | None = None
        self.corridor: int | None = None
        self.counts = False


def _take_apart(rule: Rule, bits: int) -> _Parts | None:
    parts = _Parts()
    for statement in rule.statements:
        for kind, body in statement.items():
            if kind == "match":
                _take_match(parts, body, bits)
            elif kind == "mangle":
                _take_mangle(parts, body)
            elif kind == "counter":
                parts.counts = str(body).startswith("corridor_")
    return parts if rule.statements and "accept" in rule.statements[-1] else None


def _take_match(parts: _Parts, body: Json, bits: int) -> None:
    left, right = body["left"], body["right"]
    if left.get("meta", {}).get("key") == "length":
        parts.mtu = int(right)
        return
    name = left["payload"]["field"]
    if name == "dscp":
        parts.match["dscp"] = Ternary(int(right), _DSCP_MASK)
        return
    network = ip_network(nft_prefix(right))
    mask = int(network.netmask)
    parts.match["src" if name == "saddr" else "dst"] = Ternary(int(network.network_address), mask)


def _take_mangle(parts: _Parts, body: Json) -> None:
    key = body["key"].get("meta", {}).get("key")
    if key == "mark":
        parts.mark = int(body["value"])
    elif key == "priority":
        value = body["value"]
        parts.corridor = value & 0xFFFF if isinstance(value, int) else int(value.rpartition(":")[2], 16)

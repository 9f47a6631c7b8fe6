"""The order in which the kernel asks its route tables (`ip rule`), by a packet's mark and whether it is our own.

| who | asks |
|---|---|
| without a VRF | local SIDs, then the underlay |
| our own ICMP error or answer, with the mark of the packet that it answers | the VRF, where its sender is |
| in a corridor: with a policy, too large, or with its hop limit at its end | the table for that, then nothing |
| the others with a VRF: in no corridor, or uncovered IPv4 | the VRF, then nothing |

A corridor's packet so never meets a route of its VRF, nor a customer's one the underlay.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from controller.linux.kernel import GONE, STANDS, Command, Tool
from controller.linux.marks import (
    CORRIDOR_FENCE_PREFERENCE,
    DECAPSULATED,
    DECAPSULATED_PREFERENCE,
    EXPIRED,
    EXPIRED_PREFERENCE,
    EXPIRED_TABLE,
    FENCE_PREFERENCE,
    MAIN_TABLE,
    OVERSIZE_PREFERENCE,
    OWN_PREFERENCE,
    PLAIN_PREFERENCE,
    POLICY_MASK,
    POLICY_PREFERENCE,
    PROTOCOL,
    SID_PREFERENCE,
    SID_TABLE,
    UNCOVERED_PREFERENCE,
    VRF_ENTRANCE_PREFERENCE,
    VRF_MASK,
)

_MOVED = {200: POLICY_PREFERENCE, 300: OVERSIZE_PREFERENCE, 310: EXPIRED_PREFERENCE}
"""Preferences of an earlier order, in which a VRF was asked before a corridor → what they are now."""
_TO_VRF = f"goto {VRF_ENTRANCE_PREFERENCE}"


def in_order(tool: Tool, standing: Collection[tuple[int, int, int, int]]) -> Iterator[Command]:
    """What lasts of a family's rules, and the entries' ones that stand (`FamilyDump.rules`) where they belong.

    At no moment does a packet find less than before or after: ways first, then the fences, then what is obsolete.
    """
    if tool is Tool.IP6:
        # A customer's packet, which carries its VRF's mark, never meets the local SIDs.
        yield _add(tool, SID_PREFERENCE, f"fwmark 0/{VRF_MASK:#x} lookup {SID_TABLE}")
        # An IPv6 packet marked for decapsulation is still an outer one: it belongs to the underlay.
        yield _add(tool, DECAPSULATED_PREFERENCE, f"fwmark {_low(DECAPSULATED)} lookup {SID_TABLE}")
        yield _add(tool, DECAPSULATED_PREFERENCE + 1, f"fwmark {_low(DECAPSULATED)} lookup {MAIN_TABLE}")
    yield _add(tool, VRF_ENTRANCE_PREFERENCE, "nop")
    yield _add(tool, OWN_PREFERENCE, f"iif lo {_TO_VRF}")
    yield _add(tool, PLAIN_PREFERENCE, f"fwmark {_low(0)} {_TO_VRF}")
    if tool is Tool.IP4:
        yield _add(tool, UNCOVERED_PREFERENCE, f"fwmark {_low(DECAPSULATED)} {_TO_VRF}")
    moved = [rule for rule in standing if rule[0] in _MOVED]
    for preference, mark, mask, table in moved:
        yield _add(tool, _MOVED[preference], _lookup(mark, mask, table))
    yield _add(tool, EXPIRED_PREFERENCE, _lookup(EXPIRED, POLICY_MASK, EXPIRED_TABLE))
    yield _add(tool, CORRIDOR_FENCE_PREFERENCE, f"not fwmark {_low(0)} unreachable")
    yield _add(tool, FENCE_PREFERENCE, f"not fwmark 0/{VRF_MASK:#x} unreachable")
    for preference, *rule in moved:
        line = f"rule del pref {preference} {_lookup(*rule)} protocol {PROTOCOL}"
        yield Command(tool, line, removes=True, tolerates=GONE)


def _add(tool: Tool, preference: int, rule: str) -> Command:
    return Command(tool, f"rule add pref {preference} {rule} protocol {PROTOCOL}", tolerates=STANDS)


def _lookup(mark: int, mask: int, table: int) -> str:
    return f"fwmark {mark:#x}/{mask:#x} lookup {table}"


def _low(mark: int) -> str:
    """The half of the mark that is about corridors."""
    return f"{mark:#x}/{POLICY_MASK:#x}"

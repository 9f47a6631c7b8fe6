"""What a target cannot do, or does in another way: each with what it does instead and why. Tests assert every line.

A `Refusal` is an entry that the target refuses by itself, with a code of its own, while the rest of its batch stands.
A `Difference` is a behaviour on the wire; the test of that behaviour asks `differs` and asserts what the target does.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from packet_world import (
    CARRIERS,
    END_DX4,
    END_PSP_USD,
    END_USD,
    END_X_PSP,
    END_X_PSP_USD,
    END_X_USD,
    METERED,
    SMALL_MTU,
    SOURCE,
    backed,
    classifier,
    color,
    gateway,
    group,
    policy,
    probe,
    sid,
)

from controller.core.entries import Entry, MeterEntry, Ternary


@dataclass(frozen=True, slots=True)
class Refusal:
    target: str
    entry: Entry
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Difference:
    target: str
    behaviour: str
    instead: str
    reason: str


_NO_SUCH_FLAVOR = "the kernel has PSP on End and no other flavor"
_OWN_ANSWERS = "the kernel answers for the addresses that it has, at rates of its own"
_NEVER_COLORED = "HTB queues what is beyond the rate, so no packet has a color"
REFUSALS = (
    Refusal("linux", END_DX4, "UNIMPLEMENTED", "the kernel's End.DX4 needs one neighbour, no port with hosts"),
    *(
        Refusal("linux", entry, "UNIMPLEMENTED", _NO_SUCH_FLAVOR)
        for entry in (END_USD, END_PSP_USD, END_X_PSP, END_X_USD, END_X_PSP_USD)
    ),
    Refusal("linux", gateway(2), "UNIMPLEMENTED", _OWN_ANSWERS),
    Refusal("linux", MeterEntry("icmp_limit", 2, 100, 20), "UNIMPLEMENTED", _OWN_ANSWERS),
    Refusal("linux", color(METERED, 0, dscp=20), "UNIMPLEMENTED", _NEVER_COLORED),
    Refusal("linux", color(METERED, 1, dscp=12), "UNIMPLEMENTED", _NEVER_COLORED),
    Refusal("linux", color(METERED, 2), "UNIMPLEMENTED", _NEVER_COLORED),
    Refusal("linux", MeterEntry("slice_meter", 7, 1000, 4000, 2000, 8000), "UNIMPLEMENTED", _NEVER_COLORED),
    Refusal(
        "linux", group(3, (10, 1, 0), (11, 1, 0)), "UNIMPLEMENTED", "the kernel takes a next hop out with its port"
    ),
    Refusal("linux", classifier(1, 7, 40, dscp=Ternary(8, 8)), "UNIMPLEMENTED", "nft matches the DSCP as a whole"),
    Refusal("linux", classifier(1, 7, 41, src=Ternary(5, 7)), "UNIMPLEMENTED", "nft matches prefixes"),
    Refusal("linux", classifier(1, 0, 42), "INVALID_ARGUMENT", "class 1:0 of HTB is the queue itself"),
    Refusal(
        "linux",
        SMALL_MTU,
        "INVALID_ARGUMENT",
        "IPv6 has no MTU below 1280 (RFC 8200 clause 5), the kernel no route with one",
    ),
    Refusal("linux", probe(9, (SOURCE,), 999, 5000), "INVALID_ARGUMENT", "the agent sends every millisecond at most"),
    Refusal(
        "linux", probe(9, (SOURCE,), 2000, 3999), "INVALID_ARGUMENT", "the loss of one probe is not that of a path"
    ),
    Refusal("linux", probe(9, (SOURCE,), next_hop=20), "UNIMPLEMENTED", "probes are for channels, not for hosts"),
    Refusal("linux", backed(0x8000, 1, 1, 2), "INVALID_ARGUMENT", "15 bits of the packet's mark"),
    Refusal("linux", policy(0x8000, CARRIERS[:1]), "INVALID_ARGUMENT", "15 bits of the packet's mark"),
    Refusal("linux", sid("fcbb:bb00:1:e009::", 80, "u_n"), "INVALID_ARGUMENT", "NEXT-C-SID counts bits from a /48"),
)
DIFFERENCES = (
    # what a packet looks like
    Difference("linux", "outer header", "copies the hop limit, of IPv6 alone the class", "the kernel's (RFC 2473 6.3)"),
    Difference("bmv2", "source MAC", "sends to hosts from the MAC of the port of entry", "it has that one at hand"),
    Difference("linux", "one extension header", "reads the whole chain of headers", "the kernel can, a parser cannot"),
    Difference(
        "linux", "headers between hosts", "carries what is behind them", "the kernel knows no header behind mobility"
    ),
    Difference("linux", "congestion", "uncovers packets as they were", "the kernel's segments never look at ECN"),
    Difference("linux", "inner checksum", "does not verify what it uncovers", "its receiver verifies"),
    Difference("bmv2", "padded solicitation", "drops it", "BMv2 sums what follows the message, too"),
    Difference("bmv2", "echo checksum", "answers with the error carried over", "BMv2 cannot sum a payload of any size"),
    # what is told
    Difference("linux", "no route", "answers Destination Unreachable", "RFC 4443 3.1: a router should; BMv2 is silent"),
    Difference("linux", "no gateway", "answers with a source of its choice", "a kernel always has some address"),
    Difference(
        "linux", "unicast solicitation", "leaves its link address out", "RFC 4861 7.2.4: the asker has it already"
    ),
    Difference("linux", "quoted DF", "quotes IPv4 with DF set", "set on arrival, else the kernel would fragment"),
    # rates and counts
    Difference("linux", "policing", "shapes: queues what is beyond the rate", "HTB, which loses nothing at once"),
    Difference("bmv2", "counted header", "counts the Ethernet header of each packet", "its counters count frames"),
    Difference("linux", "drop reasons", "refuses to read the counter", "the kernel has counters of its own"),
    # life
    Difference("linux", "member back", "is gone until it is written again", "the kernel forgets a dead next hop"),
    Difference("bmv2", "unfenced", "promotes a lower id, and writes for nobody", "it forgets an id with its stream"),
    Difference("bmv2", "silent packet-out", "drops a backup's packet-out unsaid", "BMv2 has no stream errors for it"),
    Difference("linux", "push", "keeps entries over a push", "they are the kernel's, and of the same contract"),
    Difference(
        "linux", "restart", "keeps entries and traffic over a restart", "its agent restarts, the kernel does not"
    ),
)


def bearable(target: str, entries: Iterable[Entry]) -> list[Entry]:
    """Those of the entries that the target does not refuse."""
    refused = [refusal.entry for refusal in REFUSALS if refusal.target == target]
    return [entry for entry in entries if entry not in refused]


def differs(target: str, behaviour: str) -> bool:
    """Whether the target does this in its own way; the behaviour must be listed."""
    targets = {difference.target for difference in DIFFERENCES if difference.behaviour == behaviour}
    assert targets, f"no target is known to differ in: {behaviour}"
    return target in targets

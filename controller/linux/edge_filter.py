"""The edge of the SR domain (RFC 8754 clause 5.1): destinations that no customer may address."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from controller.core.entries import TableEntry
from controller.linux.rejected import invalid
from controller.linux.room import Block, Entries, Step, Work, lpm_match, nft_prefix, prefix
from controller.linux.view import View

CHAIN = "edge_filter"


class EdgeFilter:
    tables = frozenset({"edge_filter"})

    def read(self, view: View) -> Iterator[TableEntry]:
        for rule in view.nft.chains.get(CHAIN, []):
            first, last = rule.statements[0].get("match", {}), rule.statements[-1]
            if first.get("left") == {"payload": {"protocol": "ip6", "field": "daddr"}} and "drop" in last:
                yield TableEntry("edge_filter", lpm_match(nft_prefix(first["right"])), "drop_infrastructure")

    def check(self, entry: TableEntry, view: View) -> None:
        if not entry.match:
            raise invalid("an edge filter of ::/0 would close the port to IPv6")

    def work(self, steps: Sequence[Step], after: Entries, view: View) -> Work:
        """The chain is written anew: it is short, and a transaction swaps it whole."""
        lines = [f"flush chain inet corridor {CHAIN}"]
        lines += [
            f"add rule inet corridor {CHAIN} ip6 daddr {prefix(entry, 'dst', 128)} counter drop"
            for entry in sorted(after.values(), key=lambda entry: entry.match)
        ]
        return Work(blocks=[Block(frozenset(step.key for step in steps), tuple(lines))])

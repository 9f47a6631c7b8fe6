"""What the routers of a layer answer to: the SIDs that a segment list may be made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from controller.core import names, srv6
from controller.core.graph import Objective
from controller.core.segments.igp import ALGORITHM


def _none(_node: str) -> int | None:
    return None


@dataclass(frozen=True, slots=True)
class Tail:
    """Where a list ends: a function that decapsulates."""

    node: str
    function: int
    text: str
    """Such as `uDT6(z, vrf 7)`."""


@dataclass(frozen=True)
class Sids:
    """Node and function ids by resource name. None: the router has no such thing, and no list will ask for it.

    A function is known below every locator of its router, so that the algorithm of the node id says how it is reached.
    """

    block: str
    locators: Mapping[Objective, Mapping[str, int]]
    """Per algorithm, the node id of every router that has a locator of it; all ids differ."""
    adjacency: Callable[[str, str], int | None]
    """(router, link) to the function of the uA over that link."""
    max_carriers: Callable[[str], int]
    """What a router imposes at most (RFC 9352, Max H.Encaps MSD)."""
    binding: Callable[[str], int | None] = _none
    """The function that this list may have bound at a router (End.B6.Encaps.Red, RFC 8986 4.14)."""
    underlay: Callable[[str], int | None] = _none
    """The uDT6 of VRF 0 at a router: it takes off what a binding SID put around."""

    def un(self, by: Objective, node: str) -> srv6.Segment | None:
        """To a router, 1 id."""
        node_id = self.locators[by].get(node)
        return None if node_id is None else srv6.Segment((node_id,), f"uN({names.short(node)}{_algorithm(by)})")

    def ua(self, by: Objective, node: str, link: str, towards: str) -> srv6.Segment | None:
        """To a router and over one of its links, 2 ids."""
        text = f"uA({names.short(node)}→{names.short(towards)}{_algorithm(by)})"
        return self._function(by, node, self.adjacency(node, link), text)

    def end(self, by: Objective, tail: Tail) -> srv6.Segment | None:
        """To a router that decapsulates, 2 ids."""
        return self._function(by, tail.node, tail.function, tail.text)

    def bound(self, by: Objective, node: str) -> srv6.Segment | None:
        """To a router that imposes a list of its own, 2 ids."""
        text = f"uB6.Encaps.Red({names.short(node)}{_algorithm(by)})"
        return self._function(by, node, self.binding(node), text)

    def underlay_tail(self, node: str) -> Tail | None:
        function = self.underlay(node)
        return None if function is None else Tail(node, function, f"uDT6({names.short(node)}, vrf 0)")

    @cached_property
    def owners(self) -> dict[int, tuple[Objective, str]]:
        """Whose a node id is, and how it is routed to."""
        return {number: (by, node) for by, ids in self.locators.items() for node, number in ids.items()}

    def _function(self, by: Objective, node: str, function: int | None, text: str) -> srv6.Segment | None:
        node_id = self.locators[by].get(node)
        return None if node_id is None or function is None else srv6.Segment((node_id, function), text)


def _algorithm(by: Objective) -> str:
    return f", algorithm {ALGORITHM[by]}" if ALGORITHM[by] else ""

"""Segment lists of many corridors: those that share a path and a tail share their lists, worked out once."""

from __future__ import annotations

from collections.abc import Sequence

from controller.core.paths.path import Path
from controller.core.segments.encoding import Encoding, encode
from controller.core.segments.igp import Underlay
from controller.core.segments.sids import Sids, Tail


class Encoder:
    """`encode` in the same underlays, by routers that answer to the same; it remembers what it found."""

    def __init__(self, sids: Sids, underlays: Sequence[Underlay]) -> None:
        self._sids = sids
        self._underlays = underlays
        self._known: dict[tuple[tuple[str, ...], str, Tail], Encoding] = {}

    def encode(self, path: Path, tail: Tail) -> Encoding:
        """As `encoding.encode`; a refusal is not remembered."""
        key = path.links, path.nodes[0], tail
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = encode(path, tail, self._sids, self._underlays)
        return found

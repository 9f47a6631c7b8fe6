"""What controller and line-card program write into an OTN node's switch so that each finds its own, and the other's.

Cookie of a flow: tag 16 | generation 16 | slice 32 bits. Each side touches flows of its own tag only; the one thing
they share is a slice's meter, which the controller makes and the line card sets: the directory says where it is.
"""

from __future__ import annotations

from typing import NamedTuple

CONTROLLER_TAG, LINE_CARD_TAG = 0xC0DE, 0xC0DF
COOKIE_TAG_SHIFT = 48
COOKIE_MASK = 0xFFFF << COOKIE_TAG_SHIFT
"""Of the tag alone."""

SELECTOR_TABLE = 1
"""Where cross-connects with out port `SELECTOR` send frames on: flows of the line card."""
DIRECTORY_TABLE = 250
"""Visited by no packet: one flow of the controller per meter, metadata by `Directory`, instruction meter."""

_DIRECTION, _FOLLOWS, _TRANSIT, _KNOWN = 1 << 0, 1 << 1, 1 << 2, 0b111


def cookie(tag: int, generation: int, slice_id: int) -> int:
    """64 bits; slice 0 is what belongs to no slice."""
    return tag << COOKIE_TAG_SHIFT | (generation & 0xFFFF) << 32 | slice_id


def slice_of(cookie: int) -> int:
    return cookie & 0xFFFFFFFF


class Directory(NamedTuple):
    """Whose meter it is, and how it is kept: slice 32 | 00000 | transit | follows | direction."""

    slice_id: int
    direction: int
    follows: bool
    """Its rate is the line card's to set, by the slots committed."""
    transit: bool

    @property
    def metadata(self) -> int:
        return self.slice_id << 8 | self.transit * _TRANSIT | self.follows * _FOLLOWS | self.direction * _DIRECTION

    @classmethod
    def of(cls, metadata: int) -> Directory | None:
        """None where it is none of this coding."""
        flags = metadata & 0xFF
        if flags & ~_KNOWN or metadata >> 40:
            return None
        return cls(metadata >> 8, flags & _DIRECTION, bool(flags & _FOLLOWS), bool(flags & _TRANSIT))

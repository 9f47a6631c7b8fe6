"""What goes into and comes out of the resizing machine of one node, and what it knows of an attempt."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import TypeAlias

from controller.linecard.resize_messages import Reason, ResizeMessage

ONE_SIDED = "ONE_SIDED"
"""Reason of a failure after which nodes may differ; after REJECTED and TIMEOUT all have the size they had before."""


class ResizeState(StrEnum):
    """draft-ietf-ccamp-fgotn-yang."""

    MODIFYING = "lsp-bandwidth-modifying"
    MODIFIED_OK = "lsp-bandwidth-modified-ok"
    MODIFY_FAILED = "lsp-bandwidth-modify-failed"


@dataclass(frozen=True, slots=True)
class Timing:
    retry_s: float = 0.5
    """An end repeats what is not answered in this time: more than a frame takes to the far end and back."""
    attempts: int = 4
    """How often it says a thing before it gives up."""

    @property
    def waits(self) -> int:
        """How often the source asks for the reverse direction: that has to be heard of, requested and indicated."""
        return 3 * self.attempts

    @property
    def patience_s(self) -> float:
        """A node that hears no more of an attempt in this time counts it as given up."""
        return self.waits * self.retry_s


@dataclass(frozen=True, slots=True)
class Send:
    line_port: int
    message: ResizeMessage


@dataclass(frozen=True, slots=True)
class Commit:
    """So many slots carry this direction of the slice from now on. To be done before what follows is sent; where it
    cannot be, what follows is not sent, and comes again with the next repetition. It may be what it was before."""

    slice_id: int
    direction: int
    count: int


@dataclass(frozen=True, slots=True)
class Notice:
    """For whoever commanded this node. All but MODIFYING end the command."""

    slice_id: int
    state: ResizeState
    reason: str = ""
    """Of a failure: REJECTED, TIMEOUT or ONE_SIDED."""
    message: str = ""


Output: TypeAlias = Send | Commit | Notice
"""In the order in which they are to be done."""


class Phase(IntEnum):
    """How far one direction of an attempt is at one node."""

    IDLE = 0
    REQUESTED = 1
    GRANTED = 2
    INDICATED = 3
    """BWR_IND has passed: this node has at most the target."""
    COMMITTED = 4
    """NCS has passed: this node and all behind it have the target."""
    CLOSED = 5


Segment: TypeAlias = tuple[str, tuple[int, ...]]
"""Server ODU, and the slots of it that are to carry the slice."""


@dataclass(slots=True)
class Command:
    """What the source was told, and how that stands."""

    target: int
    before: tuple[int, int]
    """Sizes that a failure returns to, by direction."""
    taking_back: Notice | None = None
    """The failure on whose account this attempt takes all back."""
    overtaken: bool = False
    """An attempt for it was refused before because a later one is known."""


@dataclass(slots=True)
class Attempt:
    """What one node knows of the latest attempt to resize a slice. Directions as in `ResizeMessage`."""

    slice_id: int
    number: int
    targets: tuple[int, int]
    previous: list[int]
    """By direction: what its source had before."""
    ends: tuple[int | None, int | None]
    """Line ports towards the commanded source and away from it; None at that end itself."""
    since: int
    """Of the slot table: the slice that is meant."""
    deadline: float = 0.0
    open: bool = True
    phase: list[Phase] = field(default_factory=lambda: [Phase.IDLE, Phase.IDLE])
    granted: dict[int, Segment] = field(default_factory=dict)
    """By line port: what is agreed with the neighbour for the direction under way."""
    said: int = 0
    """How often this end has said what it waits on."""
    failure: tuple[Reason, str] = (Reason.NONE, "")
    """Of the reverse direction, at its source."""
    command: Command | None = None
    """At the commanded source only."""

    def upstream(self, direction: int) -> int | None:
        """Line port that the direction's traffic comes from; None at its source."""
        return self.ends[direction]

    def downstream(self, direction: int) -> int | None:
        """Line port that the direction's traffic leaves by; None at its sink."""
        return self.ends[1 - direction]

    @property
    def own(self) -> int | None:
        """The direction that this node is the source of; None in transit."""
        return next((direction for direction in (0, 1) if self.ends[direction] is None), None)

    @property
    def waiting(self) -> bool:
        """This end has said something that it repeats until it is answered."""
        if self.own is None or not self.open:
            return False
        return self.command is not None or self.phase[self.own] in (Phase.REQUESTED, Phase.INDICATED)

    def reach(self, direction: int, phase: Phase) -> None:
        self.phase[direction] = max(self.phase[direction], phase)

    def close(self, reason: Reason = Reason.NONE, detail: str = "") -> None:
        """Nothing of it has an effect here from now on."""
        self.open = False
        self.phase = [Phase.CLOSED, Phase.CLOSED]
        self.failure = reason, detail

    def lapse(self) -> None:
        """Given up until it is asked for anew; what is closed stays so."""
        self.open = False
        self.phase = [phase if phase is Phase.CLOSED else Phase.IDLE for phase in self.phase]

"""What callers asked and were answered, judged: is there an order in which all of it makes sense (Herlihy and Wing)?

Each corridor is a register of its own. The search is that of Wing and Gong, with a memory of what was tried. An
operation without an answer may have happened at any time since, or never.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

ABSENT = None
"""What is read of a corridor that is not there."""


class Kind(StrEnum):
    WRITE = "WRITE"
    """Created or changed."""
    DELETE = "DELETE"
    READ = "READ"


@dataclass(frozen=True, slots=True)
class Operation:
    """One call. Refused calls have no effect and are left out, but a refusal because it is not there is a read."""

    key: str
    kind: Kind
    value: object
    """What was to be written, or what was read."""
    invoked: float
    answered: float = math.inf
    """Seconds by the caller's clock; inf: no answer came."""
    generation: int = 0
    """Of the answer."""
    going: bool = False
    """Read while it was being deleted."""
    undone: bool = False
    """Read with the word that its last change was rolled back."""

    @property
    def known(self) -> bool:
        return self.answered < math.inf


@dataclass(frozen=True, slots=True)
class Register:
    """What stands: a value, the one before it, how often it has changed at least; whether it is on its way out."""

    value: object = ABSENT
    before: object = ABSENT
    generation: int = 0
    going: bool = False

    def after(self, operation: Operation) -> Iterator[Register]:
        """What may stand after an operation; nothing where its answer cannot have been given here."""
        match operation.kind:
            case Kind.READ:
                yield from self._read(operation)
            case Kind.WRITE:
                yield from self._written(operation)
            case Kind.DELETE if self.value is not ABSENT:
                yield Register(self.value, self.before, self.generation, True)

    def _read(self, read: Operation) -> Iterator[Register]:
        if read.value is ABSENT:
            if self.value is ABSENT or self.going:
                yield Register()
        elif read.generation >= self.generation and read.going == self.going:
            if read.value == self.value:
                yield Register(self.value, self.before, read.generation, self.going)
            elif read.undone and read.value == self.before:
                yield Register(self.before, self.before, read.generation, self.going)

    def _written(self, write: Operation) -> Iterator[Register]:
        if self.going or self.value is ABSENT:  # a new one begins again
            yield Register(write.value, ABSENT, write.generation)
        elif not write.known:
            yield Register(write.value, self.value, self.generation + 1)
        elif write.generation > self.generation or (write.value == self.value and write.generation == self.generation):
            yield Register(write.value, self.value, write.generation)


def violations(history: Iterable[Operation]) -> Mapping[str, str]:
    """By corridor, what cannot be explained; empty where every answer can."""
    by_key: dict[str, list[Operation]] = {}
    for operation in history:
        by_key.setdefault(operation.key, []).append(operation)
    found = {key: _unexplained(sorted(each, key=lambda one: one.invoked)) for key, each in by_key.items()}
    return {key: why for key, why in found.items() if why}


def _unexplained(history: Sequence[Operation]) -> str:
    """Why no order explains all answers; empty where one does."""
    needed = sum(1 << number for number, each in enumerate(history) if each.known)
    open_ends, seen, best = [(0, Register())], {(0, Register())}, (0, Register())
    while open_ends:
        done, register = open_ends.pop()
        if done & needed == needed:
            return ""
        if (done & needed).bit_count() > (best[0] & needed).bit_count():
            best = done, register
        for number in _next(history, done):
            for after in register.after(history[number]):
                step = done | 1 << number, after
                if step not in seen:
                    seen.add(step)
                    open_ends.append(step)
    left = [history[number] for number in _next(history, best[0]) if history[number].known]
    return f"after {best[0].bit_count()} of {len(history)} operations {best[1]} stands, and none of {left} fits"


def _next(history: Sequence[Operation], done: int) -> list[int]:
    """Those that may come next: invoked before any other that is left was answered."""
    left = [number for number in range(len(history)) if not done >> number & 1]
    first = min((history[number].answered for number in left), default=math.inf)
    return [number for number in left if history[number].invoked <= first]

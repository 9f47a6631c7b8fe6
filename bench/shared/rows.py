"""Contenders that take turns, what they answered, and the rows that are published."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

ROUND = 10
"""Questions that a contender answers before it is the next one's turn: whatever slows the machine slows all alike."""


class Differ(Exception):
    """Two contenders gave different answers to one question: what was timed is worth nothing."""


@dataclass(frozen=True)
class Contender:
    """Somebody who answers a question, and how the delay of the answer is read (untimed)."""

    name: str
    call: Callable[..., Any]
    delay: Callable[..., Any]
    """(answer, *question) -> what must be equal for all."""


@dataclass(frozen=True)
class Row:
    """One published figure. The goal is for the ratio where there is one, else for the value: at most this much, or
    at least."""

    name: str
    value: float
    unit: str
    peer: dict[str, Any] | None = None
    ratio: float | None = None
    goal: float | None = None
    met: bool | None = None
    limit: str = field(default="", compare=False)
    """What limits it, printed where the goal is missed."""
    at_least: bool = field(default=False, compare=False)

    @property
    def public(self) -> dict[str, Any]:
        row = asdict(self)
        del row["limit"], row["at_least"]
        return row

    def __str__(self) -> str:
        peer = f"{self.peer['name']:44} {self.peer['value']:>11,.1f}" if self.peer else " " * 56
        ratio = f"{self.ratio:8.4f}" if self.ratio is not None else " " * 8
        goal = f"  {'>=' if self.at_least else '<='} {self.goal}"
        verdict = {None: "", True: f"{goal}  met", False: f"{goal}  MISSED: {self.limit}"}[self.met]
        return f"{self.name:62} {self.value:>10,.1f} {self.unit:3} {peer} {ratio}{verdict}"


def row(name: str, value: float, unit: str, peer: tuple[str, float] | None = None, **more: Any) -> Row:
    """A row, with its ratio and whether the goal is met worked out; `goal`, `limit`, `at_least` may be given.

    `ValueError` for a goal without a limit: a goal that is missed has to say why.
    """
    ratio, goal = (value / peer[1] if peer else None), more.get("goal")
    if goal is not None and not more.get("limit"):
        raise ValueError(f"{name}: a goal without what limits it")
    at_least, judged = bool(more.get("at_least")), value if ratio is None else ratio
    met = None if goal is None else (judged >= goal if at_least else judged <= goal)
    beside = {"name": peer[0], "value": round(peer[1], 2)} if peer else None
    short = None if ratio is None else float(f"{ratio:.4g}")
    return Row(name, round(value, 2), unit, beside, short, goal, met, more.get("limit", ""), at_least)


def race(contenders: Sequence[Contender], questions: Sequence[tuple[Any, ...]]) -> dict[str, float]:
    """Median µs of each contender. They take turns, a round of questions each, and nobody is always the first.

    `Differ` where two answers to one question are not equal.
    """
    took: dict[str, list[float]] = {each.name: [] for each in contenders}
    for turn, start in enumerate(range(0, len(questions), ROUND)):
        first, asked = turn % len(contenders), questions[start : start + ROUND]
        said: list[dict[str, Any]] = [{} for _ in asked]
        for each in (*contenders[first:], *contenders[:first]):
            for question, answers in zip(asked, said, strict=True):
                us, answer = timed(each.call, question)
                took[each.name].append(us)
                answers[each.name] = each.delay(answer, *question)
        for question, answers in zip(asked, said, strict=True):
            if len(set(answers.values())) > 1:
                raise Differ(f"{question}: {answers}")
    return {name: statistics.median(times) for name, times in took.items()}


def timed(call: Callable[..., Any], question: tuple[Any, ...]) -> tuple[float, Any]:
    gc.disable()
    began = time.perf_counter_ns()
    answer = call(*question)
    us = (time.perf_counter_ns() - began) / 1000
    gc.enable()
    return us, answer


def fastest(candidates: Sequence[Contender], questions: Sequence[tuple[Any, ...]]) -> Contender:
    """The candidate with the least median: which of its calls a library is measured by."""
    if len(candidates) == 1:
        return candidates[0]
    medians = race(candidates, questions)
    return min(candidates, key=lambda each: medians[each.name])

"""The suite is whole: a case for every table and action of the P4Info, and a test behind every listed difference."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from exceptions import DIFFERENCES, REFUSALS
from targets import PIPELINE, TARGETS

MODULES = sorted(Path(__file__).parent.glob("*.py"))


def calls(name: str) -> Iterator[tuple[Path, ast.Call]]:
    """Calls of a function or marker of this name, in the whole suite."""
    for module in MODULES:
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == name:
                yield module, node


def words(arguments: list[ast.expr]) -> set[str]:
    return {argument.value for argument in arguments if isinstance(argument, ast.Constant)}


def test_every_action_of_every_table_has_a_packet_test() -> None:
    """By the marker `covers`; an action without a test is red, and so is a marker of no action."""
    names = {action.id: action.name for action in PIPELINE.actions.values()}
    every = {f"{table.name}.{names[number]}" for table in PIPELINE.tables.values() for number in table.actions}
    marked = set().union(*(words(call.args) for _, call in calls("covers")))
    assert marked == every


def test_every_difference_is_asserted_by_a_test() -> None:
    asked = set().union(*(words(call.args) for module, call in calls("differs") if module.name != "exceptions.py"))
    assert asked == {difference.behaviour for difference in DIFFERENCES}


def test_the_list_names_targets_and_reasons() -> None:
    targets = {target.name for target in TARGETS}
    assert {item.target for item in (*REFUSALS, *DIFFERENCES)} <= targets
    assert all(item.reason for item in (*REFUSALS, *DIFFERENCES))
    behaviours = [(item.target, item.behaviour) for item in DIFFERENCES]
    assert len(behaviours) == len(set(behaviours))


def test_no_difference_is_skipped() -> None:
    """Only a machine without the target skips."""
    assert not [*calls("skip"), *calls("skipif")]

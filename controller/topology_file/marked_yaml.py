"""YAML with places: every element knows its file and line, so that an error says `FILE:LINE: what is wrong`.

Nothing is constructed but what is asked for, by type and range; unknown, missing and repeated keys are errors.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

import yaml

from controller.core.errors import Invalid

Choice = TypeVar("Choice", bound=StrEnum)
Value = TypeVar("Value")

_INTEGER = "tag:yaml.org,2002:int"
_FLOAT = "tag:yaml.org,2002:float"
_TEXT = "tag:yaml.org,2002:str"


@dataclass(frozen=True, slots=True)
class Element:
    """One node of the document, named in messages by `what`."""

    file: str
    node: yaml.Node
    what: str

    @property
    def line(self) -> int:
        """1-based."""
        return int(self.node.start_mark.line) + 1

    def wrong(self, description: str) -> Invalid:
        """The error to raise about this element."""
        return Invalid(f"{self.file}:{self.line}: {self.what}: {description}", reason="MALFORMED_TOPOLOGY")

    def mapping(self, required: Iterable[str], optional: Iterable[str] = ()) -> Mapping[str, Element]:
        """The values of exactly these keys."""
        if not isinstance(self.node, yaml.MappingNode):
            raise self.wrong("expected a mapping of keys to values")
        required, found = tuple(required), dict[str, Element]()
        known = {*required, *optional}
        for key_node, value_node in self.node.value:
            key = Element(self.file, key_node, self.what).scalar()
            if key not in known:
                raise Element(self.file, key_node, self.what).wrong(f"unknown key {key!r}")
            if key in found:
                raise Element(self.file, key_node, self.what).wrong(f"key {key!r} is given twice")
            found[key] = Element(self.file, value_node, f"{self.what}.{key}")
        missing = [key for key in required if key not in found]
        if missing:
            raise self.wrong(f"missing key {missing[0]!r}")
        return found

    def sequence(self) -> tuple[Element, ...]:
        """The items of a list."""
        if not isinstance(self.node, yaml.SequenceNode):
            raise self.wrong("expected a list")
        return tuple(Element(self.file, item, f"{self.what}[{n}]") for n, item in enumerate(self.node.value))

    def scalar(self) -> str:
        """The characters of a plain value."""
        if not isinstance(self.node, yaml.ScalarNode):
            raise self.wrong("expected a single value")
        return str(self.node.value)

    def text(self, pattern: str = r"[^\x00-\x1f]{1,200}") -> str:
        """A string that fully matches the pattern."""
        value = self.scalar()
        if self.node.tag != _TEXT:
            raise self.wrong(f"expected a text, found {value!r} (quote it if it is meant as one)")
        if not re.fullmatch(pattern, value):
            raise self.wrong(f"{value!r} does not match {pattern}")
        return value

    def integer(self, least: int, most: int) -> int:
        """A whole number in [least, most], decimal or 0x…"""
        text = self.scalar()
        if self.node.tag != _INTEGER or not re.fullmatch(r"-?(0|[1-9][0-9]{0,17}|0x[0-9a-fA-F]{1,15})", text):
            raise self.wrong(f"expected a whole number, found {text[:40]!r}")
        value = int(text, 0)
        if not least <= value <= most:
            raise self.wrong(f"{value} is not within {least}..{most}")
        return value

    def number(self, least: float, most: float) -> float:
        """A number in [least, most], in decimal notation."""
        text = self.scalar()
        if self.node.tag not in (_INTEGER, _FLOAT) or not re.fullmatch(r"-?[0-9]{1,15}(\.[0-9]{0,15})?", text):
            raise self.wrong(f"expected a decimal number, found {text[:40]!r}")
        value = float(text)
        if not least <= value <= most:
            raise self.wrong(f"{value:g} is not within {least:g}..{most:g}")
        return value

    def choice(self, kind: type[Choice], allowed: Iterable[Choice]) -> Choice:
        """One of the allowed words."""
        words = {str(value): value for value in allowed}
        value = self.scalar()
        if value not in words:
            raise self.wrong(f"{value!r} is not one of {', '.join(words)}")
        return kind(words[value])

    def parsed(self, parse: Callable[[str], Value]) -> Value:
        """What `parse` makes of the text; its ValueError becomes the error."""
        text = self.text()
        try:
            return parse(text)
        except ValueError as error:
            raise self.wrong(str(error)) from None


def read(path: Path) -> Element:
    """The root of the one document in the file."""
    file = str(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise Invalid(f"{file}:1: cannot be read: {error.strerror}", reason="MALFORMED_TOPOLOGY") from None
    return parse(file, data)


def parse(file: str, data: bytes) -> Element:
    """The root of the one document in `data`; `file` is its name in messages."""
    try:
        text = data.decode("utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except UnicodeDecodeError as error:
        raise _malformed(file, data[: error.start].count(b"\n"), "not UTF-8") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _malformed(file, mark.line if mark else 0, error.problem or "not YAML") from None
    except yaml.reader.ReaderError as error:
        raise _malformed(file, text[: error.position].count("\n"), "a character that YAML does not allow") from None
    except (ValueError, OverflowError):  # PyYAML's scanner on an escape such as "\UFFFFFFFF"
        raise _malformed(file, 0, "an escape that is no character") from None
    except RecursionError:
        raise _malformed(file, 0, "nested too deeply") from None
    if node is None:
        raise _malformed(file, 0, "the file is empty")
    return Element(file, node, "topology")


def _malformed(file: str, line: int, description: str) -> Invalid:
    return Invalid(f"{file}:{line + 1}: {description}", reason="MALFORMED_TOPOLOGY")

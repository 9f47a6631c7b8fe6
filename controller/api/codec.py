"""Model ↔ contract: dataclasses of `controller.core.model` to protobuf messages of `corridor.v1` and back.

Both definitions are read by reflection, so a field exists once on either side and nowhere here. The rules:

- a field has the same snake_case name on both sides;
- `int`, `str`, `float`, `bool` are uint32, string, double, bool; `datetime` is a Timestamp in UTC;
- a `StrEnum` has the value names of its proto enum, whose 0 (`…_UNSPECIFIED`) stands for the field's default;
- `tuple[X, ...]` is repeated; `X | None`, and a scalar whose default is not proto's zero, has presence.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from controller.core.errors import Invalid

T = TypeVar("T")
M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class Shape:
    """How one dataclass field is typed: `item` is what remains of `tuple[item, ...]` or `item | None`."""

    field: Field[Any]
    item: type[Any]
    repeated: bool
    optional: bool

    @property
    def name(self) -> str:
        return self.field.name

    @property
    def has_default(self) -> bool:
        return self.field.default is not MISSING


@cache
def shapes(cls: Any) -> tuple[Shape, ...]:
    """The fields of a model dataclass, in order."""
    hints = get_type_hints(cls)
    return tuple(_shape(field, hints[field.name]) for field in fields(cls))


def _shape(field: Field[Any], hint: Any) -> Shape:
    arguments = get_args(hint)
    if get_origin(hint) is tuple:
        return Shape(field, arguments[0], repeated=True, optional=False)
    if isinstance(hint, types.UnionType):
        (item,) = (argument for argument in arguments if argument is not types.NoneType)
        return Shape(field, item, repeated=False, optional=True)
    return Shape(field, hint, repeated=False, optional=False)


def encode(value: Any, message_type: type[M]) -> M:
    """The message that says what `value` (a model dataclass) says."""
    message = message_type()
    _fill(message, value)
    return message


def _fill(message: Message, value: Any) -> None:
    for shape in shapes(value.__class__):
        content = getattr(value, shape.name)
        if shape.repeated:
            _extend(message, shape, content)
        elif content is None:
            continue
        elif is_dataclass(shape.item):
            submessage = getattr(message, shape.name)
            submessage.SetInParent()
            _fill(submessage, content)
        elif shape.item is datetime:
            getattr(message, shape.name).FromDatetime(content)
        else:
            enum = message.DESCRIPTOR.fields_by_name[shape.name].enum_type
            setattr(message, shape.name, enum.values_by_name[content].number if enum else content)


def _extend(message: Message, shape: Shape, items: Iterable[Any]) -> None:
    target = getattr(message, shape.name)
    if not is_dataclass(shape.item):
        target.extend(items)
        return
    for item in items:
        _fill(target.add(), item)


def decode(message: Message, cls: Callable[..., T], path: str = "") -> T:
    """The model value that `message` says. `Invalid` names the field below `path` that has no meaning here."""
    return cls(**{shape.name: _read(message, shape, f"{path}{shape.name}") for shape in shapes(cls)})


def _read(message: Message, shape: Shape, path: str) -> Any:
    descriptor = message.DESCRIPTOR.fields_by_name[shape.name]
    content = getattr(message, shape.name)
    if shape.repeated:
        return tuple(_item(descriptor.enum_type, shape, item, f"{path}[{index}]") for index, item in enumerate(content))
    if descriptor.has_presence and not message.HasField(shape.name):
        if not shape.has_default:
            raise Invalid.field(path, "is required")
        return shape.field.default
    return _item(descriptor.enum_type, shape, content, path)


def _item(enum: Any, shape: Shape, content: Any, path: str) -> Any:
    if is_dataclass(shape.item):
        return decode(content, shape.item, f"{path}.")
    if shape.item is datetime:
        return _moment(content, path)
    if enum is not None:
        return _enum_in(enum, shape, content, path)
    return content


def _enum_in(enum: Any, shape: Shape, number: int, path: str) -> Any:
    if number == 0 and shape.has_default:
        return shape.field.default
    value = enum.values_by_number.get(number) if number else None
    if value is None:
        raise Invalid.field(path, f"{number} is none of {', '.join(item.value for item in shape.item)}")
    return shape.item(value.name)


def _moment(timestamp: Timestamp, path: str) -> datetime:
    try:
        return timestamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise Invalid.field(path, "is not a time between the years 1 and 9999") from error

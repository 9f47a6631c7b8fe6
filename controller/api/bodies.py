"""REST bodies: pydantic models made from the model's dataclasses, with the contract's JSON names and bounds.

What comes in is validated here, field by field; what goes out is the proto JSON of the message. The OpenAPI schema is
that of these models.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import is_dataclass, replace
from datetime import datetime
from functools import cache
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, StrictStr, WrapValidator, create_model

from controller.api.codec import Shape, shapes
from controller.api.contract import MESSAGES, output_only
from controller.api.refusals import json_path

T = TypeVar("T")

UINT32_MAX = 2**32 - 1


def _whole(text: str) -> str:
    """JSON can smuggle in half a surrogate pair, which neither UTF-8 nor protobuf can say."""
    text.encode()
    return text


Text = Annotated[StrictStr, AfterValidator(_whole)]
SCALARS: dict[Any, Any] = {
    int: Annotated[int, Field(strict=True, ge=0, le=UINT32_MAX)],
    str: Text,
    bool: StrictBool,
    float: Annotated[float, Field(strict=True, allow_inf_nan=False)],
    datetime: datetime,
}


class Body(BaseModel):
    """A JSON object that states some or all fields of `shape`; `model_fields_set` says which."""

    model_config = ConfigDict(extra="forbid")
    shape: ClassVar[Callable[..., Any]]

    @property
    def merges(self) -> bool:
        """It states a part of a nested object, which is merged with what stands there."""
        return any(isinstance(getattr(self, name), Body) for name in self.model_fields_set)


@cache
def body_model(cls: Any) -> type[Body]:
    """The body that states a `cls`, a dataclass of the model."""
    message_type = MESSAGES.get(cls)
    ignored = output_only(message_type) if message_type else frozenset()
    attributes: dict[str, Any] = {shape.name: _attribute(shape, shape.name in ignored) for shape in shapes(cls)}
    name = message_type.DESCRIPTOR.name if message_type else cls.__name__
    model = create_model(name, __base__=Body, __doc__=cls.__doc__, **attributes)
    model.shape = cls
    return model


def _attribute(shape: Shape, read_only: bool) -> Any:
    """Type and field of one attribute. JSON null states the default, as in proto JSON and in a merge patch."""
    item = body_model(shape.item) if is_dataclass(shape.item) else SCALARS.get(shape.item, shape.item)
    kind = list[item] if shape.repeated else item  # type: ignore[valid-type]
    extra: dict[str, Any] = {"readOnly": True} if read_only else {}
    alias = json_path(shape.name)
    if not shape.has_default:
        return kind, Field(alias=alias, json_schema_extra=extra)
    default = shape.field.default
    kind = Annotated[kind, WrapValidator(lambda stated, inner: default if stated is None else inner(stated))]
    if isinstance(default, str | int | float | bool):
        return kind, Field(default=default, alias=alias, json_schema_extra=extra)
    return kind, Field(default_factory=lambda: default, alias=alias, json_schema_extra=extra)


def overlay(base: T, body: Body) -> T:
    """`base` (a dataclass of the model) with what the body states, nested objects merged (RFC 7396)."""
    changes = {name: _stated(getattr(body, name), getattr(base, name)) for name in body.model_fields_set}
    return replace(base, **changes)  # type: ignore[type-var]


def _stated(stated: Any, base: Any) -> Any:
    if isinstance(stated, list):
        return tuple(_build(item) for item in stated)
    if isinstance(stated, Body) and is_dataclass(base):
        return overlay(base, stated)
    return _build(stated)


def _build(stated: Any) -> Any:
    if not isinstance(stated, Body):
        return stated
    return stated.shape(**{name: _stated(getattr(stated, name), None) for name in stated.model_fields_set})

"""What the contract says beyond fields and their types: JSON, which fields a caller may write, which a mask names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, replace
from functools import cache
from typing import Any

from google.api import field_behavior_pb2
from google.protobuf import json_format
from google.protobuf.message import Message

from controller.api.codec import encode
from controller.api.gen.corridor.v1 import (
    controllers_pb2,
    corridor_pb2,
    defragmentation_pb2,
    drift_pb2,
    maintenance_pb2,
    topology_pb2,
)
from controller.core.drift import Drift
from controller.core.errors import Invalid
from controller.core.leadership import Controller
from controller.core.maintenance import Draining
from controller.core.model import Corridor, CorridorEvent, TopologyView
from controller.core.otn.moves import Defragmentation

MESSAGES: dict[Any, Any] = {
    Corridor: corridor_pb2.Corridor,
    CorridorEvent: corridor_pb2.CorridorEvent,
    TopologyView: topology_pb2.Topology,
    Defragmentation: defragmentation_pb2.Defragmentation,
    Draining: maintenance_pb2.Draining,
    Drift: drift_pb2.Drift,
    Controller: controllers_pb2.Controller,
}
"""The message of each shape that the API speaks of by itself."""

MAX_MESSAGE_BYTES = 64 * 1024 * 1024
"""A topology of ten thousand nodes is beyond gRPC's 4 MiB default."""

CONTROL_FIELDS = frozenset({"name", "etag"})
"""They say which corridor, and which state of it, is meant; they are not changed by a request."""


def message_json(message: Message) -> dict[str, Any]:
    """Proto JSON with every field present, but for absent messages and absent `optional` scalars."""
    return json_format.MessageToDict(message, always_print_fields_with_no_presence=True)


def value_json(value: Any) -> dict[str, Any]:
    """The proto JSON of a shape that the API speaks of by itself."""
    return message_json(encode(value, MESSAGES[type(value)]))


@cache
def output_only(message_type: Any) -> frozenset[str]:
    """Fields that a request may carry and that are not heeded (AIP-203)."""
    return frozenset(
        descriptor.name
        for descriptor in message_type.DESCRIPTOR.fields
        if field_behavior_pb2.OUTPUT_ONLY in descriptor.GetOptions().Extensions[field_behavior_pb2.field_behavior]
    )


def writable(corridor: Corridor) -> Corridor:
    """The corridor as a caller may state it: output-only fields have their defaults."""
    ignored = output_only(corridor_pb2.Corridor)
    defaults: dict[str, Any] = {field.name: field.default for field in fields(Corridor) if field.name in ignored}
    return replace(corridor, **defaults)


def writable_mask(paths: Iterable[str], present: Iterable[str]) -> tuple[str, ...]:
    """The top-level fields that an update is about, each once (AIP-134, AIP-161).

    No path means the fields `present` in the request, `*` means all. Output-only fields are left out, so that what was
    read can be sent back. `Invalid` names a path that is no field, or a part of one that has no parts to be changed.
    """
    known = [descriptor.name for descriptor in corridor_pb2.Corridor.DESCRIPTOR.fields]
    named = list(paths)
    for path in named:
        if path != "*" and not _is_field(path):
            raise Invalid.field("update_mask", f"{path!r} is no field of a corridor", "UNKNOWN_FIELD")
    wanted = set(known) if "*" in named else {path.partition(".")[0] for path in named or present}
    return tuple(name for name in known if name in wanted - output_only(corridor_pb2.Corridor) - CONTROL_FIELDS)


def _is_field(path: str) -> bool:
    """`priority`, or `path_constraints.exclude_links`: what is repeated is changed as a whole."""
    message: Any = corridor_pb2.Corridor.DESCRIPTOR
    for name in path.split("."):
        field = message.fields_by_name.get(name) if message else None
        if field is None:
            return False
        message = None if field.is_repeated else field.message_type
    return True


def nested_paths(paths: Iterable[str]) -> tuple[str, ...]:
    """Those that name a part of a writable field which is not named as a whole: it is merged into what stands."""
    named = frozenset(paths)
    whole = named | output_only(corridor_pb2.Corridor)
    nested = (path for path in named if "." in path and path.partition(".")[0] not in whole)
    return () if "*" in named else tuple(sorted(nested))


def merged(current: Corridor, stated: Corridor, paths: Iterable[str]) -> Corridor:
    """`stated`, the fields that nested `paths` are parts of being `current` but for those parts."""
    fields: dict[str, Any] = {}
    for path in paths:
        name, _, part = path.partition(".")
        base = fields.get(name, getattr(current, name))
        fields[name] = replace(base, **{part: getattr(getattr(stated, name), part)})
    return replace(stated, **fields)

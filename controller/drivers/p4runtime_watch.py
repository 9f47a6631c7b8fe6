"""What a target says of its probes, from `StreamMessageResponse.other`: a Struct with `sessions` and `policies`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct

from controller.drivers.device import PathWatch, PolicyState, SessionState

_IDS = range(1 << 16)


def decode_watch(other: AnyMessage) -> PathWatch | None:
    """None for what is no such report; an item that does not hold together is left out."""
    said = Struct()
    if not other.Unpack(said):
        return None
    report = MessageToDict(said)
    if not report.keys() & {"sessions", "policies"}:
        return None
    return PathWatch(tuple(_sessions(_items(report, "sessions"))), tuple(_policies(_items(report, "policies"))))


def _items(report: dict[str, Any], name: str) -> Iterator[dict[str, Any]]:
    found = report.get(name)
    return (item for item in found if isinstance(item, dict)) if isinstance(found, list) else iter(())


def _sessions(items: Iterator[dict[str, Any]]) -> Iterator[SessionState]:
    for item in items:
        number, up, round_trip = _whole(item.get("session")), item.get("up"), _whole(item.get("round_trip_us", 0.0))
        if number in _IDS and isinstance(up, bool):
            yield SessionState(number, up, max(round_trip, 0))


def _policies(items: Iterator[dict[str, Any]]) -> Iterator[PolicyState]:
    for item in items:
        number, on_backup = _whole(item.get("policy")), item.get("on_backup")
        if number in _IDS and isinstance(on_backup, bool):
            yield PolicyState(number, on_backup, str(item.get("reason", "")))


def _whole(value: object) -> int:
    """A Struct has doubles only; -1 for what is no whole number."""
    return int(value) if isinstance(value, float) and value.is_integer() else -1

"""Match fields, action parameters and numbers of P4Runtime, in canonical form on both sides.

Numbers are the shortest byte string, masked-out bits zero, a field that matches everything is left out on the wire. In
an entry a ternary field without a mask is left out too, an LPM field of length 0 stays as `Lpm(0, 0)`.
"""

from __future__ import annotations

from collections.abc import Iterable

from finsy.proto import p4r

from controller.core.entries import Exact, Lpm, MatchValue, Ternary
from controller.drivers.pipeline import MatchField, MatchKind, Pipeline, Table

Match = tuple[tuple[str, MatchValue], ...]
Params = tuple[tuple[str, int], ...]


class Unencodable(ValueError):
    """The entry does not fit the pipeline: unknown name, wrong match kind, missing parameter, number too wide."""


def encode_match(table: Table, match: Match) -> list[p4r.FieldMatch]:
    values = dict(match)
    encoded = []
    for field in table.fields if match else ():
        given = _encode_field(field, values.pop(field.name, None))
        if given is not None:
            encoded.append(given)
    if values:
        raise Unencodable(f"table {table.name} has no field {', '.join(values)}")
    return encoded


def _encode_field(field: MatchField, value: MatchValue | None) -> p4r.FieldMatch | None:
    match field.kind, value:
        case MatchKind.EXACT, Exact(number):
            exact = p4r.FieldMatch.Exact(value=to_bytes(number, field.bits, field.name))
            return p4r.FieldMatch(field_id=field.id, exact=exact)
        case MatchKind.LPM, Lpm(number, length):
            return _encode_lpm(field, number, length)
        case MatchKind.TERNARY, Ternary(number, mask):
            return _encode_ternary(field, number, mask)
        case MatchKind.LPM | MatchKind.TERNARY, None:
            return None
    raise Unencodable(f"field {field.name} needs a match of kind {field.kind}, not {value}")


def _encode_lpm(field: MatchField, number: int, length: int) -> p4r.FieldMatch | None:
    if not 0 <= length <= field.bits:
        raise Unencodable(f"field {field.name}: prefix length {length}")
    if length == 0:
        return None
    host_bits = field.bits - length
    prefix = p4r.FieldMatch.LPM(
        value=to_bytes(number >> host_bits << host_bits, field.bits, field.name), prefix_len=length
    )
    return p4r.FieldMatch(field_id=field.id, lpm=prefix)


def _encode_ternary(field: MatchField, number: int, mask: int) -> p4r.FieldMatch | None:
    if mask == 0:
        return None
    ternary = p4r.FieldMatch.Ternary(
        value=to_bytes(number & mask, field.bits, field.name), mask=to_bytes(mask, field.bits, field.name)
    )
    return p4r.FieldMatch(field_id=field.id, ternary=ternary)


def encode_action(pipeline: Pipeline, table: Table, name: str, given: Params) -> p4r.Action:
    action = pipeline.actions.get(name)
    if action is None or action.id not in table.actions:
        raise Unencodable(f"table {table.name} has no action {name}")
    values = dict(given)
    if set(values) != {param.name for param in action.params}:
        raise Unencodable(f"action {name} needs {[param.name for param in action.params]}, not {list(values)}")
    params = [
        p4r.Action.Param(param_id=param.id, value=to_bytes(values[param.name], param.bits, param.name))
        for param in action.params
    ]
    return p4r.Action(action_id=action.id, params=params)


def decode_action(pipeline: Pipeline, table: Table, action: p4r.Action) -> tuple[str, Params] | None:
    """Name and parameters; None for an action that the table does not have."""
    known = pipeline.action(action.action_id)
    if known is None or known.id not in table.actions:
        return None
    params = {param.param_id: int.from_bytes(param.value, "big") for param in action.params}
    return known.name, tuple((param.name, params.get(param.id, 0)) for param in known.params)


def decode_match(table: Table, match: Iterable[p4r.FieldMatch]) -> Match:
    sent = {field.field_id: field for field in match}
    decoded = ((field.name, _decode_field(field, sent.get(field.id))) for field in table.fields)
    return tuple(sorted((name, value) for name, value in decoded if value is not None))


def _decode_field(field: MatchField, match: p4r.FieldMatch | None) -> MatchValue | None:
    match field.kind:
        case MatchKind.EXACT:
            return Exact(int.from_bytes(match.exact.value, "big") if match else 0)
        case MatchKind.LPM:
            return _decode_lpm(field, match)
        case MatchKind.TERNARY:
            mask = int.from_bytes(match.ternary.mask, "big") if match else 0
            return Ternary(int.from_bytes(match.ternary.value, "big") & mask, mask) if match and mask else None


def _decode_lpm(field: MatchField, match: p4r.FieldMatch | None) -> Lpm:
    if match is None:
        return Lpm(0, 0)
    host_bits = field.bits - match.lpm.prefix_len
    return Lpm(int.from_bytes(match.lpm.value, "big") >> host_bits << host_bits, match.lpm.prefix_len)


def to_bytes(number: int, bits: int, name: str) -> bytes:
    """The shortest string, at least one byte; `name` is what `Unencodable` complains about."""
    if not 0 <= number < 1 << bits:
        raise Unencodable(f"{name}: {number} does not fit {bits} bits")
    return number.to_bytes(max(1, (number.bit_length() + 7) // 8), "big")

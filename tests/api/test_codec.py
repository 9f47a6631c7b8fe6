"""The contract says what the model says: same fields, kinds and enum values, and no value changes on the way."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.api.codec import decode, encode
from controller.api.contract import MESSAGES
from controller.api.gen.corridor.v1 import corridor_pb2
from controller.core.errors import Invalid
from controller.core.model import Corridor, EndPoint, Isolation, Profile, TopologyView

KINDS = {
    int: FieldDescriptor.TYPE_UINT32,
    str: FieldDescriptor.TYPE_STRING,
    bool: FieldDescriptor.TYPE_BOOL,
    float: FieldDescriptor.TYPE_DOUBLE,
}


def pairs() -> dict[Any, Descriptor]:
    """Every dataclass reachable from what the API speaks of, and the message at the same place."""
    found: dict[Any, Descriptor] = {}
    todo = [(cls, message.DESCRIPTOR) for cls, message in MESSAGES.items()]
    while todo:
        cls, descriptor = todo.pop()
        if cls in found:
            assert found[cls] is descriptor
            continue
        found[cls] = descriptor
        for name, hint in get_type_hints(cls).items():
            nested = descriptor.fields_by_name[name].message_type
            todo.extend((item, nested) for item in (hint, *get_args(hint)) if is_dataclass(item))
    return found


PAIRS = pairs()


def test_every_shape_of_the_model_is_in_the_contract() -> None:
    assert {cls.__name__ for cls in PAIRS} >= {
        "Corridor",
        "Leg",
        "Slice",
        "SliceHop",
        "Condition",
        "Node",
        "Link",
        "Server",
    }


@pytest.mark.parametrize("cls", PAIRS, ids=lambda cls: cls.__name__)
def test_fields_are_the_same(cls: Any) -> None:
    assert [field.name for field in fields(cls)] == [field.name for field in PAIRS[cls].fields]


@pytest.mark.parametrize("cls", PAIRS, ids=lambda cls: cls.__name__)
def test_kinds_presence_and_enum_values_are_the_same(cls: Any) -> None:
    for field in fields(cls):
        hint = get_type_hints(cls)[field.name]
        wire = PAIRS[cls].fields_by_name[field.name]
        repeated, optional = get_origin(hint) is tuple, isinstance(hint, UnionType)
        (item,) = [each for each in get_args(hint) if each not in (Ellipsis, NoneType)] or [hint]
        assert wire.is_repeated == repeated, field.name
        if is_dataclass(item):
            assert wire.message_type is PAIRS[item]
        elif item is datetime:
            assert wire.message_type.full_name == "google.protobuf.Timestamp"
        elif issubclass(item, StrEnum):
            unspecified, *values = wire.enum_type.values
            assert unspecified.name.endswith("_UNSPECIFIED")
            assert [value.name for value in values] == [member.value for member in item]
        else:
            assert wire.type == KINDS[item], field.name
            tells_absence = optional or (bool(field.default) and isinstance(field.default, int | float | str))
            assert wire.has_presence == tells_absence, f"{field.name}: a default other than zero needs `optional`"


MOMENTS = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC))
SCALARS: dict[Any, st.SearchStrategy[Any]] = {
    int: st.integers(0, 2**32 - 1),
    str: st.text(max_size=8),
    bool: st.booleans(),
    float: st.floats(allow_nan=False),
    datetime: MOMENTS,
}


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Any value that the type allows."""
    if get_origin(hint) is tuple:
        return st.lists(values(get_args(hint)[0]), max_size=2).map(tuple)
    if isinstance(hint, UnionType):
        return st.one_of(*(st.none() if each is NoneType else values(each) for each in get_args(hint)))
    if is_dataclass(hint):
        return st.builds(hint, **{name: values(each) for name, each in get_type_hints(hint).items()})
    return SCALARS[hint] if hint in SCALARS else st.sampled_from(hint)


@pytest.mark.parametrize("cls", MESSAGES, ids=lambda cls: cls.__name__)
def test_round_trip(cls: Any) -> None:
    @settings(max_examples=40, deadline=None)
    @given(values(cls))
    def check(value: Any) -> None:
        message = MESSAGES[cls].FromString(encode(value, MESSAGES[cls]).SerializeToString())
        assert decode(message, cls) == value

    check()


def test_an_empty_message_is_the_default_value() -> None:
    assert decode(corridor_pb2.Corridor(), Corridor) == Corridor()


def test_zero_is_told_from_absent() -> None:
    stated = corridor_pb2.Corridor(mtu_bytes=0, a_end=corridor_pb2.EndPoint(dscp=0))
    decoded = decode(stated, Corridor)
    assert (decoded.mtu_bytes, decoded.reference_packet_bytes) == (0, 1400)
    assert (decoded.a_end.dscp, decoded.z_end.dscp) == (0, None)


def test_encoding_is_what_protobuf_says() -> None:
    corridor = Corridor(
        name="tenants/t/corridors/c",
        isolation=Isolation.SOFT,
        a_end=EndPoint("n", "p", ipv4_prefixes=("10.0.0.0/8",)),
        profiles=(Profile("x", 2**32 - 1),),
        create_time=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(microseconds=1),
    )
    message = encode(corridor, corridor_pb2.Corridor)
    assert message.isolation == corridor_pb2.Corridor.SOFT
    assert message.profiles[0].bandwidth_kbps == 4294967295
    assert list(message.a_end.ipv4_prefixes) == ["10.0.0.0/8"]
    assert (message.create_time.seconds, message.create_time.nanos) == (1767225600, 1000)
    assert not message.HasField("update_time")


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (corridor_pb2.Corridor(isolation=99), "isolation"),  # type: ignore[arg-type]
        (
            corridor_pb2.Corridor(legs=[corridor_pb2.Leg(latency=[corridor_pb2.LatencyTerm()])]),
            "legs[0].latency[0].source",
        ),
        (corridor_pb2.Corridor(create_time={"seconds": 2**62}), "create_time"),  # type: ignore[arg-type]
        (corridor_pb2.Corridor(conditions=[corridor_pb2.Condition()]), "conditions[0].since"),
    ],
)
def test_a_message_without_meaning_names_its_field(message: corridor_pb2.Corridor, field: str) -> None:
    with pytest.raises(Invalid) as caught:
        decode(message, Corridor)
    assert [violation.field for violation in caught.value.violations] == [field]


def test_a_number_beyond_32_bits_is_a_defect_of_the_caller() -> None:
    with pytest.raises(ValueError, match="out of range"):
        encode(Profile("x", 2**32), corridor_pb2.Profile)


def test_topology_view_is_topology() -> None:
    assert PAIRS[TopologyView].full_name == "corridor.v1.Topology"

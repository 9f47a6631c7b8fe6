"""The octets of the resizing protocol: one example by hand, round trips, and whatever else may arrive."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.linecard.resize_messages import (
    MAX_SLOTS,
    Control,
    Kind,
    MalformedMessage,
    Reason,
    ResizeMessage,
    decode,
    encode,
)

REQUEST = ResizeMessage(Kind.REQUEST, 0x01020304, 1, 0x0A0B << 32 | 7, (2, 3), 5, "odu1:3-4", (258, 1, 2))
OCTETS = bytes.fromhex(
    "6667525a 01 01 002e"  # magic, version, kind, length 28 + 9 + 1 + 8
    "01020304 01 00 00000a0b00000007"  # slice, direction, reason, attempt
    "0002 0003 0005"  # targets, previous
    "08 6f6475313a332d34 00"  # server, detail
    "0003 0102 0001 0002"  # slots
)

REJECT = ResizeMessage(Kind.REJECT, 7, 0, 5, (2, 3), 5, reason=Reason.REJECTED, detail="n", latest=6 << 32)
REJECT_OCTETS = bytes.fromhex(
    "6667525a 01 03 0029"  # magic, version, kind, length 28 + 1 + 2 + 2 + 8
    "00000007 00 01 0000000000000005"  # slice, direction, reason, attempt
    "0002 0003 0005"  # targets, previous
    "00 016e 0000"  # server, detail, slots
    "0000000600000000"  # latest
)

counts = st.integers(0, 2**16 - 1)
texts = st.text(max_size=40)
heads = {
    "slice_id": st.integers(1, 2**32 - 1),
    "direction": st.integers(0, 1),
    "attempt": st.integers(1, 2**64 - 1),
    "previous": counts,
}


@st.composite
def messages(draw: st.DrawFn) -> ResizeMessage:
    kind = draw(st.sampled_from(Kind))
    head = {name: draw(values) for name, values in heads.items()}
    targets = draw(st.tuples(counts, counts))
    if kind is Kind.REQUEST:
        slots = tuple(draw(st.lists(st.integers(1, 2**16 - 1), unique=True, max_size=130)))
        other = draw(counts)
        targets = (other, len(slots)) if head["direction"] else (len(slots), other)
        return ResizeMessage(kind, **head, targets=targets, server=draw(texts.filter(bool)), slots=slots)
    failed = kind is Kind.REJECT or (kind is Kind.RELEASE and draw(st.booleans()))
    if not failed:
        return ResizeMessage(kind, **head, targets=targets)
    reason = draw(st.sampled_from([Reason.REJECTED, Reason.TIMEOUT]))
    latest = 0
    if kind is Kind.REJECT and head["attempt"] < 2**64 - 1:
        latest = draw(st.just(0) | st.integers(head["attempt"] + 1, 2**64 - 1))
    return ResizeMessage(kind, **head, targets=targets, reason=reason, detail=draw(texts), latest=latest)


def test_the_octets_are_these() -> None:
    assert encode(REQUEST) == OCTETS
    assert decode(OCTETS) == REQUEST
    assert encode(REJECT) == REJECT_OCTETS
    assert decode(REJECT_OCTETS.ljust(46, b"\0")) == REJECT
    for spoilt in (b"\0" * 8, REJECT_OCTETS[-8:-1], REJECT_OCTETS[-8:] * 2):
        octets = REJECT_OCTETS[:6] + bytes([0, 33 + len(spoilt)]) + REJECT_OCTETS[8:33] + spoilt
        with pytest.raises(MalformedMessage):
            decode(octets)


@settings(max_examples=300, deadline=None)
@given(messages())
def test_what_is_encoded_decodes(message: ResizeMessage) -> None:
    assert decode(encode(message)) == message


def test_the_largest_request_fits_an_ordinary_frame() -> None:
    slots = tuple(range(1, MAX_SLOTS + 1))
    request = replace(REQUEST, targets=(0, MAX_SLOTS), slots=slots, server="x" * 160)
    assert len(encode(request)) <= 1500
    fine = replace(REQUEST, targets=(119, 119), slots=tuple(range(1, 120)))
    assert len(encode(fine)) <= 300


def test_padding_of_a_short_frame_is_no_part_of_it() -> None:
    message = ResizeMessage(Kind.NCS, 7, 0, 9, (2, 2), 1)
    octets = encode(message)
    assert decode(octets.ljust(46, b"\0")) == message
    for spoilt in (octets.ljust(47, b"\0"), octets + b"\1", octets[:-1], OCTETS + b"\0"):
        with pytest.raises(MalformedMessage):
            decode(spoilt)


@settings(max_examples=300, deadline=None)
@given(messages(), st.data())
def test_every_cut_is_noticed(message: ResizeMessage, data: st.DataObject) -> None:
    octets = encode(message)
    with pytest.raises(MalformedMessage):
        decode(octets[: data.draw(st.integers(0, len(octets) - 1))])


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=80) | st.binary(max_size=80).map(lambda tail: OCTETS[:6] + tail))
def test_noise_raises_nothing_but_its_own_error(noise: bytes) -> None:
    with contextlib.suppress(MalformedMessage):
        octets = encode(decode(noise))
        assert octets.ljust(len(noise), b"\0") == noise


@settings(max_examples=500, deadline=None)
@given(messages(), st.data())
def test_a_spoilt_octet_is_noticed_or_makes_another_message(message: ResizeMessage, data: st.DataObject) -> None:
    octets = bytearray(encode(message))
    octets[data.draw(st.integers(0, len(octets) - 1))] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(MalformedMessage):
        assert decode(bytes(octets)) != message


@pytest.mark.parametrize(
    "wrong",
    [
        replace(REQUEST, slots=(1, 1, 2)),
        replace(REQUEST, slots=(0, 1, 2)),
        replace(REQUEST, slots=(1, 2)),
        replace(REQUEST, slots=(1, 2, 65536)),
        replace(REQUEST, server=""),
        replace(REQUEST, server="x" * 161),
        replace(REQUEST, slice_id=0),
        replace(REQUEST, slice_id=2**32),
        replace(REQUEST, attempt=0),
        replace(REQUEST, direction=2),
        replace(REQUEST, targets=(-1, 3)),
        replace(REQUEST, previous=65536),
        replace(REQUEST, reason=Reason.TIMEOUT),
        replace(REQUEST, detail="why"),
        replace(REQUEST, latest=2**63),
        replace(REJECT, latest=5),
        replace(REJECT, latest=2**64),
        replace(REJECT, kind=Kind.RELEASE),
        replace(REQUEST, kind=Kind.ACCEPT),
        replace(REQUEST, kind=Kind.REJECT, server="", slots=()),
        replace(REQUEST, kind=Kind.BWR_IND, server="", slots=(), reason=Reason.REJECTED),
        replace(REQUEST, targets=(3, 513), slots=tuple(range(1, 514))),
    ],
)
def test_what_makes_no_message_is_not_sent(wrong: ResizeMessage) -> None:
    with pytest.raises(MalformedMessage):
        encode(wrong)


def test_control_follows_from_the_counts() -> None:
    assert REQUEST.control is Control.REMOVE
    assert replace(REQUEST, previous=2).control is Control.ADD
    assert replace(REQUEST, previous=3).control is Control.IDLE

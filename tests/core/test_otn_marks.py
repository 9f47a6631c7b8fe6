"""The coding that controller and line card share, against its definition in bits."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.core.otn.marks import CONTROLLER_TAG, LINE_CARD_TAG, Directory, cookie, slice_of

SLICES = st.integers(0, (1 << 32) - 1)


@settings(max_examples=200, deadline=None)
@given(SLICES, st.integers(0, 1), st.booleans(), st.booleans())
def test_what_is_written_is_read_back(slice_id: int, direction: int, follows: bool, transit: bool) -> None:
    mark = Directory(slice_id, direction, follows, transit)
    assert f"{mark.metadata:040b}" == f"{slice_id:032b}00000{transit:d}{follows:d}{direction}"
    assert Directory.of(mark.metadata) == mark


@pytest.mark.parametrize("metadata", [0b1000, 7 << 8 | 0b10000001, 1 << 40])
def test_another_coding_is_not_taken_for_ours(metadata: int) -> None:
    assert Directory.of(metadata) is None


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([CONTROLLER_TAG, LINE_CARD_TAG]), st.integers(0, 1 << 20), SLICES)
def test_a_cookie_is_a_tag_a_generation_and_a_slice(tag: int, generation: int, slice_id: int) -> None:
    made = cookie(tag, generation, slice_id)
    assert f"{made:016x}" == f"{tag:04x}{generation % 65536:04x}{slice_id:08x}"
    assert slice_of(made) == slice_id

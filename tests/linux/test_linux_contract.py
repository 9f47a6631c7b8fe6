"""What a pipeline may bring: the contract, or more that this target then refuses to write."""

from __future__ import annotations

import grpc
import pytest
from finsy.proto import p4i, p4r
from p4_client import INSERT, MODIFY, Schema

from controller.linux import contract
from controller.linux.codec import decode_update
from controller.linux.pipeline import Pipeline, to_bytes, to_int
from controller.linux.rejected import Rejected

EXTRA_TABLE, EXTRA_ACTION = 0x02000777, 0x01000777


def config(change=lambda info: None):
    found = p4r.ForwardingPipelineConfig()
    found.p4info.CopyFrom(Schema().p4info)
    change(found.p4info)
    return found


def widened(info):
    """One more table, and one more action in a table of the contract."""
    info.actions.add().preamble.MergeFrom(p4i.Preamble(id=EXTRA_ACTION, alias="mirror"))
    table = info.tables.add()
    table.preamble.MergeFrom(p4i.Preamble(id=EXTRA_TABLE, alias="acl"))
    table.match_fields.add(id=1, name="port", bitwidth=9, match_type=p4i.MatchField.EXACT)
    table.action_refs.add(id=EXTRA_ACTION)
    next(t for t in info.tables if t.preamble.alias == "edge_filter").action_refs.add(id=EXTRA_ACTION)


def lacking(table, field=None):
    def change(info):
        found = next(t for t in info.tables if t.preamble.alias == table)
        if field is None:
            info.tables.remove(found)
        else:
            next(f for f in found.match_fields if f.name == field).bitwidth = 7

    return change


def test_committed_pipeline_is_the_contract():
    contract.check(Pipeline(config()))
    contract.check(Pipeline(config(widened)))


@pytest.mark.parametrize("change", [*map(lacking, contract.FIELDS), lacking("next_hop", "next_hop")])
def test_pipeline_that_lacks_a_table_or_a_width_is_refused(change):
    with pytest.raises(Rejected) as refused:
        contract.check(Pipeline(config(change)))
    assert refused.value.code is grpc.StatusCode.INVALID_ARGUMENT


def without_selector(info):
    next(t for t in info.tables if t.preamble.alias == "next_hop_group").implementation_id = 0


def without(kind, name):
    def change(info):
        of_kind = getattr(info, kind)
        of_kind.remove(next(item for item in of_kind if item.preamble.alias == name))

    return change


CELLS = [("meters", name) for name in contract.METERS] + [("counters", name) for name in contract.COUNTERS]


@pytest.mark.parametrize("change", [without_selector, *(without(*cell) for cell in sorted(CELLS))])
def test_pipeline_that_lacks_a_selector_a_meter_or_a_counter_is_refused(change):
    with pytest.raises(Rejected) as refused:
        contract.check(Pipeline(config(change)))
    assert refused.value.code is grpc.StatusCode.INVALID_ARGUMENT


def test_meter_beyond_the_contract_is_not_taken_for_the_slices():
    def more(info):
        info.meters.add().preamble.MergeFrom(p4i.Preamble(id=0x14000777, alias="other"))

    pipeline = Pipeline(config(more))
    cell = p4r.MeterEntry(meter_id=0x14000777, index=p4r.Index(index=5), config=p4r.MeterConfig(cir=9, pir=9))
    with pytest.raises(Rejected) as refused:
        decode_update(pipeline, p4r.Update(type=MODIFY, entity=p4r.Entity(meter_entry=cell)))
    assert refused.value.code is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("action", [a for actions in contract.ACTIONS.values() for a in actions])
def test_pipeline_that_lacks_an_action_or_a_parameter_is_refused(action):
    def change(info):
        next(a for a in info.actions if a.preamble.alias == action).params.add(id=99, name="more", bitwidth=8)

    with pytest.raises(Rejected):
        contract.check(Pipeline(config(change)))


@pytest.mark.parametrize("table", ["acl", "edge_filter"])
def test_what_goes_beyond_the_contract_is_not_silently_taken(table):
    pipeline = Pipeline(config(widened))
    entry = p4r.TableEntry(table_id=pipeline.table_names[table].id)
    match = entry.match.add(field_id=1)
    if table == "acl":
        match.exact.value = b"\1"
    else:
        match.lpm.MergeFrom(p4r.FieldMatch.LPM(value=b"\xfc" + bytes(15), prefix_len=8))
    entry.action.action.action_id = EXTRA_ACTION
    with pytest.raises(Rejected) as refused:
        decode_update(pipeline, p4r.Update(type=INSERT, entity=p4r.Entity(table_entry=entry)))
    assert refused.value.code is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize(("value", "canonical"), [(0, b"\0"), (255, b"\xff"), (256, b"\1\0")])
def test_numbers_travel_in_canonical_bytes(value, canonical):
    assert to_bytes(value) == canonical
    assert to_int(b"\0\0" + canonical, 9, "port") == value
    with pytest.raises(Rejected):
        to_int(b"\2\0", 9, "port")
    with pytest.raises(Rejected):
        to_int(b"", 9, "port")

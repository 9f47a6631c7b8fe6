"""Any batch of changes, message by message, against a model of an OpenFlow 1.3 switch."""

from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from optical_lab import crossing

from controller.core.entries import Change, CrossConnect, Entry, Operation, SliceMeter
from controller.drivers.osken_native import ofproto, parser
from controller.drivers.otn_batch import Phase, Planner, Write
from controller.drivers.otn_flows import DIRECTORY_TABLE, Holdings


@dataclass
class SwitchModel:
    """Refuses a flow whose meter is absent; deletes a meter's flows with the meter (OpenFlow 1.3.5, 6.4, 6.6)."""

    meters: dict[int, tuple[int, int]] = field(default_factory=dict)
    flows: dict[tuple[int, str], tuple[int, int | None, tuple[Any, ...]]] = field(default_factory=dict)
    """(table, match) → slice, meter, actions."""

    def obey(self, message: Any) -> None:
        if isinstance(message, parser.OFPMeterMod):
            self._meter(message)
        else:
            self._flow(message)

    def _meter(self, message: Any) -> None:
        number = message.meter_id
        assert (number in self.meters) == (message.command != ofproto.OFPMC_ADD)
        if message.command == ofproto.OFPMC_DELETE:
            del self.meters[number]
            self.flows = {match: flow for match, flow in self.flows.items() if flow[1] != number}
        else:
            (band,) = message.bands
            self.meters[number] = band.rate, band.burst_size

    def _flow(self, message: Any) -> None:
        match = message.table_id, str(sorted(message.match.items()))
        if message.command == ofproto.OFPFC_DELETE_STRICT:
            self.flows.pop(match, None)
            return
        meters = [i.meter_id for i in message.instructions if isinstance(i, parser.OFPInstructionMeter)]
        actions = [a for i in message.instructions if isinstance(i, parser.OFPInstructionActions) for a in i.actions]
        assert all(number in self.meters for number in meters)
        told = tuple(a.port if isinstance(a, parser.OFPActionOutput) else (a.key, a.value) for a in actions)
        self.flows[match] = message.cookie & 0xFFFFFFFF, meters[0] if meters else None, told

    def carriers(self, slice_id: int) -> list[int | None]:
        """The meter of each flow that carries the slice."""
        return [meter for (table, _), (slice_, meter, _) in self.flows.items() if slice_ == slice_id and table == 0]

    def rate(self, slice_id: int) -> tuple[int, int] | None:
        """As the directory says."""
        found = [m for (table, _), (s, m, _) in self.flows.items() if s == slice_id and table == DIRECTORY_TABLE]
        assert len(found) <= 1
        return self.meters[found[0]] if found and found[0] is not None else None


SLICES = (1, 2, 0xFFFFFFFF)
entries = st.one_of(
    st.builds(
        crossing,
        st.integers(1, 2),
        st.integers(3, 4),
        st.sampled_from([None, 0x06AA]),
        slice_id=st.sampled_from(SLICES),
    ),
    st.builds(SliceMeter, st.sampled_from(SLICES), st.just(0), st.integers(1, 3), st.just(10)),
)
changes = st.builds(Change, st.sampled_from(list(Operation)), entries)
batches = st.lists(st.lists(changes, min_size=1, max_size=8), min_size=1, max_size=6)


def desired(before: dict[object, Entry], batch: list[Change]) -> dict[object, Entry]:
    after = dict(before)
    for change in batch:
        if change.operation is Operation.DELETE:
            after.pop(change.entry.key, None)
        else:
            after[change.entry.key] = change.entry
    return after


def crossed(wanted: dict[object, Entry], slice_id: int) -> bool:
    return ("cross-connect", slice_id, 0) in wanted


def metered(wanted: dict[object, Entry], slice_id: int) -> bool:
    return ("slice-meter", slice_id, 0) in wanted


def told_by(wanted: dict[object, Entry]) -> list[tuple[int, tuple[Any, ...]]]:
    """(slice, actions) of each cross-connect wanted."""
    told = []
    for entry in wanted.values():
        if isinstance(entry, CrossConnect):
            rewrite = () if entry.rewrite is None else (("eth_dst", "00:00:00:00:06:aa"),)
            told.append((entry.slice_id, (*rewrite, entry.out_port)))
    return sorted(told)


@settings(max_examples=150, deadline=None)
@given(batches)
def test_every_batch_ends_as_asked_and_never_breaks_or_frees_what_stays(given_batches: list[list[Change]]) -> None:
    switch, held, wanted = SwitchModel(), Holdings(), {}
    for batch in given_batches:
        before, wanted = wanted, desired(wanted, batch)
        plan = Planner(None, 1, held).plan(batch)
        writes: list[Write] = [write for phase in Phase for write in plan.phases[phase]]
        for write in writes:
            switch.obey(write.message)
            for slice_id in SLICES:
                carriers = switch.carriers(slice_id)
                if crossed(before, slice_id) and crossed(wanted, slice_id):
                    assert carriers, "a cross-connect that stays must carry at every moment"
                if metered(before, slice_id) and metered(wanted, slice_id):
                    assert None not in carriers, "a slice that stays metered is never free"
        held = plan.after
        flows = [(slice_, told) for (table, _), (slice_, _, told) in switch.flows.items() if table == 0]
        assert sorted(flows) == told_by(wanted)
        for slice_id in SLICES:
            meter = wanted.get(("slice-meter", slice_id, 0))
            rate = (meter.rate_kbps, meter.burst_kbit) if isinstance(meter, SliceMeter) else None
            assert switch.rate(slice_id) == rate
            assert all((number is not None) == (rate is not None) for number in switch.carriers(slice_id))

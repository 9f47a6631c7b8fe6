"""Any batch of changes, message by message, against a model of an OpenFlow 1.3 switch."""

from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from optical_lab import crossing

from controller.core.entries import SELECTOR, Change, CrossConnect, Entry, Operation, SliceMeter
from controller.drivers.osken_native import ofproto, parser
from controller.drivers.otn_batch import Phase, Planner, Write
from controller.drivers.otn_flows import Holdings

DIRECTORY_TABLE, SELECTOR_TABLE = 250, 1


@dataclass
class SwitchModel:
    """Refuses a flow whose meter is absent; deletes a meter's flows with the meter (OpenFlow 1.3.5, 6.4, 6.6).

    It knows nothing of line cards: a meter that follows has another rate by then, here and in reality.
    """

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
        tables = [i.table_id for i in message.instructions if isinstance(i, parser.OFPInstructionGotoTable)]
        assert all(number in self.meters for number in meters)
        told = tuple(a.port if isinstance(a, parser.OFPActionOutput) else (a.key, a.value) for a in actions)
        told += tuple(("table", number) for number in tables)
        self.flows[match] = message.cookie & 0xFFFFFFFF, meters[0] if meters else None, told

    def carriers(self, slice_id: int) -> list[int | None]:
        """The meter of each flow that carries the slice."""
        return [meter for (table, _), (slice_, meter, _) in self.flows.items() if slice_ == slice_id and table == 0]

    def ways(self, slice_id: int) -> set[int]:
        """The ports in from which the slice is carried."""
        texts = [match for (table, match), (slice_, *_) in self.flows.items() if slice_ == slice_id and table == 0]
        return {port for port in PORTS_IN for text in texts if f"('in_port', {port})" in text}

    def metered(self, slice_id: int) -> tuple[str, int, int] | None:
        """(how it is kept, rate, burst) as the directory says."""
        found = [(m, n) for (t, m), (s, n, _) in self.flows.items() if s == slice_id and t == DIRECTORY_TABLE]
        assert len(found) <= 1
        for match, number in found:
            assert number is not None
            return match, *self.meters[number]
        return None


SLICES = (1, 2, 0xFFFFFFFF)
PORTS_IN = (1, 2)
entries = st.one_of(
    st.builds(
        crossing,
        st.sampled_from(PORTS_IN),
        st.integers(3, 4),
        st.sampled_from([None, 0x06AA]),
        slice_id=st.sampled_from(SLICES),
    ),
    st.builds(crossing, st.sampled_from(PORTS_IN), st.just(SELECTOR), slice_id=st.sampled_from(SLICES)),
    st.builds(
        SliceMeter,
        st.sampled_from(SLICES),
        st.just(0),
        st.integers(1, 3),
        st.just(10),
        st.booleans(),
        st.booleans(),
    ),
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


def crossed(wanted: dict[object, Entry], slice_id: int) -> set[int]:
    found = [e for e in wanted.values() if isinstance(e, CrossConnect) and e.slice_id == slice_id]
    return {entry.in_port for entry in found}


def metered(wanted: dict[object, Entry], slice_id: int) -> SliceMeter | None:
    found = wanted.get(("slice-meter", slice_id, 0))
    assert found is None or isinstance(found, SliceMeter)
    return found


def told_by(wanted: dict[object, Entry]) -> list[tuple[int, str]]:
    """(slice, actions) of each cross-connect wanted."""
    told = []
    for entry in wanted.values():
        if isinstance(entry, CrossConnect):
            rewrite = () if entry.rewrite is None else (("eth_dst", "00:00:00:00:06:aa"),)
            way = ("table", SELECTOR_TABLE) if entry.out_port == SELECTOR else entry.out_port
            told.append((entry.slice_id, str((*rewrite, way))))
    return sorted(told)


def kept_as(meter: SliceMeter) -> str:
    bits = f"{meter.slice_id:032b}00000{meter.transit:d}{meter.follows:d}{meter.direction}"
    return str([("metadata", int(bits, 2))])


@settings(max_examples=150, deadline=None)
@given(batches)
def test_every_batch_ends_as_asked_and_never_breaks_or_frees_what_stays(given_batches: list[list[Change]]) -> None:
    switch, held, wanted = SwitchModel(), Holdings(), dict[object, Entry]()
    for batch in given_batches:
        before, wanted = wanted, desired(wanted, batch)
        plan = Planner(None, 1, held).plan(batch)
        writes: list[Write] = [write for phase in Phase for write in plan.phases[phase]]
        for write in writes:
            switch.obey(write.message)
            for slice_id in SLICES:
                stays = crossed(before, slice_id) & crossed(wanted, slice_id)
                assert stays <= switch.ways(slice_id), "a cross-connect that stays must carry at every moment"
                if metered(before, slice_id) and metered(wanted, slice_id):
                    assert None not in switch.carriers(slice_id), "a slice that stays metered is never free"
        held = plan.after
        flows = [(slice_, str(told)) for (table, _), (slice_, _, told) in switch.flows.items() if table == 0]
        assert sorted(flows) == told_by(wanted)
        for slice_id in SLICES:
            meter = metered(wanted, slice_id)
            assert (switch.metered(slice_id) or ("",))[0] == (kept_as(meter) if meter else "")
            if meter and not meter.follows:
                assert switch.metered(slice_id) == (kept_as(meter), meter.rate_kbps, meter.burst_kbit)
            assert all((number is not None) == (meter is not None) for number in switch.carriers(slice_id))


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9))
def test_the_rate_of_a_meter_that_follows_is_not_the_controllers_to_change(made: int, set_: int, asked: int) -> None:
    """Whatever the line card set meanwhile stays, also when the meter turns from source to transit."""
    switch = SwitchModel()
    plan = Planner(None, 1, Holdings()).plan([Change(Operation.INSERT, SliceMeter(7, 0, made, 10, True))])
    for phase in Phase:
        for write in plan.phases[phase]:
            switch.obey(write.message)
    switch.meters[1] = set_, 10
    for transit in (False, True):
        meter = SliceMeter(7, 0, asked, 10, True, transit)
        plan = Planner(None, 1, plan.after).plan([Change(Operation.MODIFY, meter)])
        for phase in Phase:
            for write in plan.phases[phase]:
                switch.obey(write.message)
        assert switch.metered(7) == (kept_as(meter), set_, 10)

"""What a record is one stage on: its state follows the traffic, and the network as it is when that is steered."""

from __future__ import annotations

from dataclasses import replace

from networks import Network, corridor, square

from controller.core.conditions import ConditionType
from controller.core.errors import DeviceUnreachable
from controller.core.model import Stage, State, Status
from controller.core.names import short
from controller.core.plan import plan
from controller.core.records import Leftover, Record
from controller.core.stages import next_record, rolled_back


def steering(state: State = State.PROVISIONING) -> tuple[Network, Record]:
    net = Network.of(square())
    record = plan(net.snapshot, corridor()).record
    return net, replace(record, corridor=replace(record.corridor, state=state), stage=Stage.STEER)


def test_a_corridor_is_up_once_it_is_steered() -> None:
    net, record = steering()
    after = next_record(net.topology, record, net.now)
    assert (after.stage, after.corridor.state, after.corridor.conditions) == (Stage.CLEAN, State.UP, ())


def test_a_corridor_that_is_steered_to_a_path_just_lost_is_down_and_says_so() -> None:
    for state in (State.PROVISIONING, State.UP, State.DOWN):
        net, record = steering(state)
        assert record.target is not None
        net.link(short(record.target.leg.links[0]), Status.DOWN)
        after = next_record(net.topology, record, net.now)
        assert after.corridor.state is State.DOWN
        assert [(c.type, c.reason) for c in after.corridor.conditions] == [(ConditionType.PATH_LOST, "LOST_AGAIN")]


def test_what_silent_nodes_hold_survives_every_stage_and_the_way_back() -> None:
    net, record = steering()
    assert record.target is not None
    held = (Leftover(record.target, ("domains/lab/nodes/o2",), ()),)
    record = replace(record, leftovers=held, current=record.target, previous=record.corridor)
    failure = DeviceUnreachable("domains/lab/nodes/o2", "away")
    assert rolled_back(replace(record, stage=Stage.BUILD), record.corridor, failure, net.now).leftovers == held
    for stage in (Stage.BUILD, Stage.STEER, Stage.CLEAN):
        assert next_record(net.topology, replace(record, stage=stage), net.now).leftovers == held

"""What a record is one stage on, and on the way back of a change that could not be made."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from controller.core import slice_sizes
from controller.core.conditions import ConditionType, with_condition, without_condition
from controller.core.errors import DeviceError
from controller.core.generation import next_generation
from controller.core.lifecycle import NEXT_STAGE, Happening, after
from controller.core.model import Corridor, ResizeState, Stage, State
from controller.core.protection import Service, service_of
from controller.core.records import Placement, Record
from controller.core.topology import Topology


def next_record(topology: Topology, record: Record, now: datetime) -> Record:
    """The record one stage on; settled, it is what its change led to.

    Its state follows the traffic: once that is steered, the corridor is what its new path makes of it.
    """
    record = slice_sizes.with_resize_state(record, slice_sizes.changing(record), ResizeState.MODIFIED_OK)
    stage = NEXT_STAGE[record.stage]
    corridor = replace(record.corridor, stage=stage)
    if stage is Stage.CLEAN:
        return replace(record, corridor=_steered(topology, record, corridor, now), stage=stage)
    if stage is not Stage.SETTLED:
        return replace(record, corridor=corridor, stage=stage)
    if record.then is not None:  # nothing stands in its way any more
        corridor = replace(corridor, stage=Stage.BUILD)
        return Record(corridor, None, record.then, Stage.BUILD, None, record.request, record.leftovers)
    return replace(record, corridor=_settled(record, corridor), current=record.target, stage=stage, previous=None)


def rolled_back(record: Record, previous: Corridor, failure: DeviceError, now: datetime) -> Record:
    """On the way back to what stood. Claims of both states are held until every device has let go of the new one."""
    corridor = next_generation(
        replace(
            previous,
            state=record.corridor.state,
            conditions=record.corridor.conditions,
            generation=record.corridor.generation,
            observed_generation=record.corridor.observed_generation,
            stage=Stage.CLEAN,
            reconciling=True,
        ),
        now,
    )
    corridor = with_condition(corridor, ConditionType.ROLLED_BACK, True, type(failure).__name__, str(failure), now)
    back = replace(
        record,
        corridor=corridor,
        current=record.target,
        target=record.current,
        stage=Stage.CLEAN,
        previous=None,
        then=None,
    )
    return slice_sizes.with_resize_state(back, slice_sizes.changing(record), ResizeState.MODIFY_FAILED)


def is_hopeless(topology: Topology, record: Record) -> bool:
    """Whether a node that is silent keeps traffic from nothing: from a path that is dead itself, off one that is, or
    out of a corridor that goes and whose path is dead."""
    if record.then is not None or record.stage not in (Stage.BUILD, Stage.STEER):
        return False
    if record.current is None:  # first builds wait: there was nothing before, and nothing is lost
        worth = any(each.type == ConditionType.INTERRUPTED for each in record.corridor.conditions)
    else:
        worth = record.stage is Stage.STEER or record.target is None
    return worth and all(_lost(topology, record.corridor, each) for each in record.placements)


def abandoned(topology: Topology, record: Record, now: datetime) -> Record:
    """Settled where the change led to, on a dead path or on none, whether or not all nodes agree."""
    corridor = _steered(topology, record, record.corridor, now)
    corridor = without_condition(corridor, ConditionType.BLOCKED)
    corridor = replace(corridor, stage=Stage.SETTLED, reconciling=False)
    return replace(record, corridor=corridor, current=record.target, stage=Stage.SETTLED, previous=None)


def _steered(topology: Topology, record: Record, corridor: Corridor, now: datetime) -> Corridor:
    """It is carried by its new path, unless that was lost meanwhile: never up on a dead one."""
    if corridor.state is State.DELETING:
        return corridor
    if record.target is None:
        message = "it is taken off its path before the new one is built, on the slots of the old"
        corridor = replace(corridor, state=after(corridor.state, Happening.PATH_LOST))
        return with_condition(corridor, ConditionType.INTERRUPTED, True, "BREAK_BEFORE_MAKE", message, now)
    corridor = without_condition(without_condition(corridor, ConditionType.INTERRUPTED), ConditionType.BLOCKED)
    if _lost(topology, corridor, record.target):
        corridor = replace(corridor, state=after(corridor.state, Happening.PATH_LOST))
        message = "the new path was lost while the traffic was steered to it"
        return with_condition(corridor, ConditionType.PATH_LOST, True, "LOST_AGAIN", message, now)
    corridor = without_condition(corridor, ConditionType.PATH_LOST)
    return replace(corridor, state=after(corridor.state, Happening.SETTLED))


def _lost(topology: Topology, corridor: Corridor, target: Placement) -> bool:
    return service_of(topology, corridor, target) is Service.LOST


def _settled(record: Record, corridor: Corridor) -> Corridor:
    """Every device agrees, or has been set aside; what was rolled back says so until the next change."""
    corridor = without_condition(corridor, ConditionType.BLOCKED)
    if corridor.state is State.PROVISIONING:  # steered by a controller that said so only now
        corridor = replace(corridor, state=after(corridor.state, Happening.SETTLED))
    waits = record.target is None and bool(record.leftovers)
    return replace(corridor, reconciling=waits, observed_generation=corridor.generation)

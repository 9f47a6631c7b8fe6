"""What claims are for: as slices say, and what a corridor leaves while it moves."""

from __future__ import annotations

from dataclasses import replace

from networks import Network, chain, corridor, square

from controller.core.model import Status
from controller.core.otn.ledger import ClaimRole
from controller.core.records import Record, claims_of


def roles(record: Record) -> dict[str, set[ClaimRole]]:
    """By fibre."""
    found: dict[str, set[ClaimRole]] = {}
    for claim in claims_of(record):
        found.setdefault(claim.row.link.rsplit("/", 1)[1], set()).add(claim.role)
    return found


def test_while_a_corridor_moves_it_leaves_the_old_slots_and_works_on_the_new() -> None:
    net = Network.of(square())
    standing = net.stand(corridor())
    assert roles(standing) == {"F-13": {ClaimRole.WORKING}}
    net.link("F-13", Status.DOWN)
    moving = net.ask(standing.corridor)
    working = {"F-12": {ClaimRole.WORKING}, "F-23": {ClaimRole.WORKING}}
    assert roles(moving) == {"F-13": {ClaimRole.MOVE}, **working}
    back = net.roll_back(moving.name)
    assert roles(back) == {"F-13": {ClaimRole.WORKING}, "F-12": {ClaimRole.MOVE}, "F-23": {ClaimRole.MOVE}}
    net.settle(moving.name)
    assert roles(net.records[moving.name]) == {"F-13": {ClaimRole.WORKING}}


def test_what_grows_in_its_place_works_there_all_the_time() -> None:
    net = Network.of(chain(2))
    standing = net.stand(corridor(a=1, z=2, rates=(20_000,)))
    profile = replace(standing.corridor.profiles[0], bandwidth_kbps=200_000)
    growing = net.ask(replace(standing.corridor, profiles=(profile,)))
    assert roles(growing) == {"F-1-2": {ClaimRole.WORKING}}
    net.settle(growing.name)
    assert roles(net.remove(growing.name)) == {"F-1-2": {ClaimRole.WORKING}}, "nothing comes in its place"

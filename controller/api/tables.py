"""Corridors and topologies as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rich.console import Group, RenderableType
from rich.table import Table

from controller.api.quantities import duration, rate
from controller.core import names
from controller.core.drift import DeviceDrift, Drift
from controller.core.leadership import Controller
from controller.core.maintenance import Draining
from controller.core.model import (
    BackupPath,
    Capabilities,
    Corridor,
    CorridorEvent,
    EndPoint,
    Leg,
    Link,
    Liveness,
    Node,
    NodeKind,
    PathConstraints,
    Profile,
    TopologyView,
)
from controller.core.otn.moves import Defragmentation
from controller.core.promises import Move


def corridor_list(corridors: Iterable[Corridor]) -> RenderableType:
    """One row per corridor."""
    table = Table("Corridor", "State", "Ends", "Isolation", "Profile", "Rate", "Latency", box=None, header_style="bold")
    for each in corridors:
        active = _active(each)
        table.add_row(
            _short_corridor(each.name),
            _state(each),
            f"{_end(each.a_end)} → {_end(each.z_end)}",
            each.isolation.lower(),
            active.name,
            _rates(active),
            _latency(each),
        )
    return table


def corridor_details(corridor: Corridor) -> RenderableType:
    """Everything that its owner and its operator ask about."""
    table = Table(show_header=False, box=None)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    table.add_row("corridor", corridor.name)
    if corridor.display_name:
        table.add_row("", corridor.display_name)
    table.add_row("state", f"{_state(corridor)}, generation {corridor.generation}, etag {corridor.etag}")
    table.add_row("ends", f"{_end(corridor.a_end)} → {_end(corridor.z_end)}")
    table.add_row(
        "kind", f"{corridor.isolation.lower()}, reserves {corridor.reservation.lower()}, {corridor.protection.lower()}"
    )
    for profile in corridor.profiles:
        mark = " (active)" if profile.name == corridor.active_profile else ""
        table.add_row("profile", f"{profile.name} {_rates(profile)}{mark}")
    table.add_row("latency", _latency(corridor))
    if corridor.slo is not None:
        table.add_row("promise", " ".join((corridor.slo.verdict.lower(), corridor.slo.reason, corridor.slo.message)))
    if corridor.last_move is not None:
        table.add_row("last move", _move(corridor.last_move))
    for constraint in _constraints(corridor.path_constraints):
        table.add_row("path by", constraint)
    for leg in corridor.legs:
        _leg_rows(table, leg)
    for condition in corridor.conditions:
        table.add_row("condition", f"{condition.type} is {condition.status}: {condition.message or condition.reason}")
    return table


def _move(move: Move) -> str:
    how = "hitless" if move.hitless else "with an interruption"
    return (
        f"{move.reason.lower()}, {how}, {duration(move.faster_us)} faster, {move.overtaken_packets} packets overtaken"
    )


def _constraints(asked: PathConstraints) -> Iterable[str]:
    """One line per constraint; nothing where there is none."""
    if asked == PathConstraints():
        return
    bounds = [f"at most {asked.max_hops} hops"] if asked.max_hops else []
    bounds += [f"jitter at most {duration(asked.max_jitter_us)}"] if asked.max_jitter_us else []
    yield ", ".join([f"least {asked.objective.lower()}", *bounds])
    for title, values in (
        ("including", (*asked.include_nodes, *asked.include_links)),
        ("excluding", (*asked.exclude_nodes, *asked.exclude_links)),
        ("excluding risk groups", asked.exclude_srlgs),
        ("with any of", asked.include_any_affinities),
        ("with all of", asked.include_all_affinities),
        ("with none of", asked.exclude_any_affinities),
    ):
        if values:
            yield f"{title} {' '.join(names.short(str(value)) for value in values)}"


def _leg_rows(table: Table, leg: Leg) -> None:
    table.add_row("path", f"{names.short(leg.domain)}: {' → '.join(map(names.short, leg.nodes))}")
    table.add_row("links", " ".join(map(names.short, leg.links)))
    if leg.nodes:
        a, z = names.short(leg.nodes[0]), names.short(leg.nodes[-1])
        table.add_row("excess", f"{leg.forward_enforcement.lower()} at {a}, {leg.reverse_enforcement.lower()} at {z}")
    _list_rows(table, leg)
    if leg.backup is not None:
        table.add_row("backup", f"{' → '.join(map(names.short, leg.backup.nodes))}, {duration(leg.backup.latency_us)}")
        table.add_row("links", " ".join(map(names.short, leg.backup.links)))
        _list_rows(table, leg.backup)
    for each in leg.slices:
        hops = "; ".join(f"{names.short(hop.link)}/{hop.server} slots {hop.slots}" for hop in each.hops)
        table.add_row(
            "slice", f"{each.id} {each.container}, {each.active_slots} of {each.claimed_slots} slots on: {hops}"
        )


def _list_rows(table: Table, path: Leg | BackupPath) -> None:
    for title, segments in (("segments", path.forward), ("reverse", path.reverse)):
        if segments.carriers:
            table.add_row(title, f"{', '.join(segments.carriers)}  {segments.description}".rstrip())


def topology_tables(view: TopologyView) -> RenderableType:
    """Nodes and links of a domain."""
    return Group(
        f"{view.name}, version {view.version}, SRv6 block {view.srv6_block}", _nodes(view.nodes), _links(view.links)
    )


def _nodes(nodes: Iterable[Node]) -> Table:
    header = ("Node", "Kind", "Status", "Id", "Site", "Access ports", "Capabilities", "Trouble")
    table = Table(*header, box=None, header_style="bold")
    for node in nodes:
        ports = " ".join(port.name for port in node.access_ports)
        able = _capabilities(node.capabilities) if node.kind is NodeKind.ROUTER else ""
        kind, number = node.kind.lower(), str(node.node_id)
        table.add_row(names.short(node.name), kind, _status(node), number, node.site, ports, able, node.trouble)
    return table


def _capabilities(able: Capabilities) -> str:
    """What a router does and does not, in words."""
    return ", ".join(
        (
            "shapes" if able.shaping else "polices",
            "resolves neighbours" if able.resolves_neighbors else "is told neighbours",
            f"sees {'remote failures' if able.liveness is Liveness.REMOTE else 'its own ports'}",
            f"{able.max_carriers} carriers",
            f"{able.mtu_bytes} bytes",
            "fenced" if able.fenced else "not fenced",
        )
    )


def _links(links: Iterable[Link]) -> Table:
    table = Table(
        "Link", "Kind", "Status", "Ends", "Delay", "Capacity", "Groups", "Free slots", box=None, header_style="bold"
    )
    for link in links:
        free = " ".join(f"{each.name} {min(each.free_forward, each.free_reverse)}/{each.fgts}" for each in link.servers)
        ends = f"{names.short(link.a_node)} – {names.short(link.z_node)}"
        capacity = rate(link.capacity_kbps) if link.capacity_kbps else ""
        groups = " ".join((*map(str, link.srlgs), *link.affinities))
        delay = duration(link.delay_us)
        table.add_row(names.short(link.name), link.kind.lower(), _status(link), ends, delay, capacity, groups, free)
    return table


def _status(thing: Node | Link) -> str:
    return f"{thing.status}, drained" if thing.drained else str(thing.status)


def defragmentation_tables(found: Defragmentation) -> RenderableType:
    """Moves and freed server ODUs, or why there are none."""
    if not found.moves:
        return "nothing to free within this bound"
    moves = Table("", "Corridor", "Fibre", "From", "To", "Made", box=None, header_style="bold")
    for number, move in enumerate(found.moves, 1):
        for change in move.changes:
            ends = change.from_server, change.to_server
            row = (str(number), _short_corridor(move.corridor), names.short(change.link), *ends)
            moves.add_row(*row, "yes" if move.done else "")
    freed = Table("Freed", "Server", "Slots", "After moves", box=None, header_style="bold")
    for each in found.freed:
        freed.add_row(names.short(each.link), each.server, str(each.fgts), str(each.after_moves))
    return Group(moves, freed, *([f"stopped: {found.stopped}"] if found.stopped else []))


def drift_tables(found: Drift) -> RenderableType:
    """One row per device, and one per entry that is not as it shall be."""
    devices = Table("Device", "State", "Desired", "Differ", "Read", "Repaired", box=None, header_style="bold")
    entries = Table("Device", "Entry is", "Desired, or there unasked", "Actual", box=None, header_style="bold")
    for each in found.devices:
        name = names.short(each.node)
        differ = f"{len(each.entries)}{'+' if each.truncated else ''}"
        read = f"{each.read_time:%H:%M:%S}" if each.read_time else "never"
        devices.add_row(name, _reached(each), str(each.desired), differ, read, _repaired(each))
        for entry in each.entries:
            entries.add_row(name, entry.kind.lower(), entry.entry, entry.actual)
    return Group(devices, *([entries] if entries.row_count else []))


def _reached(device: DeviceDrift) -> str:
    return "connected" if device.connected else f"not connected: {device.trouble}".removesuffix(": ")


def _repaired(device: DeviceDrift) -> str:
    when = f", last {device.repair_time:%H:%M:%S}" if device.repair_time else ""
    return f"{device.repaired}{when}" if device.repaired else ""


def draining_tables(found: Draining) -> RenderableType:
    """What moved, and what stays with the reason."""
    state = "drained" if found.drained else "in use"
    told = f"{found.name}: {state}, {len(found.moved)} moved, {len(found.staying)} staying"
    moved = [f"moved: {' '.join(map(_short_corridor, found.moved))}"] if found.moved else []
    staying = Table("Staying", "Reason", "", box=None, header_style="bold")
    for each in found.staying:
        staying.add_row(_short_corridor(each.corridor), each.reason, each.message)
    return Group(told, *moved, *([staying] if found.staying else []))


def controller_details(found: Controller) -> RenderableType:
    """Who answers, and who leads."""
    table = Table(box=None, show_header=False)
    table.add_row("Controller", found.id)
    table.add_row("Role", found.role.lower())
    table.add_row("Epoch", str(found.epoch))
    table.add_row("Leader", f"{found.leader_grpc}  {found.leader_rest}" if found.leader_grpc else "none")
    if found.lease_end:
        table.add_row("Lease ends", f"{found.lease_end:%H:%M:%S.%f}"[:-5])
    return table


def lab_processes(title: str, processes: Mapping[str, tuple[int, bool]], targets: Mapping[str, str]) -> RenderableType:
    """What runs of a lab, by `kind/name`, and each router's target by its name."""
    table = Table("Process", "Target", "Pid", "State", box=None, header_style="bold")
    for name, (pid, alive) in processes.items():
        target = targets.get(name.removeprefix("router/"), "")
        table.add_row(name, target, str(pid), "running" if alive else "gone")
    return Group(title, table)


def event_line(event: CorridorEvent) -> str:
    """One change in one line."""
    corridor, active = event.corridor, _active(event.corridor)
    what = f"{_state(corridor)}, {active.name} {_rates(active)}, {_latency(corridor)}"
    return f"{event.event_time:%H:%M:%S} {event.sequence} {event.type} {_short_corridor(corridor.name)}: {what}"


def _state(corridor: Corridor) -> str:
    return f"{corridor.state} ({corridor.stage.lower()})" if corridor.reconciling else str(corridor.state)


def _active(corridor: Corridor) -> Profile:
    return next((each for each in corridor.profiles if each.name == corridor.active_profile), Profile())


def _rates(profile: Profile) -> str:
    reverse = profile.reverse_bandwidth_kbps
    return rate(profile.bandwidth_kbps) + (f" / {rate(reverse)}" if reverse else "")


def _latency(corridor: Corridor) -> str:
    bound = f" of {duration(corridor.max_latency_us)}" if corridor.max_latency_us else ""
    return duration(sum(leg.latency_us for leg in corridor.legs)) + bound


def _end(end: EndPoint) -> str:
    return f"{names.short(end.node)}:{end.port}"


def _short_corridor(name: str) -> str:
    """`c1`, or `acme/c1` outside the default tenant, as the command takes it."""
    _, tenant, *_ = name.split("/")
    return names.short(name) if tenant == "default" else f"{tenant}/{names.short(name)}"

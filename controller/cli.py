"""The command `corridor`: a thin gRPC client, and the ways to start a controller and a lab.

Exit status: 0 done, 1 refused or failed (one line on standard error), 2 wrong usage.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import grpc
import typer
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from rich.console import Console, RenderableType
from typer.core import TyperGroup

from controller.api import tables
from controller.api.client import Client, Unsettled, one_line
from controller.api.codec import decode
from controller.api.contract import message_json
from controller.api.gen.corridor.v1 import corridor_pb2, corridors_pb2, topologies_pb2
from controller.api.statement import Statement, stating
from controller.core import names
from controller.core.drift import Drift
from controller.core.errors import CorridorError
from controller.core.leadership import Controller
from controller.core.maintenance import Draining
from controller.core.model import Corridor, CorridorEvent, TopologyView
from controller.core.otn.moves import Defragmentation
from controller.database_commands import db_app


class Output(StrEnum):
    TABLE = "table"
    JSON = "json"


class OneLineErrors(TyperGroup):
    """Whatever the controller refuses is told in one line, and fails the command."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except grpc.RpcError as error:
            complaint = one_line(error)
        except (CorridorError, Unsettled) as error:
            complaint = str(error)
        typer.echo(f"error: {' '.join(complaint.split())}", err=True)
        raise typer.Exit(1)


app = typer.Typer(
    cls=OneLineErrors,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Guaranteed pipes between places that compute.",
    epilog="A corridor is named c1 (of tenant default), acme/c1 or tenants/acme/corridors/c1.",
)
lab_app = typer.Typer(no_args_is_help=True, help="A lab of network namespaces on this machine.")
app.add_typer(lab_app, name="lab")
otn_app = typer.Typer(no_args_is_help=True, help="The optical layer.")
app.add_typer(otn_app, name="otn")
app.add_typer(db_app, name="db")

Name = Annotated[str, typer.Argument(help="c1, acme/c1 or tenants/acme/corridors/c1.")]
Thing = Annotated[str, typer.Argument(help="A node or link, by its short or full name.")]
Endpoint = Annotated[
    str, typer.Option(envvar="CORRIDOR_ENDPOINT", help="The controller's gRPC address; of several, with commas.")
]
AsOutput = Annotated[Output, typer.Option("--output", "-o", help="How to print.")]
Etag = Annotated[str, typer.Option(help="Refuse unless this is the corridor's etag.")]
Wait = Annotated[bool, typer.Option("--wait", help="Return when the devices agree.")]
Timeout = Annotated[float, typer.Option(min=0, help="Seconds to --wait at most.")]
Domain = Annotated[str, typer.Option(help="Domain of short names; else the controller's.")]
RunDir = Annotated[Path | None, typer.Option(help="The lab's directory; else /run/corridor-lab/DOMAIN.")]

ENDPOINT = "127.0.0.1:50051"
LABS = Path("/run/corridor-lab")
TIMEOUT_S = 60.0


def main() -> None:
    """Entry point of the command."""
    app()


@app.command()
@stating
def create(
    name: Name,
    statement: Statement,
    *,
    validate_only: Annotated[bool, typer.Option("--validate-only", help="Plan it, change nothing.")] = False,
    request_id: Annotated[str, typer.Option(help="A repeated request has no second effect.")] = "",
    domain: Domain = "-",
    wait: Wait = False,
    timeout: Timeout = TIMEOUT_S,
    endpoint: Endpoint = ENDPOINT,
    output: AsOutput = Output.TABLE,
) -> None:
    """Create a corridor: corridor create c1 --from zgc-r:dc1 --to yz-r:dc1 --profile training=100M."""
    parent, corridor_id = _corridor_name(name).rsplit("/corridors/", 1)
    request = corridors_pb2.CreateCorridorRequest(
        parent=parent, corridor_id=corridor_id, validate_only=validate_only, request_id=request_id
    )
    with Client(endpoint) as client:
        statement.apply(request.corridor, _FullNames(client, domain))
        if not request.corridor.active_profile and request.corridor.profiles:
            request.corridor.active_profile = request.corridor.profiles[0].name
        _show_settled(client, client.create(request), wait and not validate_only, timeout, output)


@app.command()
@stating
def patch(
    name: Name,
    statement: Statement,
    *,
    etag: Etag = "",
    domain: Domain = "-",
    wait: Wait = False,
    timeout: Timeout = TIMEOUT_S,
    endpoint: Endpoint = ENDPOINT,
    output: AsOutput = Output.TABLE,
) -> None:
    """Change what the options state, and nothing else."""
    if not statement.mask:
        raise typer.BadParameter("state at least one option to change")
    with Client(endpoint) as client:
        corridor = client.get(_corridor_name(name))
        merges = statement.touches("a_end") or statement.touches("z_end")
        corridor.etag = etag or (corridor.etag if merges else "")
        statement.apply(corridor, _FullNames(client, domain))
        request = corridors_pb2.UpdateCorridorRequest(corridor=corridor, update_mask=FieldMask(paths=statement.mask))
        _show_settled(client, client.update(request), wait, timeout, output)


@app.command()
def switch(
    name: Name,
    profile: Annotated[str, typer.Argument(help="Name of one of its profiles.")],
    *,
    etag: Etag = "",
    wait: Wait = False,
    timeout: Timeout = TIMEOUT_S,
    endpoint: Endpoint = ENDPOINT,
    output: AsOutput = Output.TABLE,
) -> None:
    """Make another profile the active one."""
    with Client(endpoint) as client:
        _show_settled(client, client.switch(_corridor_name(name), profile, etag), wait, timeout, output)


@app.command()
def delete(
    name: Name,
    *,
    etag: Etag = "",
    wait: Wait = False,
    timeout: Timeout = TIMEOUT_S,
    endpoint: Endpoint = ENDPOINT,
    output: AsOutput = Output.TABLE,
) -> None:
    """Remove a corridor; with --wait, return when it is gone."""
    with Client(endpoint) as client:
        _show_settled(client, client.delete(_corridor_name(name), etag), wait, timeout, output)


@app.command()
def get(name: Name, *, endpoint: Endpoint = ENDPOINT, output: AsOutput = Output.TABLE) -> None:
    """Show one corridor."""
    with Client(endpoint) as client:
        _show_corridor(client.get(_corridor_name(name)), output)


@app.command("list")
def list_corridors(
    *,
    tenant: Annotated[str, typer.Option(help="Only this tenant's.")] = "-",
    endpoint: Endpoint = ENDPOINT,
    output: AsOutput = Output.TABLE,
) -> None:
    """Show every corridor."""
    with Client(endpoint) as client:
        found = list(client.all(f"tenants/{tenant}"))
    if output is Output.JSON:
        _print_json({"corridors": [message_json(each) for each in found]})
    else:
        _print(tables.corridor_list(decode(each, Corridor) for each in found))


@app.command()
def watch(
    name: Annotated[str, typer.Argument(help="One corridor; else every one.")] = "",
    *,
    after: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Only changes after this sequence.")] = 0,
    count: Annotated[int, typer.Option(min=0, help="End after so many; 0: never.")] = 0,
    endpoint: Endpoint = ENDPOINT,
    output: AsOutput = Output.TABLE,
) -> None:
    """Follow corridors: first as they stand, then every change. JSON: one object per line."""
    request = corridors_pb2.WatchCorridorsRequest(after_sequence=after)
    if name:
        request.name = _corridor_name(name)
    else:
        request.parent = "tenants/-"
    with Client(endpoint) as client:
        for number, event in enumerate(client.watch(request), 1):
            if output is Output.JSON:
                typer.echo(json.dumps(message_json(event), ensure_ascii=False))
            else:
                typer.echo(tables.event_line(decode(event, CorridorEvent)))
            if number == count:
                return


@app.command()
def topology(*, domain: Domain = "-", endpoint: Endpoint = ENDPOINT, output: AsOutput = Output.TABLE) -> None:
    """Show a domain's nodes and links, both layers."""
    with Client(endpoint) as client:
        found = client.topology(domain)
    _show(found, lambda: tables.topology_tables(decode(found, TopologyView)), output)


@app.command()
def drift(
    *,
    read_now: Annotated[bool, typer.Option("--read-now", help="Read every device back first.")] = False,
    domain: Domain = "-",
    endpoint: Endpoint = ENDPOINT,
    output: AsOutput = Output.TABLE,
) -> None:
    """Show, device by device, what it shall hold against what it holds; fails where these differ."""
    with Client(endpoint) as client:
        found = client.drift(domain, read_now)
    _show(found, lambda: tables.drift_tables(decode(found, Drift)), output)
    if any(each.entries for each in found.devices):
        raise typer.Exit(1)


@app.command()
def drain(
    name: Thing,
    *,
    validate_only: Annotated[bool, typer.Option("--validate-only", help="Say what would move and stay.")] = False,
    domain: Domain = "-",
    endpoint: Endpoint = ENDPOINT,
    output: AsOutput = Output.TABLE,
) -> None:
    """Keep a node or link free for maintenance and move corridors off it; fails while one stays."""
    with Client(endpoint) as client:
        found = client.drain(_FullNames(client, domain).thing(name), validate_only)
    _show(found, lambda: tables.draining_tables(decode(found, Draining)), output)
    if found.staying:
        raise typer.Exit(1)


@app.command()
def undrain(
    name: Thing, *, domain: Domain = "-", endpoint: Endpoint = ENDPOINT, output: AsOutput = Output.TABLE
) -> None:
    """Maintenance of a node or link is over."""
    with Client(endpoint) as client:
        found = client.undrain(_FullNames(client, domain).thing(name))
    _show(found, lambda: tables.draining_tables(decode(found, Draining)), output)


@app.command()
def controller(*, endpoint: Endpoint = ENDPOINT, output: AsOutput = Output.TABLE) -> None:
    """Show the controller that answers, and who leads."""
    with Client(endpoint) as client:
        found = client.controller()
    _show(found, lambda: tables.controller_details(decode(found, Controller)), output)


@otn_app.command()
def defragment(
    *,
    max_moves: Annotated[int, typer.Option(min=1, help="Corridors that may be moved.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Plan it, change nothing.")] = False,
    domain: Domain = "-",
    endpoint: Endpoint = ENDPOINT,
    output: AsOutput = Output.TABLE,
) -> None:
    """Free whole server ODUs by moving slices into others on their own routes, without losing a packet."""
    request = topologies_pb2.DefragmentRequest(name=names.topology(domain), max_moves=max_moves, validate_only=dry_run)
    with Client(endpoint) as client:
        found = client.defragment(request)
    _show(found, lambda: tables.defragmentation_tables(decode(found, Defragmentation)), output)
    if found.stopped:
        raise typer.Exit(1)


@app.command()
def serve(
    *,
    topology: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="The topology file.")],
    inventory: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="Where each device is reached.")],
    db: Annotated[str, typer.Option(envvar="CORRIDOR_DATABASE", help="The store.")] = "sqlite:///corridor.db",
    rest: Annotated[str, typer.Option(help="Address of the REST face.")] = "127.0.0.1:8080",
    grpc: Annotated[str, typer.Option(help="Address of the gRPC face.")] = ENDPOINT,
    openflow: Annotated[str, typer.Option(help="Where OTN nodes connect; else as the inventory says.")] = "",
    controller_id: Annotated[str, typer.Option("--id", help="Unique on its database; else host and process.")] = "",
    advertise_grpc: Annotated[str, typer.Option(help="Where others reach the gRPC face; else as --grpc.")] = "",
    advertise_rest: Annotated[str, typer.Option(help="URL of the REST face for others; else from --rest.")] = "",
    lease_s: Annotated[float, typer.Option(min=0.5, help="Another leads so long after a leader's last word.")] = 2.0,
    keep_events: Annotated[int, typer.Option(min=0, help="So many of the newest; 0: 100 000.")] = 0,
) -> None:
    """Run a controller until it is told to stop. Of several on one database one leads, the others stand by."""
    from controller.app import serve as run  # a client command does not load the whole controller
    from controller.config import Settings

    addresses = {"rest": rest, "grpc": grpc, "openflow": openflow}
    advertised = {"id": controller_id, "advertise_grpc": advertise_grpc, "advertise_rest": advertise_rest}
    run(Settings(topology, inventory, db, **addresses, **advertised, lease_s=lease_s, keep_events=keep_events))


@lab_app.command("up")
def lab_up(
    topology: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A topology file.")],
    *,
    target: Annotated[
        list[str] | None, typer.Option(help="What routers run: linux or bmv2; for one: ROUTER=bmv2.")
    ] = None,
    run_dir: RunDir = None,
    output: AsOutput = Output.TABLE,
) -> None:
    """Build a lab and leave it running."""
    from topologies import lab

    by_router = dict(_assignment(each) for each in target or [])
    _show_lab(lab.up(topology, by_router.pop("", "linux"), run_dir, targets=by_router), output)


@lab_app.command("status")
def lab_status(*, run_dir: RunDir = None, output: AsOutput = Output.TABLE) -> None:
    """Show what runs of a lab; fails when a part of it is gone."""
    from topologies import lab

    found = lab.Lab.load(_run_dir(run_dir))
    _show_lab(found, output)
    if not found.status().healthy:
        raise typer.Exit(1)


@lab_app.command("call")
def lab_call(
    controllers: Annotated[int, typer.Argument(min=1, help="How many: at openflow.sock, openflow-2.sock, …")] = 1,
    *,
    run_dir: RunDir = None,
) -> None:
    """Have OTN nodes call so many controllers. For a start: it empties their tables."""
    from topologies import lab

    lab.Lab.load(_run_dir(run_dir)).call_controller(controllers)


@lab_app.command("down")
def lab_down(*, run_dir: RunDir = None) -> None:
    """Take a lab down, and all that belongs to it."""
    from topologies import lab

    lab.Lab.load(_run_dir(run_dir)).down()


def _corridor_name(name: str) -> str:
    """The full resource name of `c1`, `acme/c1` or itself."""
    if re.fullmatch(r"tenants/[^/]+/corridors/[^/]+", name):
        return name
    tenant, _, corridor_id = name.rpartition("/")
    if not corridor_id or "/" in tenant:
        raise typer.BadParameter(f"{name!r} is not CORRIDOR, TENANT/CORRIDOR or tenants/TENANT/corridors/CORRIDOR")
    return names.corridor(tenant or "default", corridor_id)


class _FullNames:
    """Full names of nodes and links; the controller is asked for its domain when a short name first needs it."""

    def __init__(self, client: Client, domain: str) -> None:
        self._client, self._domain = client, domain

    def node(self, name: str) -> str:
        return name if "/" in name else names.node(self._served(), name)

    def link(self, name: str) -> str:
        return name if "/" in name else names.link(self._served(), name)

    def thing(self, name: str) -> str:
        """Of a node or a link, whichever has that short name."""
        if "/" in name:
            return name
        view = self._client.topology(self._domain)
        known = [*(node.name for node in view.nodes), *(link.name for link in view.links)]
        found = [each for each in known if names.short(each) == name]
        if len(found) != 1:
            what = "is both a node and a link: give its full name" if found else "is neither a node nor a link"
            raise typer.BadParameter(f"{name!r} {what}")
        return found[0]

    def _served(self) -> str:
        if self._domain == "-":
            self._domain = names.domain_of(self._client.topology("-").name)
        return self._domain


def _assignment(target: str) -> tuple[str, str]:
    """The router, or "" for all others, and what it runs: of `yz-r=bmv2` or `bmv2`."""
    router, _, chosen = target.rpartition("=")
    return router, chosen


def _run_dir(stated: Path | None) -> Path:
    """The stated directory, or that of the only lab there is."""
    if stated is not None:
        return stated
    found = sorted(LABS.iterdir()) if LABS.is_dir() else []
    if len(found) != 1:
        running = ", ".join(each.name for each in found) or "none"
        raise typer.BadParameter(f"name one by --run-dir; labs here: {running}")
    return found[0]


def _show_settled(
    client: Client, corridor: corridor_pb2.Corridor, wait: bool, timeout_s: float, output: Output
) -> None:
    _show_corridor(client.settled(corridor, timeout_s) if wait else corridor, output)


def _show_corridor(corridor: corridor_pb2.Corridor, output: Output) -> None:
    _show(corridor, lambda: tables.corridor_details(decode(corridor, Corridor)), output)


def _show_lab(lab: Any, output: Output) -> None:
    status = lab.status()
    if output is Output.JSON:
        _print_json(asdict(status) | {"healthy": status.healthy})
    else:
        _print(tables.lab_processes(f"{status.domain} in {status.run_dir}", status.processes, status.targets))


def _show(message: Message, table: Callable[[], RenderableType], output: Output) -> None:
    if output is Output.JSON:
        _print_json(message_json(message))
    else:
        _print(table())


def _print_json(document: Any) -> None:
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False, default=str))


def _print(renderable: RenderableType) -> None:
    # Names come from others: their square brackets are no mark-up.
    Console(markup=False, highlight=False, emoji=False).print(renderable)


if __name__ == "__main__":
    main()

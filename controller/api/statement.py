"""What the command line states of a corridor: options, or a JSON file, or both."""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, wraps
from pathlib import Path
from typing import Annotated, Any, Protocol, get_type_hints

import typer
from google.protobuf import json_format

from controller.api import quantities
from controller.api.gen.corridor.v1 import corridor_pb2
from controller.api.quantities import UINT32_MAX
from controller.core.model import Isolation, Objective, Protection, Reservation

ENDS = ("a_end", "z_end")
SCALARS = (
    "isolation",
    "reservation",
    "protection",
    "active_profile",
    "max_latency_us",
    "mtu_bytes",
    "reference_packet_bytes",
    "priority",
    "display_name",
    "allow_interruption",
)
"""Options that are a field of the corridor as they stand."""
BOUNDS = ("objective", "max_hops", "max_jitter_us")
NODES, LINKS = ("include_nodes", "exclude_nodes"), ("include_links", "exclude_links")
AFFINITIES = ("include_any_affinities", "include_all_affinities", "exclude_any_affinities")
CONSTRAINTS = (*BOUNDS, *NODES, *LINKS, "exclude_srlgs", *AFFINITIES)
"""Options that are a field of its path constraints."""


class ResourceNames(Protocol):
    """Full names of what the command line calls by short ones."""

    def node(self, name: str) -> str: ...

    def link(self, name: str) -> str: ...


def _quantity(parse: Callable[[str], int]) -> Callable[[str], int]:
    """A parser for an option: what it refuses is the option's bad value."""

    def parsed(text: str) -> int:
        try:
            return parse(text)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error

    return parsed


def _option(flag: str, help_text: str, **more: Any) -> Any:
    return typer.Option(flag, help=help_text, show_default=False, **more)


def _list(flag: str, help_text: str, metavar: str) -> Any:
    return _option(flag, f"{help_text}; repeat for more, '' for none.", metavar=metavar)


@dataclass(frozen=True)
class Statement:
    """One attribute per option; None and empty mean not stated."""

    a_end: Annotated[str | None, _option("--from", "A end.", metavar="NODE:PORT")] = None
    z_end: Annotated[str | None, _option("--to", "Z end.", metavar="NODE:PORT")] = None
    a_prefix: Annotated[list[str] | None, _option("--from-prefix", "IPv4 or IPv6 prefix behind the A end.")] = None
    z_prefix: Annotated[list[str] | None, _option("--to-prefix", "IPv4 or IPv6 prefix behind the Z end.")] = None
    a_dscp: Annotated[int | None, _option("--from-dscp", "Only this code point.", min=0, max=63)] = None
    z_dscp: Annotated[int | None, _option("--to-dscp", "Only this code point.", min=0, max=63)] = None
    isolation: Annotated[Isolation | None, _option("--isolation", "Default hard.", case_sensitive=False)] = None
    reservation: Annotated[Reservation | None, _option("--reservation", "Default peak.", case_sensitive=False)] = None
    protection: Annotated[Protection | None, _option("--protection", "Default restore.", case_sensitive=False)] = None
    profiles: Annotated[
        list[str] | None, _option("--profile", "Such as training=100M; soft: NAME=RATE/REVERSE.", metavar="NAME=RATE")
    ] = None
    active_profile: Annotated[str | None, _option("--active", "Name of the profile that is on.")] = None
    max_latency_us: Annotated[
        int | None,
        _option(
            "--max-latency", "One-way, such as 5ms.", metavar="DURATION", parser=_quantity(quantities.microseconds)
        ),
    ] = None
    mtu_bytes: Annotated[int | None, _option("--mtu", "Default 1500.", min=0, max=65535)] = None
    reference_packet_bytes: Annotated[
        int | None, _option("--reference-packet", "Bytes; default 1400.", min=0, max=65535)
    ] = None
    priority: Annotated[int | None, _option("--priority", "Restored first: 7.", min=0, max=7)] = None
    display_name: Annotated[str | None, _option("--display-name", "For people.")] = None
    allow_interruption: Annotated[
        bool | None, _option("--allow-interruption/--no-interruption", "It may be cut to be moved.")
    ] = None
    objective: Annotated[
        Objective | None, _option("--objective", "The path is the least of this; default delay.", case_sensitive=False)
    ] = None
    max_hops: Annotated[int | None, _option("--max-hops", "Links at most; 0: no bound.", min=0, max=UINT32_MAX)] = None
    max_jitter_us: Annotated[
        int | None, _option("--max-jitter-us", "Sum over the links; 0: no bound.", min=0, max=UINT32_MAX)
    ] = None
    include_nodes: Annotated[list[str] | None, _list("--include-node", "Visit this node", "NODE")] = None
    exclude_nodes: Annotated[list[str] | None, _list("--exclude-node", "Avoid this node", "NODE")] = None
    include_links: Annotated[list[str] | None, _list("--include-link", "Use this link", "LINK")] = None
    exclude_links: Annotated[list[str] | None, _list("--exclude-link", "Avoid this link", "LINK")] = None
    exclude_srlgs: Annotated[list[str] | None, _list("--exclude-srlg", "Avoid this risk group", "NUMBER")] = None
    include_any_affinities: Annotated[
        list[str] | None, _list("--include-any", "Only links of one of these colours", "COLOUR")
    ] = None
    include_all_affinities: Annotated[
        list[str] | None, _list("--include-all", "Only links of all these colours", "COLOUR")
    ] = None
    exclude_any_affinities: Annotated[list[str] | None, _list("--exclude-any", "No links of this colour", "COLOUR")] = (
        None
    )
    file: Annotated[Path | None, _option("--file", "Corridor as JSON; - is standard input.")] = None

    @cached_property
    def document(self) -> dict[str, Any]:
        """The JSON object of `--file`, by the contract's field names."""
        if self.file is None:
            return {}
        try:
            document = json.loads(sys.stdin.read() if str(self.file) == "-" else self.file.read_text())
        except (OSError, ValueError) as error:
            raise typer.BadParameter(f"{self.file}: {error}") from error
        if not isinstance(document, dict):
            raise typer.BadParameter(f"{self.file}: a JSON object is expected")
        known = {str(each.json_name): str(each.name) for each in corridor_pb2.Corridor.DESCRIPTOR.fields}
        return {known.get(key, str(key)): value for key, value in document.items()}

    @property
    def mask(self) -> tuple[str, ...]:
        """The corridor's fields that are stated; of its path constraints each by itself."""
        optional = [name for name in (*SCALARS, "profiles") if getattr(self, name) is not None]
        ends = [end for end in ENDS if self.touches(end)]
        stated = {*self.document, *optional, *ends}
        whole = tuple(each.name for each in corridor_pb2.Corridor.DESCRIPTOR.fields if each.name in stated)
        if "path_constraints" in stated:
            return whole
        return (*whole, *(f"path_constraints.{name}" for name in CONSTRAINTS if getattr(self, name) is not None))

    def touches(self, end: str) -> bool:
        """An option states something of that end."""
        return any(getattr(self, name) is not None for name in (end, f"{end[0]}_prefix", f"{end[0]}_dscp"))

    def apply(self, corridor: corridor_pb2.Corridor, full: ResourceNames) -> None:
        """State it all in `corridor`: first the file's fields, each as a whole, then the options."""
        try:
            stated = json_format.ParseDict(self.document, corridor_pb2.Corridor())
        except json_format.ParseError as error:
            raise typer.BadParameter(f"{self.file}: {error}") from error
        for name in self.document:
            corridor.ClearField(name)  # type: ignore[arg-type]
        corridor.MergeFrom(stated)
        for end in ENDS:
            self._apply_end(getattr(corridor, end), end, full)
        for name in SCALARS:
            if (value := getattr(self, name)) is not None:
                setattr(corridor, name, value)
        if self.profiles is not None:
            del corridor.profiles[:]
            corridor.profiles.extend(_profile(text) for text in self.profiles)
        self._apply_constraints(corridor.path_constraints, full)

    def _apply_constraints(self, asked: corridor_pb2.PathConstraints, full: ResourceNames) -> None:
        for name in BOUNDS:
            if (value := getattr(self, name)) is not None:
                setattr(asked, name, value)
        for name in (*NODES, *LINKS, *AFFINITIES, "exclude_srlgs"):
            if (values := getattr(self, name)) is not None:
                spelt = {**dict.fromkeys(NODES, full.node), **dict.fromkeys(LINKS, full.link), "exclude_srlgs": _number}
                getattr(asked, name)[:] = [spelt.get(name, str)(value) for value in values if value]

    def _apply_end(self, end: corridor_pb2.EndPoint, which: str, full: ResourceNames) -> None:
        place, prefixes, dscp = (getattr(self, name) for name in (which, f"{which[0]}_prefix", f"{which[0]}_dscp"))
        if place is not None:
            node, colon, port = place.rpartition(":")
            if not (node and colon and port):
                raise typer.BadParameter(f"{place!r} is not NODE:PORT")
            end.node, end.port = full.node(node), port
        if prefixes is not None:
            end.ipv4_prefixes[:] = [prefix for prefix in prefixes if ":" not in prefix]
            end.ipv6_prefixes[:] = [prefix for prefix in prefixes if ":" in prefix]
        if dscp is not None:
            end.dscp = dscp


def _profile(text: str) -> corridor_pb2.Profile:
    name, equals, rates = text.partition("=")
    if not (name and equals):
        raise typer.BadParameter(f"{text!r} is not NAME=RATE")
    forward, _, reverse = rates.partition("/")
    parsed = _quantity(quantities.kbps)
    return corridor_pb2.Profile(
        name=name, bandwidth_kbps=parsed(forward), reverse_bandwidth_kbps=parsed(reverse) if reverse else 0
    )


def _number(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,10}", text) or int(text) > UINT32_MAX:
        raise typer.BadParameter(f"{text!r} is no 32-bit number")
    return int(text)


def stating(command: Callable[..., None]) -> Callable[..., None]:
    """The command with one option per attribute of `Statement`, which it gets as its argument `statement`."""
    options = get_type_hints(Statement, include_extras=True)
    own = inspect.signature(command, eval_str=True)
    parameters = [each for name, each in own.parameters.items() if name != "statement"]
    for name, hint in options.items():
        parameters.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=hint))

    @wraps(command)
    def run(**arguments: Any) -> None:
        command(statement=Statement(**{name: arguments.pop(name) for name in options}), **arguments)

    run.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    return run

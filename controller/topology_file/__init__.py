"""The topology file: what discovery cannot know (place, length, capacity, risk groups) and what the lab builds.

`load` either returns a whole, consistent `TopologyFile` or raises `Invalid` with `FILE:LINE:` in front.
"""

from __future__ import annotations

from pathlib import Path

from controller.topology_file.marked_yaml import parse, read
from controller.topology_file.model import FIRST_LINE_PORT, LabHost, Role, Site, TopologyFile
from controller.topology_file.reading import Reading

__all__ = ["FIRST_LINE_PORT", "LabHost", "Role", "Site", "TopologyFile", "load", "loads"]


def load(path: str | Path) -> TopologyFile:
    """The topology in a file; raises `Invalid` whose message starts with `FILE:LINE:`."""
    return Reading(read(Path(path))).topology()


def loads(text: str, file: str = "<text>") -> TopologyFile:
    """The topology in a text; `file` stands for it in messages."""
    return Reading(parse(file, text.encode("utf-8", "surrogatepass"))).topology()

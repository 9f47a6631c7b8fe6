"""What the name of a server ODU says: `odu1:3-4` is an ODU1 in tributary slots 3 and 4 of its line."""

from __future__ import annotations

import re

from controller.core.model import Container
from controller.core.otn import LINE
from controller.core.otn.rates import FGTS_PER_SERVER
from controller.core.otn.slots import parse_slots

__all__ = ["LINE", "server_slots", "tributary_slots"]

_NAME = re.compile(r"odu([012]):(\d{1,4}(?:-\d{1,4})?(?:,\d{1,4}(?:-\d{1,4})?)*)")
_TYPES = {"0": Container.ODU0, "1": Container.ODU1, "2": Container.ODU2}


def server_slots(name: str) -> int | None:
    """Fine-grain slots that the server offers; None where its name does not say."""
    found = _NAME.fullmatch(name)
    return FGTS_PER_SERVER[_TYPES[found[1]]] if found else None


def tributary_slots(name: str) -> frozenset[int]:
    """Tributary slots of the line that the server takes; empty where its name does not say."""
    found = _NAME.fullmatch(name)
    return frozenset(parse_slots(found[2])) if found else frozenset()

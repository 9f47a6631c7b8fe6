"""The generation of a corridor: raised whenever what is asked of it changes, and named by its etag."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from controller.core.model import Corridor


def next_generation(corridor: Corridor, now: datetime) -> Corridor:
    """The corridor one generation on, with its etag and times; it must have its uid."""
    generation = corridor.generation + 1
    return replace(
        corridor,
        generation=generation,
        etag=f"{corridor.uid[:8]}-{generation}",
        create_time=corridor.create_time or now,
        update_time=now,
    )

"""What stands behind the faces while roles change: all use cases of a leader, those of a follower that only read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn, cast

from controller.api.use_cases import CorridorService
from controller.core.errors import Refused

USE_CASES = frozenset(name for name in vars(CorridorService) if not name.startswith("_"))


class Switchboard:
    """Every use case goes to the object that has it now; one that nobody has here is refused as `refusal` says."""

    def __init__(self, present: object, refusal: Callable[[], Refused]) -> None:
        self.present = present
        self._refusal = refusal

    @property
    def service(self) -> CorridorService:
        """This, as the faces see it."""
        return cast(CorridorService, self)

    def __getattr__(self, use_case: str) -> Any:
        if use_case not in USE_CASES:
            raise AttributeError(use_case)
        return getattr(self.present, use_case, self._refuse)

    async def _refuse(self, *_arguments: object, **_options: object) -> NoReturn:
        raise self._refusal()

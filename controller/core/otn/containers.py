"""Which container carries a slice (G.709 clause 7, Annex M): by its size."""

from __future__ import annotations

from controller.core.errors import Infeasible
from controller.core.model import Container
from controller.core.otn.rates import MAX_FGTS_PER_SLICE


def container_for(slots: int) -> Container:
    """Smallest container for `slots`; beyond fgODUflex(119) nothing is offered yet."""
    if slots > MAX_FGTS_PER_SLICE:
        raise Infeasible(
            f"{slots} fine-grain slots are more than one fgODUflex holds ({MAX_FGTS_PER_SLICE})",
            reason="CONTAINER_TOO_SMALL",
            metadata={"slots": str(slots), "maxSlots": str(MAX_FGTS_PER_SLICE)},
        )
    return Container.FGODUFLEX

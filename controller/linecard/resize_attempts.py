"""What a node knows of the attempts to resize its slices, and the steps that it takes in them."""

from __future__ import annotations

from controller.linecard.resize_messages import MAX_TEXT, Kind, Reason, ResizeMessage
from controller.linecard.resize_values import Attempt, Commit, Output, Phase, Segment, Send, Timing
from controller.linecard.slot_table import SlotTable, place


class Refused(Exception):
    """A node does not go along with a request or an indication. `latest`: of the later attempt that is in its way."""

    def __init__(self, message: str, latest: int = 0) -> None:
        super().__init__(message)
        self.latest = latest


class Attempts:
    """The latest attempt of each slice, against the slot table; and what is to be done about them."""

    def __init__(self, node: str, table: SlotTable, timing: Timing) -> None:
        self._node = node
        self._table = table
        self._timing = timing
        self._attempts: dict[int, Attempt] = {}
        self._outputs: list[Output] = []
        self._now = 0.0

    def _done(self) -> list[Output]:
        outputs, self._outputs = self._outputs, []
        return outputs

    def _forget(self, attempt: Attempt) -> None:
        """The slice has gone."""
        del self._attempts[attempt.slice_id]

    def _attempt(self, slice_id: int) -> Attempt | None:
        attempt = self._attempts.get(slice_id)
        if attempt is not None and attempt.since != self._table.since(slice_id):
            self._forget(attempt)
            return None
        return attempt

    def _outdated(self, message: ResizeMessage) -> bool:
        attempt = self._attempt(message.slice_id)
        return attempt is not None and message.attempt < attempt.number

    def _following(self, message: ResizeMessage) -> Attempt | None:
        attempt = self._attempt(message.slice_id)
        return attempt if attempt is not None and attempt.number == message.attempt else None

    def _answered(self, line_port: int, message: ResizeMessage) -> Attempt | None:
        """The attempt under way that an answer belongs to."""
        attempt = self._following(message)
        if attempt is None or attempt.downstream(message.direction) != line_port:
            return None
        return None if attempt.phase[message.direction] is Phase.CLOSED else attempt

    def _heard(self, attempt: Attempt) -> None:
        if not attempt.waiting:
            attempt.deadline = self._now + self._timing.patience_s

    def _let_lapse(self, attempt: Attempt, direction: int) -> None:
        """What was not indicated yet is as if it had not been asked for."""
        if attempt.phase[direction] < Phase.INDICATED:
            attempt.lapse()

    def _segments(self, attempt: Attempt, target: int) -> dict[int, Segment]:
        """What the target takes at each line port. Raises `Refused`."""
        held = {holding.line_port: holding for holding in self._table.held(attempt.slice_id)}
        if set(held) != {port for port in attempt.ends if port is not None}:
            raise Refused(f"the slice is at line ports {sorted(held)} now")
        for holding in held.values():
            if len(holding.slots) < target:
                raise Refused(f"{len(holding.slots)} slots of {place(holding)} are reserved, not {target}")
        return {port: (holding.server, holding.slots[:target]) for port, holding in held.items()}

    def _stands(self, attempt: Attempt, direction: int) -> bool:
        """What was agreed upon is reserved still."""
        try:
            return self._segments(attempt, attempt.targets[direction]) == attempt.granted
        except Refused:
            return False

    def _shrink(self, attempt: Attempt, direction: int) -> None:
        carrying = self._table.committed(attempt.slice_id) or (0, 0)
        self._commit(attempt, direction, min(carrying[direction], attempt.targets[direction]))
        attempt.reach(direction, Phase.INDICATED)

    def _commit(self, attempt: Attempt, direction: int, count: int) -> None:
        """Said with every repetition: the switch may not have confirmed it before."""
        self._table.commit(attempt.slice_id, direction, count)
        self._outputs.append(Commit(attempt.slice_id, direction, count))

    def _say(
        self,
        line_port: int,
        attempt: Attempt,
        direction: int,
        kind: Kind,
        reason: Reason = Reason.NONE,
        detail: str = "",
        latest: int = 0,
    ) -> None:
        server, slots = attempt.granted[line_port] if kind is Kind.REQUEST else ("", ())
        message = ResizeMessage(
            kind,
            attempt.slice_id,
            direction,
            attempt.number,
            attempt.targets,
            attempt.previous[direction],
            server,
            slots,
            reason,
            short(detail),
            latest,
        )
        self._outputs.append(Send(line_port, message))


def short(detail: str) -> str:
    """As much of it as a message takes."""
    return detail.encode()[:MAX_TEXT].decode(errors="ignore")

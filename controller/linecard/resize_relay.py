"""What every node does in the in-band resizing protocol: agree, commit, pass on. Its rules are told in `resize`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from controller.linecard.resize_attempts import Attempts, Refused, short
from controller.linecard.resize_messages import Kind, Reason, ResizeMessage
from controller.linecard.resize_values import Attempt, Output, Phase, Send
from controller.linecard.slot_table import FORWARD, REVERSE


class Relay(Attempts, ABC):
    """A node in transit, or the end of a direction that does not start it."""

    def received(self, line_port: int, message: ResizeMessage, now: float) -> list[Output]:
        self._now = now
        try:
            _HANDLERS[message.kind](self, line_port, message)
        except Refused as refusal:
            self._refuse(line_port, message, f"{self._node}: {refusal}", refusal.latest)
        return self._done()

    # What an end adds.

    @abstractmethod
    def _source_granted(self, attempt: Attempt, direction: int) -> None:
        """All behind have accepted."""

    @abstractmethod
    def _source_confirmed(self, attempt: Attempt, direction: int) -> None:
        """All behind have the target."""

    @abstractmethod
    def _source_overtaken(self, attempt: Attempt, latest: int) -> bool:
        """A node knows a later attempt; whether another one, later still, is made instead of this."""

    @abstractmethod
    def _source_failed(self, attempt: Attempt, direction: int, reason: Reason, detail: str) -> None:
        """A node does not go along, or none answers."""

    @abstractmethod
    def _sink_released(self, attempt: Attempt, direction: int, reason: Reason, detail: str) -> None:
        """The direction is through, or given up for this reason."""

    # With the traffic: REQUEST, BWR_IND, RELEASE.

    def _request(self, line_port: int, message: ResizeMessage) -> None:
        direction = message.direction
        attempt = self._joined(line_port, message)
        if attempt.phase[direction] is Phase.CLOSED:
            return
        segments = self._segments(attempt, message.target)
        if segments[line_port] != (message.server, message.slots):
            raise Refused(f"slots at line port {line_port} are not the neighbour's")
        attempt.granted = segments
        attempt.open = True
        attempt.previous[direction] = message.previous
        attempt.reach(direction, Phase.REQUESTED)
        self._heard(attempt)
        onward = attempt.downstream(direction)
        if onward is not None:
            self._say(onward, attempt, direction, Kind.REQUEST)
            return
        attempt.reach(direction, Phase.GRANTED)
        self._say(line_port, attempt, direction, Kind.ACCEPT)

    def _joined(self, line_port: int, message: ResizeMessage) -> Attempt:
        attempt = self._attempt(message.slice_id)
        if self._table.committed(message.slice_id) is None:
            raise Refused(f"no slice {message.slice_id}")
        if attempt is not None and attempt.command is not None and message.direction == FORWARD:
            raise Refused("this end is the source")
        if attempt is not None and message.attempt < attempt.number:
            raise Refused("a later attempt is known", attempt.number)
        if attempt is None or message.attempt > attempt.number:
            attempt = self._begun(attempt, line_port, message)
        if attempt.upstream(message.direction) != line_port:
            raise Refused(f"line port {line_port} is not where the slice comes from")
        if message.direction == REVERSE and attempt.phase[FORWARD] is not Phase.CLOSED:
            raise Refused("the forward direction is not through")
        return attempt

    def _begun(self, before: Attempt | None, line_port: int, message: ResizeMessage) -> Attempt:
        if message.direction == REVERSE:
            raise Refused("the attempt is not known")
        if before is not None:
            before.close(Reason.REJECTED, f"{self._node}: superseded")
        ports = [holding.line_port for holding in self._table.held(message.slice_id)]
        if line_port not in ports or len(ports) > 2:
            raise Refused(f"line port {line_port} is not one of a settled slice, which has one or two: {ports}")
        onward = next((port for port in ports if port != line_port), None)
        attempt = Attempt(
            message.slice_id,
            message.attempt,
            message.targets,
            [message.previous, 0],
            (line_port, onward),
            self._table.since(message.slice_id),
        )
        self._attempts[message.slice_id] = attempt
        return attempt

    def _indication(self, line_port: int, message: ResizeMessage) -> None:
        direction = message.direction
        if self._outdated(message):
            return
        attempt = self._following(message)
        if attempt is None or attempt.upstream(direction) != line_port:
            raise Refused("the attempt is not known")
        if attempt.phase[direction] is Phase.CLOSED:
            return
        if attempt.phase[direction] < Phase.GRANTED or not self._stands(attempt, direction):
            raise Refused("nothing is reserved any more")
        self._heard(attempt)
        onward = attempt.downstream(direction)
        if onward is not None:
            self._shrink(attempt, direction)
            self._say(onward, attempt, direction, Kind.BWR_IND)
            return
        self._commit(attempt, direction, attempt.targets[direction])
        attempt.reach(direction, Phase.COMMITTED)
        self._say(line_port, attempt, direction, Kind.NCS)

    def _release(self, line_port: int, message: ResizeMessage) -> None:
        direction, given_up = message.direction, message.reason is not Reason.NONE
        if self._outdated(message):
            return
        attempt = self._following(message)
        if attempt is None or attempt.upstream(direction) != line_port:
            raise Refused("the attempt is not known")
        if attempt.phase[direction] < Phase.COMMITTED and not given_up:
            raise Refused("the forward direction is not through")
        if attempt.command is None and (given_up or direction == REVERSE) and attempt.open:
            attempt.close(message.reason, message.detail)
        attempt.reach(direction, Phase.CLOSED)
        self._heard(attempt)
        onward = attempt.downstream(direction)
        if onward is None:
            self._sink_released(attempt, direction, message.reason, message.detail)
        else:
            self._say(onward, attempt, direction, Kind.RELEASE, message.reason, message.detail)

    # Against the traffic: ACCEPT, REJECT, NCS. What does not fit is late, and of no account.

    def _acceptance(self, line_port: int, message: ResizeMessage) -> None:
        direction = message.direction
        attempt = self._answered(line_port, message)
        if attempt is None or attempt.phase[direction] < Phase.REQUESTED:
            return
        upstream = attempt.upstream(direction)
        if upstream is None:
            self._source_granted(attempt, direction)
            return
        attempt.reach(direction, Phase.GRANTED)
        self._heard(attempt)
        self._say(upstream, attempt, direction, Kind.ACCEPT)

    def _rejection(self, line_port: int, message: ResizeMessage) -> None:
        direction = message.direction
        attempt = self._answered(line_port, message)
        if attempt is None:
            return
        upstream = attempt.upstream(direction)
        if upstream is None:
            if not message.latest or not self._source_overtaken(attempt, message.latest):
                self._source_failed(attempt, direction, message.reason, message.detail)
            return
        self._let_lapse(attempt, direction)
        self._say(upstream, attempt, direction, Kind.REJECT, message.reason, message.detail, message.latest)

    def _confirmation(self, line_port: int, message: ResizeMessage) -> None:
        direction = message.direction
        attempt = self._answered(line_port, message)
        if attempt is None or attempt.phase[direction] < Phase.INDICATED:
            return
        upstream = attempt.upstream(direction)
        if not self._stands(attempt, direction):
            detail = f"{self._node}: nothing is reserved any more"
            if upstream is None:
                self._source_failed(attempt, direction, Reason.REJECTED, detail)
            else:
                self._say(upstream, attempt, direction, Kind.REJECT, Reason.REJECTED, detail)
            return
        attempt.reach(direction, Phase.COMMITTED)
        if upstream is None:
            self._source_confirmed(attempt, direction)
            return
        self._commit(attempt, direction, attempt.targets[direction])
        self._heard(attempt)
        self._say(upstream, attempt, direction, Kind.NCS)

    def _refuse(self, line_port: int, message: ResizeMessage, detail: str, latest: int) -> None:
        """Back to where it came from; a released forward direction fails by the report of the reverse one."""
        attempt = self._following(message)
        if message.kind is Kind.REQUEST and attempt is not None and attempt.command is None:
            self._let_lapse(attempt, message.direction)
        released = message.kind is Kind.RELEASE
        if released and (message.direction == REVERSE or message.reason is not Reason.NONE):
            return
        answer = replace(
            message,
            kind=Kind.RELEASE if released else Kind.REJECT,
            direction=REVERSE if released else message.direction,
            server="",
            slots=(),
            reason=Reason.REJECTED,
            detail=short(detail),
            latest=latest,
        )
        self._outputs.append(Send(line_port, answer))


_HANDLERS: Mapping[Kind, Callable[[Relay, int, ResizeMessage], None]] = MappingProxyType(
    {
        Kind.REQUEST: Relay._request,
        Kind.ACCEPT: Relay._acceptance,
        Kind.REJECT: Relay._rejection,
        Kind.BWR_IND: Relay._indication,
        Kind.NCS: Relay._confirmation,
        Kind.RELEASE: Relay._release,
    }
)

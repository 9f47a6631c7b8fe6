"""The election as a state machine, against the sentences of the specification (P4Runtime 1.4, clause 5)."""

from __future__ import annotations

import grpc
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from controller.linux.arbitration import Arbitration
from controller.linux.rejected import Rejected

IDS = st.integers(0, 5) | st.sampled_from([1 << 64, (1 << 128) - 1])


class Elections(RuleBasedStateMachine):
    """Streams come, change their id and go; the model is the history of all ids ever accepted."""

    streams = Bundle("streams")

    @initialize()
    def start(self):
        self.arbitration = Arbitration()
        self.open: dict[int, int] = {}
        self.ever: list[int] = []
        self.numbers = iter(range(1000))

    @rule(target=streams)
    def connect(self):
        return next(self.numbers)

    @rule(stream=streams, election_id=IDS)
    def arbitrate(self, stream, election_id):
        taken = election_id and any(given == election_id for s, given in self.open.items() if s != stream)
        if taken:
            with pytest.raises(Rejected) as refused:
                self.arbitration.arbitrate(stream, "", election_id)
            assert refused.value.code is grpc.StatusCode.INVALID_ARGUMENT
        else:
            self.arbitration.arbitrate(stream, "", election_id)
            self.open[stream] = election_id
            self.ever.append(election_id)

    @rule(stream=consumes(streams))
    def leave(self, stream):
        self.arbitration.leave(stream, "")
        self.open.pop(stream, None)

    @rule(election_id=IDS)
    def write(self, election_id):
        """Only the highest id ever seen may write, and only while its stream is open."""
        allowed = election_id and election_id == max(self.ever, default=0) and election_id in self.open.values()
        if allowed:
            self.arbitration.fence("", election_id)
        else:
            with pytest.raises(Rejected) as refused:
                self.arbitration.fence("", election_id)
            assert refused.value.code is grpc.StatusCode.PERMISSION_DENIED

    @invariant()
    def statuses_agree(self):
        if not hasattr(self, "open"):
            return
        statuses = [self.arbitration.status(stream, "") for stream in self.open]
        leaders = statuses.count(grpc.StatusCode.OK)
        assert leaders <= 1
        others = grpc.StatusCode.ALREADY_EXISTS if leaders else grpc.StatusCode.NOT_FOUND
        assert statuses.count(others) == len(statuses) - leaders


TestElections = Elections.TestCase
TestElections.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


def test_roles_have_their_own_elections():
    arbitration = Arbitration()
    arbitration.arbitrate("a", "", 5)
    arbitration.arbitrate("b", "telemetry", 5)
    arbitration.fence("", 5)
    arbitration.fence("telemetry", 5)
    with pytest.raises(Rejected):
        arbitration.fence("unheard of", 5)

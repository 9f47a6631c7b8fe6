"""BMv2 itself in a lab: it answers where the inventory says, and comes back empty."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import grpc
import machine
import pytest
from finsy.proto import p4r, p4r_grpc
from stub_lab import STUBS, new_run_dir

from controller.drivers import pipeline
from topologies.bmv2 import PROGRAM
from topologies.lab import Lab, Programs, temporary

pytestmark = pytest.mark.root
PAIR = Path(__file__).parents[2] / "topologies" / "pair.yaml"
LINUX, BMV2 = "west-r", "east-r"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    machine.require(PROGRAM)
    programs = Programs(router=STUBS.router, line_card=STUBS.line_card)
    with temporary(PAIR, run_dir=new_run_dir("bmv2"), programs=programs, targets={BMV2: "bmv2"}) as lab:
        yield lab


@pytest.fixture
def stub(lab: Lab) -> Iterator[p4r_grpc.P4RuntimeStub]:
    reached = json.loads(lab.inventory.read_text())["nodes"][BMV2]
    assert reached["device_id"] == 2
    with grpc.insecure_channel(reached["p4runtime"]) as channel:
        yield p4r_grpc.P4RuntimeStub(channel)


def held_cookie(stub: p4r_grpc.P4RuntimeStub) -> int:
    """0 where no pipeline was pushed."""
    request = p4r.GetForwardingPipelineConfigRequest(
        device_id=2, response_type=p4r.GetForwardingPipelineConfigRequest.COOKIE_ONLY
    )
    try:
        return int(stub.GetForwardingPipelineConfig(request, wait_for_ready=True, timeout=10).config.cookie.cookie)
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.FAILED_PRECONDITION:
            return 0
        raise


def push(stub: p4r_grpc.P4RuntimeStub) -> int:
    """Push the pipeline as no controller is connected; its cookie."""
    ours = pipeline.load()
    request = p4r.SetForwardingPipelineConfigRequest(
        device_id=2, action=p4r.SetForwardingPipelineConfigRequest.VERIFY_AND_COMMIT
    )
    request.config.p4info.CopyFrom(ours.p4info)
    request.config.p4_device_config = ours.device_config
    request.config.cookie.cookie = ours.cookie
    stub.SetForwardingPipelineConfig(request, timeout=10)
    return int(ours.cookie)


def test_restarted_bmv2_is_empty_and_takes_the_pipeline_again(lab: Lab, stub: p4r_grpc.P4RuntimeStub) -> None:
    for _ in range(2):
        assert held_cookie(stub) == 0
        cookie = push(stub)
        assert held_cookie(stub) == cookie
        lab.restart_router_agent(BMV2)
    assert held_cookie(stub) == 0


def test_only_the_named_router_is_bmv2(lab: Lab) -> None:
    programs = {
        router: Path(f"/proc/{lab.status().processes[f'router/{router}'][0]}/exe").resolve().name
        for router in (LINUX, BMV2)
    }
    assert programs[BMV2] != programs[LINUX]
    assert lab.status().targets == {LINUX: "linux", BMV2: "bmv2"}

"""The demo's own arithmetic, and that an interrupted demo leaves nothing behind."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from stub_lab import new_run_dir

from topologies.processes import marked
from topologies.rates import BIN_MS, Rates, outage

FIRST_NS = 5_000_000_000


def rates(*steps: tuple[float, int]) -> Rates:
    """Received so many Mbit/s for so many milliseconds, in turn."""
    bins = [round(mbps * 1000 * BIN_MS / 8) for mbps, ms in steps for _ in range(ms // BIN_MS)]
    return Rates({"first_ns": FIRST_NS, "bins": bins})


def at(ms: float) -> int:
    return FIRST_NS + int(ms * 1e6)


def test_a_step_is_dated_from_the_call() -> None:
    grown = rates((20, 500), (100, 500))
    assert grown.passes(at(490), 60, above=True) == "10 ms"
    assert grown.mean(at(0), at(500)) == pytest.approx(20)
    assert rates((100, 500), (20, 500)).passes(at(496), 60, above=False) == "4 ms"


def test_a_burst_is_no_step() -> None:
    assert rates((20, 500), (0, 20), (150, 10), (20, 100), (100, 200)).passes(at(490), 60, above=True) == "140 ms"
    assert rates((20, 1000)).passes(at(490), 60, above=True) == "not seen"


def burst(sequence: int, packets: int, at_ms: float, until_ms: float) -> dict[str, float]:
    return {"sequence": sequence, "packets": packets, "at_ms": at_ms, "until_ms": until_ms}


@pytest.mark.parametrize(
    ("bursts", "words"),
    [
        ([], "nothing lost"),
        ([burst(10, 5, 90, 99)], "nothing lost"),
        ([burst(10, 50, 90, 99), burst(120, 20, 130, 180)], "80 ms"),
        ([burst(120, 880, 130, 130)], "traffic did not come back"),
    ],
)
def test_an_outage_is_the_longest_loss_after_the_cut(bursts: list[dict[str, float]], words: str) -> None:
    result = {"first_ns": FIRST_NS, "sent": 1000, "loss_bursts": bursts}
    assert outage(result, at(100)) == words


@pytest.mark.root
@pytest.mark.e2e
@pytest.mark.parametrize("until", ["lab up", "create"])
def test_an_interrupted_demo_leaves_nothing(until: str) -> None:
    run_dir = new_run_dir("demo")
    command = [sys.executable, "-u", "-m", "topologies.demo", str(run_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        while until not in (line := demo.stdout.readline()):
            assert line, "the demo ended by itself"
        token = json.loads((run_dir / "lab.json").read_text())["token"]
        demo.send_signal(signal.SIGINT)
        assert demo.wait(30) == 130
    assert list(marked(token)) == []
    assert not run_dir.exists()
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(run_dir) not in listed
    assert not Path(f"/proc/{demo.pid}").exists()

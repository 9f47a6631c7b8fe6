"""The fibre program by itself, between two namespaces: delay, order, loss only by a cut."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from stub_lab import STUBS

pytestmark = [pytest.mark.root, pytest.mark.e2e]
DELAY_US = 1000
PROGRAM = Path(STUBS.fibre).with_name("sequenced_udp")
A, Z = f"ld-a{os.getpid()}", f"ld-z{os.getpid()}"


def sh(*words: object) -> str:
    return subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Two namespaces joined by a fibre of 1 ms; the path of its control socket."""
    path = str(tmp_path_factory.mktemp("fibre") / "control")
    for namespace in (A, Z):
        sh("ip", "netns", "add", namespace)
    try:
        with subprocess.Popen([STUBS.fibre, A, "f0", Z, "f0", str(DELAY_US), path], stdout=subprocess.PIPE) as fibre:
            assert fibre.stdout is not None
            assert fibre.stdout.readline() == b"ready\n"
            for n, namespace in enumerate((A, Z), 1):
                sh("ip", "-n", namespace, "address", "add", f"192.0.2.{n}/24", "dev", "f0")
                sh("ip", "-n", namespace, "address", "add", f"2001:db8::{n}/64", "dev", "f0", "nodad")
            know_each_other()
            yield path
            fibre.terminate()
            assert fibre.wait(5) == 0
        assert not Path(path).exists()
    finally:
        for namespace in (A, Z):
            sh("ip", "netns", "del", namespace)


def know_each_other() -> None:
    """Permanent neighbours: a cut makes the kernel forget others, and to ask again takes a second."""
    for n, (namespace, other) in enumerate(((Z, A), (A, Z)), 1):
        mac = json.loads(sh("ip", "-j", "-n", other, "link", "show", "f0"))[0]["address"]
        sh(
            "ip",
            "-n",
            namespace,
            "neighbour",
            "replace",
            f"192.0.2.{n}",
            "lladdr",
            mac,
            "dev",
            "f0",
            "nud",
            "permanent",
        )


def tell(path: str, command: str) -> list[int]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.bind("")
        client.sendto(command.encode(), path)
        return [int(word) for word in client.recv(100).split()]


def start(to: str, pps: int, ip_bytes: int, seconds: float) -> tuple[subprocess.Popen[str], subprocess.Popen[str]]:
    receive = ["ip", "netns", "exec", Z, str(PROGRAM), "receive", "5000", "10"]
    receiver = subprocess.Popen(receive, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert receiver.stderr is not None
    assert receiver.stderr.readline() == "listening\n"
    send = ["ip", "netns", "exec", A, str(PROGRAM), "send", to, "5000", str(pps), str(ip_bytes), str(seconds)]
    return subprocess.Popen(send, stdout=subprocess.PIPE, text=True), receiver


def result(sender: subprocess.Popen[str], receiver: subprocess.Popen[str]) -> tuple[dict[str, int], dict[str, object]]:
    sent, received = (json.loads(process.communicate(timeout=20)[0]) for process in (sender, receiver))
    return sent, received


@pytest.mark.parametrize(("to", "ip_bytes"), [("192.0.2.2", 100), ("2001:db8::2", 1500)])
def test_delays_by_what_it_was_told(control: str, to: str, ip_bytes: int) -> None:
    sent, received = result(*start(to, 2000, ip_bytes, 1))
    assert sent["sent"] == received["received"] == 2000
    assert (received["lost"], received["duplicated"], received["reordered"]) == (0, 0, 0)
    delays = received["one_way_us"]
    assert isinstance(delays, dict)
    assert delays["min"] >= DELAY_US
    assert delays["p50"] <= DELAY_US + 150
    assert received["ip_kbps"] == pytest.approx(2000 * ip_bytes * 8 / 1000, rel=0.03)


def test_carries_what_two_cores_can(control: str) -> None:
    _, received = result(*start("192.0.2.2", 10_000, 1400, 1))
    assert received["lost"] == 0


def test_a_cut_loses_what_is_on_the_way_and_a_mended_fibre_nothing(control: str) -> None:
    sender, receiver = start("192.0.2.2", 2000, 200, 1.5)
    before = tell(control, "count")
    while tell(control, "count")[1] < before[1] + 500:
        time.sleep(0.005)
    cut_at = tell(control, "cut")[0]
    assert "NO-CARRIER" in sh("ip", "-n", A, "link", "show", "f0")
    assert "NO-CARRIER" in sh("ip", "-n", Z, "link", "show", "f0")
    time.sleep(0.2)  # how long it is dark
    mended_at = tell(control, "mend")[0]
    _, received = result(sender, receiver)
    dark_ms = (mended_at - cut_at) / 1e6
    gap = received["longest_gap_ms"]
    assert isinstance(gap, float)
    assert dark_ms <= gap <= dark_ms + 100
    bursts = received["loss_bursts"]
    assert isinstance(bursts, list)
    assert len(bursts) == received["loss_burst_count"] == 1
    assert bursts[0]["packets"] == received["lost"]
    assert 0.9 * 2 * dark_ms <= bursts[0]["packets"] <= 2 * gap + 2
    assert received["reordered"] == 0


def test_each_of_many_cuts_is_told_at_once(control: str) -> None:
    def states() -> set[str]:
        return {json.loads(sh("ip", "-j", "-n", end, "link", "show", "f0"))[0]["operstate"] for end in (A, Z)}

    for _ in range(3):  # the kernel alone would tell of the first, and of the others a second later
        tell(control, "cut")
        assert states() <= {"DORMANT", "DOWN"}
        tell(control, "mend")
        deadline = time.monotonic() + 5
        while states() != {"UP"}:
            assert time.monotonic() < deadline
            time.sleep(0.005)


def test_bad_arguments_are_refused() -> None:
    for arguments in ([], [A, "f0", Z, "f0", "-1", "/tmp/x"], ["ld-no-such", "f0", Z, "f0", "1", "/run/ld-none.sock"]):
        done = subprocess.run([STUBS.fibre, *arguments], capture_output=True, text=True)
        assert done.returncode != 0
        assert done.stderr.count("\n") == 1
    Path("/run/ld-none.sock").unlink(missing_ok=True)

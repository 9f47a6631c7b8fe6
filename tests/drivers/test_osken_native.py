"""Each fault of os-ken 4.2.2 on native threads, shown in the unpatched code, and its repair beside it.

When a test named `…_fault` fails, the os-ken at hand has lost that fault and the repair can go.
"""

import logging
import socket
import threading
from collections.abc import Iterator

import pytest
from waiting import until

from controller.drivers.osken_native import (
    DEAD_DISPATCHER,
    AppManager,
    NativeApp,
    NativeDatapath,
    NativeHandshake,
    OSKenApp,
    ofp_event,
    parser,
    set_ev_cls,
    spawn,
)

from os_ken.controller.controller import Datapath  # isort: skip
from os_ken.lib import hub  # isort: skip

A_WHILE_S = 0.4
"""Long for what should happen at once."""


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = socket.create_connection(server.getsockname())
        far, _ = server.accept()
    return near, far


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = tcp_pair()
    yield near, far
    near.close()
    far.close()


def daemon(target: object) -> threading.Thread:
    thread = threading.Thread(target=target, daemon=True)  # type: ignore[arg-type]
    thread.start()
    return thread


def test_1_a_unix_socket_fault() -> None:
    near, far = socket.socketpair(socket.AF_UNIX)
    with near, far, pytest.raises(OSError, match="not supported"):
        Datapath(near, None)


def test_1_a_unix_socket_repaired() -> None:
    near, far = socket.socketpair(socket.AF_UNIX)
    datapath = NativeDatapath(near, None)
    thread = spawn(datapath.serve)
    far.settimeout(5)
    assert far.recv(2)[1] == 0, "a hello"
    far.close()
    thread.join(5)
    assert not thread.is_alive()


def test_2_a_leaving_switch_is_hidden_fault(pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    datapath = Datapath(near, None)
    thread = daemon(datapath.serve)
    far.recv(8)
    far.close()
    thread.join(A_WHILE_S)
    assert thread.is_alive()
    assert datapath.state != DEAD_DISPATCHER
    datapath.send(b"")  # only now its sender finds out
    thread.join(5)
    assert not thread.is_alive()


def test_2_a_leaving_switch_is_hidden_repaired(pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    datapath = NativeDatapath(near, None)
    thread = spawn(datapath.serve)
    far.recv(8)
    far.close()
    thread.join(5)
    assert datapath.state == DEAD_DISPATCHER
    assert not thread.is_alive()
    assert datapath.send(b"too late") is False


def seventeen_sends(datapath: Datapath) -> threading.Thread:
    def send() -> None:
        for _ in range(17):
            datapath.send(b"\0" * 8)

    thread = daemon(send)
    thread.join(A_WHILE_S)
    return thread


def test_3_the_seventeenth_message_blocks_its_sender_fault(pair: tuple[socket.socket, socket.socket]) -> None:
    assert seventeen_sends(Datapath(pair[0], None)).is_alive()


def test_3_the_seventeenth_message_blocks_its_sender_repaired(pair: tuple[socket.socket, socket.socket]) -> None:
    datapath = NativeDatapath(pair[0], None)
    assert not seventeen_sends(datapath).is_alive()
    datapath.socket.close()


def test_4_close_leaves_the_receiver_running_fault(pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    datapath = Datapath(near, None)
    thread = daemon(datapath._recv_loop)
    datapath.close()
    thread.join(A_WHILE_S)
    assert thread.is_alive()
    far.close()
    thread.join(5)


def test_4_close_leaves_the_receiver_running_repaired(pair: tuple[socket.socket, socket.socket]) -> None:
    datapath = NativeDatapath(pair[0], None)
    thread = spawn(datapath.serve)
    datapath.hang_up()
    datapath.hang_up()
    thread.join(5)
    assert not thread.is_alive()


def test_5_threads_keep_the_process_alive_fault() -> None:
    go = threading.Event()
    thread = hub.spawn(go.wait)
    assert not thread.daemon
    go.set()
    thread.join()


def test_5_the_accept_loop_cannot_be_stopped_fault() -> None:
    server = hub.StreamServer(("127.0.0.1", 0), lambda sock, address: sock.close())
    assert not [name for name in dir(server) if name in ("stop", "close", "shutdown")]
    server.server.close()


def test_5_threads_keep_the_process_alive_repaired() -> None:
    go = threading.Event()
    thread = spawn(go.wait)
    assert thread.daemon
    go.set()
    thread.join()


class FailingOnce:
    """A handler that fails at the first event and counts the later ones."""

    calls = 0

    def react(self) -> None:
        self.calls += 1
        if self.calls == 1:
            raise ValueError("first")


def barrier() -> ofp_event.EventOFPMsgBase:
    return ofp_event.EventOFPBarrierReply(parser.OFPBarrierReply(None))


async def test_6_an_application_dies_of_its_first_error_fault(caplog: pytest.LogCaptureFixture) -> None:
    class App(OSKenApp):
        failing = FailingOnce()

        @set_ev_cls(ofp_event.EventOFPBarrierReply)
        def handle(self, event: object) -> None:
            self.failing.react()

    caplog.set_level(logging.ERROR)
    manager = AppManager()
    app = manager.instantiate(App)
    app.start()
    app._send_event(barrier(), None)
    await until(lambda: not app.threads[0].is_alive(), "its thread to die")
    assert caplog.records == [], "and nobody hears of it"
    app._send_event(barrier(), None)
    assert app.failing.calls == 1
    manager.close()


def test_6_an_application_dies_of_its_first_error_repaired() -> None:
    class App(NativeApp):  # type: ignore[misc]
        failing = FailingOnce()

        @set_ev_cls(ofp_event.EventOFPBarrierReply)
        def handle(self, event: object) -> None:
            self.failing.react()

    manager = AppManager()
    app = manager.instantiate(App)
    app.start()
    with pytest.raises(ValueError, match="first"):
        app._send_event(barrier(), None)
    app._send_event(barrier(), None)
    assert app.failing.calls == 2
    manager.close()


def test_the_handshake_starts_neither_threads_nor_servers() -> None:
    before = set(threading.enumerate())
    manager = AppManager()
    manager.instantiate(NativeHandshake).start()
    assert set(threading.enumerate()) == before
    manager.close()

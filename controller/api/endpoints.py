"""One channel to several controllers: to any that answers, and from a follower on to the leader.

A call is made again only where nobody has taken it: it was refused as NOT_LEADER or NO_LEADER, no connection came
about, or it only reads.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

CONNECT_S = 1.0
"""Until another endpoint is tried, where there is one."""
PATIENCE_S = 15.0
"""A new leader is there long before."""
PAUSE_S = 0.2
READS = ("Get", "List", "Watch")


class Endpoints(grpc.Channel):
    """`addresses`: gRPC addresses with commas between them. Raises what the last controller that was asked said."""

    def __init__(self, addresses: str, options: list[tuple[str, Any]]) -> None:
        self._stated = tuple(filter(None, (each.strip() for each in addresses.split(","))))
        if not self._stated:
            raise ValueError("no endpoint is stated")
        self._options = options
        self._channels: dict[str, grpc.Channel] = {}
        self._present = self._stated[0]

    def channel(self) -> grpc.Channel:
        """To the controller that is asked now; where there is a choice, to one that can be reached, if any can."""
        end = time.monotonic() + PATIENCE_S
        while True:
            if self._present not in self._channels:
                self._channels[self._present] = grpc.insecure_channel(self._present, options=self._options)
            channel = self._channels[self._present]
            if (self._present,) == self._stated or time.monotonic() > end or _ready(channel):
                return channel
            self.turn()

    def turn(self, leader: str = "") -> None:
        """To the leader, or to the next endpoint that was stated."""
        at = self._stated.index(self._present) if self._present in self._stated else -1
        self._present = leader or self._stated[(at + 1) % len(self._stated)]

    def try_again(self, error: Any, reads: bool) -> bool:
        """Whether the call may be made once more, elsewhere or here a little later."""
        info = error_info(error)
        if info is None:
            self.turn()
            return reads and len(self._stated) > 1 and bool(error.code() is grpc.StatusCode.UNAVAILABLE)
        if info.reason == "NOT_LEADER" and info.metadata["leaderGrpc"]:
            self.turn(info.metadata["leaderGrpc"])
            return True
        if info.reason == "NO_LEADER":
            time.sleep(PAUSE_S)
            self.turn()
            return True
        return False

    def unary_unary(self, method: str, *arguments: Any, **options: Any) -> Any:
        """A call with one answer, as generated stubs want it."""
        reads = method.rpartition("/")[2].startswith(READS)
        return _Call(self, reads, lambda channel: channel.unary_unary(method, *arguments, **options))

    def unary_stream(self, method: str, *arguments: Any, **options: Any) -> Any:
        """A call with a stream of answers; where it breaks off, `try_again` says whether to ask for the rest."""
        return lambda request: self.channel().unary_stream(method, *arguments, **options)(request)

    def stream_unary(self, *arguments: Any, **options: Any) -> Any:
        raise NotImplementedError("the contract has no such call")

    stream_stream = stream_unary

    def subscribe(self, *arguments: Any, **options: Any) -> None:
        raise NotImplementedError("which channel it is changes")

    unsubscribe = subscribe

    def close(self) -> None:
        for channel in self._channels.values():
            channel.close()

    def __enter__(self) -> Endpoints:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


class _Call:
    """One method, made on whichever channel is the right one."""

    def __init__(self, endpoints: Endpoints, reads: bool, bind: Callable[[grpc.Channel], Any]) -> None:
        self._endpoints = endpoints
        self._reads = reads
        self._bind = bind

    def __call__(self, request: Any, timeout: float | None = None) -> Any:
        end = time.monotonic() + PATIENCE_S
        while True:
            try:
                return self._bind(self._endpoints.channel())(request, timeout=timeout)
            except grpc.RpcError as error:
                if time.monotonic() > end or not self._endpoints.try_again(error, self._reads):
                    raise


def _ready(channel: grpc.Channel) -> bool:
    try:
        grpc.channel_ready_future(channel).result(CONNECT_S)
    except grpc.FutureTimeoutError:
        return False
    return True


def error_info(error: Any) -> error_details_pb2.ErrorInfo | None:
    """What a controller said of its refusal; None where none answered."""
    status = rpc_status.from_call(error)
    for detail in status.details if status is not None else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return info
    return None

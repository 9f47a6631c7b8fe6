"""The one expected failure of the target: a request that it refuses, with a canonical gRPC code."""

from __future__ import annotations

import grpc


class Rejected(Exception):
    """`code` is what the caller of P4Runtime sees, `message` says what was wrong in its own words."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    @property
    def number(self) -> int:
        """The code as google.rpc.Code has it."""
        number: int = self.code.value[0]
        return number


def invalid(message: str) -> Rejected:
    return Rejected(grpc.StatusCode.INVALID_ARGUMENT, message)


def unimplemented(message: str) -> Rejected:
    return Rejected(grpc.StatusCode.UNIMPLEMENTED, message)


def unmet(message: str) -> Rejected:
    """Something that the entry refers to is not there, or something still refers to it."""
    return Rejected(grpc.StatusCode.FAILED_PRECONDITION, message)

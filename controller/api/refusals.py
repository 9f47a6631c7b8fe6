"""One table from the families of `core.errors` to gRPC codes and HTTP statuses, and the bodies that go with them.

gRPC: google.rpc.Status with ErrorInfo, BadRequest, and RetryInfo where waiting helps (AIP-193). HTTP: problem details
(RFC 9457). Whatever is not a `CorridorError` is a defect: INTERNAL or 500, its text stays in the log.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import grpc
from google.protobuf import duration_pb2
from google.rpc import error_details_pb2, status_pb2

from controller.core import errors

ERROR_DOMAIN = "corridor-controller"
"""google.rpc.ErrorInfo.domain of every reason given here."""

MAX_STATUS_BYTES = 4000
"""A status travels in a header, its message a second time beside it; a gRPC peer may refuse more than 8 KiB in all."""
MAX_MESSAGE = 1000
MAX_FIGURE = 300


@dataclass(frozen=True, slots=True)
class Answer:
    """How one family of errors is told to the caller."""

    code: grpc.StatusCode
    http: HTTPStatus
    title: str


INTERNAL = Answer(grpc.StatusCode.INTERNAL, HTTPStatus.INTERNAL_SERVER_ERROR, "Internal error")

ANSWERS: dict[type[Exception], Answer] = {
    errors.Invalid: Answer(grpc.StatusCode.INVALID_ARGUMENT, HTTPStatus.BAD_REQUEST, "Invalid argument"),
    errors.NotFound: Answer(grpc.StatusCode.NOT_FOUND, HTTPStatus.NOT_FOUND, "Not found"),
    errors.AlreadyExists: Answer(grpc.StatusCode.ALREADY_EXISTS, HTTPStatus.CONFLICT, "Already exists"),
    errors.Conflict: Answer(grpc.StatusCode.ABORTED, HTTPStatus.CONFLICT, "Changed meanwhile"),
    errors.FailedPrecondition: Answer(grpc.StatusCode.FAILED_PRECONDITION, HTTPStatus.CONFLICT, "Not in this state"),
    errors.NotLeader: Answer(
        grpc.StatusCode.FAILED_PRECONDITION, HTTPStatus.TEMPORARY_REDIRECT, "Another controller leads"
    ),  # not UNAVAILABLE, which AIP-194 lets every client repeat by itself: here it would not help
    errors.Infeasible: Answer(
        grpc.StatusCode.FAILED_PRECONDITION, HTTPStatus.UNPROCESSABLE_ENTITY, "Not feasible in this network"
    ),
    errors.OutOfRange: Answer(grpc.StatusCode.OUT_OF_RANGE, HTTPStatus.GONE, "Not kept"),
    errors.Unavailable: Answer(grpc.StatusCode.UNAVAILABLE, HTTPStatus.SERVICE_UNAVAILABLE, "Unavailable"),
    errors.Refused: Answer(grpc.StatusCode.FAILED_PRECONDITION, HTTPStatus.CONFLICT, "Refused"),
    errors.DeviceError: Answer(grpc.StatusCode.UNAVAILABLE, HTTPStatus.SERVICE_UNAVAILABLE, "Device failed"),
}


def answer(error: Exception) -> Answer:
    """The entry of the nearest ancestor in `ANSWERS`."""
    return next((ANSWERS[cls] for cls in type(error).__mro__ if cls in ANSWERS), INTERNAL)


def _refused(error: Exception) -> errors.Refused:
    """The error as a refusal, so that both faces tell the same of every family."""
    if isinstance(error, errors.Refused):
        return error
    if isinstance(error, errors.DeviceError):
        return errors.Unavailable(str(error), reason="DEVICE_ERROR", metadata={"device": error.device})
    return errors.Refused("the controller failed to serve this; its log says why", reason="INTERNAL")


def rpc_status(error: Exception) -> status_pb2.Status:
    """The google.rpc.Status of an error with its details, cut to what a header can carry."""
    refused = _refused(error)
    status = status_pb2.Status(code=answer(error).code.value[0], message=_cut(refused.message, MAX_MESSAGE))
    figures = {name: _cut(value, MAX_FIGURE) for name, value in refused.metadata.items()}
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason=refused.reason, domain=ERROR_DOMAIN, metadata=figures))
    if seconds := refused.metadata.get("retryAfterS"):
        delay = duration_pb2.Duration(seconds=int(seconds))
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    bad, room = error_details_pb2.BadRequest(), MAX_STATUS_BYTES - status.ByteSize()
    for violation in refused.violations:
        bad.field_violations.add(field=violation.field, description=_cut(violation.description, MAX_FIGURE))
        if bad.ByteSize() > room:
            del bad.field_violations[-1]
            break
    if bad.field_violations:
        status.details.add().Pack(bad)
    return status


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def problem(error: Exception) -> dict[str, Any]:
    """The problem document of an error; fields are named as the JSON body spells them."""
    told, refused = answer(error), _refused(error)
    detail = refused.message
    for violation in refused.violations:
        detail = detail.replace(violation.field, json_path(violation.field)) if violation.field else detail
    return problem_document(
        told.http,
        told.title,
        detail,
        refused.reason,
        [{"field": json_path(item.field), "description": item.description} for item in refused.violations],
        refused.metadata,
    )


def problem_document(
    status: int,
    title: str,
    detail: str,
    reason: str,
    violations: list[dict[str, str]] | None = None,
    metadata: dict[str, str] | None = None,
) -> dict[str, Any]:
    """RFC 9457, with the extension members `reason`, `violations` and `metadata`."""
    return {
        "type": f"urn:corridor-controller:problem:{reason.lower().replace('_', '-')}",
        "title": title,
        "status": int(status),
        "detail": detail,
        "reason": reason,
        "violations": violations or [],
        "metadata": metadata or {},
    }


def json_path(path: str) -> str:
    """`a_end.ipv4_prefixes[0]` as proto JSON spells it: `aEnd.ipv4Prefixes[0]`; a resource name as it is."""
    if "/" in path:
        return path
    return re.sub(r"_([a-z0-9])", lambda match: match.group(1).upper(), path)

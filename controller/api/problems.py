"""Every error of the REST face as problem details (RFC 9457), the framework's own included."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from controller.api.refusals import answer, problem, problem_document
from controller.core.errors import Conflict, CorridorError, Invalid, NotLeader, Refused

MEDIA_TYPE = "application/problem+json"


class ProblemViolation(BaseModel):
    """One reason, tied to a field of the request in its JSON spelling (`aEnd.node`) or to a resource."""

    field: str
    description: str


class Problem(BaseModel):
    """RFC 9457 problem details."""

    type: str
    title: str
    status: int
    detail: str
    reason: str
    """A stable UPPER_SNAKE word for programs."""
    violations: list[ProblemViolation] = []
    metadata: dict[str, str] = {}


def handle_problems(app: FastAPI) -> None:
    """Answer with a problem wherever the application raises."""
    app.add_exception_handler(CorridorError, _corridor_error)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _defect)


RESPONSES: dict[int | str, dict[str, Any]] = {"4XX": {"model": Problem}, "5XX": {"model": Problem}}
"""What every operation may answer with instead, for the OpenAPI document."""


def problem_media(document: dict[str, Any]) -> dict[str, Any]:
    """The OpenAPI document with problems under their own media type, which FastAPI cannot state."""
    for path in document["paths"].values():
        for operation in path.values():
            for status in operation["responses"].keys() & RESPONSES.keys():
                (schema,) = operation["responses"][status]["content"].values()
                operation["responses"][status]["content"] = {MEDIA_TYPE: schema}
    return document


def _respond(document: dict[str, Any], headers: Any = None) -> JSONResponse:
    return JSONResponse(document, document["status"], headers=headers, media_type=MEDIA_TYPE)


async def _corridor_error(request: Request, error: Exception) -> JSONResponse:
    document = problem(error)
    stale = isinstance(error, Conflict) and error.reason == "STALE_ETAG"
    if stale and "if-match" in request.headers:
        document["status"] = HTTPStatus.PRECONDITION_FAILED.value  # RFC 9110 13.1.1
    return _respond(document, _elsewhere(request, error))


def _elsewhere(request: Request, error: Exception) -> dict[str, str]:
    """Where, or when, the same request is of use; 307 keeps its method and body (RFC 9110 15.4.8)."""
    if isinstance(error, NotLeader):
        query = f"?{request.url.query}" if request.url.query else ""
        path = request.scope.get("raw_path", request.url.path.encode()).decode("ascii").partition("?")[0]
        return {"Location": error.metadata["leaderRest"].rstrip("/") + path + query}
    if isinstance(error, Refused) and "retryAfterS" in error.metadata:
        return {"Retry-After": error.metadata["retryAfterS"]}
    return {}


async def _defect(request: Request, error: Exception) -> JSONResponse:
    """The server logs the error itself, with its trace."""
    return _respond(problem(error))


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    """404 and 405 of the router, 400 of a body that cannot be read."""
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    return _respond(problem_document(status, status.phrase, str(error.detail), status.name), error.headers)


async def _invalid_request(request: Request, error: Exception) -> JSONResponse:
    """What pydantic refused, named as the caller spelt it."""
    assert isinstance(error, RequestValidationError)
    violations = [
        {"field": json_location(each["loc"]), "description": printable(each["msg"])} for each in error.errors()
    ]
    summary = "; ".join(": ".join(filter(None, each.values())) for each in violations)
    told = answer(Invalid(summary))
    return _respond(problem_document(told.http, told.title, summary, Invalid.reason, violations))


def json_location(location: Iterable[str | int]) -> str:
    """`("body", "profiles", 0, "bandwidthKbps")` as `profiles[0].bandwidthKbps`."""
    _, *steps = location
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    return printable(path.lstrip("."))


def printable(text: str) -> str:
    """JSON may smuggle in half a surrogate pair, which no UTF-8 answer can repeat."""
    return text.encode("utf-8", "backslashreplace").decode()

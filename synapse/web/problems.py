"""Errors at the edge: every one is an RFC 9457 problem, and this is the table of them all.

A reason is a short code that stays the same; `/docs#reason` explains it. What a client sent is not
repeated, but for the ids and the names of fields in it: an error can neither carry a secret nor
grow with its cause.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel, Field
from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, Response
from starlette.types import Scope

from synapse.core.errors import Busy, Refused, StorageError, StorageFull, SynapseError, TextError
from synapse.core.text import shortened
from synapse.web.views import page

MEDIA_TYPE: Final = "application/problem+json"
DETAIL_CHARACTERS_MAX: Final = 500  # with the rest, a problem stays below 4 kB in plain ASCII


@dataclass(frozen=True, slots=True)
class Kind:
    """What all problems of one reason have in common."""

    status: int
    title: str
    fix: str = ""


KINDS: Final[Mapping[str, Kind]] = {
    "malformed": Kind(400, "The body cannot be read", "Send one JSON object, in UTF-8."),
    "key": Kind(
        401,
        "A key is needed",
        "Programs send it as “Authorization: Bearer KEY”. The spore printed it when it first "
        "started, and keeps it in its data folder.",
    ),
    "origin": Kind(
        403,
        "Another site's page may not do this",
        "Call from a program, or from the spore's own pages.",
    ),
    "not_yours": Kind(
        403,
        "Only the operator of a memory can take it back",
        "Ask the spore that wrote it.",
    ),
    "not_found": Kind(
        404,
        "There is no such record, task or peer here",
        "Check the id, or wait until the record has come here.",
    ),
    "no_route": Kind(404, "There is no such address", "/docs lists every address."),
    "method": Kind(405, "This address does not take that method", "The Allow header names one."),
    "body_too_slow": Kind(408, "The body did not come in time", "Send it again."),
    "conflict": Kind(
        409,
        "This Idempotency-Key was used for something else",
        "Use a new key for each write, and the same key only to repeat it.",
    ),
    "body_too_large": Kind(413, "The body is too large", "Send it in parts."),
    "media_type": Kind(
        415, "The body must be JSON", "Send the header “Content-Type: application/json”."
    ),
    "host": Kind(
        421,
        "This spore does not go by that name",
        "Add the name to allowed_hosts in config.yaml, or to SYNAPSE_ALLOWED_HOSTS.",
    ),
    "text": Kind(422, "The text cannot be stored"),
    "invalid": Kind(422, "The request does not say what it must", "/docs shows what it must say."),
    "refused": Kind(422, "The request is understood and will not be done"),
    "credential": Kind(
        422,
        "The text seems to hold a credential",
        "Take it out, or keep the memory on this spore with “scope”: “private”.",
    ),
    "label": Kind(
        422,
        "That kind or tag cannot be used",
        "Use at most 64 letters, digits, spaces and any of _ . : / + @ -.",
    ),
    "wish": Kind(
        422, "That cannot be asked for", "/docs shows what may be wished for with a task."
    ),
    "grade": Kind(
        422,
        "The grade does not say who was right",
        "Send right_answer, or position and right, and not both.",
    ),
    "private": Kind(
        422, "That cannot be done with a private task", "Ask it again as a shared one."
    ),
    "filter": Kind(
        422, "That filter cannot be used", "/docs shows what each filter of a search takes."
    ),
    "moment": Kind(
        422,
        "That is not a moment in time",
        "Write 2026-11-20, 2026-11-20T09:30:00Z or milliseconds since 1970.",
    ),
    "cursor": Kind(422, "That cursor is not one of ours", "Start again without a cursor."),
    "address": Kind(
        422, "That is not the address of a spore", "Give one like https://spore.example.org."
    ),
    "internal": Kind(500, "This spore made a mistake", "Its log says more; please report it."),
    "busy": Kind(503, "This spore is busy", "Try again after the seconds in Retry-After."),
    "streams": Kind(
        503, "Too many event streams are open", "Close one, or poll /api/health instead."
    ),
    "not_ready": Kind(503, "This spore is not ready", "Wait; /api/health says how it is."),
    "storage": Kind(
        503,
        "The disk does not take writes",
        "Nothing acknowledged is lost. Look at the disk; writing resumes by itself.",
    ),
    "storage_full": Kind(
        507, "The disk is full", "Make room; writing resumes by itself, and nothing is lost."
    ),
}


class ProblemReply(BaseModel):
    """An error, as RFC 9457 has it."""

    type: str = Field(description="Where it is explained.", examples=["/docs#credential"])
    title: str = Field(description="What it is.", examples=[KINDS["credential"].title])
    status: int = Field(description="The HTTP status.", examples=[422])
    detail: str | None = Field(None, description="What is wrong this time.")
    reason: str = Field(description="A code that stays the same.", examples=["credential"])
    fix: str | None = Field(None, description="What to do about it.")


class Problem(Exception):
    """A request that is answered with an error. `reason` is a row of `KINDS`, or a core's code."""

    def __init__(
        self,
        reason: str,
        detail: str = "",
        *,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail or reason)
        self.kind = KINDS.get(reason, KINDS["refused"])
        self.reason = reason
        self.status = status or self.kind.status
        self.detail = shortened(detail, characters_max=DETAIL_CHARACTERS_MAX)
        self.headers = dict(headers or {})

    def reply(self) -> ProblemReply:
        """The problem as clients see it."""
        return ProblemReply(
            type=f"/docs#{self.reason if self.reason in KINDS else 'refused'}",
            title=self.kind.title,
            status=self.status,
            detail=self.detail or None,
            reason=self.reason,
            fix=self.kind.fix or None,
        )


def of(error: SynapseError) -> Problem:
    """An error of the core as a problem."""
    match error:
        case Busy():
            seconds = -(-error.retry_after_ms // 1_000)
            return Problem("busy", str(error), headers={"Retry-After": str(seconds)})
        case Refused():
            return Problem(error.reason, str(error))
        case TextError():
            return Problem("text", str(error))
        case StorageFull():
            return Problem("storage_full", str(error))
        case StorageError():
            return Problem("storage", str(error))
    return Problem("internal")


def response(problem: Problem, scope: Scope) -> Response:
    """A problem as the caller can read it: JSON, or a page when a person looks at pages."""
    if _reads_pages(scope):
        return HTMLResponse(page("problem", problem=problem), problem.status, problem.headers)
    fields: dict[str, Any] = problem.reply().model_dump(exclude_none=True)
    # Plain ASCII: whatever a text holds, it can be encoded.
    return Response(json.dumps(fields), problem.status, problem.headers, MEDIA_TYPE)


def _reads_pages(scope: Scope) -> bool:
    for_programs = scope["path"].startswith(("/api/", "/federation/", "/gossip/", "/mcp"))
    return not for_programs and "text/html" in Headers(scope=scope).get("accept", "")

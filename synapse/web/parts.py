"""What routes work with, as FastAPI dependencies. `build` puts the parts in their place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Depends, FastAPI, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from synapse.core.errors import NotFound
from synapse.operations import Operations
from synapse.replies import RecordView
from synapse.web.access import Access, WebSettings
from synapse.web.idempotency import Idempotency
from synapse.web.live import Events


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything the routes of one spore share."""

    operations: Operations
    settings: WebSettings
    access: Access
    idempotency: Idempotency
    events: Events


def install(app: FastAPI, parts: Parts) -> None:
    """Put the parts where the dependencies find them."""
    app.state.parts = parts


async def parts_of(request: Request) -> Parts:
    """The parts of the spore this request came to."""
    found = request.app.state.parts
    assert isinstance(found, Parts), "`install` puts them there"
    return found


TheParts = Annotated[Parts, Depends(parts_of)]


async def _operations(parts: TheParts) -> Operations:
    return parts.operations


async def _may_see_private(request: Request, parts: TheParts) -> bool:
    return parts.access.may_write(request.headers)


Verbs = Annotated[Operations, Depends(_operations)]
MaySeePrivate = Annotated[bool, Depends(_may_see_private)]
"""Whether the caller of a read may see private memories: whoever may write may."""

_BEARER: Final = HTTPBearer(
    auto_error=False, scheme_name="key", description="The spore's key. On loopback none is needed."
)


async def writer(
    request: Request,
    parts: TheParts,
    _: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)],  # documents the key
) -> None:
    """A dependency of every route that writes. Raises Problem (`key`)."""
    parts.access.check_write(request.headers)


def visible(operations: Operations, memory_id: str, *, may_see_private: bool) -> RecordView:
    """One record. Raises NotFound, also when it is private and the caller may not see it."""
    found = operations.memory(memory_id)
    if found.scope == "private" and not may_see_private:
        raise NotFound(f"this spore holds no record {memory_id}")
    return found

"""JSON bodies, read strictly: what two parsers could read in two ways is refused.

No NaN, no duplicate keys, no deep nesting, no unknown fields. Faults name fields, and never repeat
what was in them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from difflib import get_close_matches
from itertools import accumulate
from typing import Any, Final, NoReturn, TypeVar

from fastapi import Request
from pydantic import BaseModel, ConfigDict, ValidationError

from synapse.web.problems import Problem

DEPTH_MAX: Final = 32  # nesting; what we take in has two levels
FIELDS_MAX: Final = 64  # of one object; what we take in has five
FIELD_CHARACTERS_MAX: Final = 64
FAULTS_MAX: Final = 4  # named in one problem; whoever mends four sees the next

# A string, or the rest of the text when it has no end: the pattern never fails, nor looks twice.
_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
_NO_BRACKETS: Final = re.compile(r"[^][{}]+")
_STEPS: Final = {"[": 1, "{": 1, "]": -1, "}": -1}


class Body(BaseModel):
    """Base of all bodies: an unknown field is an error, a number is not a text."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


Model = TypeVar("Model", bound=Body)


def body_of(model: type[Model]) -> Callable[[Request], Awaitable[Model]]:
    """A dependency that reads the body as `model`. It raises Problem."""

    async def read(request: Request) -> Model:
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != "application/json":
            raise Problem("media_type")
        fields = parse(await request.body())
        try:
            return model.model_validate(fields)
        except ValidationError as error:
            found = error.errors(include_url=False, include_context=False, include_input=False)
            raise Problem("invalid", faults(found, known=list(model.model_fields))) from None

    return read


def documented(model: type[Body]) -> dict[str, Any]:
    """What OpenAPI says of a body that `body_of(model)` reads."""
    content = {"application/json": {"schema": model.model_json_schema()}}
    return {"requestBody": {"required": True, "content": content}}


def parse(data: bytes) -> dict[str, Any]:
    """The one JSON object in `data`. Raises Problem (`malformed`)."""
    try:
        text = data.decode("utf-8")
        if _depth(text) > DEPTH_MAX:
            raise Problem("malformed", f"it is nested more than {DEPTH_MAX} levels deep")
        value = json.loads(text, parse_constant=_no_constant, object_pairs_hook=_object)
    except UnicodeDecodeError:
        raise Problem("malformed", "it is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise Problem(
            "malformed", f"{error.msg} at line {error.lineno}, column {error.colno}"
        ) from None
    except ValueError:  # an integer of thousands of digits
        raise Problem("malformed", "a number in it is too long") from None
    if not isinstance(value, dict):
        raise Problem("malformed", "it is not an object")
    return value


def faults(errors: Sequence[Mapping[str, Any]], *, known: Sequence[str] = ()) -> str:
    """Pydantic's errors as one text, without what was sent. `known` are a body's fields."""
    shown = "; ".join(_fault(error, known) for error in errors[:FAULTS_MAX])
    return f"{shown}; and more" if len(errors) > FAULTS_MAX else shown


def _fault(error: Mapping[str, Any], known: Sequence[str]) -> str:
    field = ".".join(str(part) for part in error["loc"])[:FIELD_CHARACTERS_MAX]
    if error["type"] == "missing":
        return f"{field}: is missing"
    if error["type"] == "extra_forbidden":
        nearest = get_close_matches(field, known, n=1)
        fields = f"known are {', '.join(known)}" if known else "there are none"
        return f"{field}: no such field; {f'did you mean {nearest[0]}?' if nearest else fields}"
    return f"{field}: {error['msg']}"


def _depth(text: str) -> int:
    """How deep the brackets of a JSON text are nested, without parsing it."""
    brackets = _NO_BRACKETS.sub("", _STRING.sub("", text))
    return max(accumulate(map(_STEPS.__getitem__, brackets)), default=0)


def _no_constant(_: str) -> NoReturn:
    raise Problem("malformed", "NaN and Infinity are not JSON")


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > FIELDS_MAX:
        raise Problem("malformed", f"an object in it has more than {FIELDS_MAX} fields")
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise Problem("malformed", "a name occurs twice in one object")
    return fields

"""Whether a value is what a JSON Schema asks for. Pure.

The part of JSON Schema (2020-12) that our own requests use: type, enum, properties, required,
additionalProperties false, items and the bounds. What else a schema says is not looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "null": (type(None),),
}


def breach(value: Any, schema: Mapping[str, Any], *, at: str = "the reply") -> str | None:
    """What is wrong with a value, and where; None when nothing is. `value` is parsed JSON."""
    return next(_breaches(value, schema, at), None)


def _breaches(value: Any, schema: Mapping[str, Any], at: str) -> Iterator[str]:
    kind = str(schema.get("type"))
    if kind in _TYPES and not _is(value, kind):
        yield f"{at} is no {kind}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{at} is none of the values allowed"
    yield from _out_of_bounds(value, schema, at)
    if isinstance(value, dict):
        known = schema.get("properties", {})
        yield from (
            f"{at} has no {name!r}" for name in schema.get("required", ()) if name not in value
        )
        if schema.get("additionalProperties") is False:
            yield from (f"{at} has an unknown field" for name in value if name not in known)
        for name, inner in known.items():
            if name in value:
                yield from _breaches(value[name], inner, f"{name!r}")
    if isinstance(value, list) and "items" in schema:
        for one in value:
            yield from _breaches(one, schema["items"], f"an item of {at}")


def _is(value: Any, kind: str) -> bool:
    return isinstance(value, _TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))


def _out_of_bounds(value: Any, schema: Mapping[str, Any], at: str) -> Iterator[str]:
    """Numbers are bounded by value, texts and lists by length; a number that is no number never."""
    if isinstance(value, (str, list)):
        unit = "Length" if isinstance(value, str) else "Items"
        measure: float = len(value)
        least, most = schema.get(f"min{unit}"), schema.get(f"max{unit}")
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        measure, least, most = value, schema.get("minimum"), schema.get("maximum")
    else:
        return
    if least is not None and not measure >= least:
        yield f"{at} is below {least}"
    if most is not None and not measure <= most:
        yield f"{at} is above {most}"

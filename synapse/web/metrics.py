"""/metrics: what this spore counts, in Prometheus' text format 0.0.4."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from fastapi import APIRouter
from fastapi.responses import Response

from synapse.operations.metrics import Labels, Metric, Timings
from synapse.web.parts import Verbs

MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

router = APIRouter(include_in_schema=False)


@router.get("/metrics")
async def metrics(operations: Verbs) -> Response:
    """What this spore counts."""
    return Response(exposition(await operations.metrics()), media_type=MEDIA_TYPE)


def exposition(every: Iterable[Metric | Timings]) -> str:
    """The text format."""
    return "".join(
        f"{line}\n"
        for one in every
        for line in (_metric(one) if isinstance(one, Metric) else _timings(one))
    )


def _metric(one: Metric) -> Iterator[str]:
    yield f"# HELP {one.name} {one.help}"
    yield f"# TYPE {one.name} {one.type}"
    for labels, value in one.samples:
        yield _line(one.name, labels, value)


def _timings(one: Timings) -> Iterator[str]:
    """Each bucket counts those below it too."""
    yield f"# HELP {one.name} {one.help}"
    yield f"# TYPE {one.name} histogram"
    for labels, found in one.histograms:
        below = 0
        for bound, count in zip([*found.bounds, "+Inf"], found.counts, strict=True):
            below += count
            yield _line(f"{one.name}_bucket", {**labels, "le": str(bound)}, below)
        yield _line(f"{one.name}_sum", labels, found.sum)
        yield _line(f"{one.name}_count", labels, below)


def _line(name: str, labels: Labels, value: float) -> str:
    pairs = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
    number = str(int(value)) if value == int(value) else repr(float(value))
    return f"{name}{{{pairs}}} {number}" if pairs else f"{name} {number}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")

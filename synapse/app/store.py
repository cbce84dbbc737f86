"""What an operator does with the log of a data folder, apart from running a spore on it.

Each function says what it came to as fields for JSON. `well` is whether all is as it should be, and
`advice` what to do when it is not.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from synapse.app.assembly import LOG_FILE
from synapse.config import Settings
from synapse.storage import backup as copies
from synapse.storage import checking, interchange
from synapse.storage.interchange import Shape
from synapse.storage.json_lines import JsonLines
from synapse.storage.parquet import Parquet
from synapse.storage.proof import Flaw, Progress

FLAWS_SHOWN: Final = 100

Fields = dict[str, Any]


def verify(settings: Settings, *, anew: bool, repair: bool, progress: Progress) -> Fields:
    """Check every hash and signature; with `repair`, set aside what is damaged."""
    path = _log(settings)
    report = checking.verify(path, anew=anew, progress=progress)
    aside = report.set_aside
    if repair and report.flaws:
        aside = checking.set_aside(path, report.flaws)
    return {
        **report.proof.as_dict(),
        **_flaws(report.flaws),
        "set_aside": aside,
        "resumed_at": report.resumed_at,
        "well": report.well,
        "advice": _advice(damaged=len(report.flaws), aside=aside, repaired=repair),
    }


def back_up(settings: Settings, target: Path, *, progress: Progress) -> Fields:
    """Copy the log to a new file, while a spore may be running on it."""
    copy = copies.back_up(_log(settings), target, progress=progress)
    return {
        "file": str(target),
        "size_bytes": copy.size_bytes,
        **copy.proof.as_dict(),
        **_flaws(copy.flaws),
        "well": not copy.flaws,
        "advice": _advice(damaged=len(copy.flaws), aside=0, repaired=False),
    }


def restore(
    settings: Settings, source: Path, *, expected: str | None, progress: Progress
) -> Fields:
    """Make the log of a data folder that has none from a backup."""
    copy = copies.restore(source, _log(settings), expected=expected, progress=progress)
    return {
        "data_dir": str(settings.data_dir),
        **copy.proof.as_dict(),
        **_flaws(copy.flaws),
        "well": not copy.flaws,
        "advice": _advice(damaged=len(copy.flaws), aside=0, repaired=False),
    }


def export(settings: Settings, target: Path, *, private: bool, progress: Progress) -> Fields:
    """Write the log's records, and private memories if asked, to a new file of rows."""
    done = interchange.export(
        _log(settings), _shape(target), target, private=private, progress=progress
    )
    return {
        "file": str(target),
        **done.proof.as_dict(),
        **_flaws(done.flaws),
        "well": not done.flaws,
        "advice": _advice(damaged=len(done.flaws), aside=0, repaired=False),
    }


def take_in(settings: Settings, source: Path, *, progress: Progress) -> Fields:
    """Offer the rows of a file to the log, each verified like a peer's record."""
    done = interchange.take_in(
        _log(settings),
        _shape(source),
        source,
        now_ms=time.time_ns() // 1_000_000,
        progress=progress,
    )
    return {
        "entered": done.entered,
        "known": done.known,
        "waiting": done.waiting,
        "private_memories": done.private_memories,
        "refused": dict(done.refused),
        "file": asdict(done.proof) if done.proof is not None else None,
        "promised": asdict(done.promised) if done.promised is not None else None,
        "fingerprint": done.fingerprint,
        "well": done.whole,
        "advice": None if done.whole else _import_advice(done),
    }


def _log(settings: Settings) -> Path:
    return settings.data_dir / LOG_FILE


def _shape(path: Path) -> Shape:
    return Parquet() if path.suffix == ".parquet" else JsonLines()


def _flaws(flaws: Sequence[Flaw]) -> Fields:
    return {"damaged": len(flaws), "damaged_rows": [asdict(one) for one in flaws[:FLAWS_SHOWN]]}


def _advice(*, damaged: int, aside: int, repaired: bool) -> str | None:
    if damaged and not repaired:
        return (
            "stop the spore, run `synapse verify --repair`, which sets the damaged rows aside, and "
            "start it again: peers that have the records supply them; private memories are only "
            "in backups"
        )
    if aside:
        return (
            f"{aside} damaged rows are set aside: a running spore gets the records from peers that "
            "have them; private memories are only in backups"
        )
    return None


def _import_advice(done: interchange.Imported) -> str:
    if done.refused:
        return "rows were refused, so the file was altered or damaged: export it again"
    if done.proof != done.promised:
        return "the file does not come to what it promises at its end: it was cut or altered"
    return (
        "records wait for what is not in the file (the certificate of their writer, the retraction "
        "of a body, or their time); a running spore gets them from its peers"
    )

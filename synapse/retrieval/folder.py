"""The files of an index: segments, what has changed in them, and a manifest that names both.

Nothing counts but what the manifest names. It is replaced as a whole, after all it names is on the
disk, so that a crash at any point leaves the old state or the new one; leftovers are swept away
when the folder is opened. What is damaged or missing is reported and left out: the log has it.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from synapse.core.errors import StorageError, StorageFull
from synapse.retrieval import layout, segment
from synapse.retrieval.analysis import ANALYSER_VERSION
from synapse.retrieval.engine import Engine
from synapse.retrieval.layout import DamagedSegment
from synapse.retrieval.segment import Segment
from synapse.retrieval.spans import Spans, joined, without

MANIFEST: Final = "manifest.json"
# The newest segments, which a crash may have met; `maintain` does the rest. A damaged one may give
# wrong answers until then, and no more than that: searches read nothing outside it.
VERIFIED_AT_OPEN_BYTES: Final = 1 << 24
_END_BYTES: Final = 1 << 14  # of a segment: the labels, as a rule
_DISK_FULL: Final = (28, 122)  # ENOSPC, EDQUOT
_CHANGES_MAGIC: Final = b"SYNCHG\r\n"


@dataclass(frozen=True, slots=True)
class Damage:
    """A segment that could not be used, and why."""

    name: str
    reason: str
    covers: Spans  # what has to be fed again


@dataclass(frozen=True, slots=True)
class Opened:
    """What a folder held."""

    segments: tuple[Segment, ...]
    covers: Spans  # positions of the log that hold nothing that is searchable
    verified: frozenset[str]  # the names of the segments whose checksums were looked at
    damage: tuple[Damage, ...]


class Folder:
    """Writes and reads the files. One thread at a time."""

    def __init__(self, path: Path, engine: Engine) -> None:
        """Raises StorageError."""
        self._path = path
        self._engine = engine
        self._next = 1
        self._saved: dict[str, tuple[segment.Changes, str]] = {}  # by segment: what, and where
        with _as_storage_error("open the index"):
            path.mkdir(parents=True, exist_ok=True, mode=0o700)

    def open(self) -> Opened:
        """Everything the manifest names that is whole. Raises StorageError."""
        manifest, damage = self._manifest()
        found: list[Segment] = []
        verified: set[str] = set()
        left = VERIFIED_AT_OPEN_BYTES
        self._ask_for_ends(manifest.get("segments", []))
        for entry in reversed(manifest.get("segments", [])):
            name, covers = str(entry["name"]), _spans(entry["covers"])
            try:
                opened = self._open(entry, covers)
                left -= len(opened.contents.data)
                if left >= 0:
                    opened.contents.verify()
                    verified.add(name)
            except (DamagedSegment, OSError) as error:
                damage.append(Damage(name, str(error), covers))
            else:
                found.append(opened)
        self._next = max(self._next, int(manifest.get("next", 1)))
        opened_all = _without_damaged(
            Opened(
                tuple(reversed(found)),
                _spans(manifest.get("covers", [])),
                frozenset(verified),
                tuple(damage),
            )
        )
        if damage:
            self.save(opened_all.segments, opened_all.covers)
        self._sweep(opened_all.segments)
        return opened_all

    def write(self, data: bytes | memoryview, covers: Spans) -> Segment:
        """A segment of these bytes, on the disk. Nothing names it yet. Raises StorageError."""
        name = f"{self._next:08d}.seg"
        self._next += 1
        self._put(name, data)
        return segment.made(self._engine, self._map(name), covers, name=name)

    def save(self, segments: Sequence[Segment], covers: Spans) -> None:
        """Make these the segments that count, with their changes. Raises StorageError."""
        entries = [
            {
                "name": each.name,
                "bytes": len(each.contents.data),
                "header": zlib.crc32(each.contents.data[: layout.HEADER_BYTES]),
                "covers": each.covers,
                "changes": self._save_changes(each),
            }
            for each in segments
        ]
        manifest = {
            "format": layout.FORMAT_VERSION,
            "analyser": ANALYSER_VERSION,
            "next": self._next,
            "segments": entries,
            "covers": covers,
        }
        body = json.dumps(manifest, separators=(",", ":")).encode()
        self._put(MANIFEST, body + b"\n%08x\n" % zlib.crc32(body))
        self._sweep(segments)

    # Reading.

    def _manifest(self) -> tuple[dict[str, Any], list[Damage]]:
        """What the manifest says; nothing when it is of another version or cannot be read."""
        with _as_storage_error("read the index"):
            try:
                body, checksum = (self._path / MANIFEST).read_bytes().split(b"\n")[:2]
            except FileNotFoundError:
                return {}, []
            except ValueError:
                return {}, [Damage(MANIFEST, "it has no checksum", ())]
        if b"%08x" % zlib.crc32(body) != checksum:
            return {}, [Damage(MANIFEST, "it does not match its checksum", ())]
        manifest = json.loads(body)
        self._next = int(manifest["next"])
        if (manifest["format"], manifest["analyser"]) != (layout.FORMAT_VERSION, ANALYSER_VERSION):
            return {"next": self._next}, []
        return manifest, []

    def _ask_for_ends(self, entries: Sequence[dict[str, Any]]) -> None:
        """Have the system read all headers and labels at once: one after another takes a second
        at ten million memories, if nothing is in memory yet."""
        if not hasattr(os, "posix_fadvise"):
            return
        for entry in entries:
            with contextlib.suppress(OSError), (self._path / str(entry["name"])).open("rb") as file:
                end = max(0, int(entry["bytes"]) - _END_BYTES)
                for start in (0, end):
                    length = mmap.PAGESIZE if start == 0 else _END_BYTES
                    os.posix_fadvise(file.fileno(), start, length, os.POSIX_FADV_WILLNEED)

    def _open(self, entry: dict[str, Any], covers: Spans) -> Segment:
        name = str(entry["name"])
        data = self._map(name)
        if len(data) != entry["bytes"]:
            raise DamagedSegment("it has another size than it was written with")
        opened = segment.made(self._engine, data, covers, name=name)
        if zlib.crc32(opened.contents.data[: layout.HEADER_BYTES]) != entry["header"]:
            raise DamagedSegment("it is not the one that was written")
        if entry["changes"] is None:
            return opened
        changes = self._read_changes(str(entry["changes"]), opened)
        self._saved[name] = (changes.changes, str(entry["changes"]))
        return changes

    def _map(self, name: str) -> mmap.mmap:
        with (self._path / name).open("rb") as file:
            try:
                return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except ValueError:
                raise DamagedSegment("it is empty") from None

    def _read_changes(self, name: str, opened: Segment) -> Segment:
        data = (self._path / name).read_bytes()
        body, checksum = data[:-4], data[-4:]
        if not body.startswith(_CHANGES_MAGIC) or zlib.crc32(body) != int.from_bytes(checksum):
            raise DamagedSegment("what has changed in it cannot be read")
        numbers = np.frombuffer(body, dtype="<u4", offset=len(_CHANGES_MAGIC))
        removed, rest = numbers[1 : 1 + numbers[0]], numbers[1 + numbers[0] :]
        if len(rest):
            changes = segment.Changes(verified=rest.tobytes())
            opened = segment.changed(self._engine, opened, changes)
        return segment.with_removed(self._engine, opened, removed.tolist())

    # Writing.

    def _save_changes(self, each: Segment) -> str | None:
        """The name of the file that holds a segment's changes, written if need be."""
        changes, (saved, name) = each.changes, self._saved.get(each.name, (segment.NOTHING, ""))
        if changes is saved:
            return name or None
        removed = np.flatnonzero(np.frombuffer(changes.dead or b"", dtype=np.uint8))
        body = _CHANGES_MAGIC + len(removed).to_bytes(4, "little")
        body += removed.astype("<u4").tobytes() + (changes.verified or b"")
        name = f"{self._next:08d}.changes"
        self._next += 1
        self._put(name, body + zlib.crc32(body).to_bytes(4))
        self._saved[each.name] = (changes, name)
        return name

    def _put(self, name: str, data: bytes | memoryview) -> None:
        """The file is there as a whole, durably, or not at all."""
        with _as_storage_error("write the index"):
            temporary = self._path / f"{name}.tmp"
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._path / name)
            directory = os.open(self._path, os.O_RDONLY)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)

    def _sweep(self, segments: Iterable[Segment]) -> None:
        """Remove files that the manifest does not name. What is mapped stays readable."""
        named = {each.name for each in segments}
        self._saved = {name: saved for name, saved in self._saved.items() if name in named}
        kept = named | {name for _, name in self._saved.values()} | {MANIFEST}
        with _as_storage_error("tidy up the index"):
            for path in sorted(self._path.iterdir()):
                if path.suffix in (".seg", ".changes", ".tmp") and path.name not in kept:
                    path.unlink(missing_ok=True)


def _without_damaged(opened: Opened) -> Opened:
    """Nothing counts as covered that a damaged segment held; all of it, if nobody knows what."""
    if not opened.damage:
        return opened
    unknown = any(not each.covers for each in opened.damage)
    lost = joined(span for each in opened.damage for span in each.covers)

    def left(covers: Spans) -> Spans:
        return () if unknown else without(covers, lost)

    return Opened(
        tuple(replace_covers(each, left(each.covers)) for each in opened.segments),
        left(opened.covers),
        opened.verified,
        opened.damage,
    )


def replace_covers(each: Segment, covers: Spans) -> Segment:
    """The same segment, said to cover this."""
    return Segment(each.contents, each.block, covers, each.changes, each.name, each.sealed)


def _spans(value: Iterable[Sequence[int]]) -> Spans:
    return tuple((int(after), int(upto)) for after, upto in value)


@contextlib.contextmanager
def _as_storage_error(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        kind = StorageFull if error.errno in _DISK_FULL else StorageError
        raise kind(f"cannot {what}: {error.strerror}") from error

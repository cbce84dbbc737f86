"""Fetching a model's file, once a person has agreed: `offer` says what would come, `fetch` gets it.

Nothing here runs by itself. The file comes over https (from this machine also over http) and is
what it was said to be: of the size that was offered, of the hash that was given or promised, and
a GGUF. Until then it is a `.part`, which a later `fetch` goes on with.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import ipaddress
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, NoReturn

import httpx

from synapse.core.errors import StorageError, StorageFull
from synapse.core.text import shortened
from synapse.providers import gguf
from synapse.providers.gguf import ModelFileError

REDIRECTS_MAX: Final = 5  # hubs use one or two: to their store, and to the nearest copy of it
SIZE_BYTES_MAX: Final = 1 << 40  # 1 TiB: the largest open models have about that; more is a mistake
DISK_SPARE_BYTES: Final = 1 << 30  # left free for the log and everyone else; no source
BLOCK_BYTES: Final = 1 << 20
NOTE_BYTES_MAX: Final = 16_384  # addresses may have a few thousand characters
REASON_CHARACTERS_MAX: Final = 200
TIMEOUT: Final = httpx.Timeout(30.0, connect=10.0)  # seconds without a byte; no source

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}\.gguf")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_TAG: Final = re.compile(r'"[!#-~]{1,200}"')
_REDIRECTS: Final = (301, 302, 303, 307, 308)
_NO_HEAD: Final = (403, 404, 405, 501)  # what stores answer whose addresses are signed for GET

Progress = Callable[[int, int], None]
"""Told how many bytes are there, and of how many."""


def _silent(done: int, size: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What a source says it would send. `promised_sha256` is its own word, and may be None."""

    source: str
    host: str  # that would really send it
    name: str
    size_bytes: int
    promised_sha256: str | None


@dataclass(frozen=True, slots=True)
class _Provenance:
    """What is noted beside a file: of which bytes the hash is, told by their size and time."""

    source: str
    sha256: str
    size_bytes: int
    changed_ns: int


@dataclass(frozen=True, slots=True)
class _Answer:
    """The headers of the last response, and what was promised on the way to it."""

    status: int
    url: httpx.URL
    headers: Mapping[str, str]
    linked: Mapping[str, str]


class Source:
    """A place that offers a file. Nothing is fetched before `fetch` is called."""

    def __init__(self, url: str, folder: Path, http: httpx.Client) -> None:
        """Ask what is at `url`. Raises ModelFileError, StorageError."""
        self.folder = folder
        self.offer = offer(url, http)
        self.begun_bytes = begun_bytes(self.offer, folder)
        self.free_disk_bytes = free_disk_bytes(folder)
        self._http = http

    def fetch(self, sha256: str | None = None, progress: Progress = _silent) -> Path:
        """Fetch the file, or go on where an earlier fetch stopped. Raises as `fetch` does."""
        return fetch(self.offer, self.folder, self._http, sha256=sha256, progress=progress)


@contextmanager
def source(url: str, folder: Path) -> Iterator[Source]:
    """What is at `url`, to be fetched into `folder`.

    The client reads no proxy and no netrc from the environment, and follows nothing by itself.
    """
    with httpx.Client(trust_env=False, follow_redirects=False, timeout=TIMEOUT) as http:
        yield Source(url, folder, http)


def offer(source: str, http: httpx.Client) -> Offer:
    """Ask a source what it would send, and fetch nothing. Raises ModelFileError."""
    name = httpx.URL(_checked(source)).path.rpartition("/")[2]
    if not _NAME.fullmatch(name):
        raise ModelFileError("the address must end in the name of a .gguf file")
    try:
        answer = _asked(http, "HEAD", source)
        if answer.status in _NO_HEAD:
            answer = _asked(http, "GET", source)
    except httpx.HTTPError as error:
        raise _unreachable(error) from None
    if answer.status != 200:
        raise ModelFileError(f"{answer.url.host} answers HTTP {answer.status}")
    return Offer(source, answer.url.host, name, _size(answer), _promise(answer))


def fetch(
    offered: Offer,
    folder: Path,
    http: httpx.Client,
    *,
    sha256: str | None = None,
    progress: Progress = _silent,
) -> Path:
    """Fetch what was offered into `folder`, or go on where an earlier fetch stopped.

    The file must have the hash given, else the one that was promised. Raises ModelFileError,
    StorageError, StorageFull; what has come of the file by then is kept, unless it is wrong.
    """
    wanted = sha256.lower() if sha256 is not None else offered.promised_sha256
    if wanted is not None and not _SHA256.fullmatch(wanted):
        raise ModelFileError("a SHA-256 hash has 64 hexadecimal digits")
    final = folder / offered.name
    if final.exists():
        raise ModelFileError(f"{final} is there already; remove it to fetch it again")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(_part_of(final)) as file:
            part = _Part(_part_of(final), file, offered, wanted)
            part.complete(http, progress)
            part.check()
            part.publish(final)
    except httpx.HTTPError as error:
        raise _unreachable(error) from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull(
                f"the disk of {folder} is full; make room and run this again"
            ) from None
        raise StorageError(f"{folder} cannot be written: {error.strerror}") from None
    return final


def known_sha256(file: Path) -> str | None:
    """The hash of a file as it was when it was fetched; None once it has changed, or if unknown."""
    noted = _read_note(file)
    try:
        now = file.stat()
    except OSError:
        return None
    same = (noted.get("size_bytes"), noted.get("changed_ns")) == (now.st_size, now.st_mtime_ns)
    sha256 = str(noted.get("sha256"))
    return sha256 if same and _SHA256.fullmatch(sha256) else None


def free_disk_bytes(folder: Path) -> int:
    """What is free where `folder` is, or will be. Raises StorageError."""
    there = next((one for one in (folder, *folder.parents) if one.is_dir()), Path("/"))
    try:
        return shutil.disk_usage(there).free
    except OSError as error:
        raise StorageError(f"{there} cannot be read: {error.strerror}") from None


def begun_bytes(offered: Offer, folder: Path) -> int:
    """How much of an offer an earlier fetch has left there."""
    part = _part_of(folder / offered.name)
    noted = _read_note(part)
    same = all(noted.get(name) == value for name, value in _identity(offered).items())
    return part.stat().st_size if same and part.exists() else 0


# Where it comes from.


def _checked(address: str | httpx.URL) -> httpx.URL:
    """The address, if it is https or on this machine. Raises ModelFileError."""
    try:
        url = httpx.URL(address)
    except httpx.InvalidURL as error:
        raise ModelFileError(f"that is no address: {error}") from None
    if not url.host or url.userinfo or not (url.scheme == "https" or _is_here(url)):
        raise ModelFileError("the address must be https://host/path, with no user or password")
    return url


def _is_here(url: httpx.URL) -> bool:
    if url.scheme != "http":
        return False
    try:
        return ipaddress.ip_address(url.host).is_loopback
    except ValueError:
        return url.host == "localhost"


def _next(answer: httpx.Response) -> httpx.URL:
    """Where a redirect leads; from afar never to plain http, so never into this machine."""
    try:
        target = _checked(answer.url.join(answer.headers.get("location", "")))
    except httpx.InvalidURL:
        raise ModelFileError(f"{answer.url.host} redirects to what is no address") from None
    if target.scheme == "http" and not _is_here(answer.url):
        raise ModelFileError(f"{answer.url.host} redirects to plain http")
    return target


@contextmanager
def _opened(
    http: httpx.Client, method: str, source: str, headers: Mapping[str, str]
) -> Iterator[tuple[httpx.Response, dict[str, str]]]:
    """The response at the end of all redirects, and what their `x-linked-` headers promised.

    Hubs that keep files elsewhere (Hugging Face) name in them the file's size and SHA-256. Only
    the source's own word counts, not that of the store it leads to.
    """
    url, linked = _checked(source), {}
    for hop in range(REDIRECTS_MAX + 1):
        asked = {"accept-encoding": "identity", **headers}
        with http.stream(method, url, headers=asked, follow_redirects=False) as response:
            if hop == 0:
                found = response.headers.items()
                linked = {name: value for name, value in found if name.startswith("x-linked-")}
            if response.status_code not in _REDIRECTS:
                yield response, linked
                return
            url = _next(response)
    raise ModelFileError(f"more than {REDIRECTS_MAX} redirects")


def _asked(http: httpx.Client, method: str, source: str) -> _Answer:
    with _opened(http, method, source, {}) as (response, linked):
        return _Answer(response.status_code, response.url, dict(response.headers), linked)


def _size(answer: _Answer) -> int:
    text = answer.linked.get("x-linked-size") or answer.headers.get("content-length", "")
    if not re.fullmatch(r"[1-9]\d{0,15}", text, re.ASCII) or int(text) > SIZE_BYTES_MAX:
        raise ModelFileError(f"{answer.url.host} does not say how large the file is")
    return int(text)


def _promise(answer: _Answer) -> str | None:
    tag = answer.linked.get("x-linked-etag", "").strip('"').lower()
    return tag if _SHA256.fullmatch(tag) else None


def _unreachable(error: httpx.HTTPError) -> ModelFileError:
    reason = shortened(str(error) or type(error).__name__, characters_max=REASON_CHARACTERS_MAX)
    return ModelFileError(f"the transfer broke off ({reason}); run this again to go on with it")


# What has come of it.


class _Part:
    """The unfinished file of one offer. A note beside it says of which bytes it is the start."""

    def __init__(self, path: Path, file: BinaryIO, offered: Offer, wanted: str | None) -> None:
        self._path, self._file, self._offered, self._wanted = path, file, offered, wanted
        self._hash = hashlib.sha256()
        self._tag = ""
        if not self._can_go_on():
            self._restart()

    def complete(self, http: httpx.Client, progress: Progress) -> None:
        """Fetch what is missing. Raises ModelFileError, StorageFull, OSError, httpx.HTTPError."""
        size = self._offered.size_bytes
        done = self._read(progress)
        if free_disk_bytes(self._path.parent) < size - done + DISK_SPARE_BYTES:
            raise StorageFull(
                f"{self._path.parent} has too little room for {size - done} bytes more, "
                f"with {DISK_SPARE_BYTES} left for everything else"
            )
        if done == size:
            return
        headers = {"range": f"bytes={done}-"} if done else {}
        if done and self._tag:
            headers["if-range"] = self._tag
        with _opened(http, "GET", self._offered.source, headers) as (response, _):
            if response.status_code == 200:  # all of it: nothing was there, or it has changed
                done = self._restart(response.headers.get("etag", ""))
            elif response.status_code != 206 or not _goes_on(response, done, size):
                raise ModelFileError(f"{response.url.host} answers HTTP {response.status_code}")
            for block in response.iter_raw():
                done += len(block)
                if done > size:
                    self._wrong(f"more came than the {size} bytes announced")
                self._file.write(block)
                self._hash.update(block)
                progress(done, size)
        self._file.flush()
        if done != size:
            raise ModelFileError(f"{done} of {size} bytes came; run this again to go on with it")

    def check(self) -> None:
        """Remove what is not the file that was wanted, and say so. Raises ModelFileError."""
        found = self._hash.hexdigest()
        if self._wanted is not None and found != self._wanted:
            self._wrong(f"it has the SHA-256 {found}, and not {self._wanted}")
        try:
            gguf.read(self._path)
        except ModelFileError as error:
            self._wrong(str(error))

    def publish(self, final: Path) -> None:
        """Make it durable, then give it its name, and note beside it what is known of it."""
        os.fsync(self._file.fileno())
        now = os.fstat(self._file.fileno())
        noted = _Provenance(
            self._offered.source, self._hash.hexdigest(), now.st_size, now.st_mtime_ns
        )
        _write_note(final, asdict(noted))
        os.replace(self._path, final)
        _sync(final.parent)
        _note_of(self._path).unlink(missing_ok=True)

    def _read(self, progress: Progress) -> int:
        """Hash what is there already, and say how much that is."""
        done = 0
        self._file.seek(0)
        while block := self._file.read(BLOCK_BYTES):
            self._hash.update(block)
            done += len(block)
            progress(done, self._offered.size_bytes)
        return done if done <= self._offered.size_bytes else self._restart()

    def _can_go_on(self) -> bool:
        """Whether what is there is the start of this offer, and a later mixture would be noticed:
        by the validator of what is there, or by the hash of the whole."""
        noted = _read_note(self._path)
        if any(noted.get(name) != value for name, value in _identity(self._offered).items()):
            return False
        self._tag = _strong(noted.get("tag"))
        return bool(self._tag or self._wanted)

    def _restart(self, tag: str = "") -> int:
        self._file.seek(0)
        self._file.truncate()
        self._hash = hashlib.sha256()
        self._tag = _strong(tag)
        _write_note(self._path, {**_identity(self._offered), "tag": self._tag})
        return 0

    def _wrong(self, reason: str) -> NoReturn:
        self._path.unlink(missing_ok=True)
        _note_of(self._path).unlink(missing_ok=True)
        raise ModelFileError(f"{self._offered.name} was removed: {reason}")


def _identity(offered: Offer) -> dict[str, Any]:
    return {"source": offered.source, "size_bytes": offered.size_bytes}


def _strong(tag: object) -> str:
    """A strong validator (RFC 9110, 8.8.3), empty for anything else."""
    return tag if isinstance(tag, str) and _TAG.fullmatch(tag) else ""


def _goes_on(response: httpx.Response, done: int, size: int) -> bool:
    """Whether a partial response is the rest: from where we are, of what was offered."""
    span = response.headers.get("content-range", "")
    return bool(re.fullmatch(rf"bytes {done}-\d+/{size}", span, re.ASCII))


@contextmanager
def _locked(path: Path) -> Iterator[BinaryIO]:
    """The file, made if it was not there, readable by us alone and held by one process."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o600), "r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ModelFileError(f"{path.name} is being fetched by another process") from None
        os.fchmod(file.fileno(), 0o600)
        yield file


def _sync(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _part_of(final: Path) -> Path:
    return final.with_name(f"{final.name}.part")


def _note_of(file: Path) -> Path:
    return file.with_name(f"{file.name}.json")


def _write_note(file: Path, fields: Mapping[str, Any]) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(_note_of(file), flags, 0o600), "w", encoding="utf-8") as note:
        json.dump(fields, note)


def _read_note(file: Path) -> dict[str, Any]:
    """What is noted beside a file, empty when that is nothing."""
    try:
        with _note_of(file).open("rb") as note:
            fields = json.loads(note.read(NOTE_BYTES_MAX))
    except (OSError, ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}

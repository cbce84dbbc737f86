"""Fetching a model's file: from where, how much, going on, and what is done with a wrong one."""

from __future__ import annotations

import errno
import hashlib
import json
import re
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from synapse.core.errors import StorageError, StorageFull
from synapse.providers import model_files
from synapse.providers.gguf import ModelFileError
from synapse.providers.model_files import REDIRECTS_MAX, known_sha256, source
from tests import gguf
from tests.unit.providers.hub import MODEL, SHA256, Hub, running_hub

OTHER = gguf.container({"general.architecture": "qwen2", "pad": "y" * 3_000_000})
NOT_A_MODEL = b"<html>" + bytes(len(MODEL) - 6)


@pytest.fixture
def hub() -> Iterator[Hub]:
    with running_hub() as made:
        yield made


def fetch(hub: Hub, folder: Path, sha256: str | None = None) -> Path:
    with source(hub.url, folder) as found:
        return found.fetch(sha256)


def begin(hub: Hub, folder: Path, count: int) -> None:
    """Fetch the first `count` bytes, then lose the connection."""
    hub.breaks_after = count
    with pytest.raises(ModelFileError, match="go on"):
        fetch(hub, folder)
    hub.breaks_after = None
    hub.asked.clear()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


# Asking.


def test_an_offer_tells_size_and_host_and_fetches_nothing(hub, tmp_path):
    with source(hub.url, tmp_path / "models") as found:
        offer = found.offer
        assert (offer.name, offer.host, offer.size_bytes) == (
            "tiny-1b.gguf",
            "127.0.0.1",
            len(MODEL),
        )
        assert offer.promised_sha256 is None
        assert found.begun_bytes == 0
        assert found.free_disk_bytes == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.1)
    assert [command for command, _, _ in hub.asked] == ["HEAD"]
    assert names(tmp_path) == []


def test_the_hash_and_size_that_a_hub_promises_are_taken_from_it_and_not_from_its_store(tmp_path):
    def serve(request: httpx.Request) -> httpx.Response:
        if request.url.host == "hub.example":
            headers = {"x-linked-size": "42", "x-linked-etag": f'"{SHA256}"'}
            return httpx.Response(302, headers={**headers, "location": "https://store.example/x"})
        return httpx.Response(200, headers={"content-length": "7", "x-linked-etag": "0" * 64})

    with httpx.Client(transport=httpx.MockTransport(serve)) as http:
        offer = model_files.offer("https://hub.example/a/b.gguf", http)
    assert (offer.host, offer.size_bytes, offer.promised_sha256) == ("store.example", 42, SHA256)


def test_a_store_that_takes_no_head_is_asked_with_get_and_left_before_the_body(hub, tmp_path):
    hub.head_status = 403
    with source(hub.url, tmp_path) as found:
        assert found.offer.size_bytes == len(MODEL)
    assert [command for command, _, _ in hub.asked] == ["HEAD", "GET"]


@pytest.mark.parametrize(
    "url",
    [
        "http://models.example/a.gguf",  # not https
        "http://127.0.0.1.evil.example/a.gguf",
        "ftp://127.0.0.1/a.gguf",
        "file:///etc/passwd.gguf",
        "https://ana:secret@models.example/a.gguf",
        "https://models.example/",
        "https://models.example/model.bin",
        "https://models.example/..gguf",
        "https://models.example/" + "a" * 200 + ".gguf",
        "https://models.example:port/a.gguf",
        "a.gguf",
    ],
)
def test_an_address_that_is_not_https_to_a_plain_name_is_refused_unasked(url):
    asked: list[httpx.Request] = []
    transport = httpx.MockTransport(lambda request: asked.append(request) or httpx.Response(200))
    with httpx.Client(transport=transport) as http, pytest.raises(ModelFileError):
        model_files.offer(url, http)
    assert asked == []


def test_a_name_cannot_lead_out_of_the_folder():
    transport = httpx.MockTransport(
        lambda request: httpx.Response(200, headers={"content-length": "9"})
    )
    with httpx.Client(transport=transport) as http:
        offer = model_files.offer("https://models.example/a%2F..%2F..%2Fb.gguf", http)
    assert offer.name == "b.gguf"


@pytest.mark.parametrize(
    "location",
    [
        "http://store.example/a.gguf",  # plain
        "http://127.0.0.1:1/a.gguf",  # plain, and into this machine
        "ftp://store.example/a.gguf",
        "file:///etc/passwd",
        "//user:pass@store.example/a.gguf",
        "https://store.example:port/a.gguf",
    ],
)
def test_a_redirect_from_afar_leads_to_https_or_nowhere(location):
    def serve(request: httpx.Request) -> httpx.Response:
        assert request.url.host == "hub.example", "it followed"
        return httpx.Response(302, headers={"location": location})

    with httpx.Client(transport=httpx.MockTransport(serve)) as http, pytest.raises(ModelFileError):
        model_files.offer("https://hub.example/a.gguf", http)


def test_redirects_are_bounded(hub, tmp_path):
    hub.redirects = {f"/{n}": f"/{n + 1}" for n in range(REDIRECTS_MAX + 1)}
    hub.redirects["/models/tiny-1b.gguf"] = "/1"
    with pytest.raises(ModelFileError, match="redirects"), source(hub.url, tmp_path):
        pass
    assert len(hub.asked) == REDIRECTS_MAX + 1


def test_a_redirect_on_this_machine_is_followed_and_the_first_name_is_kept(hub, tmp_path):
    hub.redirects = {"/models/tiny-1b.gguf": "/store/0xabc"}
    assert fetch(hub, tmp_path).name == "tiny-1b.gguf"


@pytest.mark.parametrize("length", ["", "0", "-5", "1e9", "99999999999999999", str(1 << 41)])
def test_a_source_that_does_not_say_a_possible_size_is_refused(length):
    def serve(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"x-linked-size": length, "content-length": length})

    with httpx.Client(transport=httpx.MockTransport(serve)) as http, pytest.raises(ModelFileError):
        model_files.offer("https://hub.example/a.gguf", http)


def test_a_source_that_is_not_there_is_an_error_with_a_reason(hub, tmp_path):
    hub.head_status = 500
    with pytest.raises(ModelFileError, match="HTTP 500"), source(hub.url, tmp_path):
        pass
    hub.server.server_close()
    with pytest.raises(ModelFileError, match="broke off"), source(hub.url, tmp_path):
        pass


# Fetching.


def test_a_fetched_file_is_whole_private_and_of_a_known_hash(hub, tmp_path):
    told: list[tuple[int, int]] = []
    with source(hub.url, tmp_path / "data" / "models") as found:
        path = found.fetch(SHA256.upper(), lambda done, size: told.append((done, size)))
    assert path.read_bytes() == MODEL
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert names(path.parent) == ["tiny-1b.gguf", "tiny-1b.gguf.json"]
    assert known_sha256(path) == SHA256
    assert told == sorted(told)
    assert told[-1] == (len(MODEL), len(MODEL))


def test_a_hash_is_known_no_longer_once_the_file_has_changed(hub, tmp_path):
    path = fetch(hub, tmp_path)
    path.write_bytes(OTHER)
    assert known_sha256(path) is None
    path.unlink()
    assert known_sha256(path) is None


@pytest.mark.parametrize("note", ["", "[1]", "{}", '{"sha256": 5}', "[" * 9_999])
def test_a_note_that_says_nothing_is_no_hash(tmp_path, note):
    path = gguf.write(tmp_path / "a.gguf")
    (tmp_path / "a.gguf.json").write_text(note)
    assert known_sha256(path) is None


def test_a_broken_transfer_goes_on_where_it_stopped(hub, tmp_path):
    begin(hub, tmp_path, 1_000_000)
    with source(hub.url, tmp_path) as found:
        assert found.begun_bytes == 1_000_000
        path = found.fetch()
    assert path.read_bytes() == MODEL
    assert hub.ranges() == ["bytes=1000000-"]


def test_a_file_that_changed_in_between_is_fetched_anew(hub, tmp_path):
    begin(hub, tmp_path, 1_000_000)
    hub.body, hub.tag = OTHER, '"two"'
    assert fetch(hub, tmp_path).read_bytes() == OTHER


def test_a_server_without_ranges_sends_it_all_again(hub, tmp_path):
    begin(hub, tmp_path, 1_000_000)
    hub.honours_ranges = False
    assert fetch(hub, tmp_path).read_bytes() == MODEL


def test_without_a_validator_only_a_hash_allows_to_go_on(hub, tmp_path):
    hub.tag = None
    begin(hub, tmp_path, 1_000_000)
    path = fetch(hub, tmp_path, SHA256)
    assert (path.read_bytes() == MODEL, hub.ranges()) == (True, ["bytes=1000000-"])
    path.unlink()
    begin(hub, tmp_path, 1_000_000)
    assert fetch(hub, tmp_path).read_bytes() == MODEL
    assert hub.ranges() == [None]


def test_what_was_begun_of_another_source_is_dropped(hub, tmp_path):
    begin(hub, tmp_path, 1_000_000)
    hub.url = f"{hub.address}/elsewhere/tiny-1b.gguf"
    with source(hub.url, tmp_path) as found:
        assert found.begun_bytes == 0
        assert found.fetch().read_bytes() == MODEL
    assert hub.ranges() == [None]


def test_a_part_that_is_complete_needs_no_more_than_its_check(hub, tmp_path):
    hub.announced = len(MODEL) + 1  # so that the connection breaks after the last byte
    with pytest.raises(ModelFileError, match="go on"):
        fetch(hub, tmp_path)
    note = tmp_path / "tiny-1b.gguf.part.json"
    note.write_text(json.dumps({**json.loads(note.read_text()), "size_bytes": len(MODEL)}))
    hub.announced = None
    hub.asked.clear()
    assert fetch(hub, tmp_path).read_bytes() == MODEL
    assert hub.ranges() == []


@pytest.mark.parametrize("span", ["bytes 5-9/10", "bytes 1000000-", "", "bytes */3000064"])
def test_a_partial_answer_of_something_else_is_refused(hub, tmp_path, span):
    begin(hub, tmp_path, 1_000_000)
    hub.extra = {"content-range": span}
    with pytest.raises(ModelFileError, match="HTTP 206"):
        fetch(hub, tmp_path)


# What is wrong goes; what is there stays.


def test_a_file_of_another_hash_is_removed_and_both_hashes_are_named(hub, tmp_path):
    hub.body = OTHER
    with pytest.raises(ModelFileError, match=f"{hashlib.sha256(OTHER).hexdigest()}.*{SHA256}"):
        fetch(hub, tmp_path, SHA256)
    assert names(tmp_path) == []


def test_a_file_is_held_to_the_hash_its_hub_promised(hub, tmp_path):
    hub.extra = {"x-linked-etag": f'"{"0" * 64}"', "x-linked-size": str(len(MODEL))}
    with pytest.raises(ModelFileError, match="0000"):
        fetch(hub, tmp_path)
    assert names(tmp_path) == []


def test_what_is_no_gguf_is_removed(hub, tmp_path):
    hub.body = NOT_A_MODEL
    with pytest.raises(ModelFileError, match="no GGUF"):
        fetch(hub, tmp_path)
    assert names(tmp_path) == []


def test_more_than_was_announced_is_not_stored(tmp_path):
    def serve(request: httpx.Request) -> httpx.Response:
        if request.method == "HEAD":
            return httpx.Response(200, headers={"content-length": "1000"})
        return httpx.Response(200, content=iter([MODEL]))

    with httpx.Client(transport=httpx.MockTransport(serve)) as http:
        offer = model_files.offer("https://hub.example/a.gguf", http)
        with pytest.raises(ModelFileError, match="more came"):
            model_files.fetch(offer, tmp_path, http)
    assert names(tmp_path) == []


def test_a_hash_that_is_none_is_refused_before_anything_is_fetched(hub, tmp_path):
    with pytest.raises(ModelFileError, match="64"):
        fetch(hub, tmp_path, "abc")
    assert hub.ranges() == []


def test_a_file_that_is_there_is_never_overwritten(hub, tmp_path):
    path = fetch(hub, tmp_path)
    hub.body = OTHER
    with pytest.raises(ModelFileError, match="there already"):
        fetch(hub, tmp_path)
    assert path.read_bytes() == MODEL


def test_two_fetches_of_one_file_do_not_mix(hub, tmp_path):
    with source(hub.url, tmp_path) as one, source(hub.url, tmp_path) as two:
        refusals: list[str] = []

        def second(done: int, size: int) -> None:
            if not refusals:
                with pytest.raises(ModelFileError, match="another process") as caught:
                    two.fetch()
                refusals.append(str(caught.value))

        path = one.fetch(None, second)
    assert refusals
    assert path.read_bytes() == MODEL


def test_a_link_in_the_place_of_the_part_is_not_written_through(hub, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / "tiny-1b.gguf.part").symlink_to(victim)
    with pytest.raises(StorageError):
        fetch(hub, tmp_path)
    assert victim.read_text() == "mine"


def test_a_disk_without_room_is_refused_before_the_transfer(hub, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=model_files.DISK_SPARE_BYTES + 10)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(StorageFull, match=re.escape(str(tmp_path))):
        fetch(hub, tmp_path)
    assert hub.ranges() == []


def test_a_disk_that_fills_up_keeps_what_came(hub, tmp_path):
    def full(done: int, size: int) -> None:
        if done > 1_500_000:
            raise OSError(errno.ENOSPC, "No space left on device")

    with source(hub.url, tmp_path) as found, pytest.raises(StorageFull):
        found.fetch(None, full)
    assert fetch(hub, tmp_path).read_bytes() == MODEL


def test_a_folder_that_cannot_be_made_is_a_storage_error(hub, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        fetch(hub, tmp_path / "file" / "models")

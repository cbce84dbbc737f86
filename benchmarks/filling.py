"""A log full of genuine memories, made as fast as a peer could at best have brought them.

Every record is signed and stored as a spore stores what comes by gossip; only the network, the
checks of entry and the signatures' checks are left out. Half of the memories are the spore's own,
the others by twenty operators.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from random import Random
from typing import Final

from benchmarks.retrieval.corpus import Corpus
from synapse.core.clock import Timestamp
from synapse.core.memory.record import MEMORY, Header, Identity, Record, body_hash, encode_body
from synapse.storage.sqlite_log import SqliteLog

OPERATORS: Final = 20
BATCH: Final = 8_192  # records of one commit
START_MS: Final = 1_700_000_000_000  # of the first memory; then one a millisecond


def identities(seed: int = 1) -> list[Identity]:
    """The spore's own, and the other operators."""
    rng = Random(seed)
    return [Identity(rng.randbytes(32)) for _ in range(1 + OPERATORS)]


def seed_of_own(seed: int = 1) -> bytes:
    """The secret of the first of `identities`: what `identity.key` holds."""
    return Random(seed).randbytes(32)


def signed(
    texts: Iterable[str], writers: list[Identity], *, start_ms: int = START_MS, seed: int = 1
) -> Iterator[Record]:
    """A memory of each text, one a millisecond; half by the first writer, half by the others."""
    rng = Random(seed)
    last: dict[bytes, tuple[int, bytes]] = {}
    for number, text in enumerate(texts):
        own = len(writers) == 1 or rng.random() < 0.5
        writer = writers[0] if own else writers[1 + number % (len(writers) - 1)]
        seq, previous = last.get(writer.key, (0, b""))
        body = encode_body({"text": text, "kind": "note", "tags": ["made up"]}, rng=rng)
        header = Header(
            operator=writer.key,
            writer=writer.key,
            epoch=start_ms,
            epoch_start_ms=start_ms,
            seq=seq + 1,
            previous=previous,
            hlc=Timestamp(start_ms + number, 0),
            kind=MEMORY,
            body_hash=body_hash(body),
            body_bytes=len(body),
        )
        record = Record.composed(writer, header, body)
        last[writer.key] = (seq + 1, record.id)
        yield record


def filled(folder: Path, size: int) -> bool:
    """Fill a data folder with so many memories, unless it holds them; whether it had to.

    A folder that holds fewer was interrupted, and is one to delete. Progress on standard error.
    """
    path = folder / "log.db"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "identity.key").write_text(seed_of_own().hex())
    log = SqliteLog(path)
    try:
        held, _ = log.counts()
        if held >= size:
            return False
        if held:
            sys.exit(f"{folder} holds {held} records and not {size}: it was interrupted; delete it")
        made = signed(Corpus().texts(size), identities())
        for done in range(0, size, BATCH):
            log.stage(list(islice(made, BATCH)))
            log.commit()
            print(f"\r{min(done + BATCH, size):,} of {size:,} memories", end="", file=sys.stderr)
        print(file=sys.stderr)
    finally:
        log.close()
    return True

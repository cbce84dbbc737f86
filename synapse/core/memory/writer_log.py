"""Our own log: where the next record stands, and its signature.

A life of the log is an epoch, and it opens with the first write. Epochs are named by the clock and
never reused, so a spore that lost its disk, was restored from a backup or runs twice by mistake
does not use one number for two records.
"""

from __future__ import annotations

from random import Random

from synapse.core.clock import HybridClock
from synapse.core.memory.record import Draft, Header, Identity, Record, body_hash, encode_body


class WriterLog:
    """Signs drafts as consecutive records. `rng` salts bodies and must be unguessable."""

    def __init__(self, identity: Identity, rng: Random) -> None:
        self.clock = HybridClock()
        self._identity = identity
        self._rng = rng
        self._epoch_before = 0
        self._last: Header | None = None
        self._last_id = b""

    def saw_own(self, header: Header) -> None:
        """One of our records of an earlier life."""
        self.clock.restore(header.hlc)
        self._epoch_before = max(self._epoch_before, header.epoch)

    def write(self, draft: Draft, *, now_ms: int) -> Record:
        """Sign a draft as our next record. Raises RecordError when its body is too large."""
        body = encode_body(draft.content, rng=self._rng)
        hlc = self.clock.tick(now_ms=now_ms)
        last = self._last
        header = Header(
            operator=self._identity.key,
            writer=self._identity.key,
            epoch=last.epoch if last else max(now_ms, self._epoch_before + 1),
            epoch_start_ms=last.epoch_start_ms if last else hlc.ms,
            seq=last.seq + 1 if last else 1,
            previous=self._last_id,
            hlc=hlc,
            kind=draft.kind,
            body_hash=body_hash(body),
            body_bytes=len(body),
            refs=draft.refs,
        )
        record = Record.composed(self._identity, header, body)
        self._last, self._last_id = header, record.id
        return record

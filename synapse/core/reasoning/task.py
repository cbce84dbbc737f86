"""A task and everything known about it, as values.

What a record's body says is whatever its author wrote, so each reader here gives a value of the
right type and a bounded size, or none. `task_book` folds records into these.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from synapse.core.memory.record import Record
from synapse.core.reasoning.kinds import Kind

TASK_BYTES_MAX: Final = 16_384  # of a task's text: four pages, which small models can hold
EXTRACT: Final = "extract"  # the stop reason of an answer that only quotes
POSITIONS_MAX: Final = 64  # of one task; ours need at most 15
CHOICES_MAX: Final = 26  # as many as there are letters to name them by
CHOICE_BYTES_MAX: Final = 256
ANSWER_CHARACTERS_MAX: Final = 4_000  # two pages; what is longer is cut, whoever wrote it
ANSWER_BYTES_MAX: Final = 4 * ANSWER_CHARACTERS_MAX  # with the claims, half of a record's body
HYPOTHESES_MAX: Final = 3  # a model's own weights of more were never seen to mean anything
HYPOTHESIS_CHARACTERS_MAX: Final = 1_000
HYPOTHESIS_BYTES_MAX: Final = 4 * HYPOTHESIS_CHARACTERS_MAX
CLAIMS_MAX: Final = 8
CLAIM_CHARACTERS_MAX: Final = 500
CLAIM_BYTES_MAX: Final = 4 * CLAIM_CHARACTERS_MAX
LABEL_CHARACTERS_MAX: Final = 64  # of the name of a family; a model's may be twice as long
LABEL_BYTES_MAX: Final = 4 * LABEL_CHARACTERS_MAX
BUDGET_MAX: Final = 100  # model calls of one task; the protocol's own limit is below
DEADLINE_MS_MAX: Final = 3_600_000  # an hour: who can wait longer can ask again

_COMMITMENT_TAG: Final = b"synapse/commitment/1\x00"


@dataclass(frozen=True, slots=True)
class Wish:
    """What the asker said of the answer wanted, beyond the question."""

    kind: Kind | None = None  # None: as the answers turn out to be
    choices: tuple[str, ...] = ()
    budget: int | None = None  # model calls
    deadline_ms: int | None = None
    private: bool = False  # stays on this spore: not written, not sent, not lent to those who train


ANY_ANSWER: Final = Wish()


@dataclass(frozen=True, slots=True)
class Claim:
    """One statement an answer rests on, and the memories said to support it."""

    text: str
    cites: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Position:
    """What one model answered in one cycle."""

    id: bytes
    author: bytes  # the spore that asked the model
    operator: bytes
    answer: str
    hypotheses: tuple[tuple[str, float], ...]  # with shares that sum to 1; the answer is the first
    claims: tuple[Claim, ...]
    cites: tuple[bytes, ...]
    refutes: tuple[bytes, ...]  # positions whose claims it refutes
    confidence: float
    model: str
    family: str
    cycle: int
    challenge: bool  # asked for another answer than the leading one: a proposal, not a belief
    nonce: bytes
    created_ms: int

    @property
    def digest(self) -> bytes:
        """What a commitment to this position holds."""
        return commitment(self.answer, family=self.family, nonce=self.nonce)


def commitment(answer: str, *, family: str, nonce: bytes) -> bytes:
    """The digest that binds a spore to an answer without showing it. `nonce` is 16 random bytes."""
    said = hashlib.sha256(answer.encode("utf-8")).digest()
    return hashlib.sha256(_COMMITMENT_TAG + said + nonce + family.encode("utf-8")).digest()


@dataclass(frozen=True, slots=True)
class Commitment:
    """A spore has an answer and will show it: it cannot have been copied from those shown since."""

    id: bytes
    author: bytes
    digest: bytes
    created_ms: int


@dataclass(frozen=True, slots=True)
class Abstention:
    """A spore was asked and has nothing to say."""

    id: bytes
    author: bytes
    reason: str
    created_ms: int


@dataclass(frozen=True, slots=True)
class CheckVerdict:
    """What a checker found of one position's answer."""

    id: bytes
    author: bytes
    operator: bytes
    position: bytes
    tool: str
    passed: bool
    evidence: str
    created_ms: int


@dataclass(frozen=True, slots=True)
class Lease:
    """Who drives a task: the highest term, of equals the smallest key, until it runs out."""

    id: bytes
    author: bytes
    term: int
    until_ms: int


@dataclass(frozen=True, slots=True)
class Dissent:
    """An answer that did not win, and how much spoke for it."""

    answer: str
    posterior: float
    families: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a task came to. `answer` is None when nothing known bears on it."""

    id: bytes
    author: bytes
    answer: str | None
    prose: str | None  # the answer written out by a model; checked to say the same
    stop_reason: str
    posterior: float
    weak: bool
    cycles: int
    calls: int
    term: int
    checked: bool  # the answer passed a check
    agreement: float  # weighted share of the leading answer
    independence: float  # how many independent votes the families amount to
    uncertainty_bits: float
    cites: tuple[bytes, ...]
    supporters: tuple[bytes, ...]  # ids of the positions that say so
    credit: tuple[tuple[bytes, float], ...]  # by position: what the posterior would lose without it
    dissent: tuple[Dissent, ...]
    created_ms: int

    @property
    def support(self) -> float | None:
        """The posterior of an answer that was reasoned; quoting supports nothing."""
        weighed = self.answer is not None and self.stop_reason != EXTRACT
        return self.posterior if weighed else None


@dataclass(slots=True)
class Task:
    """A question and everything known about it."""

    id: bytes
    text: str
    author: bytes
    operator: bytes
    created_ms: int
    wish: Wish = ANY_ANSWER
    positions: list[Position] = field(default_factory=list)
    commitments: list[Commitment] = field(default_factory=list)
    abstentions: list[Abstention] = field(default_factory=list)
    verdicts: list[CheckVerdict] = field(default_factory=list)
    findings: dict[bytes, bytes] = field(default_factory=dict)  # memories of it: whose each is
    lease: Lease | None = None
    outcome: Outcome | None = None

    def add(self, position: Position) -> None:
        """Add one, in the order of time. Of too many the asker's own stay, then the earliest, so
        that what is kept does not depend on the order of arrival."""
        positions = [*self.positions, position]
        positions.sort(key=lambda one: (one.author != self.author, one.created_ms, one.id))
        del positions[POSITIONS_MAX:]
        self.positions = sorted(positions, key=lambda one: (one.created_ms, one.id))

    def position(self, position_id: bytes) -> Position | None:
        """The position with this id, when it is kept."""
        return next((one for one in self.positions if one.id == position_id), None)


# Readers of record bodies: the values above, or None for what is none.


def read_wish(fields: Mapping[str, Any]) -> Wish:
    """What a task's body says of the answer wanted; nonsense is no wish."""
    kind = text_of(fields, "kind")
    deadline_ms = number_of(fields, "deadline_ms")
    return Wish(
        kind=Kind(kind) if kind in tuple(Kind) else None,
        choices=tuple(one[:CHOICE_BYTES_MAX] for one in _strings(fields.get("choices")))[
            :CHOICES_MAX
        ],
        budget=min(number_of(fields, "budget"), BUDGET_MAX) or None,
        deadline_ms=min(deadline_ms, DEADLINE_MS_MAX) or None,
    )


def read_position(
    fields: Mapping[str, Any], *, position_id: bytes, author: bytes, operator: bytes, at_ms: int
) -> Position | None:
    """A position's body; None when it answers nothing."""
    answer = text_of(fields, "answer")[:ANSWER_CHARACTERS_MAX]
    if not answer.strip():
        return None
    claims = tuple(filter(None, map(_claim, _list(fields, "claims")[:CLAIMS_MAX])))
    return Position(
        id=position_id,
        author=author,
        operator=operator,
        answer=answer,
        hypotheses=_hypotheses(answer, fields),
        claims=claims,
        cites=_ids(fields, "cites"),
        refutes=_ids(fields, "refutes"),
        confidence=_probability(fields.get("confidence")),
        model=text_of(fields, "model")[: 2 * LABEL_CHARACTERS_MAX],
        family=text_of(fields, "family")[:LABEL_CHARACTERS_MAX] or "unknown",
        cycle=number_of(fields, "cycle"),
        challenge=fields.get("challenge") == 1,
        nonce=_bytes(fields, "nonce"),
        created_ms=at_ms,
    )


def read_commitment(record: Record) -> Commitment | None:
    """A commitment record."""
    header, digest = record.header, _bytes(record.content(), "digest")
    if len(digest) != 32:
        return None
    return Commitment(record.id, header.writer, digest, header.hlc.ms)


def read_abstention(record: Record) -> Abstention | None:
    """An abstention record."""
    reason = text_of(record.content(), "reason")[:LABEL_CHARACTERS_MAX]
    header = record.header
    return Abstention(record.id, header.writer, reason, header.hlc.ms) if reason else None


def read_verdict(
    fields: Mapping[str, Any],
    *,
    verdict_id: bytes,
    author: bytes,
    operator: bytes,
    refs: Sequence[bytes],
    at_ms: int,
) -> CheckVerdict | None:
    """A verdict's body: it names its position after its task, and says 0 or 1."""
    passed = fields.get("passed")
    if len(refs) < 2 or passed not in (0, 1):
        return None
    return CheckVerdict(
        id=verdict_id,
        author=author,
        operator=operator,
        position=refs[1],
        tool=text_of(fields, "tool")[:LABEL_CHARACTERS_MAX],
        passed=bool(passed),
        evidence=text_of(fields, "evidence")[:CLAIM_CHARACTERS_MAX],
        created_ms=at_ms,
    )


def read_lease(record: Record) -> Lease | None:
    """A lease record. It runs for an hour at most, whatever it says."""
    header, fields = record.header, record.content()
    term = number_of(fields, "term")
    until_ms = min(header.hlc.ms + number_of(fields, "for_ms"), header.hlc.ms + DEADLINE_MS_MAX)
    return Lease(record.id, header.writer, term, until_ms) if term else None


def read_outcome(
    fields: Mapping[str, Any], *, outcome_id: bytes, author: bytes, at_ms: int
) -> Outcome | None:
    """An outcome's body; None when it gives no reason for stopping."""
    reason = text_of(fields, "stop_reason")
    if not reason:
        return None
    return Outcome(
        id=outcome_id,
        author=author,
        answer=text_of(fields, "answer")[:ANSWER_CHARACTERS_MAX] or None,
        prose=text_of(fields, "prose")[:ANSWER_CHARACTERS_MAX] or None,
        stop_reason=reason[:LABEL_CHARACTERS_MAX],
        posterior=_probability(fields.get("posterior")),
        weak=fields.get("weak") == 1,
        cycles=number_of(fields, "cycles"),
        calls=number_of(fields, "calls"),
        term=number_of(fields, "term"),
        checked=fields.get("checked") == 1,
        agreement=_probability(fields.get("agreement")),
        independence=_measure(fields.get("independence")),
        uncertainty_bits=_measure(fields.get("uncertainty_bits")),
        cites=_ids(fields, "cites"),
        supporters=_ids(fields, "supporters"),
        credit=tuple(filter(None, map(_credit, _list(fields, "credit")))),
        dissent=tuple(filter(None, map(_dissent, _list(fields, "dissent")))),
        created_ms=at_ms,
    )


def text_of(fields: Mapping[str, Any], name: str) -> str:
    """The text of this name; empty when there is none."""
    value = fields.get(name)
    return value if isinstance(value, str) else ""


def number_of(fields: Mapping[str, Any], name: str) -> int:
    """The whole number of this name, not negative; 0 when there is none."""
    value = fields.get(name)
    return value if type(value) is int and 0 <= value < 1 << 31 else 0


def _claim(value: object) -> Claim | None:
    """A claim is a text, or a text with ids."""
    if isinstance(value, str) and value:
        return Claim(value[:CLAIM_CHARACTERS_MAX])
    if isinstance(value, list | tuple) and value and isinstance(value[0], str) and value[0]:
        cites = tuple(one for one in value[1:9] if isinstance(one, bytes) and len(one) == 32)
        return Claim(value[0][:CLAIM_CHARACTERS_MAX], cites)
    return None


def _hypotheses(answer: str, fields: Mapping[str, Any]) -> tuple[tuple[str, float], ...]:
    """Up to three answers with shares that sum to 1; the answer alone when they make no sense."""
    pairs = [
        (one[0][:HYPOTHESIS_CHARACTERS_MAX], float(one[1]))
        for one in _list(fields, "hypotheses")[:HYPOTHESES_MAX]
        if isinstance(one, list | tuple)
        and len(one) == 2
        and isinstance(one[0], str)
        and one[0].strip()
        and isinstance(one[1], int | float)
        and 0 < one[1] <= 1
    ]
    total = sum(share for _, share in pairs)
    if not pairs or pairs[0][0] != answer[:HYPOTHESIS_CHARACTERS_MAX] or total > 1 + 1e-6:
        return ((answer, 1.0),)
    return ((answer, pairs[0][1] / total), *((one, share / total) for one, share in pairs[1:]))


def _dissent(value: object) -> Dissent | None:
    if not isinstance(value, list | tuple) or len(value) != 3 or not isinstance(value[0], str):
        return None
    answer, posterior, families = value
    return Dissent(
        answer[:ANSWER_CHARACTERS_MAX],
        _probability(posterior),
        tuple(one[:LABEL_CHARACTERS_MAX] for one in _strings(families)),
    )


def _credit(value: object) -> tuple[bytes, float] | None:
    if not isinstance(value, list | tuple) or len(value) != 2:
        return None
    position, share = value
    if not isinstance(position, bytes) or len(position) != 32:
        return None
    return position, _probability(share)


def _list(fields: Mapping[str, Any], name: str) -> Sequence[Any]:
    value = fields.get(name)
    return value[:64] if isinstance(value, list | tuple) else ()


def _strings(value: object) -> list[str]:
    if not isinstance(value, list | tuple):
        return []
    return [one for one in value[:64] if isinstance(one, str)]


def _ids(fields: Mapping[str, Any], name: str) -> tuple[bytes, ...]:
    return tuple(one for one in _list(fields, name) if isinstance(one, bytes) and len(one) == 32)


def _bytes(fields: Mapping[str, Any], name: str) -> bytes:
    value = fields.get(name)
    return value[:64] if isinstance(value, bytes) else b""


def _probability(value: object) -> float:
    return float(value) if isinstance(value, int | float) and 0 <= value <= 1 else 0.0


def _measure(value: object) -> float:
    return float(value) if isinstance(value, int | float) and 0 <= value < 1e6 else 0.0

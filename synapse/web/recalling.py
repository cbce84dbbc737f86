"""What may be asked of `/api/recall`. A parameter that is not known is refused: a filter with a
typo in its name would let everything through."""

from __future__ import annotations

import math
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from synapse.core.errors import Refused
from synapse.operations.recalling import RESULTS_MAX, TOKENS_MAX, Sought
from synapse.replies import Scope

ID: Final = "0f2c4d1e8b7a6f50c3d2e1f0a9b8c7d6e5f4a3b2c1d0e9f8a7b6c5d4e3f2a1b0"
MOMENT: Final = "A date, an RFC 3339 time or milliseconds since 1970; whole seconds count."


class RecallQuery(BaseModel):
    """The query string."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    q: str = Field(description="What to look for.", examples=["tides"])
    k: int | None = Field(
        None,
        ge=1,
        le=RESULTS_MAX,
        description="How many results at most: 10, or with `tokens` as many as fit.",
    )
    kind: str | None = Field(None, description="Only memories of this kind.", examples=["fact"])
    author: str | None = Field(
        None, description="Only those of the spore with this key.", examples=[ID]
    )
    operator: str | None = Field(
        None, description="Only those of this operator's spores, by its key.", examples=[ID]
    )
    family: str | None = Field(
        None, description="Only those written by models of this family.", examples=["qwen"]
    )
    task: str | None = Field(
        None, description="Only findings about the task with this id.", examples=[ID]
    )
    tag: str | None = Field(None, description="Only those with this tag.", examples=["sea"])
    scope: Scope | None = Field(
        None, description="Only `shared` memories, or only `private` ones: those need the key."
    )
    since: str | None = Field(
        None, description=f"Only those made then or later. {MOMENT}", examples=["2026-11-20"]
    )
    until: str | None = Field(
        None, description=f"Only those made before then. {MOMENT}", examples=["2026-11-21T09:30Z"]
    )
    min_score: float = Field(0.0, ge=0, allow_inf_nan=False, description="Only those above it.")
    tokens: int | None = Field(
        None,
        ge=1,
        le=TOKENS_MAX,
        description="Fill a context of so many tokens (four bytes each): results that are relevant "
        "and unlike each other, in the order in which they were chosen.",
    )
    exact: bool = Field(
        False, description="Take the time to look at everything, however many memories there are."
    )
    why: bool = Field(False, description="Say of each result what its score is made of.")
    quarantined: bool = Field(
        False,
        description="Also what operators wrote whose answers this spore's own grades found wrong "
        "more often than not.",
    )

    def sought(self, *, shared_only: bool) -> Sought:
        """As the operations take it."""
        fields = self.model_dump(exclude={"q", "k", "scope"})
        scope: Scope | None = "shared" if shared_only else self.scope
        return Sought(limit=self.k, scope=scope, **fields)


class PageQuery(BaseModel):
    """What the form of the first page asks: texts, where an empty one asks nothing."""

    model_config = ConfigDict(frozen=True)

    q: str = ""
    kept: str = ""  # how a memory was kept that was written a moment ago
    kind: str = ""
    tag: str = ""
    operator: str = ""
    family: str = ""
    task: str = ""
    since: str = ""
    until: str = ""
    min_score: str = ""
    tokens: str = ""
    exact: str = ""
    why: str = ""
    quarantined: str = ""

    @property
    def narrowed(self) -> bool:
        """Whether more than words is asked."""
        return any(self.model_dump(exclude={"q", "kept"}).values())

    def sought(self, *, shared_only: bool, limit: int) -> Sought:
        """As the operations take it. Raises Refused (`filter`)."""
        words = self.model_dump(include=set(_WORDS))
        tokens = _number("tokens", self.tokens)
        return Sought(
            limit=limit if tokens is None else None,
            scope="shared" if shared_only else None,
            min_score=_number("min_score", self.min_score) or 0.0,
            tokens=None if tokens is None else int(tokens),
            exact=bool(self.exact),
            why=bool(self.why),
            quarantined=bool(self.quarantined),
            **{name: word.strip() or None for name, word in words.items()},
        )


_WORDS: Final = ("kind", "tag", "operator", "family", "task", "since", "until")


def _number(name: str, text: str) -> float | None:
    try:
        number = float(text) if text.strip() else None
    except ValueError:
        number = math.nan
    if number is not None and not math.isfinite(number):
        raise Refused("filter", f"{name} is not a number")
    return number

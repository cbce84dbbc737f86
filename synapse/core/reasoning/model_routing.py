"""Which model to ask next: cooldowns by kind of failure, kept pure so that it can be simulated.

A target is one model behind one account. When a call fails, its class decides what cools (the
account, the target, or nothing) and for how long; what the provider asked for in `Retry-After`
always counts. `docs/decisions/0007-failure-classes.md` gives the reasons.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Final

from synapse.core.errors import Unavailable

EXTRACTIVE: Final = "extractive"  # the family that only quotes


class Scope(StrEnum):
    """What a failure says something about."""

    ACCOUNT = "account"
    TARGET = "target"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Cooling:
    """How long a scope rests: `base_ms`, doubling with each failure in a row, up to `cap_ms`."""

    scope: Scope
    base_ms: int = 0
    cap_ms: int = 0


_MINUTE: Final = 60_000
_HOUR: Final = 3_600_000
FAILURES: Final[dict[str, Cooling]] = {
    "rate_limited": Cooling(Scope.TARGET, 30_000, 10 * _MINUTE),
    "quota_day": Cooling(Scope.ACCOUNT, _HOUR, 24 * _HOUR),
    "no_credit": Cooling(Scope.ACCOUNT, 30 * _MINUTE, 6 * _HOUR),
    "auth": Cooling(Scope.ACCOUNT, 6 * _HOUR, 24 * _HOUR),  # until the operator mends the key
    "gone": Cooling(Scope.TARGET, 24 * _HOUR, 24 * _HOUR),
    "request": Cooling(Scope.NOTHING),
    "refused": Cooling(Scope.NOTHING),
    "overloaded": Cooling(Scope.TARGET, 2_000, 5 * _MINUTE),
    "slow": Cooling(Scope.TARGET, 10_000, 10 * _MINUTE),
    "unreachable": Cooling(Scope.TARGET, 5_000, 5 * _MINUTE),
    "bad_reply": Cooling(Scope.TARGET, 5_000, _MINUTE),
}
RETRY_AFTER_MS_MIN: Final = 250
RETRY_AFTER_MS_MAX: Final = 24 * _HOUR  # longer is a mistake of the provider's, or an attack


@dataclass(frozen=True, slots=True)
class Target:
    """One model behind one account. `family` is what votes: replicas of a model are one voter."""

    name: str
    family: str
    account: str
    timeout_ms: int = 60_000


@dataclass(slots=True)
class TargetState:
    """What we know of one target's (or account's) health."""

    failures: int = 0
    until_ms: int = 0
    reason: str = ""
    calls: int = 0
    replies: int = 0


class Routing:
    """The targets of one spore, in the operator's order, and which of them rest."""

    def __init__(self, targets: Sequence[Target], rng: Random) -> None:
        self.targets = tuple(targets)
        self._rng = rng
        self._states: dict[str, TargetState] = {target.name: TargetState() for target in targets}
        self._accounts: dict[str, TargetState] = {
            target.account: TargetState() for target in targets
        }

    def families(self) -> list[str]:
        """The model families that can be asked, in the operator's order, without the extractor."""
        return list(dict.fromkeys(t.family for t in self.targets if t.family != EXTRACTIVE))

    def state(self, target: Target) -> TargetState:
        """The health of one target, its account's rest included."""
        own, account = self._states[target.name], self._accounts[target.account]
        return (
            own
            if own.until_ms >= account.until_ms
            else TargetState(
                account.failures, account.until_ms, account.reason, own.calls, own.replies
            )
        )

    def choose(
        self, *, now_ms: int, family: str | None = None, without: Iterable[str] = ()
    ) -> Target | None:
        """The first target that is not resting, of the wanted family if one is left there.

        `without` names targets that were tried already. None when there is nobody to ask.
        """
        tried = set(without)
        awake = [
            target
            for target in self.targets
            if target.name not in tried and self.state(target).until_ms <= now_ms
        ]
        wanted = [target for target in awake if target.family == family]
        return next(iter(wanted or awake), None)

    def called(self, name: str) -> None:
        """A call was made."""
        self._states[name].calls += 1

    def replied(self, name: str) -> None:
        """The target answered: it and its account are well."""
        state = self._states[name]
        state.replies += 1
        state.failures, state.until_ms, state.reason = 0, 0, ""
        account = self._accounts[self.target(name).account]
        account.failures, account.until_ms, account.reason = 0, 0, ""

    def failed(
        self, name: str, failure: str, *, now_ms: int, retry_after_ms: int | None = None
    ) -> None:
        """A call failed: let what the failure is about rest."""
        cooling = FAILURES[failure]
        if cooling.scope is Scope.NOTHING:
            return
        target = self.target(name)
        state = (
            self._accounts[target.account]
            if cooling.scope is Scope.ACCOUNT
            else self._states[target.name]
        )
        state.failures += 1
        rest_ms = min(cooling.base_ms << min(state.failures - 1, 16), cooling.cap_ms)
        if retry_after_ms is not None:  # "at once", said again and again, is not believed
            floor_ms = min(RETRY_AFTER_MS_MIN << min(state.failures - 1, 16), cooling.cap_ms)
            rest_ms = min(max(retry_after_ms, floor_ms), RETRY_AFTER_MS_MAX)
        jitter_ms = self._rng.randrange(rest_ms // 10 + 1)  # so that a swarm does not wake at once
        state.until_ms, state.reason = now_ms + rest_ms + jitter_ms, failure

    def unavailable(self, *, now_ms: int) -> Unavailable:
        """Why nobody can be asked, and when somebody may."""
        states = {target.name: self.state(target) for target in self.targets}
        resting = [state.until_ms for state in states.values() if state.until_ms > now_ms]
        return Unavailable(
            retry_at_ms=min(resting, default=now_ms + FAILURES["unreachable"].base_ms),
            reasons={name: state.reason or "failed" for name, state in states.items()},
        )

    def target(self, name: str) -> Target:
        """The target of this name, which exists."""
        return next(target for target in self.targets if target.name == name)

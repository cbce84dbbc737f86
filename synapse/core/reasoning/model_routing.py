"""Which model to ask next: what rests, what is full, who is best. Pure, so it can be simulated.

A target is one model behind one account. When a call fails, its class decides what rests (the
account, the key, the model, the quota, or nothing) and for how long; what the provider asked for
in `Retry-After` always counts. `docs/decisions/0007-failure-classes.md` gives the reasons. Around
each call: `choose`, `called`, then exactly one of `replied`, `failed` and `released`; and once a
reply has been read, `understood`, or `failed` again as a bad one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Final, Literal

from synapse.core.errors import Unavailable
from synapse.core.events import Limit
from synapse.core.reasoning.breaker import Breaker, Flight
from synapse.core.reasoning.buckets import (
    WAIT_MS_MIN,
    BucketState,
    DayEnds,
    Pool,
    day_over_ms,
)
from synapse.core.reasoning.cooling import (
    DAY_MS,
    DOUBLINGS_MAX,
    FAILURES,
    HOUR_MS,
    LIMIT_WAIT_MS_MAX,
    MINUTE_MS,
    RETRY_AFTER_MS_MAX,
    Cooling,
    Scope,
)
from synapse.core.reasoning.track_record import TrackRecord

__all__ = [
    "EXACT",
    "EXTRACTIVE",
    "FAILURES",
    "RETRY_AFTER_MS_MAX",
    "Routing",
    "Target",
    "TargetState",
]

EXTRACTIVE: Final = "extractive"  # the family that only quotes
EXACT: Final = "exact"  # the family, and the target, of tools that compute; asked by name alone
URGENT: Final = ("synthesis", "check")  # purposes that may use the reserve of a day

REST_MS_MAX: Final = DAY_MS + HOUR_MS  # a day, our lateness and the jitter on top
JITTER_MS_MAX: Final = 10 * MINUTE_MS  # spreads a thousand spores to two a second
SCARCE: Final = 0.25  # of a limit; more would send a free model's calls to a paid one early
ASK_AGAIN_MS: Final = 5_000  # after a failure that makes nothing rest


@dataclass(frozen=True, slots=True)
class Target:
    """One model behind one account. `family` is what votes: replicas of a model are one voter.

    `model` is the same for targets that reach one machine through several accounts, `key` for
    targets that use one secret (never the secret itself); empty, they are the target's and the
    account's own. `shared_quota` says whether the provider counts the calls to this target with
    those to others of the account; None when nobody knows, and then a minute's limit is taken to
    be the target's and a day's the account's. `limits` and `concurrency` are what the catalogue
    knows of its quotas. A target that `trains` may learn from what it is asked.
    """

    name: str
    family: str
    account: str
    timeout_ms: int = 60_000
    trains: bool = False
    model: str = ""
    key: str = ""
    day_ends: DayEnds = "utc"
    shared_quota: bool | None = None
    limits: tuple[Limit, ...] = ()
    concurrency: int | None = None

    @property
    def pool(self) -> str:
        """What the provider counts calls by."""
        return f"shared/{self.account}" if self.shared_quota else f"target/{self.name}"

    def scopes(self) -> tuple[str, ...]:
        """The names of all that can rest and keep this target from being asked."""
        return (
            f"account/{self.account}",
            f"key/{self.key or self.account}",
            f"model/{self.model or self.name}",
            self.pool,
        )

    def scope(self, cooling: Cooling) -> str | None:
        """The name of what rests because of a failure of this target."""
        account, key, model, pool = self.scopes()
        unknown_day = cooling.day and self.shared_quota is None
        return {
            Scope.ACCOUNT: account,
            Scope.KEY: key,
            Scope.MODEL: model,
            Scope.QUOTA: account if unknown_day else pool,
            Scope.NOTHING: None,
        }[cooling.scope]


@dataclass(frozen=True, slots=True)
class TargetState:
    """One target, for people and programs. `until_ms` is 0 when it can be asked.

    `success` is 0 to 1; `success` and `latency_ms` are recent averages.
    """

    name: str
    family: str
    state: Literal["ready", "resting", "probing", "full"]
    reason: str
    until_ms: int
    calls: int
    replies: int
    failures: Mapping[str, int]
    success: float
    latency_ms: int
    tokens_in: int
    tokens_out: int
    in_flight: int
    buckets: tuple[BucketState, ...]


@dataclass(frozen=True, slots=True)
class _Block:
    until_ms: int
    state: Literal["resting", "probing", "full"]
    reason: str


class Routing:
    """The targets of one spore, in the operator's order, and which of them can be asked."""

    def __init__(self, targets: Sequence[Target], rng: Random) -> None:
        self.targets = tuple(targets)
        self._rng = rng
        self._late_ms = rng.randrange(JITTER_MS_MAX)  # a new day does not begin for all at once
        self._now_ms = 0
        self._asked = tuple(target for target in self.targets if target.family != EXACT)
        self._by_name = {target.name: target for target in self.targets}
        self._records = {target.name: TrackRecord() for target in self.targets}
        self._breakers = {name: Breaker() for target in self.targets for name in target.scopes()}
        self._pools: dict[str, Pool] = {}
        for target in self.targets:
            pool = self._pools.setdefault(
                target.pool, Pool(day_ends=target.day_ends, late_ms=self._late_ms)
            )
            pool.state_limits(target.limits, target.concurrency)

    def families(self) -> list[str]:
        """The families of models that can be asked, in the operator's order."""
        return list(dict.fromkeys(t.family for t in self._asked if t.family != EXTRACTIVE))

    def target(self, name: str) -> Target:
        """The target of this name, which exists."""
        return self._by_name[name]

    def named(self, name: str) -> Target | None:
        """The target of this name, if there is one."""
        return self._by_name.get(name)

    # Before a call.

    def choose(
        self,
        *,
        now_ms: int,
        family: str | None = None,
        without: Iterable[str] = (),
        tokens: int = 0,
        purpose: str = "position",
    ) -> Target | None:
        """Whom to ask: of those neither resting nor full, the wanted family's before others, the
        best of them, and of equals the first in the operator's order. None: there is nobody.

        `without` names targets that were tried already. `tokens` is what the call may use, both
        ways. Only a `purpose` of `URGENT` may use what is reserved of a day.
        """
        now_ms, tried = self._at(now_ms), set(without)
        ready = [
            target
            for target in self._asked
            if target.name not in tried and self._block(target, tokens, purpose, now_ms) is None
        ]
        wanted = [target for target in ready if target.family == family]
        return min(wanted or ready, key=lambda one: self._rank(one, now_ms), default=None)

    def admits(self, name: str, *, now_ms: int, tokens: int = 0, purpose: str = "position") -> bool:
        """Whether this one target may be asked now."""
        return self._block(self._by_name[name], tokens, purpose, self._at(now_ms)) is None

    def unavailable(
        self, *, now_ms: int, tokens: int = 0, purpose: str = "position"
    ) -> Unavailable:
        """Why nobody can be asked, and the first moment when somebody may."""
        now_ms = self._at(now_ms)
        reasons, waits_ms = {}, []
        for target in self._asked:
            failure = self._records[target.name].last_failure
            block = self._block(target, tokens, purpose, now_ms)
            reasons[target.name] = block.reason if block is not None else failure or "failed"
            if block is not None:
                waits_ms.append(block.until_ms)
            elif failure and FAILURES[failure].scope is not Scope.NOTHING:
                waits_ms.append(now_ms + ASK_AGAIN_MS)  # else it would say the same again
        retry_at_ms = min(waits_ms, default=now_ms + ASK_AGAIN_MS)
        return Unavailable(retry_at_ms=retry_at_ms, reasons=reasons)

    # Around a call. `now_ms` None is the last time that was mentioned. `call` tells calls to one
    # target apart; calls without it are taken to end in the order in which they began.

    def called(
        self, name: str, *, now_ms: int | None = None, tokens: int = 0, call: int | None = None
    ) -> None:
        """The chosen target is being called, with the `tokens` it was chosen for."""
        now_ms, target, record = self._at(now_ms), self._by_name[name], self._records[name]
        record.calls += 1
        expected_ms = now_ms + int(record.latency_ms.at(now_ms))
        lost_ms = now_ms + 2 * target.timeout_ms  # by then it has ended and nobody told us
        flight = Flight(name, call, now_ms, expected_ms, lost_ms, tokens)
        self._pools[target.pool].departed(flight)
        for scope in target.scopes():
            self._breakers[scope].departed(flight, now_ms=now_ms)

    def replied(
        self,
        name: str,
        *,
        now_ms: int | None = None,
        call: int | None = None,
        tokens_in: int = 0,
        tokens_out: int = 0,
        took_ms: int = 0,
        limits: Sequence[Limit] = (),
    ) -> None:
        """The target answered: it, its key, its quota and its account are well."""
        now_ms, target, record = self._at(now_ms), self._by_name[name], self._records[name]
        flight = self._land(target, call, now_ms)
        for scope, probe in self._probes(target, flight):
            self._breakers[scope].replied(probe=probe, now_ms=now_ms)
        took_ms = took_ms or (now_ms - flight.started_ms if flight is not None else 0)
        record.replied(now_ms=now_ms, took_ms=took_ms, tokens_in=tokens_in, tokens_out=tokens_out)
        if flight is not None and tokens_in + tokens_out > 0:
            self._pools[target.pool].spent(flight, tokens_in + tokens_out, now_ms=now_ms)
        self.learn(name, limits, now_ms=now_ms)

    def failed(
        self,
        name: str,
        failure: str,
        *,
        now_ms: int,
        call: int | None = None,
        retry_after_ms: int | None = None,
        took_ms: int = 0,
        limits: Sequence[Limit] = (),
    ) -> None:
        """A call failed: let what the failure is about rest."""
        now_ms, target, record = self._at(now_ms), self._by_name[name], self._records[name]
        if failure == "rate_limited" and (retry_after_ms or 0) > LIMIT_WAIT_MS_MAX:
            failure = "quota_day"
        flight = self._land(target, call, now_ms)
        self._probes(target, flight)
        record.failed(failure, now_ms=now_ms, took_ms=took_ms)
        if failure == "unreachable" and flight is not None:
            self._pools[target.pool].unasked(flight, now_ms=now_ms)
        self._rest(target, failure, retry_after_ms, now_ms)
        self.learn(name, limits, now_ms=now_ms)

    def understood(self, name: str) -> None:
        """The reply that came last made sense."""
        for scope in self._by_name[name].scopes():
            self._breakers[scope].understood()

    def released(self, name: str, *, now_ms: int | None = None, call: int | None = None) -> None:
        """A call was called off: nothing was learnt, and its place is free."""
        now_ms, target = self._at(now_ms), self._by_name[name]
        self._probes(target, self._land(target, call, now_ms))

    def learn(self, name: str, limits: Sequence[Limit], *, now_ms: int) -> None:
        """What a provider said of the limits that a target is under."""
        now_ms = self._at(now_ms)
        for said in limits:
            if said.reset_ms is not None and said.reset_ms > 0:  # for all who share it at once
                reset_ms = min(said.reset_ms, REST_MS_MAX)
                said = replace(said, reset_ms=reset_ms + self._jitter_ms(reset_ms))
            self._pools[self._by_name[name].pool].learn(said, now_ms=now_ms)

    # For people, and for the next start.

    def state(self, target: Target, *, now_ms: int | None = None) -> TargetState:
        """One target; `now_ms` None is the last time that was mentioned."""
        now_ms, record = self._at(now_ms), self._records[target.name]
        block = self._block(target, 0, "position", now_ms)
        pool = self._pools[target.pool]
        return TargetState(
            name=target.name,
            family=target.family,
            state=block.state if block is not None else "ready",
            reason=block.reason if block is not None else record.last_failure,
            until_ms=block.until_ms if block is not None else 0,
            calls=record.calls,
            replies=record.replies,
            failures=dict(sorted(record.failures.items())),
            success=record.success.at(now_ms),
            latency_ms=int(record.latency_ms.at(now_ms)),
            tokens_in=record.tokens_in,
            tokens_out=record.tokens_out,
            in_flight=pool.in_flight(now_ms),
            buckets=pool.states(now_ms),
        )

    def view(self, now_ms: int) -> tuple[TargetState, ...]:
        """Every target, in the operator's order."""
        return tuple(self.state(target, now_ms=now_ms) for target in self.targets)

    def snapshot(self) -> Mapping[str, Any]:
        """What a restart must not forget, as plain values: who rests, and what is used up.

        A refused key is forgotten: a restart is how an operator says that it was mended.
        """
        rests = {
            name: [one.reason, one.until_ms, one.in_a_row(one.reason)]
            for name, one in self._breakers.items()
            if one.is_open(self._now_ms) and one.reason != "auth"
        }
        pools = {name: pool.saved(self._now_ms) for name, pool in self._pools.items()}
        return {"rests": rests, "pools": {name: saved for name, saved in pools.items() if saved}}

    def restore(self, saved: Mapping[str, Any], now_ms: int) -> None:
        """Take up a `snapshot`. What is over, not ours any more or not understood is left out."""
        now_ms = self._at(now_ms)
        rests, pools = saved.get("rests"), saved.get("pools")
        for name, breaker in self._breakers.items():
            match rests.get(name) if isinstance(rests, Mapping) else None:
                case [str(reason), int(until_ms), int(in_a_row)] if reason in FAILURES:
                    until_ms = min(until_ms, now_ms + REST_MS_MAX)
                    count = max(1, min(in_a_row, DOUBLINGS_MAX))
                    if until_ms > now_ms:
                        breaker.rest(reason, until_ms=until_ms, in_a_row=count)
        for name, pool in self._pools.items():
            buckets = pools.get(name) if isinstance(pools, Mapping) else None
            if isinstance(buckets, list | tuple):
                pool.restore(buckets, now_ms=now_ms)

    # Within.

    def _at(self, now_ms: int | None) -> int:
        self._now_ms = max(self._now_ms, now_ms or 0)
        return self._now_ms

    def _block(self, target: Target, tokens: int, purpose: str, now_ms: int) -> _Block | None:
        """What keeps the target from being asked for longest."""
        blocks: list[_Block] = []
        for scope in target.scopes():
            breaker = self._breakers[scope]
            if breaker.is_open(now_ms):
                blocks.append(_Block(breaker.until_ms, "resting", breaker.reason))
            elif breaker.is_half_open(now_ms) and (probe := breaker.probe(now_ms)) is not None:
                lands_ms = max(probe.expected_ms, now_ms + WAIT_MS_MIN)
                blocks.append(_Block(lands_ms, "probing", breaker.reason))
        pool = self._pools[target.pool]
        full = pool.full(tokens, now_ms=now_ms, urgent=purpose in URGENT)
        if full is not None:
            blocks.append(_Block(full[0], "full", full[1]))
        return max(blocks, key=lambda one: one.until_ms, default=None)

    def _rank(self, target: Target, now_ms: int) -> tuple[int, int, bool]:
        """Sorts the best first: who succeeds, who is fast, who has not nearly used up a quota."""
        scarce = any(
            one.limit is not None and one.left is not None and one.left < one.limit * SCARCE
            for one in self._pools[target.pool].states(now_ms)
        )
        return *self._records[target.name].rank(now_ms), scarce

    def _land(self, target: Target, call: int | None, now_ms: int) -> Flight | None:
        return self._pools[target.pool].land(target.name, call, now_ms=now_ms)

    def _probes(self, target: Target, flight: Flight | None) -> list[tuple[str, bool]]:
        """End a flight's probes: each scope of the target, and whether it was probed."""
        return [(scope, self._breakers[scope].landed(flight)) for scope in target.scopes()]

    def _rest(self, target: Target, failure: str, retry_after_ms: int | None, now_ms: int) -> None:
        cooling = FAILURES[failure]
        scope = target.scope(cooling)
        if scope is None:
            return
        in_a_row = self._breakers[scope].failed(failure, now_ms=now_ms)
        day_over = day_over_ms(now_ms, target.day_ends, late_ms=self._late_ms)
        rest_ms = cooling.rest_ms(in_a_row, asked_ms=retry_after_ms, day_left_ms=day_over - now_ms)
        if rest_ms > 0:
            until_ms = now_ms + rest_ms + self._jitter_ms(rest_ms)
            self._breakers[scope].rest(failure, until_ms=until_ms, in_a_row=in_a_row)

    def _jitter_ms(self, rest_ms: int) -> int:
        """Up to a tenth more, so that a swarm does not wake at once."""
        return self._rng.randrange(min(rest_ms // 10, JITTER_MS_MAX) + 1)

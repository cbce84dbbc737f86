"""Who drives a task when its asker is gone: any spore, one at a time.

The asker drives under term 0. When it has fallen silent and its task has no outcome, another spore
writes a lease with the next term and drives. A term is a fencing number: whoever sees a higher one
stops, and of two that took the same term the smaller key goes on. Nobody has to agree: an outcome
says its term, and everyone keeps the asker's own, else the latest term's.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

from synapse.core.effects import SetTimer
from synapse.core.reasoning import drafts
from synapse.core.reasoning.deliberation import Deliberations, Item
from synapse.core.reasoning.session import Role
from synapse.core.reasoning.task import Task

LEASE_MS: Final = 120_000  # twice the default deadline of a task
GRACE_MS: Final = 30_000  # after the deadline, before anyone looks whether the asker is there
SPREAD_MS: Final = 30_000  # so that one of many takes over, and the rest see its lease
TERM_MAX: Final = 5  # a task that five drivers could not finish is not worth a sixth
TAKE_OVER_WITHIN_MS: Final = 3_600_000  # nobody waits longer than an hour for an answer
WATCHED_MAX: Final = 256  # tasks of strangers that we look after at once


class Leases:
    """Watches over the tasks of others."""

    def __init__(
        self,
        deliberations: Deliberations,
        *,
        alive: Callable[[bytes, int], bool],
        deadline_ms: int,
        rng: Random,
    ) -> None:
        """`alive` says whether the spore with this key is, as far as we can tell at a time."""
        self._deliberations = deliberations
        self._alive = alive
        self._deadline_ms = deadline_ms
        self._rng = rng
        self._watched: set[bytes] = set()

    def watch(self, task: Task, *, now_ms: int) -> list[Item]:
        """Look again later whether this task of another's came to something."""
        old = now_ms - task.created_ms > TAKE_OVER_WITHIN_MS
        if task.outcome is not None or old or len(self._watched) >= WATCHED_MAX:
            return []
        self._watched.add(task.id)
        wait_ms = (task.wish.deadline_ms or self._deadline_ms) + GRACE_MS
        return [self._timer(task, wait_ms + self._rng.randrange(SPREAD_MS))]

    def on_timer(self, task: Task, *, now_ms: int) -> list[Item]:
        """Take over, if nobody answers for the task any more."""
        self._watched.discard(task.id)
        term = task.lease.term if task.lease is not None else 0
        old = now_ms - task.created_ms > TAKE_OVER_WITHIN_MS
        if task.outcome is not None or old or term >= TERM_MAX:
            return []
        if task.lease is not None and now_ms < task.lease.until_ms:
            return [self._again(task, task.lease.until_ms - now_ms)]
        driver = task.lease.author if task.lease is not None else task.author
        if term == 0 and self._alive(driver, now_ms):
            return [self._again(task, GRACE_MS)]  # it waits for a model, or has much to do
        taken = drafts.lease(task, term=term + 1, for_ms=LEASE_MS)
        begun = self._deliberations.begin(task, Role.LEASED, term=term + 1, now_ms=now_ms)
        return [taken, *begun]

    def on_lease(self, task: Task, *, now_ms: int) -> list[Item]:
        """A lease came: stop driving when it fences us off, and look again when it has run out."""
        session = self._deliberations.sessions.get(task.id)
        lease = task.lease
        if lease is None or lease.author == self._deliberations.key:
            return []
        if session is not None and session.role is Role.LEASED and session.term <= lease.term:
            self._deliberations.end(session, now_ms=now_ms)
        return [self._again(task, max(1, lease.until_ms - now_ms))]

    def _again(self, task: Task, wait_ms: int) -> SetTimer:
        self._watched.add(task.id)
        return self._timer(task, wait_ms + self._rng.randrange(SPREAD_MS))

    @staticmethod
    def _timer(task: Task, wait_ms: int) -> SetTimer:
        return SetTimer(f"lease/{task.id.hex()}", wait_ms)

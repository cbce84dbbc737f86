"""Lending our models and tools to tasks that other spores drive.

A helper answers blind: it commits to its position before it shows it, and shows it once the driver
has shown its own, so that neither could copy. Every spore with the tools checks what others said,
a little later and only where nobody has: a spore without any model is most use as a checker.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Final

from synapse.core.effects import SetTimer
from synapse.core.memory.record import Draft
from synapse.core.reasoning import concluding
from synapse.core.reasoning.deliberation import Deliberations, Item, timer
from synapse.core.reasoning.model_routing import Routing
from synapse.core.reasoning.session import Purpose, Role, Session
from synapse.core.reasoning.task import Task

CONTRIBUTE_WITHIN_MS: Final = 60_000  # an older task has been answered, or given up
CONTRIBUTIONS_MAX: Final = 16  # at once: what strangers may make us ask models beside our own
SHOW_WITHIN_MS: Final = 5_000  # a driver that has not shown its answers by then may be gone
CHECK_AFTER_MS: Final = (500, 2_000)  # spread, so that one of many checkers writes it down


class Helping:
    """What this spore does for others' tasks."""

    def __init__(self, deliberations: Deliberations, routing: Routing, rng: Random) -> None:
        self._deliberations = deliberations
        self._routing = routing
        self._rng = rng

    def contribute(self, task: Task, *, asker_families: Sequence[str], now_ms: int) -> list[Item]:
        """Give another spore's task one position, if we have a family that it lacks."""
        sessions = self._deliberations.sessions
        families = [one for one in self._routing.families() if one not in asker_families]
        fresh = now_ms - task.created_ms <= CONTRIBUTE_WITHIN_MS
        lent = sum(session.role is Role.HELPING for session in sessions.values())
        if not families or not fresh or task.outcome is not None or task.id in sessions:
            return []
        if lent >= CONTRIBUTIONS_MAX:
            return []
        session = self._deliberations.open(task, Role.HELPING, now_ms=now_ms)
        asking = self._deliberations.asking
        asked = asking.ask(session, families[0], Purpose.POSITION, now_ms=now_ms, strictly=True)
        if not asked:
            self._deliberations.end(session, now_ms=now_ms)
            return []
        return [*asked, SetTimer(timer(task.id), max(1, session.deadline_ms - now_ms))]

    def on_commitment(self, task: Task) -> list[Item]:
        """Our commitment is durable: do not wait for ever to show what it binds us to."""
        session = self._helped(task.id)
        return [SetTimer(timer(task.id), SHOW_WITHIN_MS)] if session is not None else []

    def on_news(self, task: Task, *, now_ms: int) -> list[Item]:
        """Somebody said something: perhaps it is our turn to show, or there is work to check."""
        session = self._helped(task.id)
        if session is not None and session.held:
            shown = {one.author for one in task.positions} | {
                one.author for one in task.abstentions
            }
            if self._driver(task) in shown:
                return self._show(session, now_ms=now_ms)
        if task.outcome is None and task.id not in self._deliberations.sessions:
            return [SetTimer(f"check/{task.id.hex()}", self._rng.randint(*CHECK_AFTER_MS))]
        return []

    def on_timer(self, task_id: bytes, *, now_ms: int) -> list[Item] | None:
        """Show what is held, or give up. None when this is no task we help with."""
        session = self._helped(task_id)
        if session is None:
            return None
        if session.held:
            return self._show(session, now_ms=now_ms)
        if now_ms >= session.deadline_ms:
            self._deliberations.end(session, now_ms=now_ms)
        return []

    def check(self, task: Task, *, now_ms: int) -> list[Draft]:
        """Write down what our tools find of answers that nobody has checked."""
        if task.outcome is not None or task.id in self._deliberations.sessions:
            return []
        session = self._deliberations.open(task, Role.HELPING, now_ms=now_ms)
        found = concluding.verdicts(session, share=self._deliberations.share)
        self._deliberations.end(session, now_ms=now_ms)
        return found

    def _show(self, session: Session, *, now_ms: int) -> list[Item]:
        items = self._deliberations.show(session, now_ms=now_ms)
        self._deliberations.end(session, now_ms=now_ms)
        return items

    def _helped(self, task_id: bytes) -> Session | None:
        session = self._deliberations.sessions.get(task_id)
        return session if session is not None and not session.drives else None

    @staticmethod
    def _driver(task: Task) -> bytes:
        return task.lease.author if task.lease is not None else task.author

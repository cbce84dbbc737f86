"""Asking a model on behalf of a task: which target, with what request, and who waits for it."""

from __future__ import annotations

from itertools import count
from typing import Final

from synapse.core.effects import CallModel, ModelRequest
from synapse.core.events import ModelFailed, ModelReplied
from synapse.core.reasoning import prompts
from synapse.core.reasoning.mechanisms import Quantum
from synapse.core.reasoning.model_routing import EXACT, EXTRACTIVE, Routing, Target
from synapse.core.reasoning.session import CYCLES_MAX, Call, Purpose, Session

TOKENS_A_CHARACTER: Final = 0.3  # of English; close enough to reserve quota by


class Asking:
    """The calls under way, by number."""

    def __init__(self, routing: Routing, quantum: Quantum) -> None:
        self.routing = routing
        self._quantum = quantum
        self._tasks: dict[int, bytes] = {}
        self._numbers = count(1)

    @property
    def exact(self) -> Target | None:
        """The exact tools, where this spore has them."""
        return self.routing.named(EXACT)

    def task_of(self, call_id: int) -> bytes:
        """Whose call this was; it is waited for no more. Empty when nobody waits."""
        return self._tasks.pop(call_id, b"")

    def ask(
        self,
        session: Session,
        family: str,
        purpose: Purpose,
        *,
        now_ms: int,
        strictly: bool = False,
    ) -> list[CallModel]:
        """Ask this family or, unless `strictly` is meant, when it rests whoever is awake.

        Nothing when nobody can be asked, or the budget is spent.
        """
        if family != EXTRACTIVE and session.budget_left <= 0:
            return []
        target = self.routing.choose(
            now_ms=now_ms,
            family=family,
            without=session.tried | self._barred(session),
            tokens=self.tokens(session),
            purpose="synthesis" if purpose is Purpose.SYNTHESIS else "position",
        )
        if target is None or (strictly and target.family != family):
            return []
        return self.call(session, target, purpose, now_ms=now_ms)

    def ask_again(
        self, session: Session, call: Call, problem: str, *, now_ms: int
    ) -> list[CallModel]:
        """Ask the same target once more, and say what was wrong with its last reply."""
        target, tokens = self.routing.target(call.target), self.tokens(session)
        admitted = self.routing.admits(target.name, now_ms=now_ms, tokens=tokens)
        if not admitted or session.budget_left <= 0:
            return []
        return self.call(session, target, call.purpose, problem=problem, now_ms=now_ms)

    def call(
        self,
        session: Session,
        target: Target,
        purpose: Purpose,
        *,
        problem: str | None = None,
        now_ms: int,
    ) -> list[CallModel]:
        """Ask this target, whatever it was chosen for."""
        left_ms = session.deadline_ms - now_ms
        if left_ms <= 0:
            return []
        call_id = next(self._numbers)
        self._tasks[call_id] = session.task.id
        session.pending[call_id] = Call(target.name, target.family, purpose)
        session.tried.add(target.name)
        session.calls += target.family not in (EXTRACTIVE, EXACT)
        request = self._request(session, purpose, problem)
        tokens = self.tokens(session)
        self.routing.called(target.name, now_ms=now_ms, tokens=tokens, call=call_id)
        return [
            CallModel(
                call_id,
                target.name,
                request,
                min(target.timeout_ms, left_ms),
                purpose=purpose.value,
                task=b"" if session.task.wish.private else session.task.id,
                cycle=session.cycle,
            )
        ]

    def replied(self, call: Call, event: ModelReplied, *, now_ms: int) -> None:
        """The target answered. Whether it made sense is told later: `understood`, or `failed`."""
        self.routing.replied(
            call.target,
            now_ms=now_ms,
            call=event.call_id,
            took_ms=event.took_ms,
            tokens_in=event.tokens_in,
            tokens_out=event.tokens_out,
            limits=event.limits,
        )

    def failed(self, session: Session, call: Call, event: ModelFailed, *, now_ms: int) -> None:
        """The target did not answer. What a provider can mend by itself may be asked once more."""
        mended = event.failure == "request" and event.retry_after_ms == 0
        if mended and call.target not in session.asked_again:
            session.asked_again.add(call.target)
            session.tried.discard(call.target)
        self.routing.failed(
            call.target,
            event.failure,
            now_ms=now_ms,
            call=event.call_id,
            retry_after_ms=event.retry_after_ms,
            took_ms=event.took_ms,
            limits=event.limits,
        )

    def hang_up(self, session: Session, *, now_ms: int) -> None:
        """Wait for no call of this session any more."""
        for call_id, call in session.pending.items():
            self._tasks.pop(call_id, None)
            self.routing.released(call.target, now_ms=now_ms, call=call_id)
        session.pending.clear()

    def _barred(self, session: Session) -> set[str]:
        """Targets that may not see this task: who trains on it, when it is private."""
        if not session.task.wish.private:
            return set()
        return {target.name for target in self.routing.targets if target.trains}

    @staticmethod
    def tokens(session: Session) -> int:
        """What a call about this task may use, both ways: an estimate to reserve quota by."""
        read = len(session.task.text) + sum(len(quote.text) for quote in session.quotes)
        return int(read * TOKENS_A_CHARACTER) + prompts.TOKENS_MAX

    def _request(self, session: Session, purpose: Purpose, problem: str | None) -> ModelRequest:
        task = session.task
        if purpose is Purpose.SYNTHESIS:
            answer, supporters, others = session.decided
            return prompts.synthesise(task.text, answer, supporters, others, quotes=session.quotes)
        barred = session.leaders[-1].answer if purpose is Purpose.CHALLENGE else None
        return prompts.ask(
            task.text,
            session.quotes,
            temperature=self._quantum.temperature(
                session.cycle, cycles=CYCLES_MAX, challenge=barred is not None
            ),
            wish=task.wish,
            others=session.shown,
            barred=barred,
            problem=problem,
        )

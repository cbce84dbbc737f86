"""Drives the tasks this spore was asked, and those whose asker is gone.

Positions are blind first: no model sees another's answer, and while peers are still thinking ours
are not shown to them either (`helping` is their side of it). The gate asks as few families as
would decide if they agreed. Answers are checked in code as they come. Only when that decides
nothing are members asked again, cooler, with the answers and what checkers found, but neither
names nor counts, which cost accuracy. Collapse is code; prose is written afterwards, and refused
if it says something else. Everything decided becomes a record, so that every spore can show it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Final, Protocol

from synapse.core.effects import Effect, Publish, SetTimer
from synapse.core.events import ModelFailed, ModelReplied
from synapse.core.memory.record import Draft
from synapse.core.reasoning import concluding, drafts, prompts, writing
from synapse.core.reasoning.aggregation import Judgement, Verdict
from synapse.core.reasoning.asking import Asking
from synapse.core.reasoning.ballot import Ballot, Checker, fits, kind_of
from synapse.core.reasoning.drafts import Share
from synapse.core.reasoning.kinds import Kind
from synapse.core.reasoning.mechanisms import Quantum
from synapse.core.reasoning.model_routing import EXACT, EXTRACTIVE, FAILURES, Routing
from synapse.core.reasoning.phases import Move, next_move
from synapse.core.reasoning.session import (
    Call,
    Purpose,
    Role,
    Search,
    Session,
    Waiting,
    recalled,
)
from synapse.core.reasoning.stopping import enough_to_end, worth_asking
from synapse.core.reasoning.task import ANSWER_BYTES_MAX, Task, read_position

TEAM_MAX: Final = 7  # families of one task; from the eighth on each adds less than its call costs
EXPLORE: Final = 0.1  # of tasks: one family more is asked than is needed; no source
RETRY_MS_MIN: Final = 1_000
MEND: Final = "it was no JSON object with a fitting answer: reply with that object alone"

Item = Effect | Draft


class Trust(Protocol):
    """What grades have taught, as far as a deliberation needs it."""

    def judgement(self, kind: Kind, *, now_ms: int) -> Judgement:
        """Weights, correlations and temperature for one kind of task."""

    def hear(
        self, speakers: Sequence[tuple[bytes, str]], kind: Kind, *, now_ms: int
    ) -> Sequence[tuple[str, float]]:
        """For each (operator, family it claims): whose vote that is, and what part, 0 to 1."""

    def order(self, families: Sequence[str], kind: Kind, *, now_ms: int) -> list[str]:
        """These families, the most useful first."""


class Deliberations:
    """All tasks in progress at this spore."""

    def __init__(
        self,
        *,
        key: bytes,
        routing: Routing,
        search: Search,
        share: Share,
        trust: Trust,
        helpers: Callable[[int], Sequence[bytes]],
        rng: Random,
        deadline_ms: int,
        quantum: Quantum,
        synthesis: bool,
    ) -> None:
        """`key` is this spore's; `helpers` gives, at a time, the keys of live peers with a family
        we lack; `synthesis` whether a model writes out what was decided in prose."""
        self.key = key
        self.asking = Asking(routing, quantum)
        self.share = share
        self.quantum = quantum
        self.sessions: dict[bytes, Session] = {}
        self._routing = routing
        self._search = search
        self._trust = trust
        self._helpers = helpers
        self._rng = rng
        self._deadline_ms = deadline_ms
        self._synthesis = synthesis

    def waiting(self, task_id: bytes) -> Waiting | None:
        """Why a task of ours waits, and until when."""
        session = self.sessions.get(task_id)
        return session.waiting if session is not None else None

    def __len__(self) -> int:
        return len(self.sessions)

    # Beginning and ending.

    def begin(
        self, task: Task, role: Role = Role.ASKED, *, term: int = 0, now_ms: int
    ) -> list[Item]:
        """Answer a task."""
        if task.id in self.sessions or task.outcome is not None:
            return []
        return self._begin(self.open(task, role, term=term, now_ms=now_ms), now_ms=now_ms)

    def open(self, task: Task, role: Role, *, term: int = 0, now_ms: int) -> Session:
        """A session on this task, with what memory holds about it."""
        session = Session(
            task,
            role,
            quotes=recalled(self._search, task),
            started_ms=now_ms,
            deadline_ms=now_ms + (task.wish.deadline_ms or self._deadline_ms),
            checker=Checker(task.text),
            term=term,
        )
        self.sessions[task.id] = session
        return session

    def end(self, session: Session, *, now_ms: int) -> None:
        """Work on this task no more."""
        self.asking.hang_up(session, now_ms=now_ms)
        self.sessions.pop(session.task.id, None)

    def _begin(self, session: Session, *, now_ms: int) -> list[Item]:
        """Ask the exact tools first, which cost nothing; when they abstain, the gate opens."""
        session.tried.clear()
        kind = kind_of(session.task, ())
        families = self._trust.order(self._routing.families(), kind, now_ms=now_ms)[:TEAM_MAX]
        session.team = families or [EXTRACTIVE]
        exact = self.asking.exact
        items: list[Item] = []
        if exact is not None:
            items += self.asking.call(session, exact, Purpose.POSITION, now_ms=now_ms)
        items += _look_later(session, now_ms)
        return items if session.pending else [*items, *self._advance(session, now_ms=now_ms)]

    # What happens.

    def on_reply(self, event: ModelReplied, *, now_ms: int) -> list[Item]:
        """A model answered one of our calls."""
        session = self.sessions.get(self.asking.task_of(event.call_id))
        if session is None:
            return []  # the task ended without it
        call = session.pending.pop(event.call_id)
        self.asking.replied(call, event, now_ms=now_ms)
        if call.purpose is Purpose.SYNTHESIS:
            session.prose = writing.accepted(session, event.text)
            return self._advance(session, now_ms=now_ms)
        reply = prompts.read(event.text, session.quotes, session.shown)
        said = self.share(reply.answer, bytes_max=ANSWER_BYTES_MAX) if reply is not None else ""
        if reply is None or not said.strip() or not fits(session.task, said):
            failure = ModelFailed(event.call_id, "bad_reply", MEND)
            return self._failed(session, call, failure, now_ms=now_ms)
        self._routing.understood(call.target)
        # A model may call itself anything, but only quoting is quoting.
        named = event.family not in ("", EXTRACTIVE)
        draft = drafts.position(
            session.task,
            reply if self.quantum.superposition else reply.collapsed,
            model=event.model,
            family=event.family if named else call.family,
            cycle=session.cycle,
            challenge=call.purpose is Purpose.CHALLENGE,
            nonce=self._rng.randbytes(16),
            share=self.share,
        )
        if session.role is Role.HELPING or self._hides(session, now_ms):
            return self._hold(session, draft, now_ms=now_ms)
        session.show(now_ms)
        session.unwritten += 1
        return [draft]  # the node signs it and hands it back through `on_news`

    def on_failure(self, event: ModelFailed, *, now_ms: int) -> list[Item]:
        """A model did not answer one of our calls."""
        session = self.sessions.get(self.asking.task_of(event.call_id))
        if session is None:
            return []
        call = session.pending.pop(event.call_id)
        return self._failed(session, call, event, now_ms=now_ms)

    def on_news(self, task: Task, *, author: bytes, now_ms: int) -> list[Item]:
        """A position, commitment or abstention, ours or another's, has been added to a task."""
        session = self.sessions.get(task.id)
        if session is None or not session.drives:
            return []
        if author == self.key and session.unwritten:
            session.unwritten -= 1
        return self._advance(session, now_ms=now_ms) if not session.unwritten else []

    def on_timer(self, task_id: bytes, *, now_ms: int) -> list[Item]:
        """A task's deadline, help window or retry is due."""
        session = self.sessions.get(task_id)
        if session is None:
            return []
        if session.waiting is not None:
            session.waiting = None
            session.started_ms = now_ms
            session.deadline_ms = now_ms + (session.task.wish.deadline_ms or self._deadline_ms)
            session.quotes = recalled(self._search, session.task)
            return self._begin(session, now_ms=now_ms)
        if now_ms >= session.deadline_ms:
            self.asking.hang_up(session, now_ms=now_ms)
        return self._advance(session, now_ms=now_ms)

    def _failed(
        self, session: Session, call: Call, event: ModelFailed, *, now_ms: int
    ) -> list[Item]:
        """Ask once more for a better reply, else the next target; else see what we have."""
        self.asking.failed(session, call, event, now_ms=now_ms)
        if call.purpose is Purpose.SYNTHESIS or call.family == EXACT:
            return self._advance(session, now_ms=now_ms)
        if call.family == EXTRACTIVE and event.failure == "refused":
            session.nothing_recalled = True
        items: list[Item] = []
        if event.failure == "bad_reply" and call.target not in session.asked_again:
            session.asked_again.add(call.target)
            items += self.asking.ask_again(session, call, event.detail, now_ms=now_ms)
        helping = session.role is Role.HELPING
        if not items:
            items += self.asking.ask(
                session, call.family, call.purpose, now_ms=now_ms, strictly=helping
            )
        if items or session.pending:
            return items
        if not helping:
            return self._advance(session, now_ms=now_ms)
        self.end(session, now_ms=now_ms)
        return [drafts.abstention(session.task, event.failure, share=self.share)]

    # Hiding and showing.

    def _hides(self, session: Session, now_ms: int) -> bool:
        """Whether peers are still thinking, who could copy what we show."""
        if session.shown_ms is not None or session.task.wish.private:
            return False
        return bool(session.held) or session.awaits(self._helpers(now_ms), now_ms=now_ms)

    def _hold(self, session: Session, draft: Draft, *, now_ms: int) -> list[Item]:
        """Keep a blind answer back; a helper commits to it."""
        position = read_position(
            draft.content,
            position_id=b"%032d" % len(session.held),
            author=self.key,
            operator=self.key,
            at_ms=now_ms,
        )
        assert position is not None, "a draft of a position is one"
        session.held.append((draft, position))
        if session.role is Role.HELPING:
            return [drafts.committed(session.task, draft)]
        return self._advance(session, now_ms=now_ms)

    def show(self, session: Session, *, now_ms: int) -> list[Item]:
        """Show the answers held back, or that there are none: peers wait for our turn."""
        session.show(now_ms)
        held, session.held = session.held, []
        if not held:
            return [drafts.abstention(session.task, "no_answer", share=self.share)]
        session.unwritten += len(held)
        return [draft for draft, _ in held]

    # Deciding.

    def standing(self, task: Task, *, now_ms: int) -> tuple[Ballot, Verdict | None]:
        """How a task stands by what is known now, whoever drives it."""
        aside = Session(task, Role.HELPING, (), now_ms, now_ms, Checker(task.text))
        return self._count(aside, now_ms=now_ms)

    def _count(self, session: Session, *, now_ms: int) -> tuple[Ballot, Verdict | None]:
        ballot = session.ballot(
            own=self.key,
            hear=lambda speakers, kind: self._trust.hear(speakers, kind, now_ms=now_ms),
        )
        judgement = self._trust.judgement(ballot.kind, now_ms=now_ms)
        return ballot, ballot.count(judgement, self.quantum.count)

    def _advance(self, session: Session, *, now_ms: int) -> list[Item]:
        ballot, verdict = self._count(session, now_ms=now_ms)
        judgement = self._trust.judgement(ballot.kind, now_ms=now_ms)
        session.note_leader(ballot, verdict)
        progress = session.progress(
            ballot,
            verdict,
            helpers=self._helpers(now_ms),
            has_models=bool(self._routing.families()),
            tunnelling=self.quantum.tunnelling,
            settled=not worth_asking(ballot, verdict, session.team, judgement, self.quantum.count),
            now_ms=now_ms,
        )
        move, reason = next_move(progress)
        match move:
            case Move.STAY:
                return _look_later(session, now_ms)
            case Move.ASK:
                return self._ask_next(session, ballot, now_ms=now_ms)
            case Move.REVEAL:
                return [*self.show(session, now_ms=now_ms), *_look_later(session, now_ms)]
            case Move.REVISE:
                return self._revise(session, now_ms=now_ms)
            case Move.CHALLENGE:
                return self._challenge(session, ballot, verdict, now_ms=now_ms)
            case Move.WAIT:
                return self._wait(session, now_ms=now_ms)
            case Move.GIVE_UP | Move.COLLAPSE:
                return self._conclude(session, ballot, verdict, move, reason, now_ms=now_ms)

    def _ask_next(self, session: Session, ballot: Ballot, *, now_ms: int) -> list[Item]:
        """The gate: as many of the next members as would end it if they all agreed, and now and
        then one more, of whom nothing would ever be learnt otherwise."""
        number = enough_to_end(
            ballot,
            session.team,
            self._trust.judgement(ballot.kind, now_ms=now_ms),
            leading=session.leaders[-1].answer if session.leaders else "an answer",
            mechanisms=self.quantum.count,
        )
        if not session.calls and number < len(session.team) and self._rng.random() < EXPLORE:
            session.team.insert(
                number, session.team.pop(self._rng.randrange(number, len(session.team)))
            )
            number += 1
        asked, session.team = session.team[:number], session.team[number:]
        return self._ask_all(session, asked, Purpose.POSITION, now_ms=now_ms)

    def _revise(self, session: Session, *, now_ms: int) -> list[Item]:
        """The next cycle: who spoke is asked again, shown what was said and found."""
        session.cycle += 1
        session.tried.clear()
        session.shown = concluding.shown_to_members(session)
        spoke = {one.family for one in session.task.positions}
        own = self._routing.families()
        families = [family for family in own if family in spoke] or own
        return self._ask_all(session, families[:TEAM_MAX], Purpose.REVISION, now_ms=now_ms)

    def _challenge(
        self, session: Session, ballot: Ballot, verdict: Verdict | None, *, now_ms: int
    ) -> list[Item]:
        """Bar the leader for one call, made to the best family that did not propose it."""
        session.challenged = True
        session.cycle += 1
        session.tried.clear()
        session.shown = ()
        family = self._best_other(ballot, verdict, now_ms=now_ms)
        return self._ask_all(session, [family], Purpose.CHALLENGE, now_ms=now_ms)

    def _ask_all(
        self, session: Session, families: Sequence[str], purpose: Purpose, *, now_ms: int
    ) -> list[Item]:
        items: list[Item] = []
        for family in families:
            items += self.asking.ask(session, family, purpose, now_ms=now_ms)
        return items or self._advance(session, now_ms=now_ms)

    def _best_other(self, ballot: Ballot, verdict: Verdict | None, *, now_ms: int) -> str:
        """The most useful family of ours that is not for the leader; if all are, the best."""
        assert verdict is not None, "there is a leader"
        its = {ballot.votes[index].family for index in verdict.supporters}
        families = self._trust.order(self._routing.families(), ballot.kind, now_ms=now_ms)
        return next((family for family in families if family not in its), families[0])

    def _wait(self, session: Session, *, now_ms: int) -> list[Item]:
        unavailable = self._routing.unavailable(now_ms=now_ms, tokens=self.asking.tokens(session))
        session.attempts += any(one in FAILURES for one in unavailable.reasons.values())
        after_ms = max(unavailable.retry_at_ms - now_ms, RETRY_MS_MIN)
        session.waiting = Waiting(now_ms + after_ms, dict(unavailable.reasons))
        notice = {
            "id": session.task.id.hex(),
            "status": "waiting",
            "retry_at_ms": session.waiting.retry_at_ms,
            "reasons": session.waiting.reasons,
        }
        return [SetTimer(timer(session.task.id), after_ms), Publish("task", notice)]

    # Concluding.

    def _conclude(
        self,
        session: Session,
        ballot: Ballot,
        verdict: Verdict | None,
        move: Move,
        reason: str,
        *,
        now_ms: int,
    ) -> list[Item]:
        """Write down what the task came to, after a model has written it out if that is wanted."""
        collapsed = verdict if move is Move.COLLAPSE else None
        wanted = self._synthesis and bool(self._routing.families())
        if (
            collapsed is not None
            and wanted
            and writing.worth_it(session, ballot, collapsed, now_ms)
        ):
            items = self._write_out(session, ballot, collapsed, now_ms=now_ms)
            if items:
                return items
        self.end(session, now_ms=now_ms)
        spent = drafts.Spent(session.cycle + 1, session.calls, session.term)
        found = concluding.verdicts(session, share=self.share)
        graded = concluding.grades(session, ballot.kind, share=self.share)
        if collapsed is None:
            return [
                *found,
                drafts.no_answer(session.task, reason, spent, share=self.share),
                *graded,
            ]
        outcome = drafts.outcome(
            session.task,
            ballot,
            collapsed,
            reason=reason,
            prose=session.prose,
            cites=concluding.cites(session, ballot, collapsed),
            spent=spent,
            share=self.share,
        )
        return [*found, outcome, *graded]

    def _write_out(
        self, session: Session, ballot: Ballot, verdict: Verdict, *, now_ms: int
    ) -> list[Item]:
        session.written_out = True
        session.tried.clear()
        session.decided = (
            ballot.votes[verdict.leader].answer,
            tuple(dict.fromkeys(ballot.positions[index] for index in verdict.supporters)),
            tuple(ballot.votes[first].answer for first, _ in verdict.shares[1:]),
        )
        family = self._best_other(ballot, verdict, now_ms=now_ms)
        asked = self.asking.ask(session, family, Purpose.SYNTHESIS, now_ms=now_ms)
        return [*asked, *_look_later(session, now_ms)] if asked else []


def _look_later(session: Session, now_ms: int) -> list[Item]:
    return [SetTimer(timer(session.task.id), session.next_look_ms(now_ms))]


def timer(task_id: bytes) -> str:
    """The name of a task's timer."""
    return f"task/{task_id.hex()}"

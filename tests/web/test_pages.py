"""The pages, as people and their browsers meet them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import get_args

import pytest
from jinja2 import UndefinedError

from synapse.core.errors import ProviderError
from synapse.core.reasoning.phases import NEXT_MOVE
from synapse.operations.tasks import Wanted
from synapse.replies import AbstentionView, GradeView, Health, TaskStatus, VerdictView
from synapse.web import pages, views
from synapse.web.views import STATES, STATUSES, STOP_REASONS, ago, lasted, percent
from tests.making import made_up_id
from tests.spores import URL, Spore, running_spore
from tests.web.conftest import KEY

pytestmark = pytest.mark.anyio

NOTE = "The tides follow the moon."
QUESTION = "What do the tides follow?"
HOSTILE = (
    "<script>alert(1)</script>",
    "</p></blockquote></textarea><img src=x onerror=alert(1)>",
    "\"><svg onload=alert(1)>' onfocus='alert(1)",
    "${title} ${main} $key {{7*7}} {% raw %} %(x)s",
    "<a href='javascript:alert(1)'>tides</a> &lt;b&gt; &amp;",
    "<!-- --><style>*{display:none}</style><base href=//evil.example>",
    "\u202etides\u202c \u2028 \ufeff 🜁",
)
BROWSER = {"Accept": "text/html,application/xhtml+xml", "Origin": URL}


def says(answer: str, **more: object) -> Callable[[object], str]:
    return lambda _: json.dumps({"answer": answer, "confidence": 0.9, **more})


class Page(HTMLParser):
    """A page as a browser builds it: elements with their attributes, and the text."""

    VOID = ("meta", "link", "input", "img", "br", "base")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> does not end what is open"

    def handle_data(self, data: str) -> None:
        self.words += data

    def named(self, tag: str) -> Iterator[dict[str, str | None]]:
        return (attributes for name, attributes in self.elements if name == tag)

    def one(self, tag: str) -> dict[str, str | None]:
        [attributes] = self.named(tag)
        return attributes


async def page(spore: Spore, path: str, *, status: int = 200) -> Page:
    reply = await spore.client.get(path, headers=BROWSER)
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    return assert_sound(reply.text)


def assert_sound(html: str) -> Page:
    """Well-formed, accessible, without scripts, and without a request to anybody else."""
    found = Page(html)
    assert found.open == []
    assert not list(found.named("script")) and not list(found.named("style"))
    for tag, attributes in found.elements:
        assert not [name for name in attributes if name.startswith("on") or name == "style"], tag
        for name in ("href", "src", "action"):
            assert (attributes.get(name) or "/").startswith(("/", "#")), (tag, attributes)
    assert found.one("html")["lang"] == "en"
    assert len(list(found.named("main"))) == len(list(found.named("h1"))) == 1
    ids = [attributes["id"] for _, attributes in found.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    labelled = {attributes.get("for") for attributes in found.named("label")}
    for tag in ("input", "textarea"):
        for attributes in found.named(tag):
            assert attributes.get("id") in labelled or attributes.get("type") == "checkbox"
    return found


async def test_an_empty_spore_says_what_to_do(spore: Spore) -> None:
    home = await page(spore, "/")
    for hint in ("Nothing asked yet", "Nothing remembered yet", "No peers yet", "LLM_ENDPOINT"):
        assert hint in home.words


async def test_the_first_page_shows_the_spore_and_how_to_connect(spore: Spore) -> None:
    await spore.remember(NOTE)
    async with running_spore(number=2, neighbourhood=spore.neighbourhood) as attic:
        await spore.operations.join(str(attic.client.base_url))
        await spore.operations.join("http://127.0.0.1:7999")
        await attic.operations.remember("From the attic.")
        await spore.finds(2)
        home = await page(spore, "/")

    health = spore.operations.health()
    shown = (
        "kitchen", "ready", "2 memories", health.fingerprint, health.id, "attic", "alive", NOTE,
        "From the attic.", f"claude mcp add --transport http synapse {URL}/mcp", '"mcpServers"',
        '"servers"', "not met yet",
    )  # fmt: skip
    assert [one for one in shown if one not in home.words] == []


async def test_asking_leads_to_the_answer_and_what_it_rests_on(spore: Spore) -> None:
    [memory_id] = await spore.remember(NOTE)

    reply = await spore.client.post("/ask", data={"task": QUESTION}, headers=BROWSER)
    place = reply.headers["location"]
    await spore.operations.finished_task(place.removeprefix("/task/"), wait_ms=10_000)
    task = await page(spore, place)

    assert reply.status_code == 303
    assert QUESTION in task.words and NOTE in task.words
    assert STOP_REASONS["extract"] in task.words
    links = [attributes["href"] for attributes in task.named("a")]
    assert links.count(f"/memory/{memory_id}") == 3  # the mark, the citation, and the claim
    assert QUESTION in (await page(spore, "/")).words


async def test_remembering_leads_to_the_memory(spore: Spore) -> None:
    form = {"text": "first line\r\nsecond line"}
    reply = await spore.client.post("/remember", data=form, headers=BROWSER)
    memory = await page(spore, reply.headers["location"])
    assert "first line\nsecond line" in memory.words
    assert spore.operations.health().id in memory.words


async def test_a_private_memory_is_kept_and_only_its_keeper_sees_it(keyed: Spore) -> None:
    form = {"text": "only mine", "private": "yes", "key": KEY}
    reply = await keyed.client.post("/remember", data=form)
    kept = await page(keyed, reply.headers["location"])
    await keyed.finds(1)
    [found] = (await keyed.operations.recall("mine")).results

    assert "on this spore alone" in kept.words
    assert "only mine" not in kept.words
    await page(keyed, f"/memory/{found.id}", status=404)
    assert "only mine" not in (await page(keyed, "/?q=mine")).words


async def test_a_form_that_is_not_taken_comes_back_as_it_was_filled_in(keyed: Spore) -> None:
    text = f"{HOSTILE[1]} {NOTE}"
    ask = await keyed.client.post("/ask", data={"task": text, "key": "wrong"})
    keep = await keyed.client.post("/remember", data={"text": text, "key": "wrong"})
    private = await keyed.client.post("/remember", data={"text": text, "private": "yes"})
    empty = await keyed.client.post("/ask", data={"task": " ", "key": KEY})
    credential = await keyed.client.post("/remember", data={"text": "sk-" + "a" * 40, "key": KEY})

    refused = ((ask, 401), (keep, 401), (private, 401), (empty, 422), (credential, 422))
    for reply, status in refused:
        assert reply.status_code == status
        found = assert_sound(reply.text)
        assert "Not done" in found.words
        assert KEY not in reply.text
    assert "checked" not in keep.text and "checked" in private.text  # nor is it shared by mistake
    assert text in assert_sound(ask.text).words
    assert text in assert_sound(keep.text).words


async def test_a_form_that_cannot_be_read_is_refused(spore: Spore) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded", **BROWSER}
    for body in (b"task=%ff", b"\xff", b"&".join([b"a=b"] * 99)):
        reply = await spore.client.post("/ask", content=body, headers=form)
        assert (reply.status_code, assert_sound(reply.text).open) == (400, [])


async def test_a_key_field_is_there_only_where_a_key_is_needed(spore: Spore, keyed: Spore) -> None:
    def passwords(found: Page) -> int:
        return sum(attributes.get("type") == "password" for attributes in found.named("input"))

    open_home, keyed_home = await page(spore, "/"), await page(keyed, "/")

    assert (passwords(open_home), passwords(keyed_home)) == (0, 2)
    assert "YOUR_KEY" in keyed_home.words and "YOUR_KEY" not in open_home.words


@pytest.mark.parametrize("text", HOSTILE)
async def test_hostile_text_is_shown_and_never_becomes_html(spore: Spore, text: str) -> None:
    [memory_id] = await spore.remember(f"tides {text}")
    task = await spore.operations.submit_task(f"tides? {text}")
    await spore.operations.finished_task(task.task_id, wait_ms=10_000)

    for path in ("/", f"/memory/{memory_id}", f"/task/{task.task_id}"):
        found = await page(spore, path)
        assert " ".join(text.split()) in " ".join(found.words.split())


async def test_a_hostile_query_is_shown_and_never_becomes_html(spore: Spore) -> None:
    for text in HOSTILE:
        reply = await spore.client.get("/", params={"q": text})
        assert text in assert_sound(reply.text).words


async def test_hostile_models_and_answers_never_become_html() -> None:
    evil = "<img src=x onerror=alert(1)>"
    said = json.dumps({"answer": f"{evil} [0123abcd]", "claims": [evil], "cites": ["m1"]})
    other = json.dumps({"answer": f"no {evil}", "confidence": 1})
    async with running_spore(scripts={evil: lambda _: said, "b": lambda _: other}) as spore:
        await spore.remember(NOTE)
        task = await spore.operations.submit_task(QUESTION)
        done = await spore.operations.finished_task(task.task_id, wait_ms=10_000)
        found = await page(spore, f"/task/{task.task_id}")
        await page(spore, "/")
    assert done.status == "answered"
    assert f"{evil} [0123abcd]" in found.words


MODELS = {
    "amber": says("42", prose="Six times seven is 42."),
    "jade": says("54"),
    "cobalt": says("42"),
}


async def answered(spore: Spore, text: str = "What is six times seven?") -> str:
    task = await spore.operations.submit_task(text)
    done = await spore.operations.finished_task(task.task_id, wait_ms=10_000)
    assert done.status == "answered"
    return task.task_id


async def test_a_task_shows_what_its_figures_mean_and_who_deserves_it() -> None:
    async with running_spore(scripts=MODELS) as spore:
        task_id = await answered(spore)
        view = spore.operations.task(task_id)
        found = await page(spore, f"/task/{task_id}")

    for name in ("Posterior", "Agreement", "Independence", "What did not win", "Whose answer"):
        assert name in found.words
    assert f"{view.posterior:.0%}" in found.words and f"{view.agreement:.0%}" in found.words
    bars = [one["width"] for one in found.named("rect") if one["class"] == "share"]
    assert bars == [
        f"{100 * share:.1f}%"
        for share in (
            view.posterior,
            view.agreement,
            *sorted((one.share for one in view.credit), reverse=True),
        )
    ]


async def test_a_task_shows_its_prose_checks_abstentions_and_others_grades() -> None:
    async with running_spore(scripts=MODELS) as spore:
        view = spore.operations.task(await answered(spore))
    checked, author = view.deltas[0], view.deltas[0].author
    verdict = VerdictView(
        position=checked.id, tool="arithmetic", passed=False, evidence=HOSTILE[0], author=author,
        author_name="attic",
    )  # fmt: skip
    grade = GradeView(
        id="0", position=checked.id, family="amber", right=True, source="checker",
        observer=author, own=False,
    )  # fmt: skip
    more = {
        "prose": f"Six times seven is 42 {HOSTILE[1]}",
        "verdicts": [verdict],
        "abstentions": [AbstentionView(spore=author, spore_name="", reason="no_model")],
        "grades": [grade],
        "checked": True,
    }
    shown = views.page(
        "task", task=view.model_copy(update=more), answers={checked.id: checked.hypothesis},
        by_key=False, graded=0, draft="", problem=None, key_needed=False, now_ms=view.created_ms,
    )  # fmt: skip
    found = assert_sound(shown)
    words = " ".join(found.words.split())
    for told in (
        more["prose"], "failed", HOSTILE[0], "arithmetic", "by attic", f"{author[:16]} no model",
        "by checker of another operator", "passed a check in code", "0 new grades",
    ):  # fmt: skip
        assert told in words


async def test_a_right_answer_in_the_form_grades_every_position(keyed: Spore) -> None:
    async with running_spore(scripts=MODELS, api_key=KEY) as spore:
        task_id = await answered(spore)
        place = f"/task/{task_id}/grade"
        wrong_key = await spore.client.post(place, data={"right_answer": "42", "key": "wrong"})
        empty = await spore.client.post(place, data={"right_answer": " ", "key": KEY})
        secret = await spore.client.post(
            place, data={"right_answer": HOSTILE[0] + "sk-" + "a" * 40, "key": KEY}
        )
        before = spore.operations.newest_grades(10)
        reply = await spore.client.post(place, data={"right_answer": "42", "key": KEY})
        graded = await page(spore, reply.headers["location"])
        trust = await page(spore, "/trust")

    for refused, status in ((wrong_key, 401), (empty, 422), (secret, 422)):
        assert refused.status_code == status
        assert "Not done" in assert_sound(refused.text).words and KEY not in refused.text
    assert HOSTILE[0] in assert_sound(secret.text).words
    assert (before, reply.status_code) == ([], 303)
    assert "new grades written down" in graded.words and "by you" in " ".join(graded.words.split())
    for family in MODELS:
        assert family in graded.words and family in trust.words
    assert "1 right, 0 wrong" in trust.words and "0 right, 1 wrong" in trust.words
    assert f"/task/{task_id}" in [one.get("href") for one in trust.named("a")]


async def test_the_page_of_trust_says_what_to_do_when_there_is_nothing(spore: Spore) -> None:
    trust = await page(spore, "/trust")
    assert "synapse grade" in trust.words and "Nobody has graded" in trust.words
    assert "/trust" in [one.get("href") for one in (await page(spore, "/")).named("a")]


async def test_trust_is_drawn_between_nothing_and_certainty() -> None:
    async with running_spore(scripts=MODELS) as spore:
        await spore.operations.grade_task(await answered(spore), right_answer="42")
        trust = await page(spore, "/trust")
        told = spore.operations.trust()
    means = [one["cx"] for one in trust.named("circle")]
    assert means == [f"{100 * view.overall:.1f}%" for view in told.values()]
    for drawn, view in zip(
        (one for one in trust.named("rect") if one["class"] == "range"), told.values(), strict=True
    ):
        assert drawn["x"] == f"{100 * view.low:.1f}%"
        assert drawn["width"] == f"{100 * (view.high - view.low):.1f}%"


async def test_hostile_families_and_choices_never_become_html() -> None:
    evil = "<img src=x onerror=alert(1)>"
    async with running_spore(scripts={evil: says("A"), "b": says("B")}) as spore:
        asked = await spore.operations.submit_task(QUESTION, Wanted(choices=HOSTILE[:4]))
        await spore.operations.finished_task(asked.task_id, wait_ms=10_000)
        await spore.operations.grade_task(asked.task_id, right_answer="A")
        task, trust = await page(spore, f"/task/{asked.task_id}"), await page(spore, "/trust")
    assert evil in task.words and evil in trust.words
    assert HOSTILE[0] in task.words


async def test_each_position_shows_its_claims_with_what_they_cite() -> None:
    said = {
        "answer": "42",
        "claims": [{"text": "It is written.", "cites": ["m1"]}],
        "alternatives": [{"answer": HOSTILE[1], "weight": 0.25}],
        "cites": ["m1"],
    }
    async with running_spore(scripts={"amber": lambda _: json.dumps(said)}) as spore:
        [memory_id] = await spore.remember(NOTE)
        found = await page(spore, f"/task/{await answered(spore, QUESTION)}")
    assert "It is written." in found.words and "25%" in found.words
    assert " ".join(HOSTILE[1].split()) in " ".join(found.words.split())
    assert f"/memory/{memory_id}" in [one.get("href") for one in found.named("a")]


@pytest.mark.promise("private")
async def test_a_private_question_is_answered_on_the_page_and_at_no_address(keyed: Spore) -> None:
    await keyed.remember(NOTE)
    form = {"task": QUESTION, "private": "yes", "key": KEY}
    reply = await keyed.client.post("/ask", data=form)
    shown = assert_sound(reply.text)
    [task] = keyed.operations.tasks(private=True).tasks
    again = await keyed.client.post(f"/task/{task.task_id}", data={"key": KEY})
    stranger = await keyed.client.post(f"/task/{task.task_id}", data={"key": "wrong"})

    assert reply.status_code == again.status_code == 200
    assert NOTE in shown.words and "private" in shown.words
    assert NOTE in assert_sound(again.text).words
    assert stranger.status_code == 401 and NOTE not in stranger.text
    await page(keyed, f"/task/{task.task_id}", status=404)
    assert QUESTION not in (await page(keyed, "/")).words
    assert not list(shown.named("form"))  # what is private takes no grade
    assert {"http-equiv": "refresh", "content": "2"} not in list(shown.named("meta"))


async def test_a_private_question_on_ones_own_machine_has_an_address(spore: Spore) -> None:
    await spore.remember(NOTE)
    form = {"task": QUESTION, "private": "yes"}
    reply = await spore.client.post("/ask", data=form, headers=BROWSER)
    place = reply.headers["location"]
    await spore.operations.finished_task(place.removeprefix("/task/"), wait_ms=10_000, private=True)
    assert reply.status_code == 303
    assert NOTE in (await page(spore, place)).words
    assert QUESTION in (await page(spore, "/")).words
    foreign = await spore.client.get(place, headers={"Sec-Fetch-Site": "cross-site"})
    assert foreign.status_code == 404


async def test_a_private_question_without_a_model_can_be_looked_at_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pages, "PRIVATE_WAIT_MS", 5_000)
    failure = ProviderError("rate_limited", "slow down", retry_after_ms=30_000)
    async with running_spore(scripts={"qwen": [failure]}, api_key=KEY) as spore:
        form = {"task": QUESTION, "private": "yes", "key": KEY}
        shown = assert_sound((await spore.client.post("/ask", data=form)).text)
    assert "Look again" in shown.words and not list(shown.named("meta"))[3:]
    assert [one["action"].startswith("/task/") for one in shown.named("form")] == [True]


async def test_a_private_draft_comes_back_ticked_and_the_other_form_is_left_alone(
    keyed: Spore,
) -> None:
    form = {"task": QUESTION, "private": "yes", "key": "wrong"}
    home = assert_sound((await keyed.client.post("/ask", data=form)).text)
    ticks = [one for one in home.named("input") if one.get("name") == "private"]
    assert ["checked" in one for one in ticks] == [True, False]


async def test_an_unfinished_task_loads_itself_again_and_a_finished_one_does_not() -> None:
    failure = ProviderError("rate_limited", "slow down", retry_after_ms=30_000)
    async with running_spore(scripts={"qwen": [failure]}) as spore:
        task = await spore.operations.submit_task(QUESTION)
        await spore.operations.finished_task(task.task_id, wait_ms=10_000)
        waiting = await page(spore, f"/task/{task.task_id}")
    assert {"http-equiv": "refresh", "content": "15"} in list(waiting.named("meta"))
    assert "rate limited" in waiting.words and "tried again in" in waiting.words

    async with running_spore() as spore:
        task = await spore.operations.submit_task("What is the capital of Peru?")
        await spore.operations.finished_task(task.task_id, wait_ms=10_000)
        finished = await page(spore, f"/task/{task.task_id}")
    assert not [one for one in finished.named("meta") if one.get("http-equiv") == "refresh"]
    assert STOP_REASONS["nothing_recalled"] in finished.words


async def test_a_record_that_was_taken_back_has_a_page_without_its_text(spore: Spore) -> None:
    [memory_id] = await spore.remember(NOTE)
    await spore.operations.forget(memory_id)
    gone = await page(spore, f"/memory/{memory_id}")
    assert NOTE not in gone.words and "took it back" in gone.words


@pytest.mark.parametrize("path", ["/memory/", "/task/"])
async def test_what_is_not_there_has_a_page_that_says_so(spore: Spore, path: str) -> None:
    missing = await page(spore, path + made_up_id(1).hex(), status=404)
    assert "There is no such" in missing.words


async def test_pages_ask_for_nothing_that_the_spore_does_not_serve(spore: Spore) -> None:
    home = await page(spore, "/")
    files = [one["href"] for one in home.named("link")] + [one["src"] for one in home.named("img")]
    for file in files:
        reply = await spore.client.get(file or "")
        assert reply.status_code == 200
        assert "//" not in reply.text.replace("http://www.w3.org/2000/svg", "")
        assert "url(" not in reply.text and "@import" not in reply.text


def test_every_status_has_words() -> None:
    assert set(STATUSES) == set(get_args(TaskStatus))
    assert set(STATES) == set(get_args(Health.model_fields["status"].annotation))
    assert {rule.reason for rule in NEXT_MOVE if rule.reason} == set(STOP_REASONS)


def test_ages_are_told_as_people_tell_them() -> None:
    minute = 60_000
    told = [ago(one * minute) for one in (-5, 0, 1, 59, 60, 2_879, 2_880, 100_000)]
    assert told == [
        "just now", "just now", "1 min ago", "59 min ago", "1 h ago", "47 h ago", "2 d ago",
        "69 d ago",
    ]  # fmt: skip
    assert [lasted(one * minute) for one in (0, 59, 60)] == ["less than a minute", "59 min", "1 h"]


def test_what_is_nearly_certain_is_not_called_certain() -> None:
    told = [percent(one) for one in (0.0, 0.001, 0.005, 0.5, 0.994, 0.995, 0.9999, 1.0)]
    assert told == ["0%", "<1%", "<1%", "50%", "99%", ">99%", ">99%", "100%"]


def test_a_template_that_misses_a_value_fails_instead_of_leaving_a_hole() -> None:
    with pytest.raises(UndefinedError):
        views.page("problem")


def test_no_template_puts_a_value_where_escaping_does_not_help() -> None:
    templates = list(Path(views.__file__).with_name("templates").glob("*.html"))
    assert templates
    for path in templates:
        unsafe = re.findall(
            r"\s[\w-]+=\{|<\{|\son\w+=|<script|<style|safe|autoescape", path.read_text()
        )
        assert not unsafe, path.name

"""/metrics: that a Prometheus can read it, that counters only rise, and that it tells nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import pytest

from synapse.core.memory.record import GRADE
from synapse.core.messages import Push
from synapse.operations.metrics import Metric
from synapse.web.metrics import MEDIA_TYPE, exposition
from tests.making import identity, made_up_id, record
from tests.spores import Spore, running_spore
from tests.web.conftest import KEY
from tests.web.test_rest import NOTE, answered

pytestmark = pytest.mark.anyio

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
SAMPLE = re.compile(rf"({NAME})(?:\{{(.*)\}})? (-?[0-9.]+(?:e[-+]?[0-9]+)?|\+Inf|NaN)")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)')
Series = tuple[str, tuple[tuple[str, str], ...]]


@dataclass
class Scrape:
    """What a reader of the format makes of a reply."""

    types: dict[str, str] = field(default_factory=dict)
    samples: dict[Series, float] = field(default_factory=dict)

    def value(self, name: str, **labels: str) -> float:
        return self.samples[name, tuple(sorted(labels.items()))]

    def total(self, name: str) -> float:
        return sum(value for (found, _), value in self.samples.items() if found == name)

    def labels(self, label: str) -> set[str]:
        return {text for _, labels in self.samples for name, text in labels if name == label}


def read(text: str) -> Scrape:
    """Parse the text format 0.0.4, and refuse whatever it does not allow."""
    assert text.endswith("\n")
    scrape, current = Scrape(), ""
    helped: set[str] = set()
    for line in text.splitlines():
        if line.startswith("# HELP "):
            name = line.split(" ", 3)[2]
            assert name not in helped, "one block a name"
            helped.add(name)
        elif line.startswith("# TYPE "):
            _, _, current, kind = line.split(" ")
            assert current in helped and kind in ("counter", "gauge", "histogram")
            scrape.types[current] = kind
        else:
            found = SAMPLE.fullmatch(line)
            assert found is not None, line
            name, inside, number = found[1], found[2] or "", found[3]
            pairs = LABEL.findall(inside)
            assert "".join(f'{key}="{text}",' for key, text in pairs).rstrip(",") == inside
            suffixes = ("", "_bucket", "_sum", "_count")
            allowed = suffixes[1:] if scrape.types[current] == "histogram" else suffixes[:1]
            assert name in [current + suffix for suffix in allowed], "samples follow their type"
            series = name, tuple(sorted(pairs))
            assert series not in scrape.samples, f"{series} comes twice"
            scrape.samples[series] = float(number)
    return scrape


async def scraped(spore: Spore, **headers: str) -> Scrape:
    reply = await spore.client.get("/metrics", headers=headers)
    assert reply.status_code == 200
    assert reply.headers["content-type"] == MEDIA_TYPE
    return read(reply.text)


async def test_a_spore_counts_what_it_did(spore: Spore) -> None:
    await spore.remember(NOTE)
    await spore.client.get("/api/recall", params={"q": NOTE})
    await answered(spore)
    found = await scraped(spore)

    assert found.value("synapse_records", kind="memory") == 1
    assert found.value("synapse_records", kind="task") == 1
    assert found.value("synapse_memories", scope="shared") == 1
    assert found.value("synapse_tasks", status="answered") == 1
    assert found.total("synapse_tasks_finished_total") == 1
    assert found.value("synapse_task_duration_seconds_count") == 1
    assert found.value("synapse_verb_duration_seconds_count", verb="recall") == 1
    assert found.value("synapse_verb_duration_seconds_count", verb="remember") >= 1
    assert found.total("synapse_model_calls_total") >= 1
    assert found.value("synapse_index_complete") == 1
    assert found.value("process_resident_memory_bytes") > 1 << 20
    assert found.value("process_cpu_seconds_total") > 0


async def test_counters_never_fall_and_histograms_add_up(spore: Spore) -> None:
    before = await scraped(spore)
    for number in range(3):
        await spore.remember(f"{NOTE} {number}")
        await answered(spore, f"What is {number}?")
    after = await scraped(spore)
    assert before.types == after.types
    for (name, labels), value in after.samples.items():
        base = re.sub("_(bucket|sum|count)$", "", name)
        if after.types.get(name, after.types.get(base)) != "gauge":
            assert value >= before.samples.get((name, labels), 0.0), name
    for name in (one for one, kind in after.types.items() if kind == "histogram"):
        counts = [
            (dict(labels), value)
            for (found, labels), value in after.samples.items()
            if found == f"{name}_bucket"
        ]
        for verb in {labels.get("verb", "") for labels, _ in counts}:
            rising = [value for labels, value in counts if labels.get("verb", "") == verb]
            assert rising == sorted(rising)
            whole = {"verb": verb} if verb else {}
            assert rising[-1] == after.value(f"{name}_count", **whole)


async def test_names_have_base_units_and_counters_end_in_total(spore: Spore) -> None:
    """The conventions of prometheus.io/docs/practices/naming."""
    for name, kind in (await scraped(spore)).types.items():
        assert name.endswith("_total") == (kind == "counter"), name
        assert not re.search("_(ms|milliseconds|kb|mb|percent)(_|$)", name)
        assert name.startswith(("synapse_", "process_"))


@pytest.mark.promise("bounded")
async def test_what_peers_write_is_never_a_label(spore: Spore) -> None:
    driver = spore.driver
    evil = 'evil"} 1\nsynapse_fake 1'
    peer = identity(7)
    said = {"name": evil, "url": None, "protocol": 1, "software": evil, "families": [evil, "sly"]}
    graded = {"family": "sly", "task_kind": "sly", "right": 1, "source": "sly"}
    task = record({"text": evil}, kind="task", seq=2, writer=peer)
    outcome = {"answer": evil, "stop_reason": "sly", "posterior": 0.5}
    records = (
        record(said, kind="node", writer=peer),
        task,
        record(outcome, kind="outcome", seq=3, writer=peer, refs=(task.id,)),
        record(graded, kind=GRADE, seq=4, writer=peer, refs=(made_up_id(1), made_up_id(2))),
        *(record({}, kind=f"sly_{number}", seq=5 + number, writer=peer) for number in range(200)),
    )
    before = await scraped(spore)
    await driver.exchange(peer.key, [Push(records)])
    after = await scraped(spore)
    assert after.value("synapse_records", kind="other") == 200
    assert after.samples.keys() == before.samples.keys(), "no series more"
    assert not {text for _, labels in after.samples for _, text in labels if "sly" in text}


@pytest.mark.promise("private")
async def test_no_secret_and_nothing_private_is_in_it(keyed: Spore) -> None:
    headers = {"authorization": f"Bearer {KEY}"}
    secret = "my knee hurts in winter"
    await keyed.client.post(
        "/api/remember", json={"text": secret, "scope": "private"}, headers=headers
    )
    asked = {"task": secret, "privacy": "private"}
    task = (await keyed.client.post("/api/task", json=asked, headers=headers)).json()
    reply = await keyed.client.get("/metrics")
    assert reply.status_code == 200, "it is a read like others: public where they are"
    found = read(reply.text)
    assert found.value("synapse_memories", scope="private") == 1
    assert found.total("synapse_tasks") == found.total("synapse_tasks_finished_total") == 0
    for word in (KEY, KEY[3:], "knee", task["task_id"], keyed.driver.node.key.hex()):
        assert word not in reply.text


async def test_it_stands_behind_the_same_checks_as_other_reads(keyed: Spore) -> None:
    rebound = {"host": "evil.example"}
    refused = await keyed.client.get("/metrics", headers=rebound)
    assert refused.status_code == 421
    assert refused.json() == (await keyed.client.get("/api/health", headers=rebound)).json()
    assert (await keyed.client.post("/metrics")).status_code == 405


def test_a_label_is_escaped_and_a_number_is_exact() -> None:
    labels = {"target": 'a"b\\c\nd'}
    line = exposition([Metric("synapse_x", "gauge", "X.", [(labels, 0.25)])]).splitlines()[-1]
    assert line == 'synapse_x{target="a\\"b\\\\c\\nd"} 0.25'
    line = exposition([Metric("synapse_x", "counter", "X.", [({}, 2**60)])]).splitlines()[-1]
    assert line == f"synapse_x {2**60}"


async def test_gossip_and_refusals_are_counted_by_direction_and_reason() -> None:
    async with running_spore() as spore:
        traffic = spore.operations.watch.traffic
        traffic.said(2, 300)
        traffic.heard(1, 100)
        spore.driver.node.ledger.refused["replayed"] += 3
        spore.driver.node.ledger.refused["Very odd: {}"] += 1
        found = await scraped(spore)
    assert found.value("synapse_gossip_messages_total", direction="out") == 2
    assert found.value("synapse_gossip_bytes_total", direction="in") == 100
    assert found.value("synapse_refused_total", reason="replayed") == 3
    assert found.value("synapse_refused_total", reason="other") == 1


async def test_a_late_event_loop_is_seen(spore: Spore) -> None:
    found = await scraped(spore)
    assert found.types["synapse_event_loop_lag_seconds"] == "histogram"
    assert set(found.labels("queue")) == {"inbox", "commands", "outboxes", "mailboxes"}


async def test_every_metric_is_documented(spore: Spore) -> None:
    documented = set(re.findall(r"`((?:synapse|process)_[a-z_]+)", manual()))
    assert documented == set((await scraped(spore)).types)


def manual() -> str:
    """The section of the handbook."""
    with open("docs/operating.md", encoding="utf-8") as file:
        return file.read().partition("## Metrics")[2].partition("\n## ")[0]

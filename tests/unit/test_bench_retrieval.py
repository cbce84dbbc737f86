"""The retrieval benchmark: the same memories every time, honest figures, and reasons for gaps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.retrieval import command, judged, peers_folder, report, speed
from benchmarks.retrieval.corpus import CHUNK, Corpus, known_items, questions
from benchmarks.retrieval.engines import KINDS, memory_id
from benchmarks.retrieval.reference import Reference
from benchmarks.retrieval.worker import percentile
from synapse.core.memory.memory import Memory
from synapse.retrieval.scan import ScanIndex

REAL = "the quick brown fox jumps over a lazy dog while nine green bottles hang on the wall " * 5
LIMITS = speed.Limits(build_s=60.0, ask_s=2.0, memory_bytes=0)
SMART_DOCUMENTS = (
    ".I 1\n.T\nwings\n.W\nlift of a wing\n.I 2\n.W\nheat in slabs\n.I 3\n.W\nwing flow\n"
)
SMART_QUERIES = ".I 007\n.W\nwhat lifts a wing\n.I 009\n.W\nheat\n"


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return Corpus(REAL)


@pytest.fixture
def smart(tmp_path: Path) -> Path:
    folder = tmp_path / "old"
    folder.mkdir()
    (folder / "old.all").write_text(SMART_DOCUMENTS)
    (folder / "old.qry").write_text(SMART_QUERIES)
    (folder / "oldqrel").write_text("1 1 1\n1 3 3\n1 2 -1\n2 2 2\n")
    return folder


# The corpus


def test_the_first_memories_are_the_same_for_every_size_and_run(corpus: Corpus) -> None:
    few, more = list(corpus.texts(50)), list(Corpus(REAL).texts(CHUNK + 50))
    assert more[:50] == few
    assert list(corpus.texts(20, first=CHUNK + 10)) == more[CHUNK + 10 : CHUNK + 30]


def test_memories_are_as_long_as_notes_and_differ(corpus: Corpus) -> None:
    texts = list(corpus.texts(1000))
    assert len(set(texts)) == 1000
    assert 350 < sum(map(len, texts)) / 1000 < 600
    assert all(text == text.strip() for text in texts)


def test_the_fingerprint_tells_corpora_apart(corpus: Corpus) -> None:
    assert corpus.fingerprint == Corpus(REAL).fingerprint
    assert corpus.fingerprint != Corpus().fingerprint


@pytest.mark.parametrize("memories", [10, 5000])
def test_questions_have_five_to_thirty_words(corpus: Corpus, memories: int) -> None:
    asked = questions(corpus, memories, 100)
    assert len(asked) == 100
    assert all(1 <= len(question.split()) <= 30 for question in asked)
    assert asked == questions(corpus, memories, 100)


def test_a_question_made_of_a_memory_is_answered_by_it(corpus: Corpus) -> None:
    index = ScanIndex()
    index.add(
        [
            Memory(memory_id(number), text, "note", (), "", 0, True)
            for number, text in enumerate(corpus.texts(300))
        ]
    )
    for known in known_items(corpus, 300, 20):
        assert len(known.query.split()) == 8
        best = index.search(known.query, limit=5)
        assert memory_id(known.answer) in [hit.id for hit in best]


# Judged collections


def test_a_collection_in_either_layout_says_the_same(smart: Path, tmp_path: Path) -> None:
    old = judged.read_collection(smart)
    assert old.gains == {"1": {"1": 4, "3": 2}, "2": {"2": 3}}
    judged.write_beir(old, tmp_path / "new")
    new = judged.read_collection(tmp_path / "new")
    assert (new.documents, new.queries, new.gains) == (old.documents, old.queries, old.gains)


def test_a_folder_in_no_known_layout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="neither"):
        judged.read_collection(tmp_path)


def test_a_title_counts_as_text_and_headings_as_nothing(tmp_path: Path) -> None:
    corpus, queries, qrels = (tmp_path / name for name in ("c", "q", "r"))
    corpus.write_text(json.dumps({"_id": "d1", "title": "Wings", "text": "lift"}) + "\n")
    queries.write_text(json.dumps({"_id": "q1", "text": "wing"}) + "\n")
    qrels.write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\nq2\td1\t0\n")
    found = judged.read_beir(corpus, queries, qrels)
    assert found.documents == {"d1": "Wings lift"}
    assert found.gains == {"q1": {"d1": 1}, "q2": {"d1": 0}}
    assert found.judged() == {"q1": "wing"}


def test_ndcg_is_one_for_the_best_order_and_less_for_any_other() -> None:
    gains = {"a": 3, "b": 1}
    assert judged.ndcg(["a", "b", "x"], gains) == 1.0
    assert judged.ndcg(["b", "a"], gains) == pytest.approx((1 + 3 / 1.58496) / (3 + 1 / 1.58496))
    assert judged.ndcg(["x", "y"], gains) == 0.0


def test_recall_counts_relevant_documents_only() -> None:
    gains = {"a": 3, "b": 1, "c": 0}
    assert judged.recall(["c", "b", "a"], gains, 2) == 0.5


# The reference's method


def test_the_reference_finds_nothing_once_it_hashes(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = list(corpus.texts(200))
    known = known_items(corpus, 200, 20)

    def found() -> int:
        engine = Reference(tmp_path)
        engine.feed(range(200), texts)
        engine.finish()
        each = [engine.numbers(engine.search(one.query, 5)) for one in known]
        assert engine.numbers(engine.search(texts[7], 5))[:1] == [7], "a whole text is found"
        return sum(one.answer in its for one, its in zip(known, each, strict=True))

    assert found() >= 18
    monkeypatch.setattr("benchmarks.retrieval.reference.MINHASH_FROM", 100)
    assert found() == 0


# A run


def a_run(folder: Path, *engines: str, **changed: Any) -> speed.Run:
    settings: dict[str, Any] = {"fresh": False, "limits": LIMITS, "real": REAL} | changed
    return speed.Run(engines=engines, folder=folder, **settings)


def test_engines_are_fed_alike_and_the_twin_answers_alike(tmp_path: Path) -> None:
    run = a_run(tmp_path, "synapse", "synapse-numpy", "fts5", fresh=True)
    rows = {row["engine"]: row for row in run.size(500)}
    assert list(rows) == ["synapse", "synapse-numpy", "fts5"]
    for row in rows.values():
        assert row["n"] == 500
        assert row["hit5"] >= 0.98
        assert row["exact"] is True
        assert 0 < row["p50_us"] <= row["p99_us"]
        assert row["disk_bytes_per_memory"] > 0
        assert row["insert_per_cpu_s"] > 0
    assert rows["synapse-numpy"]["same_as_synapse"] == 1.0
    assert rows["synapse"]["searchable_p99_ms"] > 0
    assert list(tmp_path.glob("synapse-500*/*")) == [], "what was not to be kept is gone"


def test_what_is_left_out_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def cannot(engine: str) -> str:
        raise peers_folder.NotToBeHadError("cannot be installed: no network")

    monkeypatch.setattr(peers_folder, "python_for", cannot)
    run = a_run(tmp_path, "tantivy", "scan")
    assert list(run.size(20_000)) == []
    assert [each["engine"] for each in run.skipped] == ["tantivy", "scan"]
    assert "no network" in run.skipped[0]["skipped"]
    assert "tantivy at 20,000: left out" in capsys.readouterr().err


def test_a_build_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    run = a_run(tmp_path, "fts5", limits=speed.Limits(0.0, 1.0, 0))
    assert list(run.size(3000)) == []
    assert "it was given" in run.skipped[0]["skipped"]


def test_a_process_that_dies_is_left_out_with_its_last_words() -> None:
    with pytest.raises(speed.SkippedError, match="TypeError"):
        speed.Process(peers_folder.python_for("synapse"), {"nonsense": 1})


def test_ratios_are_to_the_peer_of_the_same_size() -> None:
    rows = [
        {"engine": "synapse", "n": 10, "p50_us": 10.0, "p99_us": 20.0},
        {"engine": "tantivy", "n": 10, "p50_us": 40.0, "p99_us": 100.0},
        {"engine": "synapse", "n": 20, "p50_us": 1.0, "p99_us": 1.0},
    ]
    ours, peer, alone = speed.with_ratios(rows)
    assert (ours["p50_to_tantivy"], ours["p99_to_tantivy"]) == (0.25, 0.2)
    assert "p50_to_tantivy" not in peer
    assert "p50_to_tantivy" not in alone


def test_the_picture_names_every_engine_that_was_measured() -> None:
    rows = [
        {"engine": name, "n": n, "p50_us": 10.0 * n, "p99_us": 30.0 * n}
        for name in ("synapse", "tantivy")
        for n in (10, 10_000)
    ]
    svg = report.picture(rows)
    assert svg.startswith("<svg")
    assert all(word in svg for word in (">synapse<", ">tantivy<", ">10 k<"))
    assert "fts5" not in svg


def test_a_document_gets_a_line_an_engine_and_a_column_a_size() -> None:
    rows = [
        {"engine": "synapse", "n": 10, "p50_us": 9.51},
        {"engine": "synapse", "n": 10_000, "p50_us": 31.9},
        {"engine": "reference", "n": 10_000, "p50_us": 210_384.8},
    ]
    lines = report.markdown(rows, ["p50_us"]).splitlines()
    assert lines[0] == "| engine | 10 | 10 k |"
    assert lines[2:] == ["| synapse | 9.51 | 31.9 |", "| reference |  | 210,385 |"]


def test_percentiles_are_values_that_were_measured() -> None:
    assert [percentile([3.0, 1.0, 2.0], percent) for percent in (0, 50, 99)] == [1.0, 2.0, 3.0]
    assert percentile([], 50) == 0.0


# The command


def test_speed_comes_as_an_object_an_engine_and_size(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "figures.json"
    typed = ["--sizes", "10,40", "--engines", "synapse", "--json", "--no-fresh", "--ask-s", "1"]
    command.main([*typed, "--out", str(out)])
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["engine"], row["n"]) for row in rows] == [("synapse", 10), ("synapse", 40)]
    wanted = {"p50_us", "p99_us", "insert_per_cpu_s", "rss_mb", "disk_mb", "open_ms", "hit5"}
    assert wanted <= set(rows[0])
    assert json.loads(out.read_text())["rows"] == rows


def test_quality_is_told_by_engine_and_collection(
    smart: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command.main(["quality", "--convert", str(smart), str(tmp_path / "new")])
    capsys.readouterr()
    paths = [
        str(tmp_path / "new" / name) for name in ("corpus.jsonl", "queries.jsonl", "qrels.tsv")
    ]
    files = [
        word
        for pair in zip(("--corpus", "--queries", "--qrels"), paths, strict=True)
        for word in pair
    ]
    command.main(["quality", *files, "--engines", "synapse,fts5", "--json"])
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["engine"] for row in rows] == ["synapse", "fts5"]
    assert all(row["ndcg10"] > 0.9 and row["recall10"] == row["recall100"] for row in rows)


def test_judged_documents_are_found_among_generated_ones(
    smart: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command.main(
        ["quality", "--judged", str(smart), "--mixed", "60", "--engines", "synapse", "--json"]
    )
    (row,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert row["mixed"] == 60
    assert row["ndcg10"] > 0.9


def test_an_unknown_engine_is_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["--engines", "lucene"])
    assert "there is no engine 'lucene'" in capsys.readouterr().err


def test_every_engine_says_what_it_is() -> None:
    assert all(kind.says for kind in KINDS.values())

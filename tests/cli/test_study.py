"""`lemmata study` and `lemmata report`, with the work itself replaced."""

import json
from pathlib import Path

import pytest

from lemmata import studies
from tests.cli.room import ENTRY


def case(name, *, agrees, declared="holds"):
    judged = {"id": "toy.residual/1", "holds": declared == "holds"}
    return {
        "name": name,
        "method": "Damped",
        "result": {"name": "converged", "sentence": ""},
        "expected": {"toy.residual/1": declared},
        "verdict": {"exit": 0, "claims": [judged], "withheld": []},
        "agrees": agrees,
        "disagreements": [] if agrees else ["toy.residual/1: declared holds"],
    }


@pytest.fixture
def fake(monkeypatch):
    """Replaces the runner; the list says how it was called."""
    calls = []

    def install(*cases, skipped=()):
        def run_studies(slugs, size, out, *, workers, progress, cluster):
            calls.append((slugs, size, out, workers, cluster))
            record = {"slug": slugs[0], "seconds": 1.5, "cases": list(cases)}
            progress(slugs[0], "started", None)
            progress(slugs[0], "finished", record)
            return studies.Summary(size, 1.5, (record,), tuple(skipped))

        monkeypatch.setattr(studies, "run_studies", run_studies)
        return calls

    return install


def test_agreement_exits_0(lemmata, fake):
    calls = fake(case("one", agrees=True), case("two", agrees=True, declared="fails"))
    done = lemmata("study", "--all", "--size", "quick", "-o", "out", "--workers", "3")
    assert done.code == 0, done.err
    assert calls == [([ENTRY.slug], "quick", Path("out"), 3, None)]
    assert "as declared" in done.out
    assert "2 of 2 cases judged as declared" in done.err


def test_disagreement_exits_1_and_is_named(lemmata, fake):
    fake(
        case("one", agrees=False),
        skipped=[{"slug": "toy-other", "reason": "no time"}],
    )
    done = lemmata("study", ENTRY.slug)
    assert done.code == 1
    assert "DIFFERS" in done.out
    assert "one: toy.residual/1: declared holds" in done.out
    assert "skipped: no time" in done.out
    done = lemmata("study", ENTRY.slug, "--json")
    assert done.code == 1
    assert json.loads(done.out)["studies"][0]["cases"][0]["agrees"] is False


def test_list_runs_nothing(lemmata):
    assert ENTRY.slug in lemmata("study", "--list").out
    assert json.loads(lemmata("study", "--list", "--json").out)[0]["slug"] == ENTRY.slug


def test_report_prints_the_path(lemmata, monkeypatch):
    report = pytest.importorskip("lemmata.report")
    Path("done/toy").mkdir(parents=True)
    Path("done/toy/study.json").write_text("{}")

    def write_report(studies, out, benchmarks):
        assert (studies, out, benchmarks) == (Path("done"), Path("pages"), None)
        return out / "index.html"

    monkeypatch.setattr(report, "write_report", write_report, raising=False)
    assert lemmata("report", "done", "-o", "pages").out == "pages/index.html\n"

import json
import sys
from types import SimpleNamespace

import pytest
from distributed import LocalCluster
from tests import toys

from lemmata import catalogue
from lemmata.studies import _runner, run_studies
from lemmata_checker.report import check
from lemmata_checker.rules import RULES


@pytest.fixture(autouse=True)
def toy_system(monkeypatch):
    monkeypatch.setitem(RULES, toys.RULE.id, toys.RULE)
    entry = SimpleNamespace(title="Toy", study="tests.studies.toy_study")
    monkeypatch.setattr(catalogue, "entry", lambda slug: entry)
    monkeypatch.setattr(_runner.subprocess, "run", _judge_here)


def _judge_here(command, cwd, **_):
    """`lemmata-check --json FILE` in this process, which knows the toy's rule."""
    from lemmata_checker import document

    report = check(document.read(cwd / command[-1]))
    code = 0 if report.holds else 1
    return SimpleNamespace(stdout=json.dumps(report.to_json()), returncode=code)


@pytest.fixture(scope="module")
def cluster():
    """A Dask scheduler with threads of this process as workers."""
    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0"
    ) as found:
        yield found.scheduler_address


def test_studies_run_on_a_cluster_and_are_judged(cluster, tmp_path):
    events = []
    summary = run_studies(
        ["toy-one", "toy-two"],
        "tour",
        tmp_path,
        cluster=cluster,
        progress=lambda slug, event, record: events.append((slug, event)),
    )
    assert summary.agrees
    assert [record["slug"] for record in summary.records] == ["toy-one", "toy-two"]
    assert sorted(events) == sorted(
        (slug, event)
        for slug in ("toy-one", "toy-two")
        for event in ("started", "finished")
    )
    names = {path.name for path in (tmp_path / "toy-one").iterdir()}
    assert names == {"study.json", "right.lemma", "wrong.lemma"}
    assert json.loads((tmp_path / "summary.json").read_text())["agrees"]


def test_a_verdict_that_was_not_declared_is_a_disagreement(cluster, tmp_path):
    summary = run_studies(["toy-one"], "quick", tmp_path, cluster=cluster)
    assert not summary.agrees
    cases = {case["name"]: case for case in summary.records[0]["cases"]}
    assert cases["right"]["agrees"]
    assert cases["wrong"]["disagreements"] == [
        "toy.residual/1: declared holds, judged fails"
    ]


def test_what_does_not_fit_into_a_tour_is_listed(monkeypatch, tmp_path):
    monkeypatch.setattr(_runner, "TOUR_SECONDS", -1.0)
    summary = run_studies(["toy-one"], "tour", tmp_path, workers=1)
    assert [entry["slug"] for entry in summary.skipped] == ["toy-one"]
    assert "were over" in summary.skipped[0]["reason"]
    assert not summary.agrees, "a tour that ran nothing shows nothing"


def test_the_judge_is_another_program():
    assert "lemmata_checker" in " ".join(_runner.JUDGE)
    assert _runner.JUDGE[0] == sys.executable

"""Writes the fake studies to disk, and a catalogue that knows them."""

import json
from pathlib import Path

import pytest

from lemmata import catalogue
from lemmata.catalogue import Entry, Paper

from .fakes import cases, plots, png

NEWTON, SPARSE = "transport-sinkhorn-newton", "transport-sparsity-constrained"
UNTRIED = "linear-learning-to-relax"


def study(slug: str = NEWTON) -> dict:
    """The content of a realistic study.json."""
    return {
        "format": "lemmata-study/1",
        "slug": slug,
        "size": "quick",
        "title": "Sinkhorn with sparse Newton steps",
        "seconds": 187.0,
        "summary": [
            "On a random assignment with 500 points on each side at `eta = 1200` the "
            "method reaches a marginal error of 3.3e-16 in 29 steps, where Sinkhorn "
            "needs more than fifty thousand sweeps for the same.",
            "The paper's Theorem 1 says nothing on its own experiment (its condition "
            "fails there), so no bound is claimed.",
        ],
        "cases": cases(),
        "plots": plots(),
        "figures": [
            {
                "quantity": "iterations, random assignment",
                "paper": "29 (20 + 9 Newton)",
                "ours": "29 (20 + 9 Newton)",
                "note": "seeds 0 to 2",
            },
            {
                "quantity": "time, random assignment",
                "paper": "0.34 s",
                "ours": "0.34 s",
                "note": "another machine: compare the iterations, not the seconds",
            },
            {
                "quantity": "superlinear window",
                "paper": None,
                "ours": "last ratio 3.1e-5",
                "note": "the paper conjectures it",
            },
        ],
        "comparisons": [
            {
                "title": "Methods at the same accuracy, 1e-12",
                "columns": ["method", "steps", "seconds", "error", "certified"],
                "rows": [
                    ["SinkhornNewton", 29, 0.342, 3.3e-16, True],
                    ["DenseNewton", 9, 4.1, 2.9e-16, True],
                    ["Sinkhorn", 56199, 61.3, 9.8e-13, True],
                    ["Sinkhorn, 500 sweeps", 500, 0.55, 2.4e-3, False],
                ],
            }
        ],
        "skipped": None,
        "versions": {"lemmata": "0.1.0", "jax": "0.10.2", "numpy": "2.4.6"},
    }


def _row(who, kind, seconds, ratio, said: bool | None = True, certified=True, note=""):
    return {
        "who": who,
        "kind": kind,
        "seconds": seconds,
        "ratio": ratio,
        "compile_seconds": 1.9 if kind == "ours" else None,
        "peak_mb": 212.0,
        "accuracy": 3e-13 if certified else 2.9e-3,
        "said_success": said,
        "certified": certified,
        "note": note,
    }


def benchmark(slug: str = NEWTON) -> dict:
    """The content of a realistic benchmark result."""
    ours = _row("lemmata", "ours", 0.36, 1.0)
    return {
        "format": "lemmata-benchmark/1",
        "slug": slug,
        "machine": {"processor": "one thread of two cores"},
        "versions": {"pot": "0.9.7.post1", "ott-jax": "0.6.0"},
        "date": "2026-03-01",
        "tables": [
            {
                "title": "Random assignment, n = 500",
                "note": "Time until the L1 marginal error is below 1e-12.",
                "accuracy": "L1 violation, as judged",
                "rows": [
                    ours,
                    _row("POT sinkhorn", "peer", 6.2, 17.2),
                    _row("OTT-JAX", "peer", 11.0, 30.5, None, True),
                    _row("Sinkhorn", "baseline", 61.3, 170.0),
                ],
            },
            {
                "title": "Two digits, L1 cost",
                "note": "",
                "accuracy": 1e-12,
                "rows": [
                    ours,
                    _row(
                        "POT sinkhorn", "peer", 4.7, 0.31, True, False, "6,000 sweeps"
                    ),
                    _row("OTT-JAX", "peer", None, None, False, False, "no end in 60 s"),
                ],
            },
        ],
        "false_successes": {
            "cases": 20,
            "rows": [
                {"who": "lemmata", "said_success": 18, "false": 0},
                {"who": "POT sinkhorn", "said_success": 20, "false": 7},
            ],
        },
    }


def write_study(root: Path, content: dict) -> Path:
    """The folder of one study with its certificates and images."""
    folder = root / content["slug"]
    folder.mkdir(parents=True)
    (folder / "study.json").write_text(json.dumps(content))
    (folder / "photo.png").write_bytes(png(320, 120))
    for one in content["cases"]:
        (folder / one["file"]).write_bytes(b"PK\x05\x06" + bytes(18))
    return folder


def known(slug: str, title: str, question: str) -> Entry:
    """A catalogue entry with nothing but what a page shows."""
    paper = Paper(
        "tang2024",
        "Accelerating Sinkhorn Algorithm with Sparse Newton Iterations",
        "X. Tang, M. Shavlovsky, H. Rahmanian and others",
        "ICLR 2024",
        "2401.12253",
    )
    return Entry(slug, title, question, paper, (), (), (), "", "", "")


@pytest.fixture
def some_entries(monkeypatch):
    """A catalogue of two systems with studies and one without."""
    found = {
        UNTRIED: known(
            UNTRIED, "Learning to relax", "How do I solve Ax = b again and again?"
        ),
        NEWTON: known(
            NEWTON,
            "Sinkhorn–Newton",
            "How do I match two distributions to high accuracy at small "
            "regularisation?",
        ),
        SPARSE: known(
            SPARSE,
            "Sparsity-constrained transport",
            "How do I match them so that everyone has few partners?",
        ),
    }
    monkeypatch.setattr(catalogue, "entries", lambda: found)
    return found


@pytest.fixture
def folders(tmp_path, some_entries):
    """Studies and benchmarks on disk: `(studies, benchmarks)`."""
    studies, benchmarks = tmp_path / "studies", tmp_path / "benchmarks"
    benchmarks.mkdir()
    write_study(studies, study())
    second = study(SPARSE)
    second["cases"] = [second["cases"][0]]
    write_study(studies, second)
    (benchmarks / f"{NEWTON}.json").write_text(json.dumps(benchmark()))
    return studies, benchmarks

"""`lemmata solve`: what it writes, says and returns."""

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest

import lemmata as lm
from lemmata.cli import _progress
from lemmata_checker.cli import main as lemmata_check

DATA = ("--data", "a=a.npy", "b=b.csv")
SOLVE = ("solve", "toy-diagonal", *DATA)


def test_answer_is_written_and_checked_by_the_printed_command(lemmata):
    done = lemmata(*SOLVE, "--option", "tol=1e-9", "-o", "out")
    assert done.code == 0, done.err
    assert "converged" in done.out
    assert "toy.residual/1" in done.out
    np.testing.assert_allclose(np.load("out/value/x.npy"), [1, 0.5, 0.25], atol=1e-9)
    command = done.out.strip().splitlines()[-1].split()
    assert command[:2] == ["lemmata-check", "out/answer.lemma"]
    assert "a=a.npy" in command
    assert "tol=1e-09" in command
    assert lemmata_check(command[1:]) == 0
    assert sorted(os.listdir("out")) == ["answer.lemma", "solution.json", "value"]


def test_default_folder_is_the_systems_name(lemmata):
    assert lemmata(*SOLVE).code == 0
    assert Path("toy-diagonal/answer.lemma").is_file()


def test_json_is_the_summary(lemmata):
    done = lemmata(*SOLVE, "-o", "out", "--json", "--method", "Damped", "--key", "3")
    summary = json.loads(done.out)
    assert summary == json.loads(Path("out/solution.json").read_text())
    assert summary["method"] == {"kind": "Damped", "damping": 0.5, "room": 0}
    assert summary["key"] == 3
    assert summary["certified"] is True
    assert summary["claims"][0]["holds"] is True
    assert summary["problem"]["parameters"] == {"tol": 1e-10}
    assert summary["check"].startswith("lemmata-check out/answer.lemma")


def test_limit_reached_exits_1_with_the_answer_written(lemmata):
    done = lemmata(*SOLVE, "-o", "out", "--max-steps", "2")
    assert done.code == 1
    assert "max_steps" in done.out
    assert "--start out/answer.lemma" in done.out
    assert "FAILS" in done.out
    assert lemmata_check(["out/answer.lemma"]) == 1


def test_failing_claim_exits_1_although_the_method_is_content(lemmata):
    done = lemmata(*SOLVE, "-o", "out", "--method", "Liar")
    assert done.code == 1
    assert "converged" in done.out


def test_nested_options_arrive(lemmata):
    words = (
        "schedule.kind=Mixed",
        "schedule.share=1",
        "schedule.first.damping=.125",
        "rounds=2e0",
        "polish=True",
        "norm=sum",
        "weights=[1, 2, 3.5]",
    )
    options = [f"method.{word}" for word in words]
    done = lemmata(*SOLVE, "--json", "--method", "Scheduled", "--option", *options)
    assert done.code == 0, done.err
    assert json.loads(done.out)["method"] == {
        "kind": "Scheduled",
        "schedule": {
            "kind": "Mixed",
            "first": {"kind": "Constant", "damping": 0.125},
            "share": 1.0,
        },
        "rounds": 2,
        "polish": True,
        "norm": "sum",
        "weights": [1.0, 2.0, 3.5],
    }


def test_options_without_method_change_the_default_one(lemmata):
    done = lemmata(*SOLVE, "--json", "--option", "method.damping=0.75")
    assert json.loads(done.out)["method"] == {
        "kind": "Damped",
        "damping": 0.75,
        "room": 0,
    }


def test_option_type_by_bare_name_and_none(lemmata):
    flags = ("--json", "--method", "Scheduled", "--option")
    done = lemmata(*SOLVE, *flags, "method.schedule=Mixed")
    assert json.loads(done.out)["method"]["schedule"]["kind"] == "Mixed"
    done = lemmata(*SOLVE, *flags, "method.schedule=none")
    assert json.loads(done.out)["method"]["schedule"] is None
    done = lemmata(*SOLVE, *flags, "method.schedule.damping=0.1")
    kind = {"kind": "Constant", "damping": 0.1}
    assert json.loads(done.out)["method"]["schedule"] == kind


def test_a_second_answer_replaces_the_first(lemmata):
    Path("out/value").mkdir(parents=True)
    np.save("out/value/old.npy", np.zeros(1))
    Path("out/mine.txt").write_text("keep")
    assert lemmata(*SOLVE, "-o", "out", "--max-steps", "1").code == 1
    assert lemmata(*SOLVE, "-o", "out").code == 0
    assert lemmata_check(["out/answer.lemma"]) == 0
    assert [p.name for p in Path("out/value").iterdir()] == ["x.npy"]
    assert Path("out/mine.txt").read_text() == "keep"


def test_checkpoint_resumes_and_goes_when_done(lemmata):
    flags = ("--checkpoint", "-o", "out", "--json")
    assert lemmata(*SOLVE, *flags, "--max-steps", "3").code == 1
    assert Path("out/checkpoint.zip").is_file()
    mismatch = lemmata(*SOLVE, *flags, "--key", "9")
    assert mismatch.code == 2
    assert "key" in mismatch.err
    resumed = json.loads(lemmata(*SOLVE, *flags).out)
    straight = json.loads(lemmata(*SOLVE, "-o", "other", "--json").out)
    assert resumed["stats"]["steps"] == straight["stats"]["steps"]
    assert not Path("out/checkpoint.zip").exists()
    one, other = (np.load(f"{name}/value/x.npy") for name in ("out", "other"))
    assert np.array_equal(one, other)


def test_warm_start_from_an_earlier_answer(lemmata):
    assert lemmata(*SOLVE, "-o", "first").code == 0
    start = ("--start", "first/answer.lemma")
    done = lemmata(*SOLVE, "-o", "second", "--json", *start)
    assert json.loads(done.out)["stats"]["steps"] == 0
    refused = lemmata(*SOLVE, "-o", "second", "--start", "nowhere.lemma")
    assert refused.code == 2
    assert "nowhere.lemma" in refused.err


def test_interrupt_keeps_the_answer_so_far(lemmata, monkeypatch):
    """No residual is below zero, so the run ends by the signal alone."""

    def press(event):
        if event.steps > 10:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(_progress, "of_run", lambda wanted: press)
    # A shell has its background jobs ignore the signal.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        limit = ("--max-steps", "1000000")
        done = lemmata(*SOLVE, "-o", "out", "--option", "tol=-1", *limit)
    finally:
        signal.signal(signal.SIGINT, before)
    assert done.code == 130
    assert lm.load("out/answer.lemma").result.name == "interrupted"


def test_interrupt_while_writing_leaves_nothing(lemmata, monkeypatch):
    def interrupted(self, path, *, embed=None):
        Path(path).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(lm.Solution, "save", interrupted)
    done = lemmata(*SOLVE, "-o", "out")
    assert done.code == 130
    assert sorted(os.listdir()) == ["a.npy", "b.csv"]


def test_secrets_are_not_written(lemmata):
    done = lemmata(*SOLVE, "-o", "out", "--option", "secret=true")
    assert done.code == 2
    assert "does not disclose" in done.err
    assert sorted(os.listdir()) == ["a.npy", "b.csv"]


def test_problem_too_large_to_embed_is_written_beside(lemmata, monkeypatch):
    monkeypatch.setattr("lemmata.core._file.EMBED_BYTES", 0)
    np.savez("data.npz", a=[1.0, 2.0], b=[1.0, 1.0])
    data = ("--data", "a=data.npz#a", "b=data.npz#b")
    done = lemmata("solve", "toy-diagonal", *data, "-o", "out")
    command = done.out.strip().splitlines()[-1]
    assert lemmata_check(["out/answer.lemma"]) == 2
    assert lemmata_check([w.strip("'") for w in command.split()[1:]]) == 0


def test_formats_that_the_checker_cannot_read_are_converted(lemmata):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = pyarrow.table({"a": [1.0, 2.0, 4.0], "name": ["x", "y", "z"]})
    parquet.write_table(table, "t.parquet")
    data = ("--data", "a=t.parquet#a", "b=b.csv")
    done = lemmata("solve", "toy-diagonal", *data, "-o", "out")
    assert done.code == 0, done.err
    assert "lemmata-check cannot read t.parquet#a" in done.out
    command = done.out.strip().splitlines()[-1].split()
    assert "a=out/problem/a.npy" in command
    assert lemmata_check(command[1:]) == 0


def test_progress_in_plain_lines(lemmata):
    done = lemmata(*SOLVE, "--method", "Damped", "--progress")
    assert "steps" in done.err
    assert lemmata(*SOLVE, "--no-progress").err == ""

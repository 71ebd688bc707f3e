"""`lemmata-check`: exit codes, the user's own problem, requirements, output."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from lemmata_checker import (
    Measurement,
    Rule,
    report,
    write,
)


def test_all_claims_hold(run, toy_file):
    code, out, err = run(toy_file, "--seed", 7)
    assert (code, err) == (0, "")
    for shown in [
        "toy-system, problem toy.system/1",
        "operator  float64, 2 x 2  [embedded]",
        "scale     1.0  [embedded]",
        "the run says: converged. The tolerance was reached.",
        "HOLDS  toy.residual/1  (proof)",
        "max|b - s A x|",
        "measured 0 <= promised 1e-09, margin 1e-09",
        "one row at a time",
        "largest 1",
        "assumes invertible unchecked",
        "measured 1 >= promised 0.5",
        "withheld toy.drawn/1: nothing was drawn",
        "absent   toy.usual/1",
        "no claim looks at value/note",
        "seed 7",
        "All 2 claims hold.",
    ]:
        assert shown in out


def test_a_failing_claim(run, save, toy_document):
    wrong = {"x": np.array([1.0, 1.5]), "note": toy_document.value["note"]}
    code, out, _ = run(save(replace(toy_document, value=wrong)))
    assert code == 1
    assert "FAILS  toy.residual/1" in out
    assert "measured 2 <= promised 1e-09, margin -2" in out
    assert "1 of 2 claims FAIL." in out


def test_no_claim_is_no_success(run, save, toy_document):
    code, out, _ = run(save(replace(toy_document, claims=[], trace={})))
    assert code == 1
    assert "certifies nothing" in out


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_do_not_hold(run, save, toy_document, bad):
    value = {"x": np.array([1.0, bad]), "note": np.ones(1)}
    code, out, _ = run(save(replace(toy_document, value=value)), "--json")
    assert code == 1
    decision = json.loads(out)["claims"][0]
    assert decision["measured"] is None
    assert not decision["holds"]


def test_malformed_and_surprised_rules_do_not_hold(run, save, toy_document):
    value = {"x": np.array([1.0, 1.0, 1.0]), "note": np.ones(1)}
    document = replace(toy_document, value=value, trace={})  # no trace: KeyError
    code, out, _ = run(save(document))
    assert code == 1
    assert "cannot be judged: x: expected shape (2,), got (3,)" in out
    assert "could not be evaluated (KeyError: 'loss')" in out


def test_unreadable(run, tmp_path, toy_file):
    toy_file.write_bytes(toy_file.read_bytes()[:-1])
    for path, reason in [(toy_file, "cut short"), (tmp_path / "none", "No such file")]:
        code, out, err = run(path)
        assert (code, out) == (2, "")
        assert reason in err
        assert err.count("\n") == 1


def test_unknown_claim_needs_a_newer_version(run, save, toy_document, toy_rules):
    rule = Rule(
        "toy.later/1", "proof", "<=", "later", "", lambda case: Measurement(0.0)
    )
    toy_document.claims.append({"id": "toy.later/1", "promised": 1.0})
    toy_rules["toy.later/1"] = rule
    try:
        path = save(toy_document)
    finally:
        del toy_rules["toy.later/1"]
    code, _, err = run(path)
    assert code == 2
    assert "'toy.later/1' is not known to this lemmata-checker" in err


def test_several_files_worst_code_wins(run, toy_file, save, toy_document, tmp_path):
    empty = save(replace(toy_document, claims=[], trace={}))
    code, out, _ = run(toy_file, empty)
    assert code == 1
    assert out.count("problem toy.system/1") == 2
    code, out, _ = run(empty, tmp_path / "none", "--json", toy_file)
    found = json.loads(out)
    assert (code, found["exit_code"]) == (2, 2)
    assert [entry["exit_code"] for entry in found["files"]] == [1, 2, 0]
    assert "No such file" in found["files"][1]["error"]


def test_json_has_everything_in_full(run, toy_file):
    code, out, _ = run(toy_file, "--json", "--seed", 5)
    found = json.loads(out)
    assert code == 0
    assert found["holds"]
    assert found["seed"] == 5
    assert found["absent"] == ["toy.usual/1"]
    assert found["withheld"] == [{"id": "toy.drawn/1", "reason": "nothing was drawn"}]
    assert found["unjudged"] == ["value/note"]
    assert found["stated"]["method"] == {"name": "Direct", "options": {"pivot": True}}
    first = found["claims"][0]
    assert first["promised"] == 1e-9
    assert first["figures"] == {"largest": 1.0}
    assert first["assumptions"] == {"invertible": "unchecked"}
    assert {source["origin"] for source in found["sources"]} == {"embedded"}


def test_seed_is_fresh_printed_and_repeatable(run, save, toy_document):
    claims = [{"id": "toy.drawn/1", "promised": 1.0}]
    path = save(replace(toy_document, claims=claims, withheld=[]))
    first, second = (json.loads(run(path, "--json")[1]) for _ in range(2))
    assert first["seed"] != second["seed"]
    again = json.loads(run(path, "--json", "--seed", first["seed"])[1])
    assert again["claims"] == first["claims"]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--no-such"],
        ["FILE", "--seed", "-1"],
        ["FILE", "--seed", "1.5"],
        ["--json"],
    ],
)
def test_bad_usage(run, toy_file, arguments):
    code, _, err = run(*(toy_file if a == "FILE" else a for a in arguments))
    assert code == 2
    assert "usage:" in err


def test_help(run):
    code, out, _ = run("--help")
    assert code == 0
    assert "exit codes" in out


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (KeyboardInterrupt(), "interrupted"),
        (MemoryError(), "not enough memory"),
        (RecursionError(), "too deep"),
        (ZeroDivisionError("odd"), "unexpected ZeroDivisionError, please report it"),
    ],
)
def test_no_error_escapes(run, toy_file, monkeypatch, error, sentence):
    def broken(*_):
        raise error

    monkeypatch.setattr(report, "decide", broken)
    code, out, err = run(toy_file)
    assert (code, out) == (2, "")
    assert sentence in err
    assert err.count("\n") == 1


def test_hostile_text_cannot_drive_the_terminal(run, save, toy_document):
    toy_document.result = {
        "name": "\x1b[2Jclean",
        "sentence": "a\nAll 9 claims hold.\u202e\ud800",
    }
    toy_document.withheld[0]["reason"] = "\r\x1b]0;title\x07"
    code, out, _ = run(save(toy_document))
    assert code == 0
    assert out.replace("\n", "").isprintable()
    assert "\nAll 9" not in out


def test_any_encoding_of_the_terminal(toy_file, tmp_path, save, toy_document):
    # In a process of its own; the default registry knows no toy: exit code 2.
    environment = {"PYTHONIOENCODING": "ascii", "PATH": ""}
    command = [sys.executable, "-m", "lemmata_checker.cli", tmp_path / "no ü.lemma"]
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert done.returncode == 2
    assert b"\\xfc" in done.stderr
    done = subprocess.run([*command[:3], toy_file], capture_output=True, check=False)
    assert done.returncode == 2
    assert b"'toy.residual/1' is not known" in done.stderr


HOLDING = """
import sys
from lemmata_checker import Measurement, Rule
from lemmata_checker.cli import main
rule = Rule("toy.sure/1", "proof", "<=", "", "", lambda case: Measurement(0.0))
sys.exit(main(rules={"toy.sure/1": rule}))
"""


def test_a_closed_pipe_is_not_a_success(tmp_path, toy_document, toy_rules):
    """Whoever closed the pipe was told nothing."""
    rules = {"toy.sure/1": replace(toy_rules["toy.residual/1"], statement="")}
    document = replace(toy_document, withheld=[])
    document.claims = [{"id": "toy.sure/1", "promised": 1.0}]
    write(tmp_path / "sure.lemma", document, rules)
    command = [sys.executable, "-c", HOLDING, tmp_path / "sure.lemma"]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "wb") as pipe:
        done = subprocess.run(command, stdout=pipe, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (2, b"")

"""Wrong words and unreadable data: exit code 2 and one sentence."""

from pathlib import Path

import numpy as np
import pytest

from lemmata.cli import _refusal

SOLVE = ("solve", "toy-diagonal", "-o", "out")
DATA = ("--data", "a=a.npy", "b=b.csv")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("slove",), "no command 'slove'; did you mean solve"),
        (("solve",), "required: SYSTEM|RUN.toml"),
        (("solve", "toy-diagnal"), "did you mean toy-diagonal"),
        (("info", "toy"), "did you mean toy-diagonal"),
        (("init", "toy"), "did you mean toy-diagonal"),
        (("study", "toy"), "did you mean toy-diagonal"),
        (("study",), "--all"),
        (("study", "--all", "toy-diagonal"), "not both"),
        (("study", "--all", "--workers", "0"), "at least 1"),
        (("report", "nowhere"), "no folder nowhere"),
        (("report", "."), "holds no study"),
        (("completion", "fish"), "invalid choice: 'fish'"),
        ((*SOLVE, "--dta", "a=b"), "does not take '--dta'; did you mean --data"),
        ((*SOLVE, *DATA, "--key", "x"), "invalid int value: 'x'"),
        ((*SOLVE, *DATA, "--key", "-1"), "solve.key: expected"),
        ((*SOLVE, *DATA, "--time-limit", "-1"), "solve.time_limit: expected"),
        (SOLVE, "also needs a and b: pass --data a=FILE --data b=FILE"),
        ((*SOLVE, "--data", "a=a.npy"), "also needs b: pass --data b=FILE"),
        ((*SOLVE, "--data", "a"), "expected NAME=FILE"),
        ((*SOLVE, *DATA, "--data", "a=b.csv"), "a is given twice"),
        ((*SOLVE, "--data", "cc=a.npy"), "no data 'cc'; did you mean c"),
        ((*SOLVE, "--data", "a=a.npy", "c=a.npy"), "takes a, c together"),
        ((*SOLVE, *DATA, "--option", "toll=1"), "no option 'toll'; did you mean tol"),
        ((*SOLVE, *DATA, "--option", "tol"), "expected NAME=VALUE"),
        ((*SOLVE, *DATA, "--option", "tol=abc"), "Diagonal.tol: expected float"),
        ((*SOLVE, *DATA, "--option", "damping=1"), "method.damping=VALUE"),
        ((*SOLVE, *DATA, "--option", "method.dampin=1"), "did you mean damping"),
        ((*SOLVE, *DATA, "--method", "Dampd"), "did you mean Damped"),
        ((*SOLVE, *DATA, "--problem", "Diag"), "did you mean Diagonal"),
        (
            (*SOLVE, "--data", "c=a.npy", "--problem", "Identity", "--method", "Liar"),
            "Liar does not solve Identity; take Identify.",
        ),
        ((*SOLVE, "--data", "c=a.npy"), "Identity needs scale (What to measure in)"),
        (("certify", "toy-diagonal", *DATA), "pass --value x=FILE"),
        (("certify", "toy-diagonal", *DATA, "--value", "y=a.npy"), "y: known: x."),
    ],
)
def test_wrong_words(lemmata, words, message):
    done = lemmata(*words)
    assert done.code == 2
    assert message in done.err
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.npy", None, "none.npy: no such file"),
        ("text.csv", b"1\nword\n", "text.csv: "),
        ("broken.npy", b"not an array", "broken.npy: "),
        ("broken.npz", b"PK not a zip", "broken.npz: "),
        ("broken.mtx", b"%%MatrixMarket nonsense", "broken.mtx: "),
        ("broken.parquet", b"PAR1", "broken.parquet: "),
        ("broken.png", b"\x89PNG\r\n\x1a\nrest", "broken.png: "),
        ("array.txt", b"1 2", "array.txt: expected .npy"),
        ("folder.csv", "folder", "folder.csv: "),
        ("negative.csv", b"-1\n1\n1\n", "Diagonal.a: expected positive entries"),
    ],
)
def test_unreadable_data(lemmata, name, content, message):
    if content == "folder":
        Path(name).mkdir()
    elif content is not None:
        Path(name).write_bytes(content)
    done = lemmata(*SOLVE, "--data", f"a={name}", "b=b.csv")
    assert done.code == 2
    assert message in done.err
    assert not Path("out").exists()


def test_arrays_of_no_numbers(lemmata):
    np.save("complex.npy", np.array([1j, 2]))
    np.save("object.npy", np.array([{}, 1], dtype=object), allow_pickle=True)
    for name in ("complex.npy", "object.npy"):
        done = lemmata(*SOLVE, "--data", f"a={name}", "b=b.csv")
        assert done.code == 2
        assert name in done.err


def test_nowhere_to_write(lemmata):
    Path("taken").write_text("")
    done = lemmata("solve", "toy-diagonal", *DATA, "-o", "taken")
    assert done.code == 2
    assert "taken is a file" in done.err
    done = lemmata("solve", "toy-diagonal", *DATA, "-o", "taken/out")
    assert done.code == 2
    assert "Nothing can be written" in done.err


def test_surprises_are_sentences_and_debug_shows_the_traceback(
    lemmata, monkeypatch, capsys
):
    from lemmata import cli
    from tests.cli import room

    def broken(self):
        raise RuntimeError("out of\nluck")

    monkeypatch.setattr(room.Diagonal, "default_method", broken)
    done = lemmata(*SOLVE, *DATA)
    assert done.code == 2
    assert "Unexpected RuntimeError: out of luck" in done.err
    assert cli.main((*SOLVE, *DATA, "--debug")) == 2
    assert "Traceback" in capsys.readouterr().err


def test_nearest():
    assert _refusal.nearest("cst", ["cost", "source"]) == "did you mean cost?"
    assert _refusal.nearest("zzz", ["cost", "source"]) == "known: cost, source."
    assert _refusal.nearest("zzz", []) == "there are none."

"""`list`, `info`, `completion`, help: light, complete, and from the catalogue alone."""

import json
import shutil
import subprocess
import sys
import time

import pytest

from lemmata.cli._parser import COMMANDS, build

LIGHT = (
    (),
    ("--help",),
    ("--version",),
    ("list",),
    ("list", "--json"),
    ("completion", "bash"),
    *((command, "--help") for command in COMMANDS),
)
SCRIPT = """
import sys
from lemmata import cli
code = cli.main({words!r})
assert not any(name.partition(".")[0] in {heavy!r} for name in sys.modules), "heavy"
sys.exit(code)
"""


def run(words, heavy):
    script = SCRIPT.format(words=list(words), heavy=heavy)
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("words", LIGHT, ids=" ".join)
def test_no_jax_for_help_and_lists(words):
    begun = time.perf_counter()
    done = run(words, ("jax", "jaxlib", "equinox"))
    # shown by `pytest -rP`; not asserted, since machines are shared
    sys.stdout.write(f"{time.perf_counter() - begun:.2f} s\n")
    assert done.returncode == (0 if words else 2), done.stderr
    assert done.stderr == ""


def test_real_systems_need_no_jax_for_info_and_init():
    listed = json.loads(run(("list", "--json"), ()).stdout)
    for entry in listed:
        for words in (("info", entry["slug"]), ("init", entry["slug"], "-o", "-")):
            done = run(words, ("jax", "jaxlib", "equinox"))
            assert done.returncode == 0, done.stderr


def test_the_light_test_can_fail():
    done = run(("list",), ("lemmata",))
    assert done.returncode != 0
    assert "heavy" in done.stderr


def test_list_and_info(lemmata):
    assert "How do I divide" in lemmata("list").out
    assert json.loads(lemmata("list", "--json").out)[0]["room"] == "toy"
    shown = lemmata("info", "toy-diagonal").out
    for text in ("a=FILE", "Scheduled", "Constant", "toy.residual/1", "A. Divider"):
        assert text in shown
    record = json.loads(lemmata("info", "toy-diagonal", "--json").out)
    assert record["problems"][0]["data"][0]["name"] == "a"
    assert record["methods"][1]["baseline"] is True


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches(lemmata, command):
    done = lemmata(command, "--help")
    assert done.code == 0
    assert "examples:" in done.out
    assert "{" not in done.out.replace("{tour,quick,paper}", "").replace(
        "{bash,zsh,tcsh}", ""
    )


def test_general_help_lists_every_command(lemmata):
    shown = lemmata("--help").out
    for command in COMMANDS:
        assert command in shown
    assert "lemmata info toy-diagonal" in " ".join(shown.split())


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion_offers_systems(lemmata, shell, folder):
    done = lemmata("completion", shell)
    assert done.code == 0
    assert "toy-diagonal" in done.out
    if shutil.which(shell):
        script = folder / "completion"
        script.write_text(done.out)
        subprocess.run([shell, "-n", str(script)], check=True)


def test_no_option_is_abbreviated():
    for action in build()._subparsers._group_actions[0].choices.values():
        assert action.allow_abbrev is False

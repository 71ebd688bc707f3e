import json
import os
import re
import subprocess
import sys

import pytest

from lemmata import catalogue, report
from lemmata.report import ReportError, _site, write_report

from .conftest import NEWTON, SPARSE, UNTRIED, study, write_study
from .pages import Elements, tree, written


def test_all_pages_and_files_are_there(folders, tmp_path):
    front = write_report(folders[0], tmp_path / "out", folders[1])
    assert front == tmp_path / "out" / "index.html"
    assert sorted(tree(tmp_path / "out")) == sorted(
        ["index.html", "assets/plotly.min.js", "assets/report.css", "assets/report.js"]
        + [f"{NEWTON}/{name}.lemma" for name in ("assignment", "sinkhorn", "cap")]
        + [f"{slug}/{name}" for slug in (NEWTON, SPARSE) for name in ("index.html",)]
        + [f"{SPARSE}/assignment.lemma", f"{NEWTON}/photo.png", f"{SPARSE}/photo.png"]
    )


def test_front_page_counts_and_names_everything(folders, tmp_path):
    page = write_report(folders[0], tmp_path / "out", folders[1]).read_text()
    text = " ".join(Elements(page).text.split())
    for words in (
        "held 13 failed as expected 1 withheld 2 disagreements 0",  # counted by hand
        "proof 6 evidence 2",
        "Best certified peer takes 17× our time",
        "no peer's answer was certified in 1 task",
        "lemmata 0 of 18 , POT sinkhorn 7 of 20",
        "Learning to relax linear-learning-to-relax no study in this folder",
        "jax 0.10.2",
    ):
        assert words in text


def test_same_input_same_bytes(folders, tmp_path):
    write_report(folders[0], tmp_path / "a", folders[1])
    write_report(folders[0], tmp_path / "b", folders[1])
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"format": "lemmata-study/2"}, "expected &#34;format&#34;"),
        ({"slug": "other-name"}, "study.json speaks of"),
        ({"cases": {}}, "study.json.cases: expected a list, got dict"),
        ({"summary": [1]}, "study.json.summary[0]: expected text, got int"),
        ({"plots": [{"kind": "xy", "series": [{"x": [1], "y": []}]}]}, "1 x for 0 y"),
        ({"plots": [{"kind": "pie"}]}, "expected one of xy, heatmap"),
        ({"plots": [{"kind": "pattern", "shape": [2, 2], "rows": [2], "columns": [0]}]},
         "whole numbers in [0, 2)"),
        ({"plots": [{"kind": "heatmap", "z": [[1], [1, 2]]}]}, "expected a table"),
        ({"comparisons": [{"columns": ["a"], "rows": [[1, 2]]}]}, "expected 1 cells"),
        ({"skipped": "needs <more> memory"}, "needs &lt;more&gt; memory"),
    ],
)  # fmt: skip
def test_a_study_that_cannot_be_shown_is_named(some_entries, tmp_path, change, reason):
    folder = write_study(tmp_path / "studies", study())
    (folder / "study.json").write_text(json.dumps(study() | change))
    page = write_report(tmp_path / "studies", tmp_path / "out", None)
    assert reason in page.read_text()
    assert not (tmp_path / "out" / NEWTON).exists()


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff\xfe", b"[]", b"[" * 100_000, b"3"])
def test_what_is_no_json_is_named(some_entries, tmp_path, raw):
    folder = write_study(tmp_path / "studies", study())
    (folder / "study.json").write_bytes(raw)
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / f"{NEWTON}.json").write_bytes(raw)
    page = write_report(
        tmp_path / "studies", tmp_path / "out", tmp_path / "benchmarks"
    ).read_text()
    assert "not readable: study.json" in page


def test_disagreements_are_shown(some_entries, tmp_path):
    content = study()
    content["cases"][0]["expected"]["transport.marginals/1"] = "fails"
    content["cases"][0]["expected"]["transport.lost/1"] = "holds"
    content["cases"][1]["verdict"] = None
    del content["cases"][0]["expected"]["transport.ascent/1"]
    content["cases"][2]["agrees"] = False  # the study's own word counts too
    page = " ".join(Elements(written(tmp_path, content)).text.split())
    assert "4 disagreements" in page
    assert "expected nothing, found holds" in page
    assert "did not expect this verdict (exit 0)" in page
    assert "≤ 2" in page
    assert "plan returned" in page
    assert "expected fails, found holds" in page
    assert "expected holds, found absent" in page
    assert "Not judged yet" in page
    front = (tmp_path / "pages" / "index.html").read_text()
    assert "1 certificate not judged yet" in front


def test_what_the_judge_could_not_read_is_a_disagreement(some_entries, tmp_path):
    content = study()
    content["cases"][0]["verdict"] = {"exit": 2, "error": "bad digest <of> x"}
    content["cases"][1]["verdict"]["claims"][0]["measured"] = None  # was not finite
    page = written(tmp_path, content)
    assert "(exit 2): bad digest &lt;of&gt; x" in page
    assert "no finite figure was found" in page
    front = Elements((tmp_path / "pages" / "index.html").read_text()).text
    # five claims and one withheld were expected of the certificate
    assert "disagreements 6" in " ".join(front.split())


def test_skipped_systems_keep_their_reason(some_entries, tmp_path):
    summary = {"format": "lemmata-studies/1", "size": "quick", "agrees": True}
    summary["skipped"] = [{"slug": UNTRIED, "reason": "needs pyamg"}]
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    (tmp_path / "<b>").mkdir()
    (tmp_path / "<b>" / "study.json").write_text("{}")
    page = write_report(tmp_path, tmp_path / "out", None).read_text()
    assert "needs pyamg" in page
    assert "&lt;b&gt;" in page


def test_the_real_catalogue_without_any_study(tmp_path):
    (tmp_path / "studies").mkdir()
    page = write_report(tmp_path / "studies", tmp_path / "out", None).read_text()
    for slug in catalogue.entries():
        assert slug in page


def test_a_study_that_the_catalogue_does_not_know(tmp_path, monkeypatch):
    monkeypatch.setattr(catalogue, "entries", dict)
    assert "Sinkhorn with sparse Newton steps" in written(tmp_path, study())


def test_failure_leaves_the_old_report(folders, tmp_path, monkeypatch):
    out = tmp_path / "out"
    write_report(folders[0], out, None)
    (out / "mine.txt").write_text("stays")
    before = tree(out)

    def breaks(systems):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_site, "front_page", breaks)
    with pytest.raises(ReportError, match="No space left"):
        write_report(folders[0], out, folders[1])
    assert tree(out) == before
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_errors_say_what_to_do(tmp_path, monkeypatch):
    with pytest.raises(ReportError, match="lemmata study --all"):
        write_report(tmp_path / "none", tmp_path / "out", None)
    with pytest.raises(ReportError, match="no folder of benchmarks"):
        write_report(tmp_path, tmp_path / "out", tmp_path / "none")
    (tmp_path / "file").write_text("")
    with pytest.raises(ReportError, match="cannot write the report"):
        write_report(tmp_path, tmp_path / "file", None)
    monkeypatch.setattr(report, "find_spec", lambda name: None)
    with pytest.raises(ReportError, match=r"pip install 'lemmata\[report\]'"):
        write_report(tmp_path, tmp_path / "out", None)


def test_neither_jax_nor_the_core_is_imported(tmp_path):
    code = (
        "import sys, pathlib, lemmata.report; out = pathlib.Path(sys.argv[1]);"
        "lemmata.report.write_report(out, out / 'pages', None);"
        "heavy = ('jax', 'equinox', 'plotly', 'lemmata.core');"
        "print([name for name in sys.modules if name.startswith(heavy)])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        env=os.environ,
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_pages_can_be_read_without_seeing(folders, tmp_path):
    front = write_report(folders[0], tmp_path / "out", folders[1])
    for path in (front, front.parent / NEWTON / "index.html"):
        found = Elements(path.read_text())
        assert found.all("html")[0]["lang"] == "en"
        levels = [int(t[1]) for t, _ in found.tags if re.fullmatch("h[1-6]", t)]
        assert levels.count(1) == 1
        steps = zip(levels, levels[1:], strict=False)
        assert all(after <= before + 1 for before, after in steps)
        assert all(image["alt"] for image in found.all("img"))
        pictures = found.all("svg")
        assert all(s.get("aria-label") or "aria-hidden" in s for s in pictures)
        ids = [a["id"] for _, a in found.tags if "id" in a]
        assert len(ids) == len(set(ids))


def test_nothing_is_loaded_from_elsewhere(folders, tmp_path):
    front = write_report(folders[0], tmp_path / "out", folders[1])
    for path in (front, front.parent / NEWTON / "index.html"):
        for tag, attributes in Elements(path.read_text()).tags:
            for name in {"src", "href"} & set(attributes):
                away = re.match("[a-z]+:|//", attributes[name])
                paper = tag == "a" and attributes[name].startswith("https://arxiv.org/")
                assert not away or paper or attributes[name] == "data:,"
    css = (front.parent / "assets" / "report.css").read_text()
    assert not re.search(r"url\(|@import|@font-face", css)

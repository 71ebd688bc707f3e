import json
import re

import pytest

from lemmata.report import write_report

from .conftest import NEWTON, benchmark, study, write_study
from .pages import ATTACK, Elements, attacked, tree, written


def test_every_text_is_escaped(some_entries, tmp_path):
    benchmarks = tmp_path / "benchmarks"
    benchmarks.mkdir()
    hostile = attacked(benchmark())
    (benchmarks / f"{NEWTON}.json").write_text(json.dumps(hostile))
    content = attacked(study())
    page = written(tmp_path, content, benchmarks=benchmarks)
    for source in (page, (tmp_path / "pages" / "index.html").read_text()):
        found = Elements(source)
        assert all("src" in s or "data-plot" in s for s in found.all("script"))
        assert [i["src"] for i in found.all("img")] in ([], ["photo.png"])
        assert not [a for _, a in found.tags if any(k.startswith("on") for k in a)]
        assert "{{1234567*10}}" in source
        assert "12345670" not in found.text


def test_data_in_scripts_is_what_the_study_said(some_entries, tmp_path):
    content = study()
    content["plots"][0]["series"][0]["name"] = ATTACK
    page = written(tmp_path, content)
    raw = re.search(r'<script type="application/json"[^>]*>(.*?)</script>', page)
    assert raw is not None
    assert "<" not in raw[1]
    series = json.loads(raw[1])["series"]
    assert series[0]["name"] == ATTACK
    assert series[0]["y"] == content["plots"][0]["series"][0]["y"]


@pytest.mark.parametrize(
    "name",
    ["../secret.lemma", "/etc/passwd", "a/b.lemma", "..", "", "index.html", "A.lemma",
     "x.lemma\n", "x\0.lemma", ".hidden.lemma", "x" * 200 + ".lemma", "photo.png"],
)  # fmt: skip
def test_hostile_names_stay_outside(some_entries, tmp_path, name):
    content = study()
    folder = write_study(tmp_path / "studies", content)
    (tmp_path / "studies" / "secret.lemma").write_text("secret")
    content["cases"][0]["file"] = name
    content["plots"][4]["file"] = "../photo.png"
    (folder / "study.json").write_text(json.dumps(content))
    out = write_report(tmp_path / "studies", tmp_path / "out", None).parent
    page = (out / NEWTON / "index.html").read_text()
    assert "The certificate is not here" in page
    assert "The image is not here" in page
    assert set(tree(out)) == {
        "index.html", "assets/plotly.min.js", "assets/report.css", "assets/report.js",
        f"{NEWTON}/index.html", f"{NEWTON}/sinkhorn.lemma", f"{NEWTON}/cap.lemma",
    }  # fmt: skip


def test_links_and_folders_are_not_followed(some_entries, tmp_path):
    folder = write_study(tmp_path / "studies", study())
    (tmp_path / "secret").write_text("secret")
    (folder / "assignment.lemma").unlink()
    (folder / "assignment.lemma").symlink_to(tmp_path / "secret")
    (folder / "cap.lemma").unlink()
    (folder / "cap.lemma").mkdir()
    out = write_report(tmp_path / "studies", tmp_path / "out", None).parent
    page = (out / NEWTON / "index.html").read_text()
    assert page.count("not a regular file") == 2
    assert b"secret" not in b"".join(tree(out / NEWTON).values())


def test_missing_and_false_files_are_said(some_entries, tmp_path):
    folder = write_study(tmp_path / "studies", study())
    (folder / "assignment.lemma").unlink()
    (folder / "photo.png").write_bytes(b"<svg onload='pwned=1'/>")
    out = write_report(tmp_path / "studies", tmp_path / "out", None).parent
    page = (out / NEWTON / "index.html").read_text()
    assert "assignment.lemma: no such file" in page
    assert "photo.png: not a PNG image" in page
    assert not (out / NEWTON / "photo.png").exists()

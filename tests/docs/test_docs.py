"""The documentation: code runs, links lead somewhere, lists are complete."""

import importlib
import inspect
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import lemmata
from lemmata import catalogue
from tests.docs.blocks import Mismatch, Page, blocks, compare

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
MORE = [ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", ROOT / "checker" / "README.md"]


@pytest.fixture(scope="module")
def hooks():
    """`tools/docs_hooks.py`, as mkdocs loads it."""
    spec = importlib.util.spec_from_file_location(
        "docs_hooks", ROOT / "tools" / "docs_hooks.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def written(hooks):
    """All pages, generated parts included, as one text."""
    return "\n".join(hooks.expand(p.read_text(encoding="utf-8")) for p in PAGES)


def runnable(path: Path) -> bool:
    found = blocks(path.read_text(encoding="utf-8"))
    return any(b.kind == "python" or b.mark == "run" for b in found)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", [p for p in PAGES if runnable(p)], ids=name)
def test_code_runs_and_prints_what_the_page_says(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    Page(path).run()


def test_comparison_of_output_can_fail():
    compare("a 1.000 ... c", "a 1.001 b\n b  c", "here")
    compare("took 0.5 s, 3e-13", "took 7.1 s, 9e-12", "here")
    for said, printed in (("a 1.0", "a 1.2"), ("a", "b"), ("3e-13", "3e-3")):
        with pytest.raises(Mismatch):
            compare(said, printed, "here")


LINK = re.compile(r"\]\(([^)\s]+)\)|<(?:img|a)[^>]+(?:src|href)=\"([^\"]+)\"")


@pytest.mark.parametrize("path", [*PAGES, *MORE], ids=name)
def test_links_lead_to_files(path):
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.S)
    for found in LINK.finditer(text):
        target = (found[1] or found[2]).partition("#")[0]
        if target and not re.match(r"[a-z]+:", target):
            assert (path.parent / target).exists(), f"{name(path)} links to {target}"


def test_every_page_is_in_the_navigation():
    listed = set(re.findall(r"[\w/.-]+\.md", (ROOT / "mkdocs.yml").read_text()))
    pages = {str(p.relative_to(DOCS)) for p in PAGES[1:]}
    assert pages == listed - {"CHANGELOG.md"}


def test_every_marker_expands(hooks, written):
    assert not hooks.MARKER.search(written)
    with pytest.raises(LookupError):
        hooks.source("src/lemmata/core/_claim.py", "Claim.nothing")
    for slug in catalogue.entries():
        page = (DOCS / "systems" / f"{slug}.md").read_text(encoding="utf-8")
        assert f"<!-- catalogue: {slug} -->" in page
        assert f"<!-- benchmark: {slug} -->" in page
        assert f"(docs/systems/{slug}.md)" in PAGES[0].read_text(encoding="utf-8")


def test_hooks_do_not_import_jax(hooks):
    code = (
        "import importlib.util as u, sys; "
        f"s = u.spec_from_file_location('h', {hooks.__file__!r}); "
        "m = u.module_from_spec(s); s.loader.exec_module(m); m.index(); "
        "assert 'jax' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def requirements() -> set[str]:
    """Every requirement that any file of the project states."""
    found: set[str] = set()
    for place in (ROOT, ROOT / "checker"):
        content = tomllib.loads((place / "pyproject.toml").read_text(encoding="utf-8"))
        project = content["project"]
        groups = {
            **project.get("optional-dependencies", {}),
            **content.get("dependency-groups", {}),
        }
        found |= {*content["build-system"]["requires"], *project["dependencies"]}
        found |= {requirement for group in groups.values() for requirement in group}
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    return found | set(re.findall(r"\buv==[\w.]+", makefile))


def test_every_dependency_has_its_reason():
    page = (DOCS / "dependencies.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([^`]+)` \|(.*)\|$", page, re.M)
    assert {requirement for requirement, _ in rows} == requirements()
    for requirement, rest in rows:
        assert all(cell.strip() for cell in rest.split("|")), requirement


def public_names() -> dict[str, object]:
    """Dotted name to object: what `lemmata`, core and the rooms offer."""
    found = {f"lemmata.{name}": getattr(lemmata, name) for name in lemmata.__all__}
    rooms = sorted({entry.room for entry in catalogue.entries().values()})
    for package in ("core", *rooms):
        module = importlib.import_module(f"lemmata.{package}")
        for name_, thing in vars(module).items():
            if not name_.startswith("_") and not inspect.ismodule(thing):
                found[f"lemmata.{package}.{name_}"] = thing
    return found


def test_every_public_name_is_documented(written):
    names = public_names()
    assert len(names) > 40
    silent = [
        name_
        for name_, thing in names.items()
        if (inspect.isclass(thing) or inspect.isfunction(thing))
        and not inspect.getdoc(thing)
    ]
    assert not silent, f"no docstring: {silent}"
    shown = re.findall(r"^::: ([\w.]+)$", written, re.M)
    shown += re.findall(r"`([\w.]+)`", written)
    words = {found.rpartition(".")[2] for found in shown}
    absent = [name_ for name_ in names if name_.rpartition(".")[2] not in words]
    assert not absent, f"in no page: {absent}"


def test_every_citation_is_in_the_bibliography(hooks):
    known = hooks.bibliography()
    for key, fields in known.items():
        assert {"author", "title", "year"} <= set(fields), key
    sources = [*(ROOT / "src" / "lemmata").rglob("*.py")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    cited = set(re.findall(r"\"([a-z]+(?:19|20)\d\d[a-z]+)\"", text))
    assert cited <= set(known)
    assert {entry.paper.key for entry in catalogue.entries().values()} <= set(known)

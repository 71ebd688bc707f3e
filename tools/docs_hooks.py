"""Expand markers in the documentation, so that generated parts cannot rot.

- `<!-- catalogue: SLUG -->`: claims, problems, methods, options of a system.
- `<!-- catalogue: index -->`: one table of all systems.
- `<!-- benchmark: SLUG -->`: `benchmarks/results/SLUG.json` as tables.
- `<!-- source: PATH NAME -->`: the definition `NAME` (dotted) as it stands in PATH; a
  name that is gone fails the build.
- `<!-- references -->`: the bibliography.

Reads the catalogue without importing JAX. Used by mkdocs and by the tests.
"""

import ast
import functools
import html
import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from lemmata import catalogue
from lemmata.catalogue import Entry, Method, Option, Problem

ROOT = Path(__file__).parents[1]
MARKER = re.compile(
    r"^<!-- (catalogue|benchmark|source|references):?\s*(.*?) -->$", re.M
)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by mkdocs for every page."""
    return expand(markdown)


def expand(markdown: str) -> str:
    """The page with every marker replaced. Raises `LookupError` for a dead one."""
    kinds: dict[str, Callable[[str], str]] = {
        "catalogue": lambda slug: index() if slug == "index" else system(slug),
        "benchmark": benchmark,
        "source": lambda words: source(*words.split()),
        "references": lambda _: references(),
    }
    return MARKER.sub(lambda found: kinds[found[1]](found[2]), markdown)


def table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table; empty without rows."""
    lines = [[_cell(cell) for cell in row] for row in rows]
    if not lines:
        return ""
    head = list(columns)
    drawn = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in drawn) + "\n"


def _cell(text: str) -> str:
    return " ".join(str(text).split()).replace("|", "\\|")


def _verbatim(text: str) -> str:
    """As code, safe inside a table whatever it contains."""
    return f"<code>{html.escape(text).replace('|', '&#124;')}</code>"


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def index() -> str:
    """Every system with its question, paper and methods."""
    rows = []
    for slug, entry in catalogue.entries().items():
        methods = ", ".join(_code(m.name) for m in entry.methods if not m.baseline)
        paper = f"{entry.paper.authors}, {entry.paper.venue}"
        link = f"[{slug}]({slug}.md)"
        rows.append((link, entry.question, methods, paper))
    return table(("system", "question", "methods", "paper"), rows)


def system(slug: str) -> str:
    """The generated part of a system's page."""
    entry = catalogue.entry(slug)
    parts = [
        "### Claims\n",
        _claims(entry),
        "### Problems\n",
        *(_problem(found) for found in entry.problems),
        "### Methods\n",
        *(_method(found) for found in entry.methods),
    ]
    if entry.parts:
        parts += ["### Option types\n", *(_method(found) for found in entry.parts)]
    return "\n".join(parts)


def _claims(entry: Entry) -> str:
    from lemmata_checker.rules import RULES

    rows = []
    for claim in entry.claims:
        rule = RULES.get(claim.id)
        grade = rule.grade if rule else "not in this checker"
        statement = _verbatim(rule.statement) if rule else ""
        says = f"{claim.about}<br>{statement}" if statement else claim.about
        rows.append((_code(claim.id), grade, says, claim.withheld_when))
    return table(("claim", "grade", "what it says", "withheld when"), rows)


def _problem(found: Problem) -> str:
    data = [
        (_code(d.name), "array" if d.required else "array, optional", "", d.about)
        for d in found.data
    ]
    rows = data + _options(found.options)
    head = f"**`{found.name}`** (packed as `{found.kind}`): {found.about}\n"
    return head + "\n" + table(("name", "type", "default", "meaning"), rows)


def _method(found: Method) -> str:
    role = " (baseline)" if found.baseline else ""
    head = f"**`{found.name}`**{role}: {found.about}\n"
    rows = _options(found.options)
    return head + "\n" + table(("option", "type", "default", "meaning"), rows)


def _options(options: Iterable[Option]) -> list[tuple[str, ...]]:
    return [(_code(o.name), _verbatim(o.type), _default(o), o.about) for o in options]


def _default(option: Option) -> str:
    return _verbatim(option.default) if option.default else "required"


def benchmark(slug: str) -> str:
    """The stored figures, or a sentence with the command that makes them."""
    path = ROOT / "benchmarks" / "results" / f"{slug}.json"
    if not path.is_file():
        return (
            f"No figures are stored. `make bench`, or `python -m benchmarks {slug}` in "
            "its environment, measures them on your machine.\n"
        )
    found = json.loads(path.read_text(encoding="utf-8"))
    machine, versions = found["machine"], found["versions"]
    packages = ", ".join(f"{name} {v}" for name, v in versions.items())
    parts = [
        f"Measured on {found['date']}: {machine['processor']}, "
        f"{machine['cores']} cores, Python {machine['python']}, {packages}. "
        "`make bench` repeats it.\n"
    ]
    parts += [_race(entry) for entry in found["tables"]]
    if found.get("false_successes"):
        parts.append(_false(found["false_successes"]))
    return "\n".join(parts)


_WORDS = {None: "-", True: "yes", False: "no"}


def _race(found: dict[str, Any]) -> str:
    rows = [
        (
            row["who"],
            _figure(row["seconds"]),
            _figure(row["ratio"]),
            _figure(row["compile_seconds"]),
            _figure(row["peak_mb"]),
            _figure(row["accuracy"]),
            _WORDS[row["said_success"]],
            _WORDS[row["certified"]],
            row.get("note", ""),
        )
        for row in found["rows"]
    ]
    columns = (
        *("who", "seconds", "time / ours", "compile s", "peak MB"),
        *(found["accuracy"], "says success", "certified", "note"),
    )
    if not any(row[-1] for row in rows):
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    note = f"\n{found['note']}\n" if found.get("note") else ""
    return f"#### {found['title']}\n{note}\n{table(columns, rows)}"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _false(found: dict[str, Any]) -> str:
    rows = [
        (
            row["who"],
            str(row["said_success"]),
            str(row["false"]),
            str(row.get("right", "")),
        )
        for row in found["rows"]
    ]
    columns = ("who", "says success", "of these false", "right by the judge")
    title = f"#### False successes, {found['cases']} cases\n"
    return f"{title}\n{table(columns, rows)}"


def source(path: str, name: str = "") -> str:
    """A definition as it stands in a file of the repository, as a code block."""
    text = (ROOT / path).read_text(encoding="utf-8")
    code = _definition(text, name) if name else text.rstrip()
    return f'```python title="{path}"\n{code}\n```'


def _definition(text: str, name: str) -> str:
    node: Any = ast.parse(text)
    for part in name.split("."):
        found = [child for child in node.body if part in _names(child)]
        if not found:
            raise LookupError(f"{name} is no longer there; mend the page that shows it")
        node = found[0]
    first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))])
    lines = text.splitlines()[first - 1 : node.end_lineno]
    indent = len(lines[0]) - len(lines[0].lstrip())
    return "\n".join(line[indent:] for line in lines)


def _names(node: Any) -> tuple[str, ...]:
    if isinstance(node, ast.Assign):
        return tuple(t.id for t in node.targets if isinstance(t, ast.Name))
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return (node.target.id,)
    return (getattr(node, "name", ""),)


def references() -> str:
    """The bibliography, one entry each, by key."""
    return "\n".join(_reference(key, fields) for key, fields in bibliography().items())


@functools.cache
def bibliography() -> dict[str, dict[str, str]]:
    """`references.bib` as fields by key."""
    text = (ROOT / "src/lemmata/references.bib").read_text(encoding="utf-8")
    found = {}
    for entry in re.split(r"\n(?=@)", text.strip()):
        kind, key = re.match(r"@(\w+)\{([^,]+),", entry).groups()  # type: ignore[union-attr]
        fields = dict(re.findall(r"^\s*(\w+) = \{(.*)\},?$", entry, re.M))
        found[key] = {"kind": kind} | {n: _plain(v) for n, v in fields.items()}
    return found


_ACCENTS = {
    r"{\'e}": "é",
    r"{\"\i}": "ï",
    r"{\"o}": "ö",
    r"{\"u}": "ü",
    r"{\v{s}}": "š",
}


def _plain(text: str) -> str:
    for mark, letter in _ACCENTS.items():
        text = text.replace(mark, letter)
    return text.replace("{", "").replace("}", "").replace("--", "\N{EN DASH}")


def _reference(key: str, fields: dict[str, str]) -> str:
    names = [
        " ".join(reversed([part.strip() for part in name.split(",", 1)]))
        for name in fields["author"].split(" and ")
    ]
    where = (
        fields.get("booktitle") or fields.get("journal") or fields.get("publisher", "")
    )
    place = ", ".join(p for p in (where, fields.get("volume", "")) if p)
    pages = f", pp. {fields['pages']}" if "pages" in fields else ""
    arxiv = f" arXiv:{fields['eprint']}." if "eprint" in fields else ""
    who = html.escape(", ".join(names))
    text = f"{who} ({fields['year']}). *{html.escape(fields['title'])}*. "
    text += f"{place}{pages}.".lstrip() if place else ""
    return f'<a id="{key}"></a>**`{key}`** {text}{arxiv}\n'

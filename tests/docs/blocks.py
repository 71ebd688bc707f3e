"""Code blocks of the documentation: found, run, and their output compared.

In a page, in order and in one namespace, in an empty folder:

- every `python` block runs; a `text` block behind `<!-- output -->` is what it prints;
- a `console` block behind `<!-- run -->` (`<!-- run: 1 -->` for another exit code)
  runs its `$ lemmata...` lines; what follows a command, if anything, is what it prints;
- `<!-- needs: MODULE -->` before a `python` block skips it, and the output behind it,
  where MODULE is missing.
"""

import contextlib
import importlib.util
import io
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>output|run|needs)(?:: (?P<word>[\w.]+))? -->\n+)?"
    r"^```(?P<kind>\w+)[^\n]*\n(?P<body>.*?)^```$",
    re.M | re.S,
)
NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?(?![\w.]*[A-Za-z_])")
SECONDS = re.compile(r"\d[\d.e+-]* (?:s|seconds|GB)\b")


@dataclass(frozen=True)
class Block:
    kind: str
    body: str
    line: int
    mark: str = ""
    word: str = ""


def blocks(markdown: str) -> list[Block]:
    return [
        Block(
            found["kind"],
            found["body"],
            markdown[: found.start()].count("\n") + 1,
            found["mark"] or "",
            found["word"] or "",
        )
        for found in BLOCK.finditer(markdown)
    ]


class Mismatch(AssertionError):
    """What a page says and what is printed differ."""


@dataclass
class Page:
    """Runs one page's blocks; `printed` is what the last Python block said."""

    path: Path
    namespace: dict[str, Any] = field(default_factory=lambda: {"__name__": "page"})
    printed: str | None = ""

    def run(self) -> None:
        for block in blocks(self.path.read_text(encoding="utf-8")):
            place = f"{self.path.name}, line {block.line}"
            if block.kind == "python":
                known = block.mark != "needs" or importlib.util.find_spec(block.word)
                self.printed = self._python(block) if known else None
            elif block.kind == "text" and block.mark == "output":
                if self.printed is not None:
                    compare(block.body, self.printed, place)
            elif block.kind == "console" and block.mark == "run":
                self._console(block, place)

    def _python(self, block: Block) -> str:
        code = compile("\n" * block.line + block.body, str(self.path), "exec")
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec(code, self.namespace)
        return out.getvalue()

    def _console(self, block: Block, place: str) -> None:
        lines = block.body.replace("\\\n", " ").splitlines()
        starts = [i for i, line in enumerate(lines) if line.startswith("$ ")]
        for start, stop in zip(starts, [*starts[1:], len(lines)], strict=True):
            code, printed = command(lines[start][2:])
            assert code == int(block.word or 0), f"{place}: exit {code}\n{printed}"
            expected = "\n".join(lines[start + 1 : stop])
            if expected.strip():
                compare(expected, printed, place)


def command(line: str) -> tuple[int, str]:
    """Runs a command of ours in this process."""
    from lemmata.cli import main as lemmata
    from lemmata_checker.cli import main as lemmata_check

    words = shlex.split(line, comments=True)
    programs = {"lemmata": lemmata, "lemmata-check": lemmata_check}
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        code = programs[words[0]](words[1:])
    return code, out.getvalue()


def compare(expected: str, printed: str, place: str) -> None:
    """Words must agree; `...` stands for anything; see `_close` for figures."""
    pattern, figures = "", []
    want, got = _tidy(expected), _tidy(printed)
    for part in re.split(r"(\.\.\.)", want):
        if part == "...":
            pattern += ".*?"
            continue
        rest = 0
        for number in NUMBER.finditer(part):
            pattern += re.escape(part[rest : number.start()]) + f"({NUMBER.pattern})"
            figures.append(float(number[0]))
            rest = number.end()
        pattern += re.escape(part[rest:])
    found = re.fullmatch(pattern, got, re.S)
    message = f"{place}\n--- the page says\n{expected}\n--- printed\n{printed}"
    if found is None:
        raise Mismatch(message)
    for said, shown in zip(figures, found.groups(), strict=True):
        if not _close(said, float(shown)):
            raise Mismatch(f"{said} against {shown}: {message}")


def _tidy(text: str) -> str:
    text = SECONDS.sub("... s", text)
    return "\n".join(" ".join(line.split()) for line in text.strip().splitlines())


def _close(said: float, shown: float) -> bool:
    """Whether two figures say the same to a reader on another machine.

    Below 1e-6 stand residues of rounding: only that is compared. Below 1e-3 stand
    ratios of small errors: a factor of two. Above, 5 %: a step more or less of 26.
    """
    if abs(said) < 1e-6:
        return abs(shown) < 1e-6
    if abs(said) < 1e-3:
        return said * shown > 0 and 0.5 <= shown / said <= 2
    return abs(said - shown) <= 0.05 * abs(said)

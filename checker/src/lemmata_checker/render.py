"""A report as text that reads well in a terminal."""

import textwrap
from collections.abc import Iterator

from .case import Decision
from .report import Report

_WIDTH = 100


def render(name: str, report: Report) -> str:
    """Lines for one file: the problem, each claim, what is missing, the verdict."""
    lines = [f"{name}: {report.system}, problem {report.kind}"]
    width = max((len(source.name) for source in report.sources), default=0)
    for source in report.sources:
        content = source.content if len(source.content) < 60 else "(long)"
        lines.append(f"  {source.name:{width}}  {content}  [{source.origin}]")
    result = report.stated.get("result")
    if result:
        lines += _wrapped(f"the run says: {result['name']}. {result['sentence']}", 2)
    for decision in report.decisions:
        lines += ["", *_claim(decision)]
    lines.append("")
    for entry in report.withheld:
        lines += _wrapped(f"withheld {entry['id']}: {entry['reason']}", 2)
    lines += [f"  absent   {claim_id}" for claim_id in report.absent]
    if report.unjudged:
        lines += _wrapped(f"no claim looks at {', '.join(report.unjudged)}", 2)
    lines.append(f"  seed {report.seed}")
    lines.append(report.verdict)
    return "\n".join(printable(line) for line in lines)


def figure(value: float) -> str:
    """Four significant digits, or an integer as such."""
    if abs(value) < 1e6 and value == int(value):
        return str(int(value))
    return f"{value:.4g}"


def _claim(decision: Decision) -> Iterator[str]:
    verdict = "HOLDS" if decision.holds else "FAILS"
    parameters = ", ".join(f"{k}={v}" for k, v in decision.parameters.items())
    suffix = f"  {parameters}" if parameters else ""
    yield f"  {verdict}  {decision.id}  ({decision.grade}){suffix}"
    yield from _wrapped(decision.statement, 9)
    unit = f" {decision.unit}" if decision.unit else ""
    measured, promised = _pair(decision)
    yield (
        f"         measured {measured} {decision.relation} promised {promised}{unit}"
        f", margin {figure(decision.margin)}"
    )
    if decision.detail:
        yield from _wrapped(decision.detail, 9)
    if decision.figures:
        shown = (f"{name} {figure(value)}" for name, value in decision.figures.items())
        yield from _wrapped(", ".join(shown), 9)
    if decision.assumptions:
        shown = (f"{name} {state}" for name, state in decision.assumptions.items())
        yield from _wrapped(f"assumes {', '.join(shown)}", 9)


def _pair(decision: Decision) -> tuple[str, str]:
    """Both figures, in full where four digits would show them as equal."""
    short = figure(decision.measured), figure(decision.promised)
    if short[0] == short[1] and decision.measured != decision.promised:
        return repr(decision.measured), repr(decision.promised)
    return short


def _wrapped(text: str, indent: int) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + 2),
        break_long_words=False,
    )


def printable(line: str) -> str:
    """The line without anything that could drive a terminal."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)

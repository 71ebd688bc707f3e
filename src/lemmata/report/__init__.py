"""Static pages over studies: what was promised, what was measured, who agrees.

Needs the extra `report` (Jinja2, plotly); imports neither JAX nor the core.
"""

from importlib.util import find_spec
from pathlib import Path

from ._errors import ReportError as ReportError, Unreadable as Unreadable


def write_report(studies: Path, out: Path, benchmarks: Path | None) -> Path:
    """Writes the pages for every study under `studies` and returns the front page.

    The pages open from disk, without a network. The same input gives the same bytes.
    Files in `out` are replaced one by one, each whole; the front page is the last.

    **Arguments:**

    - `studies`: what `lemmata study -o` wrote, one folder a system.
    - `out`: folder of the pages, made if need be. Files of other names in it stay.
    - `benchmarks`: folder with one `<slug>.json` a system, or `None` for none.

    **Raises:** `ReportError` if a folder is missing, `out` cannot be written, or the
    optional packages are not installed. A study or benchmark that cannot be read is
    no error: the front page names it with the reason.
    """
    for package in ("jinja2", "plotly"):
        if find_spec(package) is None:
            raise ReportError(
                f"the report needs {package}: pip install 'lemmata[report]'"
            )
    from ._site import build  # imports the optional packages

    return build(Path(studies), Path(out), None if benchmarks is None else benchmarks)

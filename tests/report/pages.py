"""Writing and reading pages in tests."""

from html.parser import HTMLParser
from pathlib import Path

from lemmata.report import write_report

from .conftest import write_study

ATTACK = (
    '</script><script>pwned=1</script><img src=x onerror="pwned=1">\u2028{{1234567*10}}'
)
# Words that study.json may only choose from; the attack goes into all other texts.
FIXED = {"format", "slug", "kind", "style", "role", "grade", "relation", "file"}


class Elements(HTMLParser):
    """Every start tag of a page, and the text outside scripts."""

    def __init__(self, page: str):
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += f" {data}"

    def all(self, name: str) -> list[dict]:
        return [attributes for tag, attributes in self.tags if tag == name]


def attacked(value, key=""):
    if isinstance(value, dict):
        return {k: attacked(v, k) for k, v in value.items()}
    if isinstance(value, list):
        return [attacked(v, key) for v in value]
    fixed = key in FIXED or value in ("holds", "fails", "withheld")
    return ATTACK if isinstance(value, str) and not fixed else value


def written(tmp_path, content, *, benchmarks=None) -> str:
    """The page of one study."""
    write_study(tmp_path / "one", content)
    out = tmp_path / "pages"
    write_report(tmp_path / "one", out, benchmarks)
    return (out / content["slug"] / "index.html").read_text()


def tree(folder: Path) -> dict[str, bytes]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}

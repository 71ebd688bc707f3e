"""`python -m benchmarks [SLUG ...]`: runs the benchmarks, saves and prints them."""

import importlib
import sys

from benchmarks.harness import show
from lemmata import catalogue


def main(slugs: list[str]) -> int:
    for slug in slugs or list(catalogue.entries()):
        module = catalogue.entry(slug).benchmark.removesuffix(".py")
        report = importlib.import_module(f"benchmarks.{module}").benchmark()
        show(report)
        print(f"saved {report.save()}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

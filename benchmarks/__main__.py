"""`python -m benchmarks [SLUG ...]`: runs the benchmarks, saves and prints them.

One that fails is told at the end, with exit status 1; the others run all the same.
"""

import importlib
import sys
import time
import traceback

from benchmarks.harness import show
from lemmata import catalogue


def main(slugs: list[str]) -> int:
    slugs = slugs or list(catalogue.entries())
    try:
        modules = [catalogue.entry(s).benchmark.removesuffix(".py") for s in slugs]
    except catalogue.UnknownSystem as error:
        print(error, file=sys.stderr)
        return 2
    failed = []
    for number, (slug, module) in enumerate(zip(slugs, modules, strict=True), 1):
        start = time.perf_counter()
        try:
            report = importlib.import_module(f"benchmarks.{module}").benchmark()
            show(report)
            outcome = f"saved {report.save()}"
        except Exception:
            traceback.print_exc()
            failed.append(slug)
            outcome = "failed"
        seconds = time.perf_counter() - start
        line = f"{number} of {len(slugs)}: {slug}, {seconds:.0f} s, {outcome}"
        print(line, flush=True)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

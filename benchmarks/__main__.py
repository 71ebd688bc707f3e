"""`python -m benchmarks [SLUG ...]`: runs the benchmarks, saves and prints them.

Several run one after the other, each in a process of its own: compiled code of all of
them is more than one process may map. One that fails is told at the end, with exit
status 1; the others run all the same.
"""

import importlib
import subprocess
import sys
import time

from benchmarks.harness import show
from lemmata import catalogue


def main(slugs: list[str]) -> int:
    slugs = slugs or list(catalogue.entries())
    try:
        entries = [catalogue.entry(slug) for slug in slugs]
    except catalogue.UnknownSystem as error:
        print(error, file=sys.stderr)
        return 2
    if len(entries) > 1:
        return _each(slugs)
    module = entries[0].benchmark.removesuffix(".py")
    report = importlib.import_module(f"benchmarks.{module}").benchmark()
    show(report)
    print(f"saved {report.save()}")
    return 0


def _each(slugs: list[str]) -> int:
    failed = []
    for number, slug in enumerate(slugs, 1):
        start = time.perf_counter()
        done = subprocess.run([sys.executable, "-m", "benchmarks", slug], check=False)
        if done.returncode:
            failed.append(slug)
        seconds = time.perf_counter() - start
        outcome = f"exit {done.returncode}, {seconds:.0f} s"
        print(f"{number} of {len(slugs)}: {slug}, {outcome}", flush=True)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

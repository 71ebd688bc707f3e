"""The entry point: find the command, run it, turn every error into one sentence."""

import os
import sys
import traceback
from collections.abc import Sequence

from ._parser import build, run
from ._refusal import sentence

INTERRUPTED = 130  # 128 + SIGINT, as shells have it
BAD_INPUT = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one `lemmata` command.

    **Returns:** 0 done and certified, 1 a claim fails or the run did not converge,
    2 bad usage or input (one sentence on stderr), 130 interrupted.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    try:
        code = run(build(), words)
        sys.stdout.flush()
        return code
    except SystemExit as stop:  # --help, --version, and lemmata-check
        return stop.code if isinstance(stop.code, int) else 0
    except KeyboardInterrupt:
        print("lemmata: Interrupted.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BAD_INPUT
    except Exception as error:
        if debug:
            traceback.print_exc()
        print(f"lemmata: {sentence(error)}", file=sys.stderr)
        return BAD_INPUT

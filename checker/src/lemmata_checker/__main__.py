"""`python -m lemmata_checker`: the same as `lemmata-check`."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())

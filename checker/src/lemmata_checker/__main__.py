"""`python -m lemmata_checker`: the same as `lemmata-check`."""

import sys

from .cli import main

sys.exit(main())

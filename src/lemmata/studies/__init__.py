"""One file per system: the paper's headline result replayed against its baselines."""

from ._record import (
    Figure as Figure,
    Plot as Plot,
    Series as Series,
    StudyRecord as StudyRecord,
    Table as Table,
)
from ._runner import Summary as Summary, run_studies as run_studies

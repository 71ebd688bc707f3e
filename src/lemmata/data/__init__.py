"""Readers for users' own files; and real data that ships with packages."""

from ._images import read_image as read_image
from ._libsvm import Labelled as Labelled, read_libsvm as read_libsvm
from ._read import (
    judge_reads as judge_reads,
    read_array as read_array,
    read_matrix as read_matrix,
)
from ._tables import read_parquet as read_parquet

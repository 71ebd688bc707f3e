"""The contract: problems, methods, and the one driver between them."""

from ._arrays import (
    AnyArray as AnyArray,
    array64 as array64,
    float64 as float64,
    is_concrete as is_concrete,
    to_jax as to_jax,
)
from ._certificate import Certificate as Certificate
from ._claim import (
    CONVERGED as CONVERGED,
    NOT_FINITE as NOT_FINITE,
    Claim as Claim,
    Outcome as Outcome,
    Withheld as Withheld,
)
from ._compare import Comparison as Comparison, compare as compare
from ._describe import describe as describe
from ._errors import (
    CheckpointMismatch as CheckpointMismatch,
    InvalidArgument as InvalidArgument,
    InvalidInput as InvalidInput,
    InvalidMethod as InvalidMethod,
    InvalidProblem as InvalidProblem,
    LemmataError as LemmataError,
    NotCertified as NotCertified,
    NotConverged as NotConverged,
    TooLarge as TooLarge,
    Undisclosable as Undisclosable,
    UnreadableFile as UnreadableFile,
)
from ._file import load as load
from ._method import AbstractMethod as AbstractMethod
from ._problem import (
    AbstractProblem as AbstractProblem,
    AbstractValue as AbstractValue,
    require as require,
)
from ._progress import ProgressEvent as ProgressEvent
from ._run import run as run
from ._solution import Solution as Solution, Stats as Stats
from ._solve import certify as certify, solve as solve
from ._stream import AbstractStream as AbstractStream, Recorded as Recorded
from ._versions import versions as versions

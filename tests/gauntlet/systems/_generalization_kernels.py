"""Bad inputs of kernel classifiers and their measures, for the gauntlet."""

from typing import Any

import numpy as np

from lemmata.certify import (
    GaussianKernel,
    GeneralizationBounds,
    KernelClassifier,
    KernelRademacher,
    LaplaceKernel,
    Occam,
    PACBayes,
    PolynomialKernel,
)
from lemmata.certify._example_generalization import _network

X, Y = np.ones((9, 2)), np.zeros(9)
text: Any = "1"
half: Any = 1.5


def network() -> Any:
    return _network([np.ones((3, 2)), np.ones((1, 3))])


def kernels(kernel: Any = None, centres: Any = X, coefficients=Y, **changed) -> Any:
    kernel = GaussianKernel(1.0) if kernel is None else kernel
    given: dict[str, Any] = {
        "train": (X, Y),
        "measures": (KernelRademacher(draws=5),),
    }
    if "network" not in changed:
        given["network"] = KernelClassifier(centres, coefficients, kernel)
    return GeneralizationBounds(**(given | changed))


KERNELS = (
    ("width 0", lambda: GaussianKernel(0.0), r"GaussianKernel\.width: .*1e-100"),
    ("width NaN", lambda: LaplaceKernel(np.nan), r"LaplaceKernel\.width: .*nan"),
    ("width text", lambda: LaplaceKernel(text), r"LaplaceKernel\.width: .*'1'"),
    (
        "indefinite",
        lambda: PolynomialKernel(2, offset=-1.0),
        r"PolynomialKernel\.offset: .*\[0, 1e\+100\], got -1",
    ),
    ("degree", lambda: PolynomialKernel(0), r"PolynomialKernel\.degree: .*1 to 20"),
    ("degree 1.5", lambda: PolynomialKernel(half), r"\.degree: .*got 1\.5"),
    ("kernel", lambda: kernels(kernel="rbf"), r"\.kernel: .*GaussianKernel.*str"),
    ("centres", lambda: kernels(centres=Y), r"\.centres: .*\(m, d\)"),
    ("too few", lambda: kernels(coefficients=Y[:4]), r"\.coefficients: .*\(9,"),
    ("NaN", lambda: kernels(coefficients=Y * np.nan), r"\.coefficients: .*finite"),
    (
        "many centres",
        lambda: kernels(centres=np.ones((4001, 2)), coefficients=np.ones(4001)),
        r"\.centres: .*at most 4000.*got 4001",
    ),
    (
        "intercept",
        lambda: KernelClassifier(X, Y, GaussianKernel(1.0), np.inf),
        r"\.intercept: .*number",
    ),
    ("3 labels", lambda: kernels(train=(X, Y + 2)), r"\.train_labels: .*\[0, 2\)"),
    (
        "centres' width",
        lambda: kernels(train=(np.ones((9, 3)), Y)),
        r"\.train_inputs: .*2 numbers each",
    ),
    (
        "initial kernels",
        lambda: kernels(initial=network()),
        r"\.initial: .*model's shape",
    ),
    (
        "norms of kernels",
        lambda: kernels(measures=(PACBayes(),)),
        r"\.measures\[0\]: .*PACBayes, a chain of dense",
    ),
    ("bits of kernels", lambda: kernels(measures=(Occam(),)), r"Occam, a network"),
    (
        "kernels of networks",
        lambda: kernels(network=network()),
        r"KernelRademacher, a KernelClassifier",
    ),
    (
        "key",
        lambda: kernels(measures=(KernelRademacher(key=-1),)),
        r"KernelRademacher, a key",
    ),
)

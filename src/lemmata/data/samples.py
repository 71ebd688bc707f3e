"""Real data that ships with scikit-learn (extra `studies`): photographs and digits."""

from typing import Any

import numpy as np

from ..core import LemmataError


class DataNotFound(LemmataError, ImportError):
    """A data set's package is not installed; the message says which extra has it."""


def photograph(name: str, every: int = 1) -> np.ndarray:
    """A sample photograph.

    **Arguments:**

    - `name`: `"china"` or `"flower"`, each 427 x 640 pixels.
    - `every`: keep every so-manieth row and column.

    **Returns:** shape `(h, w, 3)`, float64, RGB in [0, 1].
    """
    load_sample_image = _sklearn("sklearn.datasets", "load_sample_image")
    pixels = load_sample_image(f"{name}.jpg")[::every, ::every]
    return np.asarray(pixels, dtype=np.float64) / 255.0


def colours(name: str, count: int, seed: int = 0) -> np.ndarray:
    """`count` pixels of a photograph, drawn without replacement.

    **Returns:** shape `(count, 3)`, float64, RGB in [0, 1].
    """
    pixels = photograph(name).reshape(-1, 3)
    chosen = np.random.default_rng(seed).choice(len(pixels), count, replace=False)
    return pixels[chosen]


def palette(
    name: str, count: int, seed: int = 0, every: int = 37
) -> tuple[np.ndarray, np.ndarray]:
    """Centres of `count` clusters of a photograph's colours, and each pixel's cluster.

    **Arguments:** `every`: keep every so-manieth pixel of the flattened picture.

    **Returns:** `(centres, labels)`, shapes `(count, 3)` and `(pixels,)`.
    """
    cluster = _sklearn("sklearn.cluster", "MiniBatchKMeans")
    pixels = photograph(name).reshape(-1, 3)[::every]
    model = cluster(n_clusters=count, random_state=seed, n_init=3).fit(pixels)
    return np.asarray(model.cluster_centers_, dtype=np.float64), model.labels_


def digit_pair(
    first: int = 0, second: int = 1, size: int = 28, floor: float = 0.01
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two handwritten digits as histograms on a common grid.

    **Arguments:**

    - `first`, `second`: indices into scikit-learn's 8 x 8 digits.
    - `size`: side of the grid that they are bilinearly enlarged to.
    - `floor`: added to every pixel (of maximum 1) before normalising.

    **Returns:** `(grid, source, target)`: pixel positions `(size**2, 2)` in [0, 1],
    two weight vectors `(size**2,)` that sum to 1.
    """
    from scipy.ndimage import zoom

    images = _sklearn("sklearn.datasets", "load_digits")().images
    axis = np.linspace(0.0, 1.0, size)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    weights = []
    for index in (first, second):
        enlarged: Any = zoom(images[index], size / 8, order=1)
        image = np.maximum(enlarged, 0.0)
        mass = image.reshape(-1) / image.max() + floor
        weights.append(mass / mass.sum())
    return grid, weights[0], weights[1]


def _sklearn(module: str, name: str):
    import importlib

    try:
        return getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise DataNotFound(
            f"{module} is needed for this data: pip install 'lemmata[studies]'"
        ) from error

"""Stability of two-layer ReLU networks, of an MLP on digits, and of a ConvNet."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from ..certify import (
    ExactMeanSquare,
    SGDStability,
    TwoLayerReLU,
    reach_minimum,
    sharpness,
)
from ..core import float64
from ._desk import Desk
from ._record import Expected

WITHHELD: dict[str, Expected] = {
    "certify.sgd_trace_equivalence/1": "withheld",
    "certify.sgd_path_norm/1": "withheld",
    "certify.sgd_path_generalization/1": "withheld",
    "certify.sgd_unstable/1": "withheld",
}


def two_layer(desk: Desk, width: int, n: int = 400, d: int = 20) -> None:
    """A balanced network at a minimum: trace, path norm and their bounds."""
    rng = np.random.default_rng(width)
    model = TwoLayerReLU()
    drawn = {
        "inner": rng.normal(size=(width, d)),
        "outer": rng.normal(size=width) / width,
    }
    params = TwoLayerReLU.balanced(drawn, d)
    inputs = rng.normal(size=(n, d))
    targets = model.predictions(params, inputs)
    problem = SGDStability(model, params, inputs, targets, 1e-3)
    solution = desk.solve(
        f"relu{width}",
        f"Two-layer ReLU, width {width}, {n} Gaussian samples",
        problem,
        ExactMeanSquare(),
        expect={"certify.sgd_unstable/1": "withheld"},
    )
    points = rng.normal(size=(4000, d))
    norm = float(model.norm_bound(params, points).norm)
    found = float(solution.value.max_learning_rate)
    desk.figure(
        f"Tr G over sqrt(d) path norm, balanced, width {width}, 4000 points",
        paper="at least 1 for isotropic inputs",
        ours=f"{float(model.trace(params, points)) / (d**0.5 * norm):.4f}",
        note=f"unbalanced {float(model.trace(drawn, points)) / (d**0.5 * norm):.2f}",
    )
    desk.figure(
        f"Path norm and its bound 2 / (eta sqrt(d)) at the largest rate, width {width}",
        paper="free of the width",
        ours=f"{norm:.3f} and {2 / (found * d**0.5):.3f}",
        note=f"gradient descent: 2 pi / eta = {2 * np.pi / found:.1f}",
    )


def perceptron(params: dict[str, Any], x: Any) -> Any:
    """One hidden layer of tanh units, a number out."""
    hidden = jnp.tanh(params["inner"] @ x + params["shift"])
    return params["outer"] @ hidden + params["offset"]


@jax.jit
def _nearer(params: dict[str, Any], inputs: Any, targets: Any) -> dict[str, Any]:
    """The least step to parameters that fit, by the linearised network."""
    flat, restore = ravel_pytree(params)

    def outputs(w):
        return jax.vmap(perceptron, (None, 0))(restore(w), inputs)

    rows = jax.jacrev(outputs)(flat)
    step = jnp.linalg.lstsq(rows, targets - outputs(flat))[0]
    return restore(flat + step)


def digits(desk: Desk, samples: int, width: int = 32) -> None:
    """An MLP that tells digits below five from the others, trained by SGD.

    SGD comes close to a minimum soon and then crawls; a few Gauss-Newton steps of least
    length end at a minimum that fits, next to where SGD was.
    """
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    inputs = images[:samples] / 16.0
    targets = np.where(labels[:samples] < 5, -1.0, 1.0)
    rng = np.random.default_rng(0)
    params = {
        "inner": rng.normal(size=(width, 64)) / 8,
        "shift": np.zeros(width),
        "outer": rng.normal(size=width) / width**0.5,
        "offset": np.zeros(()),
    }
    rows = []
    for eta, batch in ((0.02, 10), (0.05, 10)):
        found = reach_minimum(
            perceptron,
            params,
            inputs,
            targets,
            eta,
            batch,
            max_updates=60_000,
        )
        reached = found.params
        with float64():
            before = ravel_pytree(reached)[0]
            for _ in range(5):
                reached = _nearer(reached, inputs, targets)
            moved = jnp.linalg.norm(ravel_pytree(reached)[0] - before)
            moved = float(moved / jnp.linalg.norm(before))
        problem = SGDStability(perceptron, reached, inputs, targets, eta, batch)
        solution = desk.solve(
            f"digits{eta}",
            f"MLP on {samples} digits, trained at {eta}",
            problem,
            ExactMeanSquare(),
            expect=WITHHELD,
        )
        value = solution.value
        rows.append(
            (
                f"{eta:g}",
                found.updates,
                f"{found.relative_loss:.1e}",
                f"{moved:.1e}",
                f"{float(value.max_learning_rate):.4f}",
                f"{float(value.trace):.2f}",
                f"{2 * batch / eta:.1f}",
                f"{float(value.lambda_max):.2f}",
            )
        )
    desk.table(
        f"Digits, {samples} samples, batch 10",
        (
            "eta",
            "updates of SGD",
            "its loss",
            "moved to fit",
            "largest stable eta",
            "Tr G",
            "2B / eta",
            "lambda",
        ),
        rows,
    )


def convnet(params: dict[str, Any], x: Any) -> Any:
    """Three convolutions of stride two and a mean: (32, 32, 3) -> number."""
    for name in ("one", "two", "three"):
        kernel = params[name]
        x = jax.lax.conv_general_dilated(
            x[None], kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )[0]
        x = jax.nn.relu(x)
    return jnp.mean(x, axis=(0, 1)) @ params["last"]


def convolutional_instance(samples: int = 256, channels: int = 64) -> tuple[Any, ...]:
    """Parameters, images and labels; for an accelerator at the default size."""
    rng = np.random.default_rng(0)
    sizes = (3, channels, channels, channels)
    params: dict[str, Any] = {
        name: rng.normal(size=(3, 3, a, b)) * (2 / (9 * a)) ** 0.5
        for name, a, b in zip(("one", "two", "three"), sizes, sizes[1:], strict=False)
    }
    params["last"] = rng.normal(size=channels) / channels**0.5
    images = rng.normal(size=(samples, 32, 32, 3))
    return params, images, np.sign(rng.normal(size=samples))


def convolutional(desk: Desk) -> None:
    """Sharpness of a ConvNet by products alone."""
    found = sharpness(convnet, *convolutional_instance(), products=60, rtol=1e-6)
    desk.table(
        "ConvNet of 75,000 parameters, by products with gradients and Hessian",
        ("quantity", "Gauss-Newton", "Hessian"),
        [
            (
                "trace",
                f"{found.trace:.4g}",
                f"{found.hessian_trace:.4g} +- {found.hessian_trace_width:.2g}",
            ),
            (
                "largest eigenvalue",
                f"{found.lambda_max:.5g}",
                f"{found.hessian_lambda_max:.5g}",
            ),
        ],
    )

"""A PAC-Bayes bound for a network, its posterior variances and prior scale trained.

Source: Dziugaite and Roy, UAI 2017; Maurer 2004 for the inequality.
"""

import math
from functools import partial
from typing import Any, ClassVar, NamedTuple, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from lemmata_checker.rules.certify_generalization_posterior import normals

from ..core import InvalidArgument
from ._measure import AbstractMeasure, BoundResult, Kind, Sample
from ._measure_counting import IID
from ._measure_model import TrainedModel, margins_of
from ._measure_tails import kl_inverse_number

LARGEST, PRECISION = 0.1, 100  # prior variances 0.1 exp(-j / 100), j = 1, 2, ...


class Posterior(NamedTuple):
    """Standard deviations (p,) around the weights, and j of the prior variance."""

    deviation: np.ndarray
    prior: int


@final
class PACBayes(AbstractMeasure):
    """kl^-1(Q_S || (KL(Q || P) + ln(2 sqrt(n)/delta_j)) / n), of a stochastic network.

    Q = N(w, diag(s^2)) around the trained weights, P = N(w_0, v I) around the initial
    ones, v = 0.1 exp(-j/100), delta_j = 6 delta / (pi j)^2. s and v are trained by Adam
    on a surrogate. Q_S is at most kl^-1(mean || ln(1/sampling_delta) / draws). The
    bound is on a network whose weights are drawn anew from Q for each input.

    **Fields:**

    - `draws`: of weights, for the loss of Q.
    - `steps`, `learning_rate`: of Adam.
    - `delta`, `sampling_delta`: chances of failure, of the bound and of the draws.
    """

    draws: int = eqx.field(default=500, static=True)
    steps: int = eqx.field(default=500, static=True)
    learning_rate: float = eqx.field(default=0.02, static=True)
    delta: float = eqx.field(default=0.05, static=True)
    sampling_delta: float = eqx.field(default=0.01, static=True)
    name: ClassVar[str] = "pac_bayes"
    kind: ClassVar[Kind] = "gibbs"

    def value(self, model: Any, data: Sample, algorithm: Any = None) -> BoundResult:
        """With a posterior trained from key 0; `EvaluateMeasures` keeps it instead."""
        posterior = self.fit(model, data, 0)
        return self.of_posterior(model, data, posterior, 0)

    def misfit(self, model: Any, data: Sample) -> str | None:
        if len(data.labels) < 8:
            return "at least 8 samples"
        if not (isinstance(self.steps, int) and self.steps >= 0):
            return "steps >= 0"
        return model.dense_misfit()

    def fit(self, model: TrainedModel, data: Sample, key: int) -> Posterior:
        """Deviations and prior variance that make the bound small."""
        centre, start = model.vector, model.initial_vector
        with jax.enable_x64(True):
            static = _Static(model.network, self.steps)
            log_s, log_v = _trained(
                static,
                jnp.asarray(centre),
                jnp.asarray(centre - start),
                jnp.asarray(data.inputs),
                jnp.asarray(data.labels.astype(np.int64)),
                jax.random.key(key % 2**32),
                jnp.asarray(self.learning_rate),
                jnp.asarray(self.delta),
            )
            deviation = np.exp(np.asarray(log_s))
            j = (math.log(LARGEST) - float(log_v)) * PRECISION
        return Posterior(deviation, max(1, round(j)))

    def of_posterior(
        self, model: TrainedModel, data: Sample, posterior: Posterior, key: int
    ) -> BoundResult:
        """The bound at one posterior."""
        s, j = posterior
        n = len(data.labels)
        variance = LARGEST * math.exp(-j / PRECISION)
        away = model.vector - model.initial_vector
        ratio = s**2 / variance
        kl = 0.5 * float(np.sum(ratio - 1 - np.log(ratio)))
        kl += float(away @ away) / (2 * variance)
        mean = self.gibbs_loss(model, data, s, key)
        loss = kl_inverse_number(mean, math.log(1 / self.sampling_delta) / self.draws)
        share = math.log(math.pi**2 * j**2 / (6 * self.delta))
        allowed = (kl + math.log(2 * math.sqrt(n)) + share) / n
        bound = kl_inverse_number(loss, allowed)
        said = (
            IID,
            "prior centred at weights from before training",
            "pseudo-random normal numbers",
        )
        confidence = 1 - self.delta - self.sampling_delta
        return BoundResult(bound, confidence, said, "gibbs")

    def gibbs_loss(
        self, model: TrainedModel, data: Sample, deviation: np.ndarray, key: int
    ) -> float:
        """Share of errors over all draws and samples, ties included."""
        centre, errors = model.vector, 0
        static = _Static(model.network, 0)
        step = max(1, 2**20 // centre.size)
        with jax.enable_x64(True):
            inputs = jnp.asarray(data.inputs)
            for start in range(0, self.draws, step):
                stop = min(start + step, self.draws)
                noise = normals(key, start, stop, centre.size)
                for row in centre + deviation * noise:
                    scores = np.asarray(_scores(static, row, inputs))
                    found, room = margins_of(scores, data.labels)
                    errors += int(np.sum(~(found > room)))
        return errors / (self.draws * len(data.labels))


class _Static:
    """The architecture, hashed by value, so that compiled code is found again."""

    def __init__(self, network: Any, steps: int) -> None:
        self.nodes, self.steps = network.nodes, steps
        self.shapes = tuple(
            tuple(None if a is None else np.shape(a) for a in pair)
            for pair in zip(network.weights, network.biases, strict=True)
        )

    def __hash__(self) -> int:
        return hash((self.nodes, self.shapes, self.steps))

    def __eq__(self, other: object) -> bool:
        mine = (self.nodes, self.shapes, self.steps)
        return isinstance(other, _Static) and mine == (
            other.nodes,
            other.shapes,
            other.steps,
        )

    def forward(self, flat: Any, x: Any) -> Any:
        """Outputs (n, K) with the parameters `flat`."""
        place = 0
        for node, (weight, bias) in zip(self.nodes, self.shapes, strict=True):
            if node.op == "dense":
                assert weight is not None
                size = math.prod(weight)
                x = x @ flat[place : place + size].reshape(weight).T
                place += size
                if bias is not None:
                    x = x + flat[place : place + bias[0]]
                    place += bias[0]
            elif node.op in ("relu", "leaky_relu"):
                x = jnp.where(x > 0, x, node.low_slope * x)
        return x


@partial(jax.jit, static_argnums=0)
def _scores(static: _Static, flat: Any, inputs: Any) -> Any:
    return static.forward(flat, inputs)


def _surrogate(scores: Any, labels: Any) -> Any:
    """Cross-entropy in units in which a coin flip among the labels costs 1."""
    if scores.shape[1] == 1:
        sign = 2.0 * labels - 1.0
        return jnp.mean(jax.nn.softplus(-sign * scores[:, 0])) / math.log(2)
    picked = jnp.take_along_axis(jax.nn.log_softmax(scores), labels[:, None], axis=1)
    return -jnp.mean(picked) / math.log(scores.shape[1])


@partial(jax.jit, static_argnums=0)
def _trained(
    static: _Static,
    centre: Any,
    away: Any,
    inputs: Any,
    labels: Any,
    key: Any,
    rate: Any,
    delta: Any,
) -> tuple[Any, Any]:
    """Logarithms of deviations and of the prior variance, after Adam."""
    n, p = inputs.shape[0], centre.size
    distance = jnp.sum(away**2)

    def objective(free: Any, noise: Any) -> Any:
        log_s, log_v = free
        log_v = jnp.minimum(log_v, math.log(LARGEST) - 1 / PRECISION)
        ratio = jnp.exp(2 * log_s - log_v)
        kl = 0.5 * jnp.sum(ratio - 1 + log_v - 2 * log_s)
        kl += 0.5 * distance * jnp.exp(-log_v)
        j = (math.log(LARGEST) - log_v) * PRECISION
        allowed = kl + jnp.log(2 * jnp.sqrt(n) * (math.pi * j) ** 2 / (6 * delta))
        scores = static.forward(centre + jnp.exp(log_s) * noise, inputs)
        return _surrogate(scores, labels) + jnp.sqrt(allowed / (2 * n))

    optimizer = optax.adam(rate)
    # The prior variance at which the distance alone costs p / 2, so both are of a size.
    log_v = jnp.log(jnp.clip(distance / p, 1e-8, 0.5 * LARGEST))
    free = (jnp.full(p, 0.5 * log_v), log_v)

    def step(carry: Any, key: Any) -> tuple[Any, None]:
        free, state = carry
        noise = jax.random.normal(key, (p,))
        gradient = jax.grad(objective)(free, noise)
        change, state = optimizer.update(gradient, state, free)
        return (optax.apply_updates(free, change), state), None

    keys = jax.random.split(key, static.steps)
    (free, _), _ = jax.lax.scan(step, (free, optimizer.init(free)), keys)
    return free[0], jnp.minimum(free[1], math.log(LARGEST) - 1 / PRECISION)


def check_posterior(deviation: np.ndarray, size: int) -> None:
    """Raises `InvalidArgument` unless these are deviations of `size` weights."""
    good = np.shape(deviation) == (size,) and bool(np.all(np.asarray(deviation) > 0))
    if not good:
        expected = f"{size} numbers > 0"
        raise InvalidArgument("posterior_deviation", expected, np.shape(deviation))

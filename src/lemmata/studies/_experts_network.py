"""A small classifier of handwritten digits with two mixture-of-experts layers.

The patches of an image are its tokens. Attention mixes the tokens of one image; in an
expert layer the tokens of 16 images, one group, compete for the experts' buffers.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jaxtyping import Float, Int, PRNGKeyArray

from ..transport import AbstractRouter, Dispatch, buffer_size

IMAGES, TOKENS, PIXELS = 16, 16, 4  # images a group, tokens an image, pixels a token
WIDTH, HIDDEN, EXPERTS, LAYERS, CLASSES = 32, 64, 8, 2, 10
GROUP = IMAGES * TOKENS
RATE = 5e-3  # of Adam at the start; it falls to zero along a cosine

MakeRouter = Callable[[PRNGKeyArray], AbstractRouter]


class Digits(NamedTuple):
    """Images as patches `(groups, 16, 16, 4)` in [-1, 1] and classes `(groups, 16)`."""

    patches: np.ndarray
    classes: np.ndarray


def digits() -> tuple[Digits, Digits]:
    """scikit-learn's digits, 1,344 to train on and 448 to test, by one fixed shuffle.

    Groups are whole: five images are left over.
    """
    from sklearn.datasets import load_digits

    raw: Any = load_digits()
    images, classes = np.asarray(raw.images), np.asarray(raw.target)
    groups = len(classes) // IMAGES
    order = np.random.default_rng(0).permutation(len(classes))[: groups * IMAGES]
    # Four by four patches of two by two pixels, of sixteen levels each.
    patches = images[order].reshape(-1, 4, 2, 4, 2).transpose(0, 1, 3, 2, 4) / 8 - 1
    patches = patches.reshape(groups, IMAGES, TOKENS, PIXELS).astype(np.float32)
    classes = classes[order].reshape(groups, IMAGES).astype(np.int32)
    kept = 3 * groups // 4
    return (
        Digits(patches[:kept], classes[:kept]),
        Digits(patches[kept:], classes[kept:]),
    )


class ExpertLayer(eqx.Module):
    """Perceptrons with one hidden layer; a router gives each a buffer of tokens."""

    router: AbstractRouter
    up: Float[Array, "n d h"]
    down: Float[Array, "n h d"]

    def __init__(self, make: MakeRouter, key: PRNGKeyArray):
        first, second, third = jax.random.split(key, 3)
        self.router = make(first)
        self.up = _normal(second, EXPERTS, WIDTH, HIDDEN)
        self.down = _normal(third, EXPERTS, HIDDEN, WIDTH)

    def __call__(self, tokens: Float[Array, "m d"]) -> tuple[Array, Dispatch]:
        """Combined outputs `(m, d)`, zero for a token without an expert."""
        done = self.router(tokens)
        cap = buffer_size(tokens.shape[0], EXPERTS, self.router.capacity_factor)
        # Dispatched tokens come first; what else fills a buffer has the weight zero.
        filled = done.dispatch.T.astype(tokens.dtype)
        places = jax.lax.top_k(filled, cap)[1]
        weights = jnp.take_along_axis(done.combine.T, places, axis=1)
        inner = jax.nn.gelu(jnp.einsum("ncd,ndh->nch", tokens[places], self.up))
        outer = jnp.einsum("nch,nhd->ncd", inner, self.down) * weights[..., None]
        return jnp.zeros_like(tokens).at[places].add(outer), done


class Network(eqx.Module):
    """Embedding, blocks of attention and experts, mean over tokens, classes.

    The layers' arrays are stacked on a first axis, l.
    """

    embed: Float[Array, "p d"]
    position: Float[Array, "t d"]
    attention: Float[Array, "l four d d"]
    experts: ExpertLayer
    head: Float[Array, "d c"]

    def __init__(self, make: MakeRouter, key: PRNGKeyArray):
        keys = jax.random.split(key, 5)
        self.embed = _normal(keys[0], PIXELS, WIDTH)
        self.position = 0.1 * jax.random.normal(keys[1], (TOKENS, WIDTH))
        self.attention = _normal(keys[2], LAYERS, 4, WIDTH, WIDTH)
        self.head = _normal(keys[3], WIDTH, CLASSES)
        layers = jax.random.split(keys[4], LAYERS)
        self.experts = eqx.filter_vmap(lambda key: ExpertLayer(make, key))(layers)

    def __call__(
        self, patches: Float[Array, "i t p"]
    ) -> tuple[Float[Array, "i c"], tuple[Float[Array, "l m n"], Dispatch]]:
        """Scores of the classes of one group; logits and decisions of all routers."""
        arrays, static = eqx.partition(self.experts, eqx.is_array)

        def block(x: Array, part: tuple[Array, ExpertLayer]):
            layer = eqx.combine(part[1], static)
            x = x + _attend(_normalised(x), part[0])
            tokens = _normalised(x).reshape(GROUP, WIDTH)
            outputs, done = layer(tokens)
            x = x + outputs.reshape(x.shape)
            return x, (tokens @ layer.router.weight.T, done)

        x = patches @ self.embed + self.position
        x, decided = jax.lax.scan(block, x, (self.attention, arrays))
        return _normalised(x).mean(axis=1) @ self.head, decided


def _normal(key: PRNGKeyArray, *shape: int) -> Array:
    return jax.random.normal(key, shape) / math.sqrt(shape[-2])


def _normalised(x: Array) -> Array:
    return (x - x.mean(-1, keepdims=True)) / (x.std(-1, keepdims=True) + 1e-5)


def _attend(x: Float[Array, "i t d"], matrices: Float[Array, "four d d"]) -> Array:
    """One head over the tokens of each image."""
    query, key, value = (x @ matrix for matrix in matrices[:3])
    scores = query @ key.swapaxes(-1, -2) / math.sqrt(WIDTH)
    return jax.nn.softmax(scores, axis=-1) @ value @ matrices[3]


class Trained(NamedTuple):
    """What came of one router, the seeds on the first axis of everything.

    **Fields:** `accuracy` (seeds, tests) on the test images; over the decisions of
    both layers on them, `uncovered`: share of tokens without an expert, `dropped`:
    share of requests that found a buffer full, `load`: most tokens of one expert,
    (seeds,) each; `logits` (seeds, groups, layers, tokens, experts) of the routers.
    """

    accuracy: np.ndarray
    uncovered: np.ndarray
    dropped: np.ndarray
    load: np.ndarray
    logits: np.ndarray


def train(make: MakeRouter, seeds: int, epochs: int, every: int) -> Trained:
    """Trains one network per seed, all of them at once, in float32; a group a step.

    The seeds decide weights and order of the groups, the same for every router. There
    is a test after `every` epochs, a divisor of `epochs`.
    """
    training, test = digits()
    keys = jax.vmap(jax.random.key)(jnp.arange(seeds))
    networks = eqx.filter_jit(eqx.filter_vmap(lambda key: Network(make, key)))(keys)
    arrays, static = eqx.partition(networks, eqx.is_inexact_array)
    rule = optax.adam(optax.cosine_decay_schedule(RATE, len(training.classes) * epochs))

    @jax.jit
    @jax.vmap
    def advance(arrays: Network, moments: Any, key: PRNGKeyArray):
        return _epoch(arrays, moments, key, static, training, rule)

    tested = jax.jit(jax.vmap(lambda arrays: _tested(arrays, static, test)))
    moments, found = jax.vmap(rule.init)(arrays), []
    for epoch in range(1, epochs + 1):
        orders = jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, epoch)
        arrays, moments = advance(arrays, moments, orders)
        if epoch % every == 0:
            found.append([np.asarray(part) for part in tested(arrays)])
    return Trained(np.stack([f[0] for f in found], axis=1), *found[-1][1:])


def _epoch(
    arrays: Network,
    moments: Any,
    key: PRNGKeyArray,
    static: Network,
    data: Digits,
    rule: optax.GradientTransformation,
) -> tuple[Network, Any]:
    """Once through the training groups, in a random order."""
    patches, classes = (jnp.asarray(part) for part in data)

    def advance(carry: Any, group: Int[Array, ""]):
        arrays, moments = carry
        slope = jax.grad(_loss)(arrays, static, patches[group], classes[group])
        update, moments = rule.update(slope, moments)
        return (eqx.apply_updates(arrays, update), moments), None

    order = jax.random.permutation(key, len(classes))
    return jax.lax.scan(advance, (arrays, moments), order)[0]


def _loss(arrays: Network, static: Network, patches: Array, classes: Array) -> Array:
    scores, _ = eqx.combine(arrays, static)(patches)
    return optax.softmax_cross_entropy_with_integer_labels(scores, classes).mean()


def _tested(arrays: Network, static: Network, data: Digits) -> tuple[Array, ...]:
    """Share of right classes, and what `Trained` holds of the decisions."""
    network = eqx.combine(arrays, static)
    scores, (logits, done) = jax.vmap(network)(jnp.asarray(data.patches))
    right = jnp.argmax(scores, axis=-1) == data.classes
    shares = done.uncovered().mean(), done.dropped().mean()
    return right.mean(), *shares, done.load().max(), logits

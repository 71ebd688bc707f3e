"""Networks of directions: layers, files, data sets, training, certificates."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

import lemmata as lm
from lemmata.core import InvalidArgument, InvalidMethod, UnreadableFile
from lemmata.linear import (
    SOLID,
    DeepConjugateDirection,
    DirectionNetwork,
    DirectionTraining,
    GridPoisson,
    Lanczos,
    PretrainedDirections,
    RitzDataset,
    SavedDirections,
    SineModes,
    TrainDirections,
)
from lemmata.linear._ritz import ritz_vectors
from lemmata_checker.rules.linear_directions import forward, layers_of

SMALL = {"channels": 3, "levels": 2, "depths": (2, 2, 2)}


def box(*shape):
    return GridPoisson(np.ones(shape), np.zeros(shape))


@pytest.mark.parametrize(("shape", "bias"), [((7, 10), True), ((5, 4, 6), False)])
def test_network_is_the_judges(shape, bias):
    """Odd sizes padded and cropped alike; plane by plane in space."""
    network = DirectionNetwork(len(shape), **SMALL, bias=bias, key=5)
    rng = np.random.default_rng(0)
    if bias:
        noise = [rng.normal(size=c.bias.shape) for c in network.convolutions]
        arrays = network.weights()
        for k, b in enumerate(noise):
            arrays[f"bias_{k:02d}"] = b.astype(np.float32)
        network = DirectionNetwork.of(network.architecture(), arrays)
    field = rng.normal(size=shape)
    sizes = network.architecture()
    expected = forward(layers_of(sizes, network.weights()), sizes, field)
    with jax.enable_x64(True):
        found = jax.jit(lambda x: network(x))(jnp.asarray(field))
    # both in float64, sums of at most 81 products a layer
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


def test_without_biases_the_network_is_homogeneous():
    network = DirectionNetwork(2, **SMALL)
    field = jnp.asarray(np.random.default_rng(0).normal(size=(8, 8)), jnp.float32)
    np.testing.assert_array_equal(network(4 * field), 4 * network(field))


def test_derivative_of_the_convolution():
    """The written derivative against the directional one of the forward pass."""
    network = DirectionNetwork(2, channels=2, levels=1, depths=(2, 0, 0), key=1)
    field = np.random.default_rng(0).normal(size=(4, 4))
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda w: jnp.asarray(w, jnp.float64), network)

        def loss(network, field):
            return jnp.sum(network(field) ** 2)

        gradient = jax.grad(loss, argnums=(0, 1))(wide, jnp.asarray(field))
        flat, unravel = jax.flatten_util.ravel_pytree((wide, jnp.asarray(field)))
        direction = np.random.default_rng(1).normal(size=flat.shape)
        step = 1e-6
        ends = [loss(*unravel(flat + s * step * direction)) for s in (1, -1)]
        slope = jax.flatten_util.ravel_pytree(gradient)[0] @ direction
    # central differences: rounding u / h = 1e-10 relative
    assert float(slope) == pytest.approx(
        float(ends[0] - ends[1]) / (2 * step), rel=1e-6
    )


def test_saved_network_gives_the_same_bits(tmp_path):
    network = DirectionNetwork(2, **SMALL, bias=True, key=2)
    path = network.save(tmp_path / "net.npz")
    again = DirectionNetwork.load(path)
    field = jnp.asarray(np.random.default_rng(0).normal(size=(6, 9)), jnp.float32)
    np.testing.assert_array_equal(again(field), network(field))
    np.testing.assert_array_equal(SavedDirections(str(path))(field), network(field))
    assert again.digest() == network.digest()
    assert lm.core.describe(network)["sha256"] == network.digest()
    with np.load(path, allow_pickle=False) as archive:
        assert all(archive[name].dtype != object for name in archive.files)


@pytest.mark.parametrize("content", [b"", b"PK nonsense"])
def test_unreadable_networks(tmp_path, content):
    path = tmp_path / "net.npz"
    path.write_bytes(content)
    with pytest.raises(UnreadableFile, match="net.npz"):
        DirectionNetwork.load(path)
    other = {"header": np.zeros(3, np.uint8)}
    np.savez(path, **other)
    with pytest.raises(UnreadableFile, match="net.npz"):
        DirectionNetwork.load(path)


def test_another_architecture_is_refused():
    network = DirectionNetwork(2, **SMALL)
    arrays = network.weights()
    del arrays["weight_03"]
    with pytest.raises(InvalidArgument, match="weight_03"):
        DirectionNetwork.of(network.architecture(), arrays)


def test_the_network_that_ships_is_small_and_of_the_plane():
    from lemmata.linear._direction_network import SHIPPED

    assert SHIPPED.stat().st_size < 300_000
    assert PretrainedDirections().dimension() == DirectionNetwork.load(SHIPPED).dim == 2
    solid = np.full((4, 4, 4), 1)
    with pytest.raises(InvalidMethod, match="dim = 3"):
        lm.solve(GridPoisson(solid, solid * 1.0), DeepConjugateDirection())


def test_ritz_vectors_are_orthonormal_and_of_the_krylov_space():
    """All of them: eigenvectors, multiple eigenvalues included."""
    cells = np.ones((5, 5))
    cells[2, 2] = SOLID
    operator = GridPoisson(cells, np.zeros((5, 5)))
    values, vectors = ritz_vectors(operator, 24, np.random.default_rng(0))
    dense = operator.matrix().toarray()
    keep = np.flatnonzero(cells.ravel() == 1)
    expected = scipy.linalg.eigvalsh(dense[np.ix_(keep, keep)])
    # full re-orthogonalisation: n u ||A|| ~ 1e-13
    np.testing.assert_allclose(values, expected, atol=1e-12)
    np.testing.assert_allclose(vectors @ vectors.T, np.eye(24), atol=1e-12)
    np.testing.assert_allclose(vectors @ dense, values[:, None] * vectors, atol=1e-11)
    assert not np.any(vectors[:, 12])


@pytest.mark.parametrize("method", [Lanczos(63), SineModes()])
def test_low_modes_are_nine_times_as_loud(method):
    """By the power in sine modes of a box, which all its Ritz vectors span."""
    operator = box(7, 9)
    data = RitzDataset(operator, 4000, 0, method, 1).vectors()
    assert data.dtype == np.float32
    # float32 rounding of a unit vector
    np.testing.assert_allclose(np.linalg.norm(data, axis=1), 1, rtol=1e-6)
    values, modes = np.linalg.eigh(operator.matrix().toarray())
    power = np.mean((data @ modes) ** 2, axis=0)
    low, high = power[values < 3.9].mean(), power[values > 4.1].mean()
    # 31 modes of variance 81 and 32 of 1; the mean of 4000 squares is within 3 percent
    assert low / high == pytest.approx(81, rel=0.2)


def test_the_same_key_gives_the_same_vectors():
    one, two = (RitzDataset(box(5, 5), 3, key=7).vectors() for _ in range(2))
    np.testing.assert_array_equal(one, two)
    with pytest.raises(InvalidArgument, match="Lanczos.vectors"):
        RitzDataset(box(3, 3), 3, method=Lanczos(10)).vectors()
    with pytest.raises(InvalidMethod, match="box of fluid"):
        RitzDataset(GridPoisson([[1, 2]], [[0, 0]]), 3, method=SineModes())


@pytest.fixture(scope="module")
def training():
    data = RitzDataset(box(8, 8), 60, method=SineModes())
    return DirectionTraining.of(data, **SMALL, loss_tol=0.95)


@pytest.fixture(scope="module")
def trained(training):
    return lm.solve(training, TrainDirections(steps=40, batch=6), key=1)


def test_training_is_certified_and_lowers_the_loss(training, trained):
    losses = trained.stats.trace["validation_loss"]
    assert trained.certified
    claim = trained.certificate["validation_loss"]
    # float32 in training, float64 by the judge
    assert claim.measured == pytest.approx(losses[-1], rel=1e-4)
    assert claim.measured < 0.9 * losses[8]  # the first epoch's
    assert len(losses) == 40


def test_training_resumes_to_the_same_bits(training, trained, tmp_path):
    method = TrainDirections(steps=40, batch=6)
    path = tmp_path / "run.ckpt"
    options = {"key": 1, "checkpoint": path, "throw": False}
    part = lm.solve(training, method, max_steps=17, **options)
    assert part.result.name == "max_steps"
    resumed = lm.solve(training, method, **options)
    for name, array in trained.value.pack().items():
        np.testing.assert_array_equal(resumed.value.pack()[name], array)


def test_trained_network_travels_and_a_changed_weight_is_noticed(trained, tmp_path):
    path = trained.save(tmp_path / "net.lemma")
    again = lm.load(path)
    assert again.certified
    assert again.value.network.digest() == trained.value.network.digest()
    arrays = trained.value.pack()
    arrays["weight_00"] = arrays["weight_00"] * np.float32(-30) + 1
    forged = trained.problem.value_from(arrays)
    measured = lm.certify(trained.problem, forged).certificate["validation_loss"]
    assert measured.measured != trained.certificate["validation_loss"].measured


def test_size_independence_is_claimed_where_asked_for(training):
    method = TrainDirections(steps=2, batch=6, sizes=(1, 2))
    found = lm.solve(training, method, throw=False)
    claim = found.certificate["size_independence"]
    assert claim.grade == "evidence"
    assert claim.measured >= 1.0
    assert set(claim.figures) == {"steps at 64 cells", "steps at 256 cells"}

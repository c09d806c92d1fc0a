"""Derivatives against finite differences on the same noise: what is differentiated is the simulation itself."""

import numpy as np
import pytest

from twin import compute
from twin.models.board_gradient import simulate_board
from twin.models.network import sample_network

KEY = (7, 8)
CELLS, ROWS, TRAJECTORIES = 12, 5, 37
HARMONIC, CONFINED, BISTABLE, SKEWED = (0.5, 0, 0), (1, 0, 1), (-1, 0, 1), (-0.5, 0.4, 1)
RESET = {"first": 1.0, "step": 1 / 16}
SERIAL = {"first": 0.7, "interval": 0.25, "observations": 3, "step": 0.06}


@pytest.fixture(autouse=True)
def _threads_restored():
    before = compute.threads()
    yield
    compute.set_threads(before)


def topology(name):
    rng = np.random.default_rng(11)
    couplings = np.triu(rng.normal(scale=0.5, size=(CELLS, CELLS)), 1)
    layer = np.arange(CELLS) // 4
    keep = {
        "layered": layer[None, :] - layer[:, None] == 1,
        "random": rng.random((CELLS, CELLS)) < 0.3,
        "dense": np.ones((CELLS, CELLS), bool),
        "uncoupled": np.zeros((CELLS, CELLS), bool),
    }[name]
    return (couplings + couplings.T) * (keep | keep.T)


class Case:
    """A program, the weights of a linear loss, and that loss as a function of the parameters."""

    def __init__(self, name, stiffness, *, temperature=0.1, read=(1, 5, 11), **schedule):
        rng = np.random.default_rng(12)
        self.parameters = {
            "couplings": topology(name),
            "bias": rng.normal(size=CELLS),
            "weights": rng.normal(size=(CELLS, 2)),
        }
        self.fixed = {"stiffness": np.tile(stiffness, (CELLS, 1)).astype(float), "temperature": temperature}
        self.inputs = rng.uniform(-1, 1, (ROWS, 2))
        self.options = {"trajectories": TRAJECTORIES, "key": KEY, "read": read, **schedule}
        self.loss_weights = rng.normal(size=(ROWS, TRAJECTORIES, schedule.get("observations", 1), len(read)))

    def run(self, **changes):
        parameters = self.parameters | changes
        return simulate_board(**parameters, **self.fixed, inputs=self.inputs, **self.options)

    def loss(self, **changes):
        return (self.loss_weights * self.run(**changes).samples).sum()

    def gradient(self):
        return self.run().gradient(self.loss_weights)

    def slope(self, kind, direction, reach=2e-3):
        """Derivative of the loss along a direction, by differences of order 4."""
        at = {
            k: self.loss(**{kind: self.parameters[kind] + k * reach * direction}) for k in (-2, -1, 1, 2)
        }  # fmt: skip
        return (8 * (at[1] - at[-1]) - (at[2] - at[-2])) / (12 * reach)


def directions(case, kind, gradient):
    """Along the gradient, where the slope is largest, and along a random direction."""
    rng = np.random.default_rng(13)
    random = rng.normal(size=gradient.shape)
    if kind == "couplings":
        random = (random + random.T) * (case.parameters["couplings"] != 0)
    return gradient / np.linalg.norm(gradient), random / np.linalg.norm(random)


def check_against_differences(case, kinds=("couplings", "bias", "weights"), tolerance=1e-3):
    found = case.gradient()
    for kind in kinds:
        gradient = getattr(found, kind)
        share = 0.5 if kind == "couplings" else 1.0  # each coupling stands there twice
        for direction in directions(case, kind, gradient):
            expected = share * (gradient * direction).sum()
            assert case.slope(kind, direction) == pytest.approx(
                expected, abs=tolerance * share * np.linalg.norm(gradient)
            ), kind


@pytest.mark.parametrize("schedule", [RESET, SERIAL], ids=["reset", "serial"])
@pytest.mark.parametrize("name", ["layered", "random", "dense"])
def test_derivatives_are_those_of_the_simulation_for_every_topology(name, schedule):
    check_against_differences(Case(name, CONFINED, **schedule))


@pytest.mark.parametrize("stiffness", [HARMONIC, BISTABLE, SKEWED])
@pytest.mark.parametrize("step", [0.05, 0.2])
def test_derivatives_hold_where_energies_curve_upwards_and_downwards(stiffness, step):
    check_against_differences(Case("layered", stiffness, first=1.0, step=step))


def test_without_couplings_cells_are_differentiated_one_by_one():
    case = Case("uncoupled", CONFINED, **RESET)
    check_against_differences(case, kinds=("bias", "weights"))
    assert not case.gradient().couplings.any()


def test_a_burn_in_is_differentiated_too():
    check_against_differences(Case("layered", CONFINED, first=2.2, interval=0.2, observations=4, step=0.1))


def test_a_single_step_is_differentiated_by_hand():
    """From x = 0 without noise, a harmonic cell goes in one step h to h b / (1 + h J2)."""
    h, j2 = 0.25, 0.5
    run = simulate_board([[0.0]], [2.0], [[3.0]], [(j2, 0, 0)], [[0.5]], 0.0, trajectories=1, key=KEY, first=h, step=h)
    gradient = run.gradient(np.ones((1, 1, 1, 1)))
    slope = h / (1 + h * j2)
    assert run.samples.item() == pytest.approx(slope * (2.0 - 1.5))
    assert gradient.bias.item() == pytest.approx(slope)
    assert gradient.weights.item() == pytest.approx(-0.5 * slope)


def test_a_cell_at_a_rail_passes_nothing_on():
    """Of two harmonic cells, rate 2, the first is driven to its rail at 2 long before the second is observed."""
    options = {"trajectories": 3, "key": KEY, "first": 4.0, "step": 0.1, "rail": 2.0}
    arrays = [[0.0, 0.5], [0.5, 0.0]], [9.0, 0.1], np.zeros((2, 0)), [(1, 0, 0)] * 2, np.zeros((1, 0)), 0.0
    run = simulate_board(*arrays, **options)
    assert (run.samples[..., 0] == 2.0).all()
    first, second = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    assert not run.gradient(np.broadcast_to(first, run.samples.shape)).bias.any()
    gradient = run.gradient(np.broadcast_to(second, run.samples.shape))
    assert gradient.bias[0] == pytest.approx(0.0, abs=1e-4)
    assert gradient.bias[1] == pytest.approx(3 * 0.5, rel=1e-3)
    assert gradient.couplings[0, 1] == pytest.approx(-2.0 * 3 * 0.5, rel=1e-3)


@pytest.mark.parametrize("count", [2, 3])
def test_derivatives_do_not_depend_on_the_number_of_threads(count):
    case = Case("layered", CONFINED, **SERIAL)
    compute.set_threads(1)
    one = case.gradient()
    compute.set_threads(count)
    for alone, together in zip(one, case.gradient(), strict=True):
        np.testing.assert_array_equal(alone, together)


def test_derivatives_add_up_over_many_blocks_of_trajectories():
    """70 * 64 trajectories, two blocks to a batch: the whole is the sum of its rows run as they are addressed."""
    rng = np.random.default_rng(14)
    couplings = [[0.0, 0.7], [0.7, 0.0]]
    arrays = couplings, [0.3, -0.2], [[1.0], [0.0]], [CONFINED] * 2, rng.uniform(-1, 1, (70, 1)), 0.1
    run = simulate_board(*arrays, trajectories=64, key=KEY, first=0.5, step=0.1)
    weights = rng.normal(size=run.samples.shape)
    whole = run.gradient(weights)
    parts = []
    for rows in (slice(0, 33), slice(33, 70)):
        masked = np.zeros_like(weights)
        masked[rows] = weights[rows]
        parts.append(run.gradient(masked))
    for kind, (first, second) in zip(whole._fields, zip(*parts, strict=True), strict=True):
        np.testing.assert_allclose(getattr(whole, kind), first + second, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("schedule", [RESET, SERIAL], ids=["reset", "serial"])
@pytest.mark.parametrize("name", ["layered", "dense"])
def test_what_is_differentiated_is_what_the_network_does(name, schedule):
    case = Case(name, SKEWED, **schedule)
    p = case.parameters
    samples = sample_network(
        p["couplings"][None].astype(np.float32), (p["bias"] - case.inputs @ p["weights"].T)[None].astype(np.float32),
        case.fixed["stiffness"][None].astype(np.float32), 0.1, **case.options,
    )  # fmt: skip
    np.testing.assert_allclose(case.run().samples, samples[0], rtol=1e-4, atol=1e-5)

import ast
import math
import subprocess
import sys
import threading
import tracemalloc

import numpy as np
import pytest

from twin.models.thermodynamic_board import (
    FULL_SCALE,
    RAIL,
    Cancelled,
    Imperfections,
    Integrator,
    Program,
    SampleMemoryError,
    Schedule,
    ThermodynamicBoard,
)

NO_INPUT = np.zeros((1, 0))
BRIEF = Schedule("reset", 1000, 1.0)


def program(bias, couplings=None, weights=None, quadratic=1.0, cubic=0.0, quartic=1.0):
    bias = np.atleast_1d(np.asarray(bias, float))
    n = len(bias)
    return Program(
        couplings=np.zeros((n, n)) if couplings is None else couplings,
        bias=bias,
        weights=np.zeros((n, 0)) if weights is None else weights,
        quadratic=np.broadcast_to(quadratic, n),
        cubic=np.broadcast_to(cubic, n),
        quartic=np.broadcast_to(quartic, n),
    )


def simulate(programs, inputs=NO_INPUT, schedule=BRIEF, board=None, **options):
    arguments = {"temperature": 0.1, "seed": 1, "acquisition": 0} | options
    return (board or ThermodynamicBoard()).simulate(programs, inputs, schedule, **arguments)


def layered(seed=0, n=8, k=2):
    rng = np.random.default_rng(seed)
    layer = np.arange(n) // 2
    couplings = np.triu(rng.normal(size=(n, n)) * (np.abs(layer[:, None] - layer) == 1), 1)
    return program(rng.normal(size=n), couplings + couplings.T, rng.normal(size=(n, k)))


# the thermal gradients of equilibrium propagation on a three-cell board, by quadrature
R5 = program(
    [0.3, -0.2, 0.1],
    np.array([[0, 0.9, -0.6], [0.9, 0, 1.1], [-0.6, 1.1, 0]]),
    np.array([[0.7], [-0.5], [0.2]]),
    cubic=[0.1, 0.0, -0.1],
)
TARGET = 0.4


def test_the_three_cell_board_relaxes_to_its_minimum_without_noise():
    record = simulate([R5], [[0.8]], Schedule("reset", 1, 40.0), temperature=0.0)
    np.testing.assert_allclose(record.mean[0, 0], (-0.30442196, 0.31389769, -0.25230107), atol=2e-6)


@pytest.mark.parametrize(
    ("kT", "cost", "cost_of_mean", "couplings"),
    [
        (0.05, 0.188283, 0.175203, (0.06026867, -0.08979063, 0.09410751)),
        (0.1, 0.176507, 0.151326, (0.04146067, -0.06351957, 0.06392365)),
    ],
)
def test_covariances_are_the_gradients_of_equilibrium_propagation(kT, cost, cost_of_mean, couplings):
    shots = 400_000
    record = simulate([R5], [[0.8]], Schedule("reset", shots, 8.0), temperature=kT)
    x = record.samples[0, 0].astype(float)
    delta = x[:, 2].mean() - TARGET
    assert np.mean((x[:, 2] - TARGET) ** 2) / 2 == pytest.approx(cost, abs=1.5e-3)
    assert delta**2 / 2 == pytest.approx(cost_of_mean, abs=1.5e-3)
    for (i, j), expected in zip(((0, 1), (0, 2), (1, 2)), couplings, strict=True):
        products = x[:, i] * x[:, j]
        terms = (products - products.mean()) * (x[:, 2] - x[:, 2].mean()) * -delta / kT
        assert terms.mean() == pytest.approx(expected, abs=5 * terms.std() / math.sqrt(shots) + 0.01 * abs(expected))
    if kT == 0.05:
        gradient = record.covariance[0, 0, 2] * delta / kT
        np.testing.assert_allclose(gradient, (-0.12271999, 0.16006947, -0.30971708), atol=2e-3)


def test_results_are_ordered_by_slot_row_shot_and_cell():
    programs = [program([b, b + 1.0], weights=np.array([[2.0], [0.0]])) for b in (0.0, 3.0, -3.0)]
    record = simulate(programs, [[-1.0], [1.0]], Schedule("reset", 50, 8.0), temperature=1e-6)
    assert record.samples.shape == (3, 2, 50, 2)
    assert record.mean.shape == (3, 2, 2)
    force = record.mean * 2 + 4 * record.mean**3
    np.testing.assert_allclose(force[:, :, 0], [[2, -2], [5, 1], [-1, -5]], atol=1e-2)
    np.testing.assert_allclose(force[:, :, 1], [[1, 1], [4, 4], [-2, -2]], atol=1e-2)


def test_moments_are_those_of_the_raw_samples():
    record = simulate([layered(0), layered(1)], [[0.3, -0.2], [1.0, 0.5], [0.0, 0.0]], Schedule("reset", 500, 1.0))
    samples = record.samples.astype(float)
    np.testing.assert_allclose(record.mean, samples.mean(axis=2), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(record.variance, samples.var(axis=2, ddof=1), rtol=1e-9)
    np.testing.assert_allclose(record.standard_error, samples.std(axis=2, ddof=1) / math.sqrt(500), rtol=1e-9)
    np.testing.assert_allclose(record.covariance[1, 2], np.cov(samples[1, 2].T), rtol=1e-8, atol=1e-12)
    np.testing.assert_array_equal(record.covariance, record.covariance.swapaxes(2, 3))


@pytest.mark.parametrize("covariances", [True, False])
@pytest.mark.parametrize("shape", [(3, 8), (1, 3, 8), (2, 3, 8)])
def test_projections_are_those_of_the_raw_samples(shape, covariances):
    linear = np.random.default_rng(1).normal(size=shape)
    record = simulate([layered(0), layered(1)], [[0.3, -0.2], [1.0, 0.5]], projections=linear, covariances=covariances)
    rowwise = np.broadcast_to(linear, (2, 3, 8))
    for p in range(2):
        for r in range(2):
            samples = record.samples[p, r].astype(float)
            projected = samples @ rowwise[r].T
            np.testing.assert_allclose(record.projection_mean[p, r], projected.mean(axis=0), rtol=1e-7, atol=1e-9)
            both = np.cov(projected.T, samples.T)[:3, 3:]
            np.testing.assert_allclose(record.projection_covariance[p, r], both, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("sampling", ["reset", "serial"])
def test_moments_without_samples_are_the_same(sampling):
    schedule = Schedule(sampling, 300, 0.5, burn_in=1.0)
    kept = simulate([layered()], [[0.1, 0.2]], schedule)
    lean = simulate([layered()], [[0.1, 0.2]], schedule, keep_samples=False, covariances=False)
    assert lean.samples is None
    assert lean.covariance is None
    np.testing.assert_allclose(lean.mean, kept.mean, rtol=1e-12)
    np.testing.assert_allclose(lean.variance, kept.variance, rtol=1e-9)
    np.testing.assert_allclose(lean.standard_error, kept.standard_error, rtol=1e-9)


@pytest.mark.parametrize("sampling", ["reset", "serial"])
@pytest.mark.parametrize("chunk", [1, 100, 1000])
def test_results_do_not_depend_on_how_a_run_is_cut(monkeypatch, sampling, chunk):
    arguments = [layered(0), layered(1)], np.random.default_rng(2).normal(size=(5, 2)), Schedule(sampling, 33, 0.3)
    board = ThermodynamicBoard(imperfections=Imperfections(read_noise=0.01, adc_bits=12, offset=0.1))
    whole = simulate(*arguments, board=board)
    monkeypatch.setattr("twin.models.run.CHUNK", chunk)
    cut = simulate(*arguments, board=board)
    np.testing.assert_array_equal(cut.samples, whole.samples)
    np.testing.assert_allclose(cut.covariance, whole.covariance, rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(cut.standard_error, whole.standard_error, rtol=1e-9)


def test_a_slot_and_a_row_give_the_same_data_alone_and_in_company():
    programs, inputs = [layered(i) for i in range(3)], np.random.default_rng(2).normal(size=(4, 2))
    together = simulate(programs, inputs, slots=[5, 9, 7], rows=[10, 11, 12, 13])
    alone = simulate([programs[1]], inputs[2:3], slots=[9], rows=[12])
    np.testing.assert_array_equal(alone.samples[0, 0], together.samples[1, 2])


def test_equal_seeds_and_acquisitions_give_equal_data_and_others_do_not():
    first = simulate([layered()], [[0.0, 0.0]]).samples
    np.testing.assert_array_equal(simulate([layered()], [[0.0, 0.0]]).samples, first)
    for other in ({"seed": 2}, {"acquisition": 1}):
        assert (simulate([layered()], [[0.0, 0.0]], **other).samples == first).mean() < 1e-3


def test_equal_seeds_give_equal_data_on_boards_that_differ_in_nothing_but_their_name():
    size = {"read_noise": 0.1, "adc_bits": 10}
    boards = [ThermodynamicBoard(name=name, imperfections=Imperfections(**size)) for name in ("first", "second")]
    first, second = (simulate([layered()], [[0.0, 0.0]], board=board).samples for board in boards)
    np.testing.assert_array_equal(first, second)
    deviating = [ThermodynamicBoard(name=name, imperfections=Imperfections(offset=0.1)) for name in ("first", "second")]
    first, second = (simulate([layered()], [[0.0, 0.0]], board=board).samples for board in deviating)
    assert (first == second).mean() < 1e-3


def test_boards_of_other_names_or_seeds_have_other_noise_until_they_are_given_a_seed():
    boards = [ThermodynamicBoard(name=name, seed=seed) for name in ("first", "second") for seed in (0, 1, -1)]
    assert len({board.noise_seed for board in boards}) == len(boards)
    assert all(0 <= board.noise_seed < 2**32 for board in boards)
    assert ThermodynamicBoard(name="first").noise_seed == boards[0].noise_seed


@pytest.mark.slow
def test_serial_and_reset_sampling_agree_in_the_long_run():
    reset = simulate([layered(0)], [[0.3, -0.2]], Schedule("reset", 60_000, 10.0), temperature=0.5)
    serial = simulate([layered(0)], [[0.3, -0.2]], Schedule("serial", 60_000, 1.0, burn_in=10.0), temperature=0.5)
    error = np.hypot(reset.standard_error, serial.standard_error)
    assert (np.abs(reset.mean - serial.mean) < 5 * error).all()
    np.testing.assert_allclose(serial.variance, reset.variance, rtol=0.06)
    assert (serial.standard_error > 0.5 * reset.standard_error).all()


def test_the_standard_error_of_a_series_counts_its_correlations():
    means, errors = [], []
    for acquisition in range(60):
        record = simulate(
            [program(0.0, quartic=0.0)], schedule=Schedule("serial", 4096, 0.1, burn_in=5.0), acquisition=acquisition
        )
        means.append(record.mean.item())
        errors.append(record.standard_error.item())
    assert np.mean(errors) == pytest.approx(np.std(means), rel=5 / math.sqrt(120))
    naive = math.sqrt(0.05 / 4096)
    assert np.mean(errors) > 2 * naive


def test_the_standard_error_of_a_short_series_of_slow_hops_is_that_of_its_mean():
    rows, board = np.zeros((500, 0)), ThermodynamicBoard()
    for shots, interval in ((200, 0.5), (3000, 0.02)):
        schedule = Schedule("serial", shots, interval, burn_in=10.0)
        record = simulate([program(0.3, quadratic=-1.0)], rows, schedule, board, temperature=0.3)
        error = np.sqrt(np.mean(record.standard_error**2))
        assert error == pytest.approx(record.mean.std(), rel=5 / math.sqrt(2 * len(rows)) + 0.1)


def test_a_single_shot_has_no_standard_error():
    record = simulate([layered()], [[0.0, 0.0]], Schedule("serial", 1, 1.0))
    assert np.isnan(record.standard_error).all()
    assert not record.variance.any()


def test_reading_some_cells_gives_what_reading_all_gives():
    everything = simulate([layered(), layered(1)], [[0.1, 0.2]])
    some = simulate([layered(), layered(1)], [[0.1, 0.2]], cells=[6, 1])
    np.testing.assert_array_equal(some.samples, everything.samples[..., [6, 1]])


def test_cells_that_nothing_read_depends_on_do_not_change_what_is_read():
    couplings = np.zeros((6, 6))
    couplings[0, 4] = couplings[4, 0] = couplings[1, 2] = couplings[2, 1] = 0.8
    whole = program(np.arange(6.0), couplings)
    np.testing.assert_array_equal(simulate([whole], cells=[4]).samples[..., 0], simulate([whole]).samples[..., 4])


def test_a_cell_without_couplings_gives_the_same_data_whatever_else_is_read_or_run():
    couplings = np.zeros((3, 3))
    couplings[0, 1] = couplings[1, 0] = 0.8
    mixed, alone = program(np.arange(3.0), couplings), program(np.arange(3.0))
    whole = simulate([mixed]).samples[0]
    np.testing.assert_array_equal(simulate([mixed], cells=[2]).samples[0, ..., 0], whole[..., 2])
    pair = simulate([mixed, alone], cells=[2], slots=[4, 9])
    np.testing.assert_array_equal(simulate([alone], cells=[2], slots=[9]).samples[0], pair.samples[1])


@pytest.mark.parametrize("sampling", ["reset", "serial"])
def test_a_run_tells_the_shots_done_over_all_its_parts(monkeypatch, sampling):
    monkeypatch.setattr("twin.models.run.CHUNK", 2**10)
    told = []
    schedule = Schedule(sampling, 300, 1.0)
    simulate([layered(), layered(1)], np.zeros((3, 2)), schedule, progress=told.append)
    assert told[0] == 0
    assert told == sorted(told)
    assert 1000 < told[-1] <= 2 * 3 * 300


def test_samples_at_the_rails_are_reported_whatever_the_converter_reads():
    cell = program([16.0, 0.0], quadratic=[-4.0, 1.0], quartic=[0.0, 1.0])
    for size in ({"adc_bits": 8}, {"adc_bits": 8, "adc_range": 2.0}, {"read_noise": 0.1}):
        board = ThermodynamicBoard(imperfections=Imperfections(**size))
        assert simulate([cell], schedule=Schedule("reset", 100, 3.0), board=board).saturated_fraction == 0.5


@pytest.mark.parametrize(
    ("quadratic", "quartic", "bias", "kT"), [(1, 4, 16, 4), (0, 4, 0, 4), (-4, 1, 0, 4), (4, 4, -16, 1)]
)
def test_the_stiffest_and_hottest_cells_agree_with_quadrature(quadratic, quartic, bias, kT):
    x = np.linspace(-5, 5, 100_001)
    energy = quadratic * x**2 + quartic * x**4 - bias * x
    weight = np.exp(-(energy - energy.min()) / kT)
    weight /= weight.sum()
    mean = weight @ x
    variance = weight @ (x - mean) ** 2
    shots = 100_000
    cell = program(bias, quadratic=quadratic, quartic=quartic)
    record = simulate([cell], schedule=Schedule("reset", shots, 5.0), temperature=kT, keep_samples=False)
    assert record.mean.item() == pytest.approx(mean, rel=0.01, abs=5 * math.sqrt(variance / shots))
    assert record.variance.item() == pytest.approx(variance, rel=0.01 + 5 * math.sqrt(2 / shots))


def test_samples_at_the_rails_are_reported():
    record = simulate(
        [program([16.0, 0.0], quadratic=[-4.0, 1.0], quartic=[0.0, 1.0])], schedule=Schedule("reset", 100, 3.0)
    )
    assert record.saturated_fraction == 0.5
    assert record.mean[0, 0, 0] == RAIL
    assert simulate([layered()], [[0.0, 0.0]]).saturated_fraction == 0.0


def test_memory_is_bounded_for_any_number_of_shots():
    schedule = Schedule("reset", 12_000_000, 0.02)
    tracemalloc.start()
    record = simulate([program(0.0)], schedule=schedule, keep_samples=False)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert record.count == 12_000_000
    assert peak < 60e6


def test_a_run_of_any_length_is_cancelled():
    flag = threading.Event()
    threading.Timer(0.1, flag.set).start()
    with pytest.raises(Cancelled):
        simulate([layered()], [[0.0, 0.0]], Schedule("serial", 2**32, 1.0), keep_samples=False, cancelled=flag.is_set)


def test_programs_are_put_out_as_the_converters_can():
    board = ThermodynamicBoard(imperfections=Imperfections(coupling_bits=8, bias_bits=6, weight_bits=4))
    put_out = board.realise(R5)
    np.testing.assert_allclose(put_out.couplings * 16, np.round(R5.couplings * 16), atol=1e-12)
    np.testing.assert_allclose(put_out.bias, np.round(R5.bias * 2) / 2)
    np.testing.assert_allclose(put_out.weights, np.round(R5.weights))
    np.testing.assert_array_equal(put_out.quadratic, R5.quadratic)


def test_what_converters_round_off_is_gone_from_the_samples():
    coarse = ThermodynamicBoard(imperfections=Imperfections(bias_bits=4))
    record = simulate([program([0.9, 1.1])], board=coarse, temperature=0.0, schedule=Schedule("reset", 1, 20.0))
    x = record.mean[0, 0]
    np.testing.assert_allclose(2 * x + 4 * x**3, [0.0, 2.0], atol=1e-4)


def test_a_converter_of_samples_has_so_many_codes():
    board = ThermodynamicBoard(imperfections=Imperfections(adc_bits=5, adc_range=2.0))
    samples = simulate([layered()], [[0.0, 0.0]], board=board, temperature=2.0).samples
    np.testing.assert_array_equal(samples * 8, np.round(samples * 8))
    assert samples.min() >= -2.0
    assert samples.max() <= 1.875


def test_read_noise_adds_its_variance():
    quiet = simulate([program(np.zeros(20))], schedule=Schedule("reset", 5000, 1.0), temperature=0.0)
    board = ThermodynamicBoard(imperfections=Imperfections(read_noise=0.03))
    noisy = simulate([program(np.zeros(20))], schedule=Schedule("reset", 5000, 1.0), temperature=0.0, board=board)
    assert not quiet.variance.any()
    assert noisy.samples.std() == pytest.approx(0.03, rel=5 / math.sqrt(2 * noisy.samples.size))


@pytest.mark.parametrize(
    "size",
    [
        {"coupling_mismatch": 0.1}, {"stiffness_mismatch": 0.1}, {"reciprocity_error": 0.1}, {"offset": 0.1},
        {"drift": 1e-3}, {"settling_time": 0.5},
    ],
)  # fmt: skip
def test_each_imperfection_moves_the_board_and_none_is_on_by_default(size):
    schedule = Schedule("reset", 1, 1.0)
    options = {"temperature": 0.0, "time": 1.0}
    perfect = simulate([layered()], [[0.5, -0.5]], schedule, **options).mean
    imperfect = simulate(
        [layered()], [[0.5, -0.5]], schedule, board=ThermodynamicBoard(imperfections=Imperfections(**size)), **options
    ).mean
    assert 1e-3 < np.abs(imperfect - perfect).max() < 1.0


def test_boards_of_other_seeds_deviate_otherwise():
    means = [
        simulate(
            [layered()], [[0.5, -0.5]], Schedule("reset", 1, 1.0), temperature=0.0,
            board=ThermodynamicBoard(seed=seed, imperfections=Imperfections(coupling_mismatch=0.1)),
        ).mean
        for seed in (1, 2)
    ]  # fmt: skip
    assert np.abs(means[0] - means[1]).max() > 1e-3


def test_a_drifting_board_is_another_one_later():
    board = ThermodynamicBoard(imperfections=Imperfections(drift=1e-3))
    options = {"board": board, "temperature": 0.0, "schedule": Schedule("reset", 1, 1.0)}
    early, again, late = (simulate([program(0.0)], time=time, **options).mean for time in (1.0, 1.0, 3600.0))
    np.testing.assert_array_equal(early, again)
    assert abs(early - late) > 1e-3


def test_wrong_programs_are_refused_with_what_is_wrong():
    good = {"couplings": np.zeros((2, 2)), "bias": np.zeros(2), "weights": np.zeros((2, 1))}
    good |= {name: np.zeros(2) for name in ("quadratic", "cubic", "quartic")}
    wrong = [
        ("couplings", np.zeros((2, 3)), "shape"),
        ("couplings", np.array([[0, 1.0], [2.0, 0]]), "symmetric"),
        ("couplings", np.eye(2), "zero diagonal"),
        ("bias", np.array([np.nan, 0]), "finite"),
        ("bias", np.zeros(0), "one value a cell"),
        ("bias", np.zeros((2, 2)), "one value a cell"),
        ("weights", np.zeros(2), "shape"),
        ("weights", np.full((2, 1), np.inf), "finite"),
        ("quartic", np.zeros(3), "shape"),
    ]
    for name, value, message in wrong:
        with pytest.raises(ValueError, match=message):
            Program(**good | {name: value})


def test_a_program_does_not_follow_the_arrays_it_was_made_of():
    bias = np.zeros(2)
    made = program(bias)
    bias[0] = 1.0
    assert not made.bias.any()
    with pytest.raises(ValueError, match="read-only"):
        made.bias[0] = 1.0


def test_cells_without_a_lower_bound_of_their_energy_are_named():
    cells = program(np.zeros(4), quadratic=-1.0, cubic=[0.0, 1.0, 1.0, 0.0], quartic=[0.0, 0.0, 1.0, -1.0])
    assert cells.unbounded.tolist() == [1, 3]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"programs": []}, "no program"),
        ({"programs": [layered(), layered(n=6)]}, "differ in size"),
        ({"inputs": [[1.0]]}, "rows of 2"),
        ({"inputs": np.zeros((0, 2))}, "rows of 2"),
        ({"inputs": [[np.nan, 0.0]]}, "finite"),
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": np.nan}, "temperature"),
        ({"temperature": np.ones(3)}, "temperature"),
        ({"cells": [8]}, "allowed are 0 to 7"),
        ({"cells": []}, "whole numbers"),
        ({"cells": [0.5]}, "whole numbers"),
        ({"slots": [1, 2]}, "are numbered"),
        ({"rows": [-1]}, "allowed are 0"),
        ({"projections": np.zeros((2, 7))}, "combinations of 8"),
        ({"projections": np.zeros((2, 2, 8))}, "2 rows"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        simulate(**{"programs": [layered()], "inputs": [[0.0, 0.0]]} | arguments)


def test_a_program_larger_than_the_board_is_refused():
    with pytest.raises(ValueError, match="the board has 4"):
        simulate([layered()], [[0.0, 0.0]], board=ThermodynamicBoard(cells=4))


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"schedule": Schedule("reset", 10**9, 1.0)}, "samples"),
        ({"inputs": np.zeros((2**21, 2))}, "covariances|moments"),
    ],
)
def test_a_result_that_does_not_fit_into_memory_is_refused_at_once(options, what):
    with pytest.raises(SampleMemoryError, match=what):
        simulate(**{"programs": [layered()], "inputs": [[0.0, 0.0]], "keep_samples": "schedule" in options} | options)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("often", 1, 1.0), "sampling"), (("reset", 0, 1.0), "shots"), (("reset", 10**12, 1.0), "shots"),
        (("reset", 1, 0.0), "observation_time"), (("reset", 1, math.nan), "observation_time"),
        (("serial", 1, 1.0, -1.0), "burn_in"), (("serial", 1, 1.0, math.inf), "burn_in"),
    ],
)  # fmt: skip
def test_an_impossible_schedule_is_refused_by_name(arguments, name):
    with pytest.raises(ValueError, match=name):
        Schedule(*arguments)


@pytest.mark.parametrize(
    "wrong", [{"step": 0.0}, {"step": math.nan}, {"step": 1.0}, {"scheme": "heun"}, {"noise": "white"}]
)
def test_an_impossible_integrator_is_refused_by_name(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Integrator(**wrong)


@pytest.mark.parametrize("size", [{"cells": 0}, {"cells": 70000}, {"inputs": -1}])
def test_an_impossible_board_is_refused_by_name(size):
    with pytest.raises(ValueError, match=next(iter(size))):
        ThermodynamicBoard(**size)


def test_full_scales_are_those_of_the_data_sheet():
    assert FULL_SCALE["coupling"] == FULL_SCALE["weight"] == (-8.0, 8.0)
    assert FULL_SCALE["bias"] == (-RAIL, RAIL)


@pytest.mark.slow
def test_importing_the_board_loads_no_more_than_it_needs():
    script = "import sys, twin.models.thermodynamic_board; print(set(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert not {"scipy.sparse", "scipy.linalg", "matplotlib", "xarray"} & ast.literal_eval(loaded)


@pytest.mark.slow
def test_warming_up_compiles_every_kernel_a_run_needs():
    script = """if True:
        import numpy as np
        from numba.core.dispatcher import Dispatcher
        from twin.kernels import langevin, moments, ornstein_uhlenbeck, topology, underdamped
        from twin.models.thermodynamic_board import Circuit, Imperfections, Program, Schedule, ThermodynamicBoard

        def compiled():
            modules = (langevin, moments, ornstein_uhlenbeck, topology, underdamped)
            members = [member for module in modules for member in vars(module).items()]
            return {(name, types) for name, k in members if isinstance(k, Dispatcher) for types in k.signatures}

        values = np.ones(3)
        arrays = np.zeros((3, 3)), values, np.ones((3, 2)), values, 0 * values
        programs = [Program(*arrays, quartic * values) for quartic in (0, 1)]
        new = set()
        for inductance in (0.0, 1e-3):
            circuit, imperfections = Circuit(inductance=inductance), Imperfections(read_noise=0.1)
            board = ThermodynamicBoard(circuit=circuit, imperfections=imperfections)
            board.warm_up()
            before = compiled()
            for schedule in (Schedule("reset", 100, 0.2), Schedule("serial", 100, 0.2, 1.0)):
                for keep in (True, False):
                    for options in ({"covariances": False}, {"projections": np.ones((1, 2)), "cells": [0, 2]}):
                        board.simulate(programs, np.ones((4, 2)), schedule, temperature=0.5, seed=1, acquisition=1,
                                       time=1.0, keep_samples=keep, cancelled=lambda: False, **options)
            new |= compiled() - before
        print(len(before), new)
    """
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    count, _, later = shown.partition(" ")
    assert int(count) > 0
    assert later.strip() == "set()"

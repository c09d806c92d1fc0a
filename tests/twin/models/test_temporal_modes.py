"""Overlaps against brute force, closed forms and the mode picture."""

import math

import numpy as np
import pytest
from scipy.integrate import quad

from twin.models import temporal_modes as modes

RNG = np.random.default_rng(1)


def on_a_fine_grid(write, read, write_interval, read_interval, delay, fine):
    """Overlap of waveforms whose edges all lie on multiples of ``fine``."""
    w, r = np.repeat(write, round(write_interval / fine)), np.repeat(read, round(read_interval / fine))
    shift = round(delay / fine)
    length = max(w.size, r.size) + 2 * abs(shift)
    a, b = np.zeros((2, length), complex)
    a[abs(shift) : abs(shift) + w.size] = w
    b[abs(shift) + shift : abs(shift) + shift + r.size] = r
    return abs(np.vdot(b, a)) ** 2 / (np.vdot(a, a).real * np.vdot(b, b).real)


@pytest.mark.parametrize("kind", ["real", "complex"])
@pytest.mark.parametrize("delay", [0.0, 0.7, -1.1, 40.0])
@pytest.mark.parametrize("read_interval", [1.0, 0.3, 1.7])
def test_the_overlap_of_steps_on_any_intervals_is_exact(kind, delay, read_interval):
    write, read = RNG.normal(size=(2, 12)) + (1j * RNG.normal(size=(2, 12)) if kind == "complex" else 0)
    exact = on_a_fine_grid(write, read, 1.0, read_interval, delay, 0.1)
    assert modes.overlap(write, read, 1.0, read_interval, delay) == pytest.approx(exact, abs=1e-13)


def test_a_waveform_overlaps_fully_with_itself_at_any_scale_and_phase():
    waveform = RNG.normal(size=50)
    for other in (waveform, -3 * waveform, 1e-6j * waveform):
        assert modes.overlap(waveform, other, 1e-9) == pytest.approx(1, abs=1e-14)
    assert modes.overlap(waveform, np.repeat(waveform, 3), 3e-9, 1e-9) == pytest.approx(1, abs=1e-13)


def test_a_shifted_rectangle_overlaps_with_the_square_of_what_is_common():
    assert modes.overlap(np.ones(4), np.ones(4), 1.0, delay=1.0) == pytest.approx((3 / 4) ** 2, abs=1e-14)


def test_dark_waveforms_do_not_overlap():
    assert modes.overlap(np.zeros(3), np.ones(3)) == 0.0
    assert modes.overlap(np.ones(3), np.ones(3), delay=3.0) == pytest.approx(0, abs=1e-30)


def test_time_bins_are_orthonormal_and_superpositions_overlap_as_their_vectors():
    bins = modes.rectangular_bins(5, 8)
    np.testing.assert_allclose(bins @ bins.T, np.eye(5), atol=1e-15)
    xi, w = RNG.normal(size=(2, 5))
    write, read = modes.superposition(xi, bins), modes.superposition(w, bins)
    assert write @ write == pytest.approx(1)
    expected = (w @ xi) ** 2 / (w @ w * (xi @ xi))
    assert modes.overlap(write, read, 2e-9) == pytest.approx(expected, abs=1e-14)
    assert modes.mode_overlap(xi, w) == pytest.approx(expected, abs=1e-14)


@pytest.mark.parametrize(("modes_used", "published"), [(2, 0.506), (4, 0.252), (8, 0.1255), (16, 0.0619)])
def test_random_signs_overlap_in_the_mean_with_one_over_their_number(modes_used, published):
    overlaps = [modes.mode_overlap(*RNG.choice([-1.0, 1.0], (2, modes_used))) for _ in range(5000)]
    error = np.std(overlaps) / math.sqrt(len(overlaps))
    assert abs(np.mean(overlaps) - 1 / modes_used) < 5 * error
    assert published == pytest.approx(1 / modes_used, rel=0.02)


@pytest.mark.parametrize("inputs", [(1, 1), (1, -1), (-1, 1), (-1, -1)])
def test_two_modes_tell_unequal_inputs_from_equal_ones(inputs):
    assert modes.mode_overlap(inputs, (1, -1)) == pytest.approx(float(inputs[0] != inputs[1]), abs=1e-15)


@pytest.mark.parametrize(("distance", "published"), [(4, 0.135), (6, 0.0111), (8, 3.4e-4), (10, 3.7e-6)])
def test_gaussian_bins_overlap_with_their_tails(distance, published):
    width = 0.4
    assert modes.gaussian_overlap(distance * width, width) == pytest.approx(published, rel=0.02)
    product, _error = quad(
        lambda t: float(modes.gaussian_bin(t, 0.0, width) * modes.gaussian_bin(t, distance * width, width)), -5, 9,
        epsabs=1e-12, limit=200,
    )  # fmt: skip
    assert product == pytest.approx(modes.gaussian_overlap(distance * width, width), abs=1e-10)


def test_a_gaussian_bin_has_unit_energy_and_the_width_of_its_intensity():
    times = np.linspace(-6, 8, 20001)
    intensity = modes.gaussian_bin(times, 1.0, 0.5) ** 2 * (times[1] - times[0])
    assert intensity.sum() == pytest.approx(1)
    assert intensity @ times == pytest.approx(1.0)
    assert math.sqrt(intensity @ (times - 1) ** 2) == pytest.approx(0.5)


def test_hermite_gauss_functions_are_orthonormal():
    times = np.linspace(-15, 15, 3001)
    functions = modes.hermite_gauss(12, times)
    np.testing.assert_allclose(functions @ functions.T * (times[1] - times[0]), np.eye(12), atol=1e-14)
    np.testing.assert_array_equal(modes.hermite_gauss(1, times), functions[:1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], [1.0]), "write has the shape"),
        (([1.0], [math.nan]), "read has the shape"),
        (([1.0], [1.0], 0.0), "intervals are positive"),
        (([1.0], [1.0], 1.0, 1.0, math.inf), "delay inf"),
    ],
)
def test_waveforms_that_are_none_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        modes.overlap(*arguments)


def test_vectors_of_different_length_are_refused():
    with pytest.raises(ValueError, match="2 inputs and 3 weights"):
        modes.mode_overlap([1, 0], [1, 0, 0])
    with pytest.raises(ValueError, match="finite and not all 0"):
        modes.superposition([0, 0], np.eye(2))

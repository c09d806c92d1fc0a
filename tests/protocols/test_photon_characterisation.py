import json

import numpy as np
import pytest
from bluesky.utils import FailedStatus
from event_model import DocumentNames, schema_validators

from protocols import dark_counts, photon_kernel
from protocols.arguments import ArgumentError
from protocols.photon_analysis import overlaps


@pytest.fixture
def photon(make_photon):
    """A photon kernel whose dark counts fall with the level of the discriminator."""

    class Photon(make_photon):
        def acquire(self):
            super().acquire()
            if not self.light.get():
                rate = 1e5 * np.exp(-self.threshold.get() / 0.02)
                self.counts.value = self.generator.poisson(rate * self.gate_time.get(), self.shots.get())
                self.clicks.value = int(np.count_nonzero(self.counts.get()))

    return Photon(dark=1e5 * np.exp(-2.5) * 1e-6)


def events(documents, stream):
    uids = {d["uid"] for name, d in documents if name == "descriptor" and d["name"] == stream}
    return [d["data"] for name, d in documents if name == "event" and d["descriptor"] in uids]


@pytest.mark.parametrize(("task", "shape"), [("random", (6, 6)), ("gaussian", (6, 6)), ("xor", (4, 4))])
def test_the_gram_matrix_is_that_of_the_exact_overlaps(photon, engine, task, shape):
    result = engine.run(photon_kernel(photon, task=task, vectors=6, shots=2000, seed=3))
    gram, error, exact = (np.array(result[name]) for name in ("gram", "gram_standard_error", "exact"))
    assert gram.shape == error.shape == exact.shape == shape
    assert np.abs((gram - exact) / error).max() < 5
    assert np.diag(exact) == pytest.approx(np.ones(len(exact)))
    assert abs(result["efficiency"] - 0.8) < 5 * result["efficiency_standard_error"]
    assert abs(result["dark_probability"] - photon.dark) < 5 * result["dark_probability_standard_error"]
    assert result["probability"] > 1e-6
    assert result["chi_square"] == pytest.approx(result["chi_square_per_element"] * (result["degrees_of_freedom"] + 2))
    assert result["shots"] == 2000 * (1 + exact.size)
    assert result["seconds"] == pytest.approx(1e-6 * result["shots"])
    rows = events(engine.documents, "primary")
    assert [row["read_vector"] for row in rows] == list(range(len(exact)))
    assert np.stack([row["overlap"] for row in rows]) == pytest.approx(exact)
    (fit,) = events(engine.documents, "fit")
    assert overlaps(fit["vectors"], fit["vectors"]) == pytest.approx(exact)


def test_one_seed_is_one_data_set(photon, engine):
    exact = [engine.run(photon_kernel(photon, shots=10, seed=seed))["exact"] for seed in (1, 1, 2)]
    assert exact[0] == exact[1] != exact[2]


def test_equal_vectors_tell_no_overlap_from_darkness_but_leave_their_counts(make_photon, engine):
    photon = make_photon(efficiency=0.0, dark=0.0)
    result = engine.run(photon_kernel(photon, shots=10, vectors=2))
    assert result["gram"] is None
    assert result["dark_clicks"] == 0
    assert len(events(engine.documents, "primary")) == 2


def test_dark_counts_fall_with_the_level_of_the_discriminator(photon, engine):
    result = engine.run(dark_counts(photon, thresholds=(0.0, 0.04, 0.08), shots=5000, gate_time=1e-5))
    for level, rate, error in zip(result["threshold"], result["rate"], result["rate_standard_error"], strict=True):
        assert abs(rate - 1e5 * np.exp(-level / 0.02)) < 5 * error
        assert error == pytest.approx(np.sqrt(rate / 0.05), rel=0.05)
    for value, error in zip(result["dispersion"], result["dispersion_standard_error"], strict=True):
        assert abs(value - 1) < 5 * error
    assert (photon.threshold.get(), photon.gate_time.get(), photon.light.get()) == (0.05, 1e-6, False)
    points = events(engine.documents, "primary")
    assert [point["counts"] for point in points] == result["counts"]


def test_no_count_at_all_still_has_an_error(photon, engine):
    result = engine.run(dark_counts(photon, thresholds=(9.0,), shots=100, gate_time=1e-5))
    assert result["counts"] == [0]
    assert result["rate_standard_error"] == [pytest.approx(1 / (100 * 1e-5))]
    assert result["dispersion"] == [None]
    json.dumps(result, allow_nan=False)


@pytest.mark.parametrize("plan", [photon_kernel, dark_counts])
def test_a_run_that_is_cut_keeps_what_it_counted_and_leaves_the_light_off(photon, engine, plan):
    photon.fail_at = 6
    with pytest.raises(FailedStatus):
        engine.run(plan(photon, shots=100))
    assert photon.log[-1] == ("unstage", None)
    assert photon.threshold.get() == 0.05
    stop = engine.documents[-1][1]
    assert stop["exit_status"] == "fail"
    assert sum(stop["num_events"].values()) == {photon_kernel: 1, dark_counts: 5}[plan]
    for name, document in engine.documents:
        schema_validators[DocumentNames[name]].validate(json.loads(json.dumps(document, default=np.ndarray.tolist)))


@pytest.mark.parametrize(
    ("plan", "arguments", "message"),
    [
        (photon_kernel, {"task": "digits"}, "task: 'digits' is not known; allowed: random, gaussian, xor"),
        (photon_kernel, {"vectors": 1}, "vectors: 1"),
        (photon_kernel, {"dimension": 5}, "dimension: 5 is not allowed; photon has 4 modes"),
        (photon_kernel, {"shots": 0}, "shots: 0"),
        (photon_kernel, {"shots": 2**24}, "shots: 16777216 is not allowed; a whole number from 2 to 1000000"),
        (photon_kernel, {"seed": -1}, "seed: -1"),
        (dark_counts, {"thresholds": ()}, "thresholds: 0 numbers given"),
        (dark_counts, {"thresholds": (11.0,)}, "thresholds: 11.0"),
        (dark_counts, {"gate_time": 0.0}, "gate_time: 0.0"),
        (dark_counts, {"shots": 1}, "shots: 1"),
    ],
)
def test_nonsense_is_refused_before_the_photon_is_touched(photon, plan, arguments, message):
    with pytest.raises(ArgumentError, match=message):
        next(plan(photon, **arguments))
    assert photon.log == []

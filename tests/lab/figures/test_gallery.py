import re

import numpy as np
import pytest

from lab.catalogue import Catalogue, RunNotFoundError
from lab.figures import gallery
from lab.figures.cells import FINE
from lab.figures.gallery import MissingRunsError, Need, Picture, UnknownPictureError

CURVE = {"stiffness": [1, 0, 1], "temperature": 0.01, "observation_time": 1.0}
TRAINED = {"task": "cosine", "sampling": "reset", "neuron": "quadratic-quartic"}


@pytest.fixture
def catalogue(tmp_path):
    return Catalogue(tmp_path)


def sweep():
    drive = np.linspace(-2, 2, 5)
    values = zip(drive, np.tanh(drive), 1 / (1 + drive**2), strict=True)
    errors = {"mean_standard_error": 0.01, "variance_standard_error": 0.01}
    return {"primary": [{"drive": d, "mean": mean, "variance": variance, **errors} for d, mean, variance in values]}


def wanted(*needs):
    return Picture("", needs, lambda runs: runs)


def test_the_latest_run_with_the_arguments_is_taken(stored, catalogue):
    need = Need("activation_curve", {"stiffness": (1, 0, 1), "temperature": 0.01})
    stored("activation_curve", sweep(), plan_args=CURVE)
    latest = stored("activation_curve", sweep(), plan_args=CURVE)
    stored("activation_curve", sweep(), plan_args={**CURVE, "temperature": 0.1})
    stored("trajectory", sweep(), plan_args=CURVE)
    assert [run.uid for run in gallery.find_runs(wanted(need), catalogue)] == [latest.uid]


def test_a_chosen_run_is_taken_in_place_of_the_latest(stored, catalogue):
    need = Need("activation_curve", {"stiffness": (1, 0, 1)})
    first = stored("activation_curve", sweep(), plan_args=CURVE)
    stored("activation_curve", sweep(), plan_args=CURVE)
    assert [run.uid for run in gallery.find_runs(wanted(need), catalogue, [first.uid[:8]])] == [first.uid]


def test_a_chosen_run_that_fits_nowhere_or_is_not_there_is_refused(stored, catalogue):
    need = Need("activation_curve", {"stiffness": (1, 0, 1)})
    stored("activation_curve", sweep(), plan_args=CURVE)
    other = stored("trajectory", sweep(), plan_args=CURVE)
    with pytest.raises(MissingRunsError, match=f"run {other.uid[:8]} is none of those"):
        gallery.find_runs(wanted(need), catalogue, [other.uid])
    with pytest.raises(RunNotFoundError):
        gallery.find_runs(wanted(need), catalogue, ["ffffffff"])


def test_a_missing_run_is_an_error_with_the_command_that_makes_it(catalogue):
    need = Need("activation_curve", {"stiffness": (1, 0, 1), "temperature": 0.01}, {"shots": 100})
    with pytest.raises(MissingRunsError, match=f"not found in {re.escape(str(catalogue.directory))}") as missing:
        gallery.find_runs(wanted(need), catalogue)
    assert missing.value.commands == ["lab run activation_curve --stiffness 1,0,1 --temperature 0.01 --shots 100"]


def test_a_series_runs_the_latest_program_or_has_one_trained_before(stored, catalogue):
    trained = Need("train_genetic", {"task": "cosine"})
    series = Need("loss_curve", {"task": "cosine"}, {"shots": (1, 10)}, "shots", trained)
    assert series.commands(catalogue.runs()) == [
        "lab run train_genetic --task cosine",
        "lab run loss_curve --run last --shots 1,10",
    ]
    program = stored("train_genetic", {"learning": [{"loss": 1.0}]}, plan_args={"task": "cosine"})
    assert series.commands(catalogue.runs()) == [f"lab run loss_curve --run {program.uid[:8]} --shots 1,10"]


def test_a_series_needs_several_values(stored):
    need = Need("loss_curve", series="shots")
    one, two = (
        stored("loss_curve", {"primary": [{"loss": 1.0}]}, plan_args={"shots": shots}) for shots in ([10, 10], [1, 10])
    )
    other = stored("train_genetic", {"learning": [{"loss": 1.0}]}, plan_args={"shots": 64})
    assert not need.fits(one)
    assert need.fits(two)
    assert not need.fits(other)


def test_a_picture_that_is_not_there_is_an_error_that_lists_those_there():
    with pytest.raises(UnknownPictureError, match=r"no picture 'mona_lisa'; there are activation_functions, .*"):
        gallery.picture("mona_lisa")
    assert gallery.picture("loss-against-shots") is gallery.PICTURES["loss_against_shots"]


@pytest.mark.parametrize("name", sorted(gallery.PICTURES))
def test_the_commands_of_every_picture_make_runs_it_is_drawn_from(name, catalogue):
    from lab.arguments import plan_options
    from lab.plans import load_plan

    for need in gallery.PICTURES[name].needs:
        for command in need.commands([]):
            _, _, plan, *words = command.split(" ")
            options = {option.opts[0] for option in plan_options(load_plan(plan), {"StoredRun": lambda *_: None})}
            assert {word for word in words if word.startswith("--")} <= options
        recorded = {**need.where, **need.settings}
        run = type("Run", (), {"plan": need.plan, "state": "success", "start": {"plan_args": recorded}})()
        assert need.fits(run)
        run.state = "fail"
        assert not need.fits(run)


def outputs(losses, **settings):
    z = np.linspace(0, 1, 11)
    target = np.cos(2 * np.pi * z)
    return {
        "primary": [
            {
                **{key: values[index] for key, values in settings.items()},
                "loss": loss,
                "inputs": z[:, None],
                "target": target,
                "outputs": (target + np.sqrt(loss))[:, None],
            }
            for index, loss in enumerate(losses)
        ]
    }


def drawn(name, runs, tmp_path):
    """Draw a picture to disk, and return its panels by their labels upwards."""
    picture = gallery.PICTURES[name]
    path = gallery.save_picture(picture, runs, tmp_path / "picture.png")
    assert path.read_bytes().startswith(b"\x89PNG")
    figure = picture.draw(runs)
    return figure, {axes.get_ylabel(): axes for axes in figure.get_axes() if axes.get_visible()}


def test_the_loss_against_shots_shows_its_noise_and_its_floor(stored, tmp_path):
    shots = [1, 10, 100, 1000, 10000]
    losses = [0.6 / count + 3e-4 for count in shots]
    arguments = {**TRAINED, "run": "0123456789", "shots": shots}
    run = stored("loss_curve", outputs(losses, shots=shots, observation_time=[1.0] * 5), plan_args=arguments)
    figure, panels = drawn("loss_against_shots", [run], tmp_path)
    axes = panels["loss"]
    assert axes.get_xscale() == axes.get_yscale() == "log"
    assert axes.get_xlabel() == "shots M"
    assert "0.6/M + 0.0003" in [text.get_text() for text in axes.get_legend().get_texts()]
    assert "program of run 01234567" in figure.get_suptitle()


def test_the_loss_against_time_marks_the_time_of_the_training(stored, tmp_path):
    times = [0.5, 1.0, 2.0]
    arguments = {**TRAINED, "run": "0123456789", "observation_time": times, "trained_observation_time": 1.0}
    run = stored(
        "loss_curve",
        outputs([0.5, 0.001, 0.06], shots=[1000] * 3, observation_time=times),
        plan_args=arguments,
    )
    _, panels = drawn("loss_against_observation_time", [run], tmp_path)
    points, trained = panels["loss"].lines
    assert points.get_xdata()[np.argmin(points.get_ydata())] == trained.get_xdata()[0] == 1.0


def test_serial_sampling_is_a_map_of_outputs_by_observations(stored, tmp_path):
    shots = [1, 10, 100]
    arguments = {**TRAINED, "sampling": "serial", "run": "0123456789", "shots": shots}
    run = stored("loss_curve", outputs([0.8, 0.1, 0.01], shots=shots, observation_time=[0.2] * 3), plan_args=arguments)
    _, panels = drawn("serial_loss_against_observations", [run], tmp_path)
    assert panels["observations"].get_xlabel() == "input z"
    assert panels["loss"].lines[0].get_ydata().tolist() == [0.8, 0.1, 0.01]


def test_training_and_what_was_learnt_are_shown_for_both_neurons(stored, tmp_path):
    z = np.linspace(0, 1, 5)
    evaluation = {"final_loss": 0.03, "inputs": z[:, None], "target": np.cos(z), "outputs": np.sin(z)[:, None]}
    streams = {
        "learning": [{"generation": n + 1, "loss": 0.5 / (n + 1)} for n in range(40)],
        "evaluation": [evaluation],
    }
    runs = [
        stored("train_genetic", streams, plan_args={**TRAINED, "neuron": neuron})
        for neuron in ("quadratic-quartic", "quadratic")
    ]
    _, panels = drawn("training_loss", runs, tmp_path)
    legend = [text.get_text() for text in panels["loss"].get_legend().get_texts()]
    assert legend == ["quadratic-quartic neurons", "quadratic neurons"]
    _, panels = drawn("learnt_function", runs, tmp_path)
    assert np.allclose(panels["output y"].lines[0].get_ydata(), np.sin(z))


def test_the_accuracy_of_a_classifier_rises_with_the_shots(stored, tmp_path):
    events = [{"shots": shots, "accuracy": 0.9, "loss": 0.3, "observation_time": 1.0} for shots in (1, 10)]
    run = stored("loss_curve", {"primary": events}, plan_args={"task": "digits", "run": "0123456789"})
    _, panels = drawn("accuracy_against_shots", [run], tmp_path)
    assert panels["accuracy on test examples"].get_xscale() == "log"


def test_activation_functions_are_drawn_over_equilibrium(stored, tmp_path):
    runs = [stored("activation_curve", sweep(), plan_args={**CURVE, "stiffness": [1, 0, 0], "temperature": 1})]
    _, panels = drawn("activation_functions", runs, tmp_path)
    exact = next(line for line in panels["mean activity (model units)"].lines if len(line.get_xdata()) == FINE)
    assert np.allclose(exact.get_ydata(), exact.get_xdata() / 2, atol=1e-6)
    assert exact.get_xdata()[[0, -1]].tolist() == [-2.0, 2.0]


def test_fluctuations_are_drawn_by_stiffness_and_by_temperature(stored, tmp_path):
    kinds = [([1, 0, 0], 0.01), ([1, 0, 1], 0.01), ([1, 0, 1], 1)]
    runs = [
        stored("activation_curve", sweep(), plan_args={"stiffness": stiffness, "temperature": temperature})
        for stiffness, temperature in kinds
    ]
    figure, _ = drawn("fluctuations", runs, tmp_path)
    legends = [[text.get_text() for text in axes.get_legend().get_texts()] for axes in figure.get_axes()[:2]]
    assert legends == [["J = (1, 0, 0)", "J = (1, 0, 1)"], ["kT = 0.01", "kT = 1"]]
    assert figure.get_axes()[2].get_yscale() == "log"


def test_finite_times_are_drawn_in_order_beside_equilibrium(stored, tmp_path):
    runs = [stored("activation_curve", sweep(), plan_args={**CURVE, "observation_time": t}) for t in (2, 0.5)]
    _, panels = drawn("finite_time_activation", runs, tmp_path)
    names = [text.get_text() for text in panels["mean activity (model units)"].get_legend().get_texts()]
    assert [name for name in names if name != "equilibrium"] == ["t = 0.5/μ", "t = 2/μ"]


def test_hops_of_a_bistable_cell_are_counted_and_touching_zero_is_none(stored, tmp_path):
    activity = np.array([1.0, 0.1, 1.0, -0.1, 1.0, -1.0, -1.0, -0.2, 1.0])
    event = {"drive": 0.0, "moment": np.arange(9.0), "activity": activity}
    run = stored("trajectory", {"primary": [event]}, plan_args={"stiffness": [-2, 0, 1], "temperature": 0.2})
    figure, panels = drawn("bistable_trajectory", [run], tmp_path)
    assert "2 hops in 8/μ" in [axes.get_title() for axes in figure.get_axes()]
    assert panels["activity (model units)"].get_xlabel() == "energy / kT"
    _, panels = drawn("relaxation", [run], tmp_path)
    assert panels["activity (model units)"].get_xlabel() == "time (1/μ)"

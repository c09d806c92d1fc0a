import math
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import click
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lab.arguments import (
    DeviceArgument,
    parameter_descriptions,
    parameter_type,
    plan_devices,
    plan_options,
    takes_seed,
    written,
)
from protocols.ports import ActivationSwitch, QuantumDot


class StoredThing:
    pass


def a_plan(
    board: object,
    *,
    drive: Sequence[float] = (-1.0, 0.0, 1.0),
    stiffness: tuple[float, float, float] = (1.0, 0.0, 1.0),
    observation_time: float = 1.0,
    shots: int,
    hidden: int | None = None,
    layers: list[int] = [8, 8],  # noqa: B006
    neuron: Literal["quadratic", "quadratic-quartic"] = "quadratic",
    trained: bool = True,
    task: str = "digits",
    rate: float | Sequence[float] = 0.02,
    seed: int = 0,
    md: dict[str, Any] | None = None,
) -> None:
    """Do something.

    Parameters
    ----------
    board : Board
        The board.
    drive : sequence of float
        Biases of the cell
        in model units.
    shots, hidden : int
        Two at once.

    Returns
    -------
    dict
        shots : not a parameter.
    """


def parsed(*arguments: str, plan: Any = a_plan) -> dict[str, Any]:
    command = click.Command(
        "plan",
        params=plan_options(plan),
        context_settings={"token_normalize_func": lambda token: token.replace("_", "-")},
    )
    context = command.make_context("plan", list(arguments))
    default = click.core.ParameterSource.DEFAULT
    return {name: value for name, value in context.params.items() if context.get_parameter_source(name) is not default}


def converted(annotation: Any, text: str) -> Any:
    return parameter_type(annotation).convert(text, None, None)


def test_only_given_arguments_are_handed_to_the_plan():
    assert parsed("--shots", "5") == {"shots": 5}


def test_lists_begin_with_minus_and_tuples_are_tuples():
    values = parsed("--shots", "1", "--drive", "-2,-1, 0,1e0,2", "--stiffness", "1,0,1", "--layers=3,4")
    assert values == {"shots": 1, "drive": (-2.0, -1.0, 0.0, 1.0, 2.0), "stiffness": (1.0, 0.0, 1.0), "layers": [3, 4]}


@pytest.mark.parametrize("option", ["--observation-time", "--observation_time"])
def test_hyphens_and_underscores_are_equal_in_options(option):
    assert parsed("--shots", "1", option, "2.5")["observation_time"] == 2.5


def test_a_value_or_none_a_choice_and_a_flag():
    values = parsed("--shots", "2e4", "--hidden", "none", "--neuron", "quadratic-quartic", "--no-trained")
    assert values == {"shots": 20000, "hidden": None, "neuron": "quadratic-quartic", "trained": False}
    assert parsed("--shots", "1", "--hidden", "32", "--trained")["hidden"] == 32


def test_a_number_or_a_list_is_read_as_whichever_fits():
    assert parsed("--shots", "1", "--rate", "0.5")["rate"] == 0.5
    assert parsed("--shots", "1", "--rate", "0.5,0.1")["rate"] == (0.5, 0.1)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--shots", "1.5"], "'1.5' is not a whole number"),
        (["--shots", "nan"], "not a whole number"),
        (["--shots", "inf"], "not a whole number"),
        (["--shots", ""], "not a whole number"),
        (["--shots", "9" * 6000], "not a whole number"),
        (["--shots", "1", "--observation-time", "nan"], "not a finite number"),
        (["--shots", "1", "--observation-time", "1e999"], "not a finite number"),
        (["--shots", "1", "--observation-time", "one"], "not a number"),
        (["--shots", "1", "--drive", ""], "no value given"),
        (["--shots", "1", "--drive", "1,,2"], "'' is not a number"),
        (["--shots", "1", "--drive", "1,nan"], "not a finite number"),
        (["--shots", "1", "--stiffness", "1,0"], "has 2 values, 3 are needed"),
        (["--shots", "1", "--neuron", "cubic"], "quadratic-quartic"),
        (["--shots", "1", "--rate", "a"], "'a' is none of number|number,..."),
        (["--shots", "1", "--obsevation-time", "1"], "--observation-time"),
        (["--shots", "1", "--md", "x"], "--md"),
        (["--shots", "1", "spare"], "spare"),
        ([], "--shots"),
    ],
)
def test_nonsense_is_refused_in_words_that_name_it(arguments, said):
    with pytest.raises(click.UsageError) as refusal:
        parsed(*arguments)
    assert said in refusal.value.format_message()
    assert len(refusal.value.format_message()) < 400


@given(st.integers(-(10**30), 10**30))
def test_every_whole_number_is_read_exactly(number):
    assert converted(int, str(number)) == number


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_finite_number_is_read_exactly(number):
    assert converted(float, repr(number)) == number


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=50))
def test_every_list_of_numbers_is_read_exactly(numbers):
    assert converted(Sequence[float], ",".join(map(repr, numbers))) == tuple(numbers)
    assert converted(list[float], " , ".join(map(repr, numbers))) == numbers


@given(
    st.lists(st.integers(-(10**9), 10**9), min_size=1, max_size=9)
    | st.none()
    | st.integers(-(10**99), 10**99)
    | st.floats(-9, 9)
)
def test_what_is_written_can_be_read_back(value):
    annotation = list[int] | int | None if not isinstance(value, float) else float
    read = converted(annotation, written(value))
    if isinstance(value, float):
        assert math.isclose(read, value, rel_tol=1e-5, abs_tol=1e-9)
    else:
        assert read == (value[0] if isinstance(value, list) and len(value) == 1 else value)


@settings(max_examples=300)
@given(
    st.text(max_size=40), st.sampled_from([int, float, Sequence[float], tuple[int, int], float | None, Literal["a"]])
)
def test_any_text_is_read_or_refused_but_never_breaks(text, annotation):
    try:
        converted(annotation, text)
    except click.BadParameter:
        return


@pytest.mark.parametrize("annotation", [dict[str, float], object, tuple, list[dict[str, int]]])
def test_an_annotation_that_cannot_be_written_is_named(annotation):
    with pytest.raises(TypeError, match="cannot be written on a command line"):
        parameter_type(annotation)


def test_a_stored_run_is_loaded_by_its_name():
    def evaluate(board: object, *, run: StoredThing) -> None:
        """Evaluate."""

    def load(name: str, directory: Path | None) -> tuple[str, Path | None]:
        if name == "nosuch":
            raise LookupError("no run 'nosuch'")
        return name, directory

    command = click.Command("evaluate", params=plan_options(evaluate, {"StoredThing": load}))
    assert command.make_context("evaluate", ["--run", "last"]).params["run"] == ("last", None)
    with pytest.raises(click.BadParameter, match="no run 'nosuch'"):
        command.make_context("evaluate", ["--run", "nosuch"])


def test_devices_are_the_positional_arguments_with_their_ports():
    def several(dot: QuantumDot, switch: ActivationSwitch | Sequence[ActivationSwitch], *, gate: str = "NOT") -> None:
        """Learn."""

    assert [device.name for device in plan_devices(a_plan)] == ["board"]
    assert takes_seed(a_plan)
    assert plan_devices(several) == [
        DeviceArgument("dot", "QuantumDot", several=False),
        DeviceArgument("switch", "ActivationSwitch", several=True),
    ]


def test_a_device_can_be_chosen_and_has_the_name_of_the_argument_otherwise():
    command = click.Command("plan", params=[device.option for device in plan_devices(a_plan)])
    assert command.make_context("plan", []).params == {"board": "board"}
    assert command.make_context("plan", ["--board", "other"]).params == {"board": "other"}


def test_help_comes_from_the_parameters_section_only():
    assert parameter_descriptions(a_plan.__doc__ or "") == {
        "board": "The board.",
        "drive": "Biases of the cell in model units.",
        "shots": "Two at once.",
        "hidden": "Two at once.",
    }
    assert parameter_descriptions("No section.") == {}
    help_text = CliRunner().invoke(click.Command("plan", params=plan_options(a_plan)), ["--help"]).output
    assert "Biases of the cell" in help_text
    assert "-1,0,1" in help_text


def test_a_file_is_named_so_that_it_is_found_from_elsewhere_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    named = converted(tuple[Path, Path] | None, "images,../labels")
    assert named == (tmp_path.resolve() / "images", tmp_path.resolve().parent / "labels")


@pytest.mark.parametrize("suffix", [".npy", ".csv"])
def test_an_array_is_read_from_its_file(tmp_path, suffix):
    matrix, path = np.array([[2.0, 0.25], [0.25, 1.0]]), tmp_path / f"matrix{suffix}"
    if suffix == ".npy":
        np.save(path, matrix)
    else:
        np.savetxt(path, matrix, delimiter=",")
    np.testing.assert_array_equal(converted(NDArray[np.float64] | None, str(path)), matrix)
    assert converted(NDArray[np.float64] | None, "none") is None
    assert converted(NDArray[np.float64], matrix) is matrix


@pytest.mark.parametrize(("name", "text"), [("a.csv", "1,x"), ("a.csv", "1,2\n3"), ("a.csv", ""), ("a.npy", "1,2")])
def test_a_file_without_an_array_of_numbers_is_refused_in_plain_words(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    for file in (path, tmp_path / "nosuch.csv"):
        with pytest.raises(click.BadParameter, match="holds no array of numbers"):
            converted(NDArray[np.float64], str(file))


@pytest.mark.parametrize("values", [[[1 + 1j]], [["1"]], [[np.datetime64("2026-01-01")]], [(1.0, 2.0)]])
def test_an_array_of_something_else_than_real_numbers_is_refused(tmp_path, values):
    path = tmp_path / "a.npy"
    np.save(path, np.array(values, dtype="f8,f8") if isinstance(values[0], tuple) else np.array(values))
    with pytest.raises(click.BadParameter, match="holds no array of numbers, but one of"):
        converted(NDArray[np.float64], str(path))


def test_a_file_that_is_empty_an_archive_or_pickled_is_no_array(tmp_path):
    path = tmp_path / "a.npy"
    with (tmp_path / "z.npz").open("wb") as archive:
        np.savez(archive, np.eye(2))
    for content in (b"", (tmp_path / "z.npz").read_bytes(), pickle.dumps([1.0, 2.0])):
        path.write_bytes(content)
        with pytest.raises(click.BadParameter, match="holds no array of numbers"):
            converted(NDArray[np.float64], str(path))

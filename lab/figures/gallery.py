"""Pictures by name, each drawn from stored runs it finds itself.

Equations and figures are those of Whitelam and Casert, "Thermodynamic computing out of equilibrium".
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from matplotlib.figure import Figure

from lab.arguments import written
from lab.catalogue import Catalogue, Run
from lab.figures.cells import (
    draw_activation_functions,
    draw_bistable_trajectory,
    draw_finite_time_activation,
    draw_fluctuations,
    draw_trajectories,
)
from lab.figures.computing import (
    draw_accuracy_against_shots,
    draw_learnt_function,
    draw_loss_against_observation_time,
    draw_loss_against_shots,
    draw_serial_loss_against_observations,
    draw_training_loss,
)
from lab.figures.style import GREY, save_figure


class MissingRunsError(LookupError):
    """Runs that a picture needs are not stored.

    Attributes
    ----------
    commands : list of str
        What makes them, in order.
    """

    def __init__(self, message: str, commands: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.commands = list(commands)


class UnknownPictureError(LookupError):
    """There is no picture of this name."""


@dataclass(frozen=True)
class Need:
    """A run that a picture needs.

    Attributes
    ----------
    plan : str
        Name of its plan.
    where : mapping
        Arguments the run must have had.
    settings : mapping
        Further arguments of the command that makes it.
    series : str
        An argument of which the run must have several values; "" for none.
    program : Need or None
        The run whose program it runs.
    """

    plan: str
    where: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    series: str = ""
    program: "Need | None" = None

    def fits(self, run: Run) -> bool:
        """Return whether a run will do."""
        if run.plan != self.plan or run.state != "success":
            return False
        arguments = run.start.get("plan_args", {})
        same = all(_plain(arguments.get(name)) == _plain(value) for name, value in self.where.items())
        return same and (not self.series or len(set(arguments[self.series])) > 1)

    def commands(self, runs: Sequence[Run]) -> list[str]:
        """Return the commands that make it: one, or two where the program it runs has to be made too."""
        words = [f"--{name.replace('_', '-')} {written(value)}" for name, value in self._options().items()]
        before: list[str] = []
        if self.program is not None:
            trained = self.program.latest(runs)
            before = [] if trained else self.program.commands(runs)
            words.insert(0, f"--run {trained.uid[:8] if trained else 'last'}")
        return [*before, " ".join(["lab run", self.plan, *words])]

    def latest(self, runs: Iterable[Run]) -> Run | None:
        """Return the last of the runs that fit."""
        return next((run for run in reversed(list(runs)) if self.fits(run)), None)

    def _options(self) -> dict[str, Any]:
        told = {} if self.program is not None else self.where
        return {**told, **self.settings}


@dataclass(frozen=True)
class Picture:
    """A picture that has a name.

    Attributes
    ----------
    summary : str
        What it shows.
    needs : tuple of Need
        The runs it is drawn from, in order.
    draw : callable
        Makes the figure of those runs.
    """

    summary: str
    needs: tuple[Need, ...]
    draw: Callable[[Sequence[Run]], Figure]


def _plain(value: Any) -> Any:
    """Return sequences as tuples and whole numbers as floats, so that what was recorded equals what was asked for."""
    if isinstance(value, (list, tuple)):
        return tuple(_plain(element) for element in value)
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def picture(name: str) -> Picture:
    """Return a picture by name; hyphens may stand for underscores.

    Raises
    ------
    UnknownPictureError
        There is none; the message lists those there are.
    """
    try:
        return PICTURES[name.replace("-", "_")]
    except KeyError:
        raise UnknownPictureError(f"no picture {name!r}; there are {', '.join(PICTURES)}") from None


def find_runs(wanted: Picture, catalogue: Catalogue, chosen: Sequence[str] = ()) -> list[Run]:
    """Return the runs a picture is drawn from: the chosen ones where they fit, else the latest that do.

    Parameters
    ----------
    wanted : Picture
        The picture.
    catalogue : Catalogue
        Where the runs are stored.
    chosen : sequence of str
        Names of runs, as `Catalogue.find` takes them.

    Raises
    ------
    MissingRunsError
        Runs are missing, or a chosen one fits nowhere.
    RunNotFoundError
        There is no run of a chosen name.
    """
    runs, preferred = catalogue.runs(), [catalogue.find(name) for name in chosen]
    found = [need.latest(preferred) or need.latest(runs) for need in wanted.needs]
    used = {run.uid for run in found if run is not None}
    unused = [run.uid[:8] for run in preferred if run.uid not in used]
    if unused:
        raise MissingRunsError(f"run {', '.join(unused)} is none of those this picture is drawn from")
    missing = [need for need, run in zip(wanted.needs, found, strict=True) if run is None]
    if missing:
        commands = list(dict.fromkeys(line for need in missing for line in need.commands(runs)))
        count = f"{len(missing)} of the {len(wanted.needs)} runs" if len(wanted.needs) > 1 else "the run"
        raise MissingRunsError(f"{count} that it is drawn from not found in {catalogue.directory}", commands)
    return [run for run in found if run is not None]


def save_picture(wanted: Picture, runs: Sequence[Run], path: str | os.PathLike) -> Path:
    """Draw a picture of runs into a file whose suffix says the format, .png if it has none.

    Raises
    ------
    ValueError
        If the format is unknown.
    OSError
        If the file cannot be written.
    """
    figure = wanted.draw(runs)
    figure.supxlabel(_origin(runs), fontsize=8, color=GREY, x=0.99, ha="right")
    return save_figure(figure, path)


def _origin(runs: Sequence[Run]) -> str:
    names = ", ".join(run.uid[:8] for run in runs)
    stations = ", ".join(dict.fromkeys(run.station for run in runs))
    latest = max(run.started for run in runs)
    return f"run{'s' if len(runs) > 1 else ''} {names}, station {stations}, {latest:%Y-%m-%d %H:%M} UTC"


MONOSTABLE = ((1, 0, 0), (0, 0, 1), (1, 0, 1))
SHAPES = (*MONOSTABLE, (0, 1, 1), (1, 1, 1))
TEMPERATURES = (0.01, 0.1, 1, 4)
TIMES = (0.05, 0.1, 0.2, 0.5, 1, 2)
OBSERVATION_TIMES = (0.2, 0.5, 0.8, 0.9, 1, 1.1, 1.2, 1.5, 2, 4, 8)
OBSERVATIONS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)


def _equilibrium(stiffness: Sequence[float], temperature: float) -> Need:
    """Return a sweep of the drive long after the reset."""
    return _sweep(stiffness, temperature, 5)


def _sweep(stiffness: Sequence[float], temperature: float, time: float) -> Need:
    where = {"stiffness": stiffness, "temperature": temperature, "observation_time": time}
    return Need("activation_curve", where)


def _trained(sampling: str = "reset", neuron: str = "quadratic-quartic") -> Need:
    return Need("train_genetic", {"task": "cosine", "sampling": sampling, "neuron": neuron})


def _loss_curve(series: str, values: Sequence[float], sampling: str = "reset") -> Need:
    where = {"task": "cosine", "sampling": sampling}
    trained = Need("train_model_based", {"task": "cosine", "sampling": sampling})
    return Need("loss_curve", where, {series: values}, series, trained)


PICTURES: Mapping[str, Picture] = MappingProxyType(
    {
        "activation_functions": Picture(
            "mean activity of cells of five stiffnesses against drive, in equilibrium (Fig. 1)",
            tuple(_equilibrium(stiffness, 1) for stiffness in SHAPES),
            draw_activation_functions,
        ),
        "fluctuations": Picture(
            "variance of a cell against drive, by stiffness and by temperature (Fig. 2)",
            (
                *(_equilibrium(stiffness, TEMPERATURES[0]) for stiffness in MONOSTABLE),
                *(_equilibrium(MONOSTABLE[-1], temperature) for temperature in TEMPERATURES[1:]),
            ),
            draw_fluctuations,
        ),
        "relaxation": Picture(
            "activity of a cell against time from the reset (Fig. 3a-c)",
            tuple(Need("trajectory", {"stiffness": stiffness, "temperature": 0.01}) for stiffness in MONOSTABLE),
            draw_trajectories,
        ),
        "finite_time_activation": Picture(
            "mean activity of a cell against drive, at several times after the reset (Fig. 3d)",
            tuple(_sweep(MONOSTABLE[-1], 0.01, time) for time in TIMES),
            draw_finite_time_activation,
        ),
        "bistable_trajectory": Picture(
            "a bistable cell hopping between its wells (Fig. 4)",
            (
                Need(
                    "trajectory",
                    {"stiffness": (-2, 0, 1), "temperature": 0.2},
                    {"drive": (0,), "observation_time": 0.5, "shots": 4000},
                ),
            ),
            draw_bistable_trajectory,
        ),
        "training_loss": Picture(
            "loss against generation, linear and nonlinear neurons (Fig. 6a)",
            (_trained(), _trained(neuron="quadratic")),
            draw_training_loss,
        ),
        "learnt_function": Picture(
            "output against input after training, linear and nonlinear neurons (Fig. 6b)",
            (_trained(), _trained(neuron="quadratic")),
            draw_learnt_function,
        ),
        "loss_against_shots": Picture(
            "loss of a trained program against shots (Fig. 7)",
            (_loss_curve("shots", (1, 10, 100, 1000, 10000)),),
            draw_loss_against_shots,
        ),
        "loss_against_observation_time": Picture(
            "loss of a trained program against the time it is read (Fig. 8)",
            (_loss_curve("observation_time", OBSERVATION_TIMES),),
            draw_loss_against_observation_time,
        ),
        "serial_training_loss": Picture(
            "loss against generation in serial sampling (Fig. 9a)",
            (_trained("serial"),),
            draw_training_loss,
        ),
        "serial_learnt_function": Picture(
            "output against input after training in serial sampling (Fig. 9b)",
            (_trained("serial"),),
            draw_learnt_function,
        ),
        "serial_loss_against_observations": Picture(
            "output and loss against the observations averaged in serial sampling (Fig. 9c)",
            (_loss_curve("shots", OBSERVATIONS, "serial"),),
            draw_serial_loss_against_observations,
        ),
        "accuracy_against_shots": Picture(
            "test digits read right against shots (Fig. 10c)",
            (
                Need(
                    "loss_curve",
                    {"task": "mnist5000"},
                    {"shots": (1, 2, 5, 10, 20, 50, 100, 1000)},
                    "shots",
                    Need("train_model_based", {"task": "mnist5000"}),
                ),
            ),
            draw_accuracy_against_shots,
        ),
    }
)
"""Every picture there is, by name."""

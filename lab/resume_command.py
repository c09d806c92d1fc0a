"""`lab resume`: a learning run that was cut short goes on after its last step."""

import contextlib
import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lab.outcome import Outcome
from lab.run_command import LOADERS, end, perform, refused, report
from lab.terminal import messages, say

if TYPE_CHECKING:
    from lab.catalogue import Run
    from protocols.continuation import Continuation


class ResumeError(ValueError):
    """A run that cannot be continued; the message says why, and what can be done instead."""


@click.command(short_help="Continue a learning RUN that was cut short.")
@click.argument("name", metavar="RUN")
@click.option("--station", help="Another name or file of the station.  [default: that of the run]")
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where runs are stored.  [default: $LAB_RUNS or ./runs]",
)
@click.option("--figure/--no-figure", default=True, help="Draw figure.png into the run.")
@click.option("--json", "as_json", is_flag=True, help="End standard output with one line of JSON.")
def resume(name: str, station: str | None, directory: Path | None, *, figure: bool, as_json: bool) -> int:
    """Continue a learning RUN after its last completed step: a uid or its beginning, a number, or `last`.

    The rest is recorded as a run of its own, which shows what both have measured as one. On the twin the result is
    what it would have been without the cut; instruments go on as they are.
    """
    from lab import open_catalogue
    from lab.attended import terminable

    catalogue = open_catalogue(directory)
    cut = catalogue.find(name)
    check_resumable(cut, catalogue.runs())
    with contextlib.redirect_stdout(messages()), terminable():
        outcome = _continue(cut, station, directory)
        report(outcome, directory, figure=figure)
    return end(outcome, as_json=as_json)


def check_resumable(cut: "Run", runs: "list[Run]") -> None:
    """Raise if a run cannot be continued.

    Raises
    ------
    ResumeError
        If it ended well, still goes on, was continued already, its plan cannot be, or it was not begun by `lab run`.
    """
    from lab.plans import load_plan, plan_names

    named = f"run {cut.uid[:8]} ({cut.plan})"
    if cut.state == "success":
        raise ResumeError(f"{named} is complete")
    if cut.state == "running":
        raise ResumeError(f"{named} is still running; stop it first")
    if cut.plan not in plan_names() or "continued" not in inspect.signature(load_plan(cut.plan)).parameters:
        able = [plan for plan in plan_names() if "continued" in inspect.signature(load_plan(plan)).parameters]
        raise ResumeError(f"{named} cannot be continued: only {', '.join(able)} can; run it again")
    if "plan_devices" not in cut.start:
        raise ResumeError(f"{named} was not begun by `lab run`: it does not say which devices the plan was given")
    later = [run for run in runs if run.start.get("continues", {}).get("run") == cut.uid]
    if later:
        raise ResumeError(f"{named} was continued already, by run {later[-1].uid[:8]} ({later[-1].state}); resume that")


def _continue(cut: "Run", station: str | None, directory: Path | None) -> Outcome:
    from lab.station_file import station_names

    start, continued = cut.start, continuation(cut)
    own_station = start["station"] if start["station"] in station_names() else start["station_file"]
    given, seed = _arguments(cut, directory), start["station_seed"]
    if (problem := refused(cut.plan, given, seed)) is not None:
        return problem
    say(
        f"run {cut.uid[:8]} ended before its first step; it begins again"
        if continued is None
        else f"run {cut.uid[:8]} goes on after step {continued.steps}"
    )
    return perform(
        cut.plan,
        given,
        start["plan_devices"],
        station_name=station or own_station,
        seed=seed,
        compute=start.get("compute"),
        faults=start.get("faults"),
        directory=directory,
        continued=continued,
        md={"continues": {"run": cut.uid, "events": cut.checkpoint()}},
    )


def _arguments(cut: "Run", directory: Path | None) -> dict[str, Any]:
    """Return the arguments as the plan takes them: the names of runs are read, whatever else JSON holds stays."""
    from lab.arguments import argument_loader
    from lab.plans import load_plan

    plan = load_plan(cut.plan)
    arguments = dict(cut.start["arguments"])
    for key, value in arguments.items():
        load = argument_loader(plan, key, LOADERS)
        if load is not None and value is not None:
            arguments[key] = load(value, directory)
    return arguments


def continuation(cut: "Run") -> "Continuation | None":
    """Return what a plan goes on from: the events of a run up to its last learning step; None if it made none."""
    from protocols.continuation import Continuation

    counts = cut.checkpoint()
    if not counts:
        return None
    streams = {name: cut.read(name).isel(event=slice(count)) for name, count in counts.items()}
    return Continuation(cut.uid, {name: {str(key): data[key].values for key in data} for name, data in streams.items()})

"""`lab run`: one subcommand a plan, its options from the signature of the plan."""

import contextlib
import difflib
import inspect
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lab.arguments import LARGEST_SEED, Integer
from lab.fault_option import fault_option
from lab.outcome import Outcome, exit_code, json_line
from lab.plans import load_plan, plan_names, summarise_plans
from lab.terminal import RunDisplay, explain, messages, print_result, say, stderr_console

if TYPE_CHECKING:
    from lab.arguments import DeviceArgument, Loader
    from lab.catalogue import Run
    from protocols.continuation import Continuation


class PlanGroup(click.Group):
    """The plans as subcommands, each imported only when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names of all plans."""
        return plan_names()

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Make the command of a plan; hyphens may stand for underscores."""
        name = cmd_name.replace("-", "_")
        return plan_command(name) if name in plan_names() else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the plan, or say which it may have been."""
        if self.get_command(ctx, args[0]) is None:
            close = difflib.get_close_matches(args[0], plan_names(), n=1)
            hint = f"did you mean {close[0]}?" if close else f"plans are {', '.join(plan_names())}"
            ctx.fail(f"no plan {args[0][:60]!r}; {hint}")
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Allow options before the name of the plan."""
        if args and args[0].startswith("-") and args[0] not in ctx.help_option_names:
            known = [index for index, word in enumerate(args) if word.replace("-", "_") in plan_names()]
            if not known:
                ctx.fail(f"no known plan named; plans are {', '.join(plan_names())}")
            args = [args[known[0]], *args[: known[0]], *args[known[0] + 1 :]]
        return super().parse_args(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the plans from their sources."""
        with formatter.section("Plans"):
            formatter.write_dl([(plan.name, plan.summary) for plan in summarise_plans()])


@click.group(
    "run",
    cls=PlanGroup,
    short_help="Run a plan.",
    subcommand_metavar="PLAN [OPTIONS]",
)
def run() -> None:
    """Run a plan on a station and store it.

    `lab run PLAN --help` lists the options of a plan.
    """


def plan_command(name: str) -> click.Command:
    """Make the subcommand of one plan."""
    from lab.arguments import plan_devices, plan_options

    plan = load_plan(name)
    options = plan_options(plan, LOADERS)
    devices = plan_devices(plan)
    return click.Command(
        name,
        params=[*options, *(device.option for device in devices), *_common_options()],
        callback=partial(_run, name, [option.name for option in options], devices),
        help=inspect.cleandoc(plan.__doc__ or "").partition("\nParameters\n")[0],
        context_settings={"token_normalize_func": lambda token: token.replace("_", "-"), "max_content_width": 110},
    )


def _common_options() -> list[click.Option]:
    return [
        click.Option(["--station"], default="twin", show_default=True, help="Name or file of the station."),
        click.Option(
            ["--seed"],
            type=Integer(0, LARGEST_SEED),
            help="Seed of the choices of the plan and of the noise of a twin.",
        ),
        click.Option(
            ["--compute", "--cluster", "compute"],
            metavar="threads|gpu|ADDRESS",
            help="Where a twin computes: on threads of this machine, its GPU, or the Dask cluster at tcp://host:port."
            "  [default: threads]",
        ),
        fault_option(),
        click.Option(
            ["--directory"],
            type=click.Path(file_okay=False, path_type=Path),
            default=None,
            is_eager=True,
            help="Where runs are stored.  [default: $LAB_RUNS or ./runs]",
        ),
        click.Option(["--figure/--no-figure"], default=True, help="Draw figure.png into the run."),
        click.Option(["--json", "as_json"], is_flag=True, help="End standard output with one line of JSON."),
    ]


def _stored_run(text: str, directory: Path | None) -> Any:
    from protocols.stored_run import StoredRun

    return StoredRun.from_event(*_last_event(text, directory, "evaluation"))


def _stored_calibration(text: str, directory: Path | None) -> Any:
    from protocols.switch_calibration import SwitchCalibration

    return SwitchCalibration.from_event(*_last_event(text, directory, "calibration"))


LOADERS: "dict[str, Loader]" = {"StoredRun": _stored_run, "SwitchCalibration": _stored_calibration}
"""What makes an argument out of the name of a run and the directory of runs, by the name of its type."""


def _last_event(text: str, directory: Path | None, stream: str) -> tuple[Mapping[str, Any], dict[str, Any]]:
    """Return the start document of a run and the data of the last event of a stream; none where it has no such one."""
    from lab import open_catalogue

    run = open_catalogue(directory).find(text)
    last = run.read(stream).isel(event=-1) if stream in run.streams else {}
    return run.start, {str(key): last[key].values for key in last}


def _run(
    name: str,
    option_names: list[str],
    devices: "Sequence[DeviceArgument]",
    *,
    station: str,
    seed: int | None,
    compute: str | None,
    faults: Sequence[tuple[str, float | None]],
    directory: Path | None,
    figure: bool,
    as_json: bool,
    **values: Any,
) -> int:
    from lab.attended import terminable

    context = click.get_current_context()
    default = click.core.ParameterSource.DEFAULT
    given = {key: values[key] for key in option_names if context.get_parameter_source(key) is not default}
    chosen = {device: values[device.name] for device in devices}
    with contextlib.redirect_stdout(messages()), terminable():
        outcome = refused(name, given, seed) or perform(
            name,
            given,
            {device.name: _device_names(name, station, device, text) for device, text in chosen.items()},
            station_name=station,
            seed=seed,
            compute=compute,
            faults=dict(faults),
            directory=directory,
        )
        report(outcome, directory, figure=figure)
    return end(outcome, as_json=as_json)


def end(outcome: Outcome, *, as_json: bool) -> int:
    """Print the result of a run, and return the exit code."""
    if as_json:
        click.echo(json_line(outcome))
    elif outcome.result:
        print_result(outcome.result)
    return exit_code(outcome)


def refused(name: str, given: Mapping[str, Any], seed: int | None) -> Outcome | None:
    """Return the outcome of a run whose plan does not take its arguments; None if it does."""
    from lab.arguments import check_arguments

    plan = load_plan(name)
    try:
        check_arguments(plan, _with_seed(plan, given, seed))
    except ValueError as error:
        return Outcome(name, error=error)
    return None


def _with_seed(plan: Any, given: Mapping[str, Any], seed: int | None) -> dict[str, Any]:
    from lab.arguments import takes_seed

    return ({"seed": seed} if seed is not None and takes_seed(plan) else {}) | dict(given)


def perform(
    name: str,
    given: Mapping[str, Any],
    devices: Mapping[str, str | list[str]],
    *,
    station_name: str,
    seed: int | None,
    compute: str | None,
    directory: Path | None,
    faults: Mapping[str, float | None] | None = None,
    continued: "Continuation | None" = None,
    md: Mapping[str, Any] | None = None,
) -> Outcome:
    """Run a plan on a station under the eyes of the operator.

    Parameters
    ----------
    name : str
        Name of the plan.
    given : mapping
        The arguments that were given; a seed among them is that of the plan alone.
    devices : mapping of str to str or list of str
        Names of the devices of the station, by positional argument of the plan.
    station_name, seed, compute, directory, faults
        As of the options of `lab run`.
    continued : Continuation, optional
        What the plan goes on from.
    md : mapping, optional
        More metadata for the start document.

    Returns
    -------
    Outcome
    """
    from lab import make_run_engine, open_station
    from lab.attended import attend

    plan = load_plan(name)
    arguments = _with_seed(plan, given, seed)
    recorded = {key: as_recorded(value) for key, value in arguments.items()}
    metadata = {"plan_devices": dict(devices), "compute": compute, **(md or {})}
    going_on = {} if continued is None else {"continued": continued}
    needed = [one for names in devices.values() for one in ([names] if isinstance(names, str) else names)]
    with open_station(station_name, seed=seed, devices=needed, compute=compute, faults=faults) as station:
        for device in station.values():
            device.say = say
        if station.computing:
            say(f"the twin computes on {station.computing}")
        if station.faults:
            say(f"rehearsing with faults: {', '.join(f'{fault}:{rate:g}' for fault, rate in station.faults.items())}")
        display = RunDisplay(stderr_console())
        engine = make_run_engine(
            station, directory=directory, arguments=recorded, progress=display.waiting, context_managers=()
        )
        engine.subscribe(display)
        bodies = [
            station[names] if isinstance(names, str) else [station[each] for each in names]
            for names in devices.values()
        ]
        body = plan(*bodies, **arguments, **going_on, md=metadata)
        return attend(engine, name, body, say=say, watch=lambda: display)


def as_recorded(value: Any) -> Any:
    """Return an argument as a start document can hold it: a stored run by its uid, a file by its path."""
    if isinstance(value, (list, tuple)):
        return [as_recorded(each) for each in value]
    return str(value) if isinstance(value, Path) else getattr(value, "uid", value)


def _device_names(plan: str, station: str, device: "DeviceArgument", text: str) -> str | list[str]:
    """Return the devices of a station that were chosen for an argument: one, or a list if several were named."""
    from lab.station_file import StationError, read_station

    definition = read_station(station)
    try:
        found = [definition.device_for(part.strip(), device.port) for part in text.split(",")]
    except StationError as error:
        there = ", ".join(definition.tables.devices) or "no devices"
        raise click.UsageError(
            f"plan {plan} needs {device.name} ({device.port}), which station {station} has not; it has {there}: {error}"
        ) from error
    if len(found) > 1 and not device.several:
        raise click.UsageError(f"plan {plan} takes one {device.name}, not {text}")
    return found if len(found) > 1 else found[0]


def report(outcome: Outcome, directory: Path | None, *, figure: bool) -> None:
    """Say how a run ended and where it is stored, and draw it."""
    if outcome.error is not None:
        ended = "was refused" if outcome.run is None else "failed"
        say(f"lab: {outcome.plan} {ended}: {explain(outcome.error)}")
    elif outcome.exit_status != "success":
        say(f"lab: {outcome.plan} ended with {outcome.exit_status}; the data up to there are kept")
    if outcome.run is None:
        return

    from lab import open_catalogue

    stored = open_catalogue(directory).find(outcome.run)
    say(f"run {outcome.run[:8]} stored in {stored.directory}")
    if figure and outcome.exit_status == "success":
        _draw(stored)


def _draw(stored: "Run") -> None:
    from lab.figures import save

    try:
        say(f"picture {save(stored, stored.directory / 'figure.png')}")
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the run a picture shows has not failed with it
        say(f"no picture: {explain(error)}")

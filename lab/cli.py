"""The `lab` command: what an operator types."""

import json
import logging
import sys
import traceback
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lab.arguments import LARGEST_SEED, Integer
from lab.catalog_command import catalog
from lab.fault_option import fault_option
from lab.figure_command import figure
from lab.outcome import BAD_ARGUMENT, FAILED, Outcome, exit_code_of, json_line, plain
from lab.plans import plan_names, summarise_plans
from lab.queue_command import queue
from lab.resume_command import resume
from lab.run_command import run
from lab.terminal import explain, print_result, print_table, say
from lab.watch_command import watch

if TYPE_CHECKING:
    from lab.catalogue import Run


class CommandLine(click.Group):
    """A group whose every failure ends in plain words on standard error and an exit code.

    0 ok, 1 bad argument, 2 refused or failed, 3 no communication.
    """

    def main(  # type: ignore[override]
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        *,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command line."""
        arguments = list(sys.argv[1:] if args is None else args)
        debug = "--debug" in arguments
        logging.basicConfig(handlers=[logging.StreamHandler() if debug else logging.NullHandler()])
        try:
            code = super().main(
                [a for a in arguments if a != "--debug"], prog_name or "lab", standalone_mode=False, **extra
            )
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the one place where errors become messages
            if debug:
                traceback.print_exception(error)
            code = _complain(error)
            if arguments[:1] in (["run"], ["resume"]) and "--json" in arguments:
                aborted = isinstance(error, (KeyboardInterrupt, click.Abort))
                click.echo(json_line(Outcome(_named(arguments), exit_status="abort" if aborted else "fail")))
        if standalone_mode:
            sys.exit(code or 0)
        return code or 0


def _named(arguments: Sequence[str]) -> str:
    """Return the plan that arguments of `lab run` name, known or not; none for other commands."""
    if arguments[:1] != ["run"]:
        return ""
    known = [word for word in arguments[1:] if word.replace("-", "_") in plan_names()]
    words = [*known, *(word for word in arguments[1:2] if not word.startswith("-")), ""]
    return words[0].replace("-", "_")


def _complain(error: BaseException) -> int:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return BAD_ARGUMENT
    if isinstance(error, click.ClickException):
        context = getattr(error, "ctx", None)
        hint = f" (try: {context.command_path} --help)" if context is not None else ""
        say(f"lab: {' '.join(error.format_message().split())}{hint}")
        return BAD_ARGUMENT
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        say("lab: stopped by the operator")
        return FAILED
    say(f"lab: {explain(error)}")
    return exit_code_of(error, before=True)


@click.group(cls=CommandLine, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="szilard")
@click.option("--debug", is_flag=True, expose_value=False, help="Show where an error came from; may stand anywhere.")
def main() -> None:
    """Run plans on a bench of physical learning machines, or on its digital twin."""


main.add_command(run)
main.add_command(resume)
main.add_command(figure)
main.add_command(catalog)
main.add_command(watch)
main.add_command(queue)

_station = click.option("--station", default="twin", show_default=True, help="Name or file of the station.")
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_directory = click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where runs are stored.  [default: $LAB_RUNS or ./runs]",
)


def _show(rows: Iterable[Mapping[str, Any]], *, as_json: bool, empty: str) -> None:
    listed = list(rows)
    if as_json:
        click.echo(json.dumps(plain(listed), allow_nan=False))
    elif listed:
        print_table(listed)
    else:
        say(empty)


@main.command()
@_json
def plans(*, as_json: bool) -> None:
    """List the plans that may be run."""
    if as_json:
        listed = [vars(plan) for plan in summarise_plans()]
        _show(listed, as_json=True, empty="")
        return
    for plan in summarise_plans():
        click.echo(click.style(plan.name, bold=True) + f"({', '.join((*plan.devices, '*'))})  {plan.summary}")
        click.echo(click.wrap_text(", ".join(plan.options), width=110, initial_indent="    ", subsequent_indent="    "))


@main.command()
@_station
@_json
def devices(station: str, *, as_json: bool) -> None:
    """List signals of a station, with units and limits."""
    from lab import open_station

    with open_station(station) as opened:
        _show(_signals(opened), as_json=as_json, empty=f"station {station} has no devices")


def _signals(station: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    for name, device in station.items():
        for key in device.component_names:
            signal = getattr(device, key)
            description = signal.describe()[signal.name]
            yield {
                "device": name,
                "signal": key,
                "purpose": _PURPOSES[signal.kind.name],
                "type": description["dtype"],
                "units": description.get("units") or "",
                "allowed": _allowed(description),
            }


_PURPOSES = {"normal": "reading", "hinted": "reading", "config": "setting", "omitted": "on demand"}


def _allowed(description: Mapping[str, Any]) -> str:
    control = description.get("limits", {}).get("control")
    if control is None:
        return ", ".join(description.get("choices", ()))
    return f"{control['low']:g} to {control['high']:g}"


@main.command()
@_station
@_json
def check(station: str, *, as_json: bool) -> None:
    """Open a station, read identities and states, change nothing."""
    from lab import open_station

    with open_station(station) as opened:
        instruments = [{"instrument": name, **table} for name, table in opened.metadata()["instruments"].items()]
        states = [
            {"device": name, "signal": key.removeprefix(f"{name}_"), "value": plain(reading["value"])}
            for name, device in opened.items()
            for key, reading in device.read_configuration().items()
        ]
    if as_json:
        click.echo(json.dumps({"instruments": instruments, "states": states}, allow_nan=False))
        return
    print_table(instruments)
    click.echo()
    print_table(states)


@main.command(short_help="Make every output of a station safe.")
@_station
def safe(station: str) -> None:
    """Bring every output of a station to its safe state and say what was done."""
    from lab import open_station

    with open_station(station) as opened:
        resting = {name for name, device in opened.items() if device.at_rest}
        for name, done in opened.safe().items():
            click.echo(f"{name}: {'was safe already' if name in resting else ', '.join(done)}")


@main.command()
@click.option(
    "--station", "--bench", "station", default="twin", show_default=True, help="Station whose bench is served."
)
@click.option("--address", default="127.0.0.1", show_default=True, help="Address of this machine to listen at.")
@click.option(
    "--port",
    type=Integer(0, 65535),
    default=5025,
    show_default=True,
    help="Port of the first instrument; 0 takes any that is free.",
)
@click.option("--seed", type=Integer(0, LARGEST_SEED), default=0, show_default=True, help="Seed of the noise.")
@click.option(
    "--compute",
    "--cluster",
    "compute",
    metavar="threads|gpu|ADDRESS",
    help="Where physics is computed, as in `lab run`.  [default: threads]",
)
def serve(
    station: str, address: str, port: int, seed: int, compute: str | None, faults: "Sequence[tuple[str, float | None]]"
) -> None:
    """Serve simulated instruments on TCP until Ctrl-C."""
    from lab.attended import terminable, wait_for_interrupt
    from lab.station import serve_bench

    bench = serve_bench(station, address=address, port=port, seed=seed, compute=compute, faults=dict(faults))
    with terminable(), bench as server:
        say("preparing the simulated instruments; the first time their physics is compiled, which takes a minute")
        server.bench.warm_up()
        for name, (host, number) in server.addresses.items():
            click.echo(f"{name} is at {host}:{number}")
        sys.stdout.flush()
        wait_for_interrupt()
    say("stopped")


serve.params.append(fault_option())


@main.command()
@click.option("--station", default="twin", show_default=True, help="Name or file of a station of the twin.")
@_json
def faults(station: str, *, as_json: bool) -> None:
    """List what can be made to go wrong on a twin, see `lab run --fault`."""
    from lab.faults import known_faults

    _show(known_faults(station), as_json=as_json, empty="no faults")


@main.command()
@_directory
@_json
@click.option("--plan", help="Only runs of this plan.")
def runs(directory: Path | None, plan: str | None, *, as_json: bool) -> None:
    """List the stored runs, the latest last."""
    from lab import open_catalogue

    catalogue = open_catalogue(directory)
    _show(
        (_run_summary(run) for run in catalogue if plan in (None, run.plan)),
        as_json=as_json,
        empty=f"no runs in {catalogue.directory}",
    )


def _run_summary(run: "Run") -> dict[str, Any]:
    return {
        "number": run.number,
        "run": run.uid[:8],
        "plan": run.plan,
        "station": run.station,
        "started (UTC)": f"{run.started:%Y-%m-%d %H:%M:%S}",
        "seconds": run.seconds,
        "state": run.state,
        "steps": run.steps,
        "progress": run.progress,
        "last event (UTC)": f"{datetime.fromtimestamp(run.last_time, UTC):%Y-%m-%d %H:%M:%S}",
        "continues": run.start.get("continues", {}).get("run", "")[:8],
    }


@main.command()
@click.argument("name", metavar="RUN")
@_directory
@_json
def show(name: str, directory: Path | None, *, as_json: bool) -> None:
    """Show one stored RUN: a uid or its beginning, a number, or `last`."""
    from lab import open_catalogue

    found = open_catalogue(directory).find(name)
    about = {**_run_summary(found), "run": found.uid, "directory": str(found.directory)}
    metadata = {key: value for key, value in found.start.items() if key not in ("uid", "time")}
    streams = {stream: found.read(stream) for stream in found.streams}
    if as_json:
        shapes = {stream: {key: list(data[key].shape) for key in data} for stream, data in streams.items()}
        click.echo(
            json.dumps(plain({**about, "start": metadata, "cuts": found.cuts, "streams": shapes}), allow_nan=False)
        )
        return
    print_result(about)
    print_result(metadata)
    for cut in found.cuts:
        when = datetime.fromtimestamp(cut["time"], UTC)
        click.echo(f"cut after step {cut['step']}, {when:%Y-%m-%d %H:%M:%S} UTC; what came before is run {cut['run']}")
    for stream, data in streams.items():
        click.echo(f"\n{click.style(stream, bold=True)}: {data.sizes['event']} events")
        print_table(
            {
                "key": key,
                "shape": _shape(data[key]),
                "type": str(data[key].dtype),
                "units": data[key].attrs.get("units", ""),
            }
            for key in data
        )


def _shape(variable: Any) -> str:
    return " x ".join(f"{dim} {size}" for dim, size in variable.sizes.items())


@main.command(short_help="Write a stored RUN as netCDF, Zarr or CSV.")
@click.argument("name", metavar="RUN")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--format", "file_format", type=click.Choice(["netcdf", "zarr", "csv"]), help="[default: by the suffix]")
@click.option("--stream", help="One stream only.")
@_directory
def export(name: str, path: Path, file_format: str | None, stream: str | None, directory: Path | None) -> None:
    """Write a stored RUN to PATH as netCDF (.nc), Zarr (.zarr) or CSV (.csv)."""
    from lab import open_catalogue

    for written in open_catalogue(directory).find(name).export(path, format=file_format, stream=stream):
        click.echo(written)


@main.command(short_help="Draw a stored RUN.")
@click.argument("name", metavar="RUN")
@click.argument("path", required=False, type=click.Path(dir_okay=False, path_type=Path))
@_directory
def plot(name: str, path: Path | None, directory: Path | None) -> None:
    """Draw a stored RUN into PATH, by default figure.png in the directory of the run."""
    from lab import open_catalogue
    from lab.figures import save

    found = open_catalogue(directory).find(name)
    click.echo(save(found, path or found.directory / "figure.png"))

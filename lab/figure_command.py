"""`lab figure`: pictures by name, drawn from the stored runs they need."""

import shlex
from pathlib import Path

import click

from lab.outcome import BAD_ARGUMENT, OK
from lab.terminal import print_table, say


@click.command(short_help="Draw a picture by its NAME from the stored runs it needs.")
@click.argument("name", required=False)
@click.argument("path", required=False, type=click.Path(dir_okay=False, path_type=Path))
@click.option("--run", "runs", multiple=True, metavar="RUN", help="A run to draw, in place of the latest that fits.")
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where runs are stored.  [default: $LAB_RUNS or ./runs]",
)
def figure(name: str | None, path: Path | None, runs: tuple[str, ...], directory: Path | None) -> int:
    """Draw a picture by its NAME into PATH, by default NAME.png here.

    It is drawn from the latest stored runs that fit. Where some are missing, the commands that make them are printed:
    `lab figure NAME | sh` runs them. Without a NAME the pictures are listed.
    """
    from lab import open_catalogue
    from lab.figures import gallery

    if name is None:
        print_table({"picture": key, "shows": one.summary} for key, one in gallery.PICTURES.items())
        return OK
    wanted = gallery.picture(name)
    try:
        found = gallery.find_runs(wanted, open_catalogue(directory), runs)
    except gallery.MissingRunsError as missing:
        say(f"lab: no picture {name}: {missing}{'; these make it:' if missing.commands else ''}")
        where = "" if directory is None else f" --directory {shlex.quote(str(directory))}"
        if missing.commands:
            click.echo(" &&\n".join(f"{command}{where}" for command in missing.commands))
        return BAD_ARGUMENT
    say(f"drawn from {', '.join(f'{run.uid[:8]} ({run.plan})' for run in found)}")
    click.echo(gallery.save_picture(wanted, found, path or Path(f"{name.replace('-', '_')}.png")))
    return OK

"""`lab catalog`: a Tiled server for the runs of one machine, and what sends runs to any."""

import os
from pathlib import Path

import click

from lab.arguments import Integer
from lab.outcome import FAILED, OK
from lab.terminal import say

_directory = click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where runs are stored.  [default: $LAB_RUNS or ./runs]",
)


@click.group(short_help="Offer the runs on a Tiled server.")
def catalog() -> None:
    """Offer the stored runs on a Tiled server.

    The journals stay the truth: a server gets what they hold, and may be away, be replaced or begin anew.
    """


@catalog.command()
@click.option(
    "--store",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("catalog"),
    show_default=True,
    help="Where the server keeps its database, its data and its key.",
)
@click.option(
    "--database",
    help="PostgreSQL database of the server, postgresql://USER@HOST:PORT/NAME; its password is best kept in ~/.pgpass "
    "or $PGPASSWORD.  [default: SQLite in STORE]",
)
@click.option("--address", default="127.0.0.1", show_default=True, help="Address of this machine to listen at.")
@click.option("--port", type=Integer(1, 65535), default=8000, show_default=True, help="Port to listen at.")
def serve(store: Path, database: str | None, address: str, port: int) -> None:
    """Serve a catalog until Ctrl-C. Its key is $TILED_SINGLE_USER_API_KEY, or in the file `key` of STORE."""
    from lab.tiled_server import serve_catalog

    serve_catalog(store.absolute(), database=database, address=address, port=port, say=say)


@catalog.command()
@click.option("--station", default="twin", show_default=True, help="Station whose file names the server.")
@click.option("--to", "uri", metavar="URI", help="Another server.  [default: $LAB_CATALOG, else that of the station]")
@click.option(
    "--key-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File with the key of the server.  [default: $TILED_API_KEY, else that of the station]",
)
@_directory
@click.option("--patient", is_flag=True, hidden=True, help="Give way to whatever measures.")
def sync(station: str, uri: str | None, key_file: Path | None, directory: Path | None, *, patient: bool) -> int:
    """Send every run to the server that it has not got yet. Runs that still go on are sent when they have ended."""
    from lab.catalog_address import CatalogAddress, catalog_address
    from lab.journal import default_directory
    from lab.station_file import read_station
    from lab.tiled_catalog import AnotherSenderError, send_alone

    address = CatalogAddress(uri, key_file) if uri else catalog_address(read_station(station).tables.catalog)
    if address is None:
        raise click.UsageError(f"no catalog is known: give --to, set $LAB_CATALOG, or write [catalog] in {station}")
    runs = (directory or default_directory()).absolute()
    if not runs.is_dir():
        raise click.UsageError(f"there is no directory {runs}")
    if patient and hasattr(os, "nice"):
        os.nice(10)
    outcomes = []
    try:
        for sent in send_alone(runs, address):
            click.echo(f"run {sent.run.uid[:8]} {f'was not taken: {sent.problem}' if sent.problem else 'sent'}")
            outcomes.append(sent)
    except AnotherSenderError as error:
        say(str(error))
    else:
        if not outcomes:
            click.echo(f"{address.uri} has every run of {runs}")
    return FAILED if any(sent.problem for sent in outcomes) else OK

"""`lab watch`: a live page of the run under way, for people who only look."""

from contextlib import suppress
from pathlib import Path

import click

from lab.arguments import Integer
from lab.terminal import say

TOKEN_FILE = Path("~/.config/szilard/watch-token")


@click.command(short_help="Show the run under way on a live page.")
@click.argument("name", metavar="[RUN]", required=False)
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where runs are stored.  [default: $LAB_RUNS or ./runs]",
)
@click.option("--address", default="127.0.0.1", show_default=True, help="Address of this machine to listen at.")
@click.option("--port", type=Integer(0, 65535), default=8377, show_default=True, help="Port; 0 takes any that is free.")
@click.option(
    "--token-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help=f"File with the token that browsers must give.  [default beyond loopback: a new one in {TOKEN_FILE}]",
)
def watch(name: str | None, directory: Path | None, address: str, port: int, token_file: Path | None) -> None:
    """Show a RUN on a live page until Ctrl-C, by default the one under way, and the next one when that begins.

    The page can only be read. It is made from what runs have put on disk, in a process of its own, which may be
    started and ended at any time. Other machines reach it only with `--address`, and then need a token.
    """
    try:
        from lab.watch.server import PageServer, is_loopback, make_token, read_token
    except ModuleNotFoundError as error:
        raise click.UsageError(f"the page needs {error.name}: pip install 'szilard[watch]'") from error

    from lab import open_catalogue
    from lab.attended import terminable
    from lab.watch.watcher import Watcher

    catalogue = open_catalogue(directory)
    run = catalogue.find(name) if name is not None else None
    token = read_token(token_file) if token_file is not None else None
    if token is None and not is_loopback(address):
        token = make_token(TOKEN_FILE.expanduser())
    with terminable(), Watcher(catalogue.directory, run) as watcher:
        server = PageServer(watcher, address=address, port=port, token=token)
        click.echo(server.url)
        say(f"showing {f'run {run.uid[:8]}' if run else 'the latest run'} in {catalogue.directory}; Ctrl-C ends")
        with suppress(KeyboardInterrupt):
            server.serve()
    say("stopped")

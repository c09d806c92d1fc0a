"""`--fault`: what is to go wrong on a twin."""

from typing import Any

import click

__all__ = ["fault_option"]


class FaultChoice(click.ParamType):
    """``NAME``, ``NAME@INSTRUMENT``, each with ``:RATE`` or without."""

    name = "fault"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, float | None]:
        """Return the name and the rate, None for the default."""
        if isinstance(value, tuple):
            return value
        name, colon, rate = value.partition(":")
        try:
            return name, float(rate) if colon else None
        except ValueError:
            self.fail(f"{rate!r} is no rate; write NAME or NAME:RATE, such as mute:0.01", param, ctx)


def fault_option() -> click.Option:
    """Make the option."""
    return click.Option(
        ["--fault", "faults"],
        type=FaultChoice(),
        multiple=True,
        metavar="NAME[@INSTRUMENT][:RATE]",
        help="What goes wrong on a twin, to rehearse it; may be repeated. `lab faults` lists what can.",
    )

"""What a learning run counts while it goes on."""

from collections.abc import Mapping
from typing import Any

LEARNING_STREAMS = ("learning", "epochs", "estimates")
"""Streams whose numbers converge while a run goes on."""


def learning_goal(start: Mapping[str, Any]) -> tuple[str, int] | None:
    """Return what a learning run counts, epochs or generations, and how many there will be; None for other runs."""
    arguments = start.get("plan_args", {})
    totals = {"epoch": arguments.get("epochs"), "generation": arguments.get("generations")}
    return next(((key, total) for key, total in totals.items() if total), None)

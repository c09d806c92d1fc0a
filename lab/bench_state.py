"""The moment of a twin: recorded with every learning step, and gone back to where a run is taken up."""

import json
import time
from collections.abc import Callable, Generator
from functools import partial
from typing import Any

from bluesky.utils import Msg, ensure_generator

from protocols.continuation import LEARNING

BENCH_STATE = "bench_state"


class BenchState:
    """A readable: what addresses the noise of a twin from here on, as JSON.

    Parameters
    ----------
    bench : sim_devices.benches.Bench
        The bench of the twin.
    """

    name = BENCH_STATE
    parent = None

    def __init__(self, bench: Any) -> None:
        self._bench = bench

    def read(self) -> dict[str, dict[str, Any]]:
        """Return the state now."""
        return {BENCH_STATE: {"value": json.dumps(self._bench.state()), "timestamp": time.time()}}

    def describe(self) -> dict[str, dict[str, Any]]:
        """Return the schema of a reading."""
        return {BENCH_STATE: {"source": f"bench:{self._bench.name}", "dtype": "string", "shape": []}}

    def read_configuration(self) -> dict[str, dict[str, Any]]:
        """Return nothing: there is nothing to configure."""
        return {}

    def describe_configuration(self) -> dict[str, dict[str, Any]]:
        """Return nothing: there is nothing to configure."""
        return {}


def noting(bench: Any) -> Callable[[Any], Any]:
    """Return a preprocessor that puts the state of a bench into every learning event."""
    return partial(_noted, state=BenchState(bench))


def _noted(plan: Any, state: BenchState) -> Generator[Msg, Any, Any]:
    """Read `state` into every learning event of a plan.

    bluesky's `plan_mutator` would do, but it holds every message, with its arrays, until the plan ends.
    """
    plan = ensure_generator(plan)
    go_on, argument = plan.send, None
    while True:
        try:
            msg = go_on(argument)
        except StopIteration as end:
            return end.value
        try:
            response = yield msg
            if msg.command == "create" and msg.kwargs.get("name") == LEARNING:
                yield Msg("read", state)
        except GeneratorExit:
            plan.close()
            raise
        except BaseException as error:  # noqa: BLE001 - the plan decides what becomes of it
            go_on, argument = plan.throw, error
        else:
            go_on, argument = plan.send, response


def taking_up(bench: Any | None) -> Callable[[Msg], Any]:
    """Return what the message ``take_up`` does: it brings a bench to where it was after the last recorded step.

    Without a bench, on real instruments, nothing is done: they are where they are.
    """

    async def take_up(msg: Msg) -> None:
        (continued,) = msg.args
        if bench is not None and len(continued.column(BENCH_STATE)):
            bench.restore(json.loads(continued.last(BENCH_STATE)))

    return take_up

"""Gates of a dot by name: settings as an operator writes them, checked against the device, set, and swept."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from bluesky.utils import Msg

from protocols.acquisition import Plan, acquire, configure
from protocols.arguments import ArgumentError, number, whole
from protocols.ports import Quantity, QuantumDot

HIGHEST_VOLTAGE = 10.0
"""V; no gate goes beyond it, whatever the station allows."""

LARGEST_SWEEP = 10_000
"""Points of one line."""


def gate_voltages(name: str, settings: Sequence[str]) -> dict[str, float]:
    """Read settings of gates written as "gate=volts".

    Parameters
    ----------
    name : str
        Name of the argument, for the message.
    settings : sequence of str
        For example ``("barrier_left=0.7", "barrier_right=0.7")``.

    Returns
    -------
    dict
        Volts by the name of the gate, in the order given.

    Raises
    ------
    ArgumentError
        An item is not of that form, is no voltage from -10 to 10 V, or a gate is named twice.
    """
    if isinstance(settings, str):
        raise ArgumentError(f"{name}: {settings!r} is not a list; allowed: items such as barrier_left=0.7")
    voltages: dict[str, float] = {}
    for item in settings:
        gate, equals, text = str(item).partition("=")
        gate = gate.strip()
        problem = _problem(gate, equals, voltages)
        if problem:
            raise ArgumentError(f"{name}: {item!r} {problem}; allowed: one item a gate such as barrier_left=0.7")
        voltages[gate] = _volts(f"{name}: {gate}", text)
    return voltages


def sweep_voltages(name: str, ends: Sequence[float], points: int) -> tuple[float, ...]:
    """Return equidistant voltages from one end to the other, both included.

    Raises
    ------
    ArgumentError
        The ends are not two different voltages from -10 to 10 V, or `points` is not from 2 to 10000.
    """
    if isinstance(ends, str) or not isinstance(ends, Sequence) or len(ends) != 2:
        raise ArgumentError(f"{name}: {ends!r} is not allowed; two voltages, where to start and where to stop")
    start, stop = (number(name, volts, -HIGHEST_VOLTAGE, HIGHEST_VOLTAGE, unit="V") for volts in ends)
    if start == stop:
        raise ArgumentError(f"{name}: start and stop are both {start:g} V; allowed: two different voltages")
    count = whole(f"points of {name}", points, 2, LARGEST_SWEEP)
    return tuple(float(volts) for volts in np.linspace(start, stop, count))


def check_gates(dot: QuantumDot, voltages: Mapping[str, Iterable[float]]) -> None:
    """Ask the gates of a dot, without sending anything, whether they take every voltage; "bias" is the bias.

    Raises
    ------
    ArgumentError
        There is no such gate, or it refuses a voltage.
    """
    for name, values in voltages.items():
        target = output(dot, name)
        for volts in values:
            try:
                target.check_value(volts)
            except (ValueError, TypeError) as refusal:
                raise ArgumentError(f"{name}: {dot.name} refuses {volts:g} V: {refusal}") from refusal


def output(dot: QuantumDot, name: str) -> Quantity:
    """Return a gate by name, or for "bias" the bias.

    Raises
    ------
    ArgumentError
        There is no such gate.
    """
    if name == "bias":
        return dot.bias
    try:
        return dot.gate(name)
    except KeyError as unknown:
        allowed = ", ".join(dot.gate_names)
        raise ArgumentError(f"gate: {dot.name} has no {name!r}; allowed: {allowed}") from unknown


def set_gates(dot: QuantumDot, voltages: Mapping[str, float]) -> Plan[None]:
    """Set gates by name, and wait until all of them are there; "bias" is the bias."""
    for name, volts in voltages.items():
        yield Msg("set", output(dot, name), volts, group="gates")
    yield Msg("wait", None, group="gates")


def arrange_gates(dot: QuantumDot, voltages: Mapping[str, float]) -> Plan[None]:
    """Set gates by name: first physical gates, those not named to their safe voltage, then virtual gates and the bias.

    So gates are where the plan says, whatever an earlier run has left behind, and no gate that is set later moves a
    virtual gate that is set already.
    """
    yield from set_gates(dot, {**dot.safe_voltages, **voltages})


def prepare_sweep(
    dot: QuantumDot,
    gate: str,
    values: Sequence[float],
    voltages: Mapping[str, float],
    *,
    settling_time: float,
    integration_time: float,
) -> Plan[None]:
    """Make a dot ready to sweep a gate over values with the other gates at their voltages, or safe."""
    yield from arrange_gates(dot, voltages)
    yield from configure(
        dot,
        measurement="sweep",
        sweep_gate=gate,
        sweep_values=np.asarray(values, dtype=float),
        settling_time=settling_time,
        integration_time=integration_time,
    )


def sweep_line(dot: QuantumDot, voltages: Mapping[str, float]) -> Plan[float]:
    """Make a point of return, set gates, sweep one line, and return the instrument time in seconds."""
    yield Msg("checkpoint", None)
    if voltages:
        yield from set_gates(dot, voltages)
    yield from acquire(dot)
    return float(dot.run_time.get())


def _problem(gate: str, equals: str, voltages: Mapping[str, float]) -> str:
    if not gate or not equals:
        return "is not of the form gate=volts"
    if gate in voltages:
        return "names a gate twice"
    return "names the bias, which has an option of its own" if gate == "bias" else ""


def _volts(name: str, text: str) -> float:
    try:
        volts = float(text)
    except ValueError:
        raise ArgumentError(f"{name}: {text.strip()!r} is not allowed; a number of volts") from None
    return number(name, volts, -HIGHEST_VOLTAGE, HIGHEST_VOLTAGE, unit="V")

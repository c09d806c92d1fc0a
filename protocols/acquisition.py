"""The messages all plans are made of: a run around a body, settings, an acquisition, an event."""

from collections.abc import Generator, Mapping, Sequence
from typing import Any, TypeVar

from bluesky.preprocessors import contingency_wrapper, stage_wrapper
from bluesky.utils import FailedStatus, Msg, RunEngineControlException

from protocols.ports import ActivationSwitch, Board, Device, PhotonKernel, QuantumDot
from protocols.record import Record

Result = TypeVar("Result")
Plan = Generator[Msg, Any, Result]


def recorded(
    devices: Device | Sequence[Device],
    plan_name: str,
    arguments: Mapping[str, Any],
    body: Plan[Result],
    md: Mapping[str, Any] | None = None,
) -> Plan[Result]:
    """Run a body in one recorded run on staged devices, which are left safe however the body ends.

    Parameters
    ----------
    devices : device or sequence of devices
        Staged before the run and unstaged after it.
    plan_name : str
        Name of the plan, for the start document.
    arguments : mapping
        Arguments of the plan, for the start document; values that JSON knows.
    body : generator of messages
        What happens within the run.
    md : mapping, optional
        More metadata for the start document.

    Yields
    ------
    Msg

    Returns
    -------
    object
        What the body returns.
    """
    staged = list(devices) if isinstance(devices, Sequence) else [devices]
    names = [device.name for device in staged]
    metadata = {"plan_name": plan_name, "plan_args": dict(arguments), "detectors": names, **(md or {})}

    def run() -> Plan[Result]:
        yield Msg("open_run", None, **metadata)
        result = yield from contingency_wrapper(body, except_plan=_close_failed, else_plan=_close)
        return result

    return (yield from stage_wrapper(run(), staged))


def _close() -> Plan[None]:
    yield Msg("close_run", None, exit_status="success", reason="")


def _close_failed(error: Exception) -> Plan[None]:
    status = getattr(error, "exit_status", "fail") if isinstance(error, RunEngineControlException) else "fail"
    cause = error.__cause__ if isinstance(error, FailedStatus) and error.__cause__ else error
    yield Msg("close_run", None, exit_status=status, reason=str(cause))


def configure(device: Device, **settings: Any) -> Plan[None]:
    """Set signals of a device by name, in order, and wait until the instrument has taken them all."""
    yield from request(device, **settings)
    yield Msg("wait", None, group="settings")


def request(device: Device, **settings: Any) -> Plan[None]:
    """Set signals of a device by name, in order, without waiting: they are in the group "settings"."""
    for name, value in settings.items():
        yield Msg("set", getattr(device, name), value, group="settings")


def measure(device: Board | ActivationSwitch | PhotonKernel | QuantumDot, **settings: Any) -> Plan[float]:
    """Make a point of return, set signals of a device, trigger it once, and return the time that took on it in seconds.

    All decisions are in the settings, the seed of the noise among them, so that a rewind measures the same again.
    """
    yield Msg("checkpoint", None)
    yield from configure(device, **settings)
    yield from acquire(device)
    return float(device.run_time.get())


def acquire(device: Device) -> Plan[None]:
    """Trigger a device, and wait until its results are there."""
    yield Msg("trigger", device, group="run")
    yield Msg("wait", None, group="run")


def save(record: Record, **values: Any) -> Plan[None]:
    """Save one event with these values in the stream that bears the record's name, and make it a point of return."""
    record.put(**values)
    yield Msg("create", None, name=record.name)
    yield Msg("read", record)
    yield Msg("save", None)
    yield Msg("checkpoint", None)


def board_settings(
    *,
    temperature: float,
    sampling: str,
    shots: int,
    observation_time: float,
    burn_in: float,
    saturation_limit: float = 0.01,
) -> dict[str, Any]:
    """Return the settings of a board that every plan gives, by signal name."""
    return {
        "temperature": temperature,
        "sampling": sampling,
        "shots": shots,
        "observation_time": observation_time,
        "burn_in": burn_in,
        "saturation_limit": saturation_limit,
    }


def as_json(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments as values that JSON knows: sequences as lists."""
    return {
        name: list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
        for name, value in arguments.items()
    }

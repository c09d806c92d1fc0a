"""How a run ended, for the shell and for programs."""

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

OK, BAD_ARGUMENT, FAILED, NO_COMMUNICATION = range(4)

ExitStatus = Literal["success", "abort", "fail"]


@dataclass
class Outcome:
    """How a run ended.

    Parameters
    ----------
    plan : str
        Name of the plan.
    run : str or None
        Uid of the run, None if none was opened.
    exit_status : {"success", "abort", "fail"}
        As in the stop document of the run.
    seconds : float
        Wall time in seconds.
    result : mapping
        What the plan returned.
    error : Exception or None
        Why the run failed.
    """

    plan: str
    run: str | None = None
    exit_status: ExitStatus = "fail"
    seconds: float = 0.0
    result: Mapping[str, Any] = field(default_factory=dict)
    error: Exception | None = None


def exit_code(outcome: Outcome) -> int:
    """Exit code of an outcome."""
    if outcome.error is None:
        return OK if outcome.exit_status == "success" else FAILED
    return exit_code_of(outcome.error, before=outcome.run is None)


def exit_code_of(error: BaseException, *, before: bool) -> int:
    """Exit code of an error; a wrong value `before` a run was opened is a bad argument."""
    if _is_no_communication(error):
        return NO_COMMUNICATION
    return BAD_ARGUMENT if before and isinstance(error, (ValueError, LookupError)) else FAILED


def _is_no_communication(error: BaseException | None) -> bool:
    if error is None:
        return False
    if isinstance(error, _communication_errors()):
        return True
    members = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    return any(_is_no_communication(related) for related in (*members, error.__cause__))


def _communication_errors() -> tuple[type[Exception], ...]:
    """Return the errors of a wire that does not answer; what was never imported was never raised."""
    named = (("pyvisa.errors", "VisaIOError"), ("lab.station", "CommunicationError"))
    loaded = (getattr(sys.modules[module], name) for module, name in named if module in sys.modules)
    return (ConnectionError, TimeoutError, *loaded)


def json_line(outcome: Outcome) -> str:
    """Write an outcome as one line of JSON; NaN and infinities become null."""
    return json.dumps(
        {
            "run": outcome.run,
            "plan": outcome.plan,
            "exit_status": outcome.exit_status,
            "seconds": round(outcome.seconds, 3),
            "result": plain(outcome.result),
        },
        allow_nan=False,
    )


def plain(value: Any) -> Any:
    """Turn arrays and mappings into what JSON has; NaN and infinities become None."""
    if isinstance(value, Mapping):
        return {str(key): plain(element) for key, element in value.items()}
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(element) for element in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, (bool, int, str, type(None))) else str(value)

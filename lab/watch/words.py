"""How times and values are written for somebody who looks at the page from across the room."""

import math
from datetime import UTC, datetime
from typing import Any

LONGEST = 200  # characters of a text on the page


def clock(moment: float | None) -> str:
    """Write a POSIX time in s as date and time, UTC."""
    if moment is None or not math.isfinite(moment):
        return ""
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M:%S} UTC"


def duration(seconds: float | None) -> str:
    """Write a time in s in the two largest units that it has."""
    if seconds is None or not math.isfinite(seconds):
        return ""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    days, hours, minutes = whole // 86400, whole // 3600 % 24, whole // 60 % 60
    if days:
        return f"{days} d {hours} h"
    if whole >= 3600:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"


def written(value: Any) -> str:
    """Write a value of a document: numbers to four digits, long texts and lists cut."""
    if value is None:
        return "not known"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        rounded = f"{value:.4g}"
        return f"{float(rounded):.0f}" if 1e4 <= abs(value) < 1e7 else rounded
    if isinstance(value, (list, tuple)):
        text = ", ".join(written(element) for element in value[:12]) + (", …" if len(value) > 12 else "")
    elif isinstance(value, dict):
        text = ", ".join(f"{key}={written(element)}" for key, element in list(value.items())[:12])
    else:
        text = str(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def measured(value: Any, error: float | None, units: str) -> str:
    """Write a value with its standard error, to the second digit of that, and its units."""
    after = f" {units}" if units and value is not None else ""
    if not isinstance(value, float) or error is None or not (math.isfinite(error) and 0 < error < math.inf):
        return written(value) + after
    if not 1e-3 <= abs(value) < 1e5:
        return f"{value:.3g} ± {error:.2g}{after}"
    digits = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:.{digits}f} ± {error:.{digits}f}{after}"

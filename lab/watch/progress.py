"""How far a run is, and when it will end at the pace of its latest steps."""

from collections import deque
from collections.abc import Mapping
from typing import Any

from lab.goal import learning_goal

Document = Mapping[str, Any]


class Progress:
    """How far a run is, and when it will end.

    Parameters
    ----------
    start : mapping
        The start document, whose arguments say how many steps there will be.
    """

    def __init__(self, start: Document) -> None:
        arguments = start.get("plan_args", {})
        self.key, self.total = learning_goal(start) or ("event", self._events(start, arguments))
        self.steps = 0
        self._may_end_sooner = any(arguments.get(key) is not None for key in ("target_loss", "patience"))
        self._pace = Pace()
        self._done = 0.0
        self._epoch_began = 0
        self._steps_an_epoch = 0

    @staticmethod
    def _events(start: Document, arguments: Document) -> int | None:
        """Return how many events the stream "primary" will have, where the start document says so."""
        candidates = (start.get("num_points"), arguments.get("bias_points"), arguments.get("traces"))
        return next((count for count in candidates if isinstance(count, int) and count > 0), None)

    def note(self, stream: str, event: Document) -> None:
        """Take one event."""
        data, done = event["data"], None
        if self.key in data and stream == "epochs":
            done = float(data[self.key])
            self._steps_an_epoch = max(self._steps_an_epoch, self.steps - self._epoch_began)
            self._epoch_began = self.steps
        elif stream == "learning":
            self.steps = int(data.get("step", event["seq_num"]))
            one_an_epoch = self.steps == data.get(self.key)
            if self.key in data and not (one_an_epoch and self.steps == 1):  # the first step cannot tell
                done = float(data[self.key])
                if not one_an_epoch and self.key == "epoch":
                    within = (self.steps - self._epoch_began) / self._steps_an_epoch if self._steps_an_epoch else 0.0
                    done = done - 1.0 + min(within, 1.0)
        elif self.key == "event" and stream == "primary":
            done = float(event["seq_num"])
        if done is not None:
            self._done = done
            if self.total:
                self._pace.note(event["time"], min(done / self.total, 1.0))

    def forget_pace(self) -> None:
        """Let the pace be that of the steps to come."""
        self._pace = Pace()

    def view(self, state: str, now: float) -> dict[str, Any]:
        """Return ``fraction`` (0 to 1 or None), ``text``, ``seconds_left`` and ``ends`` (s, POSIX; None if unknown)."""
        fraction = min(self._done / self.total, 1.0) if self.total else None
        left = self._pace.seconds_left if state == "running" and self.total else None
        return {
            "fraction": 1.0 if state == "success" else fraction,
            "text": self._text(),
            "seconds_left": left,
            "ends": None if left is None else now + left,
            "may_end_sooner": self._may_end_sooner,
        }

    def _text(self) -> str:
        reached = max(1, -int(-self._done // 1)) if self._done or self.steps else 0
        of = f" of {self.total}" if self.total else ""
        text = f"{self.key} {reached}{of}" if reached else f"no {self.key} yet{f', {self.total} planned' * bool(of)}"
        return text + (f", step {self.steps}" if self.steps and self.steps != reached else "")


class Pace:
    """How fast something proceeds, by its latest steps."""

    def __init__(self, memory: int = 60) -> None:
        self._marks: deque[tuple[float, float]] = deque(maxlen=memory)

    def note(self, time: float, fraction: float) -> None:
        """Take how much was done at a time (s)."""
        if not self._marks or fraction > self._marks[-1][1]:
            self._marks.append((time, fraction))

    @property
    def seconds_left(self) -> float | None:
        """Time from the latest step to the end in s, None while it cannot be told."""
        if len(self._marks) < 2:
            return None
        (first, earlier), (last, later) = self._marks[0], self._marks[-1]
        return (1.0 - later) * (last - first) / (later - earlier) if later > earlier else None

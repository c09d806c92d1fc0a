"""The signal path of the SR830: input, reference, mixers and output filters, evaluated in bench time."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sim_devices.instruments.cabling import OPEN, SignalInput, Values
from twin.models.lock_in import DEPTH, OutputFilter

RECENT = 512
"""Windows whose outputs are kept for the noise displays."""
_CHUNK = 1 << 18
"""Windows that the input is asked for at once."""


@dataclass(frozen=True)
class SignalPath:
    """How the input is detected.

    Parameters
    ----------
    signal
        What is connected to the input chosen.
    full_scale
        Largest input, V or A rms.
    frequency
        Detection frequency in Hz; 0 while the reference is unlocked.
    amplitude
        Rms amplitude in V of the instrument's own sine at this frequency: 0 at harmonics.
    phase
        Reference phase in degrees.
    output
        The output filters.
    """

    signal: SignalInput = OPEN
    full_scale: float = 1.0
    frequency: float = 1000.0
    amplitude: float = 1.0
    phase: float = 0.0
    output: OutputFilter = OutputFilter(0.1, 2)  # noqa: RUF009 -- frozen


class Detector:
    """X and Y as functions of time: the input mixed down, through two chains of low passes.

    The input is looked at in windows of an eighth of the time constant that lie in the past, so that changes of what is
    connected come in when they happened and noise comes out with the bandwidth of the filter. At first use the filters
    are settled: the instrument has been on for long.

    Parameters
    ----------
    time
        Time of the bench at power-on, s.
    acquire
        Gives the next acquisition number.

    Attributes
    ----------
    overloaded : bool
        Whether the input has been beyond full scale; whoever reports it sets it back.
    """

    path = SignalPath()

    def __init__(self, time: float, acquire: Callable[[], int]) -> None:
        self.overloaded = False
        self.recent = np.zeros((0, 2))
        self._time = time
        self._acquire = acquire
        self._stages: np.ndarray | None = None

    def tune(self, path: SignalPath) -> None:
        """Detect in another way from the time reached on."""
        self.path = path

    def advance(self, time: float) -> Values:
        """Go on to a time in s and return X and Y there, shape (2,)."""
        interval = time - self._time
        if interval > 0:
            self.run(interval, 1)
        return self._chain()[self.path.output.order - 1].copy()

    def run(self, interval: float, count: int) -> Values:
        """Go on by some intervals in s and return X and Y at the end of each, shape (count, 2)."""
        per_interval = self.path.output.windows(0.0, interval, 1)[0].size
        size = max(1, _CHUNK // per_interval)
        parts = [self._run(interval, min(size, count - done)) for done in range(0, count, size)]
        return np.concatenate(parts) if parts else np.zeros((0, 2))

    def _run(self, interval: float, count: int) -> Values:
        stages, output = self._chain(), self.path.output
        starts, aperture = output.windows(self._time, interval, count)
        inputs = self._detected(starts.ravel(), aperture).reshape(*starts.shape, 2)
        outputs = output.follow(stages, inputs, interval)
        self._time += interval * count
        self.recent = np.concatenate([self.recent, outputs[-RECENT:].reshape(-1, 2)])[-RECENT:]
        return outputs[:, -1]

    def noise(self) -> Values:
        """Return the noise of X and Y from the spread of the latest outputs, V or A per root Hz, shape (2,)."""
        if len(self.recent) < 2:
            return np.zeros(2)
        return self.recent.std(axis=0) / math.sqrt(self.path.output.noise_bandwidth)

    def _chain(self) -> np.ndarray:
        if self._stages is None:
            aperture = 1 / (2 * self.path.output.noise_bandwidth)
            self._stages = np.repeat(self._detected(np.array([self._time]), aperture), DEPTH, axis=0)
        return self._stages

    def _detected(self, starts: Values, aperture: float) -> Values:
        """Return the mixed-down input in some windows, shape (n, 2)."""
        path = self.path
        if path.frequency == 0:
            return np.zeros((len(starts), 2))
        response = path.signal.phasor(path.frequency, path.amplitude, starts, aperture, self._acquire())
        self.overloaded |= bool(np.hypot(response[:, 0], response[:, 1]).max() > path.full_scale)
        cosine, sine = math.cos(math.radians(path.phase)), math.sin(math.radians(path.phase))
        return response @ np.array([[cosine, -sine], [sine, cosine]])

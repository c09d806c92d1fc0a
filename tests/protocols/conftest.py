"""A board of a hundred lines: the port of the plans over a plain NumPy simulation."""

from types import SimpleNamespace

import numpy as np
import pytest
from bluesky import RunEngine


class Done:
    """A status that is done."""

    done = success = True

    def add_callback(self, callback):
        callback(self)

    def exception(self, timeout=None):
        return None


class Refused(Done):
    """A status that failed."""

    success = False

    def __init__(self, error):
        self.error = error

    def exception(self, timeout=None):
        return self.error


class Signal:
    """A quantity that is taken at once, and notes who set it."""

    parent = None

    def __init__(self, name, value=None, *, log=None, high=None):
        self.name, self.value, self.log, self.high = name, value, log, high

    def check_value(self, value):
        if self.high is not None and value > self.high:
            raise ValueError(f"{self.name} goes up to {self.high}")

    def set(self, value):
        self.check_value(value)
        self.value = value
        if self.log is not None:
            self.log.append((self.name, value))
        return Done()

    def get(self):
        return self.value


def langevin(program, inputs, *, temperature, shots, time, generator, step=0.05):
    """Sample the cells of one program for every row, shape (rows, shots, cells), by a linearly implicit scheme."""
    field = (program.bias - inputs @ program.weights.T)[:, np.newaxis, :]
    a, b, c = 2 * program.quadratic, 3 * program.cubic, 4 * program.quartic
    x = np.zeros((len(inputs), shots, program.cells))
    steps = max(1, round(time / step))
    h = time / steps
    for _ in range(steps):
        force = field - x @ program.couplings - x * (a + x * (b + c * x))
        kick = np.sqrt(2 * temperature * h) * generator.standard_normal(x.shape)
        x = np.clip(x + (h * force + kick) / (1 + h / 2 * np.maximum(a + x * (2 * b + 3 * c * x), 0)), -16, 16)
    return x


class FakeBoard:
    """The port of a thermodynamic board: noise from (seed, acquisition), all settings logged."""

    name = "board"
    parent = None

    def __init__(self):
        self.log = []
        settings = {
            "cells": 8,
            "inputs": 1,
            "temperature": 1.0,
            "noise_seed": 0,
            "sampling": "reset",
            "shots": 1000,
            "observation_time": 1.0,
            "burn_in": 0.0,
            "saturation_limit": 0.01,
            "readout": "samples",
            "slots": [0],
            "rows": None,
            "input_table": None,
            "projections": None,
            "programs": (),
        }
        limits = {"cells": 256, "inputs": 1024, "shots": 2**24, "temperature": 4.0, "observation_time": 1e6}
        for name, value in settings.items():
            setattr(self, name, Signal(name, value, log=self.log, high=limits.get(name)))
        for name in (
            "mean",
            "variance",
            "samples",
            "standard_error",
            "projection_mean",
            "projection_covariance",
            "run_time",
        ):
            setattr(self, name, Signal(name))
        self.acquisition = 0
        self.fail_at = None
        self.on_trigger = lambda: None

    def stage(self):
        self.log.append(("stage", None))
        return [self]

    def unstage(self):
        self.log.append(("unstage", None))
        return [self]

    def trigger(self):
        self.log.append(("trigger", self.noise_seed.get()))
        self.on_trigger()
        if self.fail_at is not None and self.fail_at == sum(name == "trigger" for name, _ in self.log):
            return Refused(OSError("the instrument does not answer"))
        self._acquire()
        return Done()

    def _acquire(self):
        programs, rows = self.programs.get(), self.rows.get()
        table = np.zeros((1, programs[0].inputs)) if rows is None else np.asarray(self.input_table.get())
        inputs = table if rows is None else table[rows[0] - 1 : rows[0] - 1 + rows[1]]
        assert rows is None or len(inputs) == rows[1], "rows beyond the table"
        assert all(p.cells == self.cells.get() and p.inputs == self.inputs.get() for p in programs)
        assert np.abs(inputs).max(initial=0) <= 1
        generator = np.random.default_rng([self.noise_seed.get(), self._count()])
        samples = np.stack([self._sample(program, inputs, generator) for program in programs])
        self.mean.value = samples.mean(axis=2)
        self.variance.value = samples.var(axis=2, ddof=1) if samples.shape[2] > 1 else np.zeros(self.mean.value.shape)
        self.samples.value = samples.astype(np.float32) if self.readout.get() == "samples" else None
        if self.projections.get() is not None:
            weights = np.asarray(self.projections.get())
            projected = np.einsum(
                "prsc,rkc->prsk", samples, np.broadcast_to(weights, (len(inputs), *weights.shape[-2:]))
            )
            centred = projected - projected.mean(axis=2, keepdims=True)
            self.projection_mean.value = projected.mean(axis=2)
            covariance = np.einsum("prsk,prsc->prkc", centred, samples) / (samples.shape[2] - 1)
            self.projection_covariance.value = covariance
        self.run_time.value = (
            samples.shape[0] * samples.shape[1] * samples.shape[2] * self.observation_time.get() * 1e-5
        )

    def _sample(self, program, inputs, generator):
        common = {"temperature": self.temperature.get(), "generator": generator}
        shots, time = self.shots.get(), self.observation_time.get()
        if self.sampling.get() == "reset":
            return langevin(program, inputs, shots=shots, time=time, **common)
        slices = [langevin(program, inputs, shots=1, time=self.burn_in.get() + time, **common)]
        a, c = 2 * program.quadratic, 4 * program.quartic
        field = (program.bias - inputs @ program.weights.T)[:, np.newaxis, :]
        h = time / max(1, round(time / 0.05))
        for _ in range(shots - 1):
            x = slices[-1]
            for _ in range(max(1, round(time / 0.05))):
                kick = np.sqrt(2 * common["temperature"] * h) * generator.standard_normal(x.shape)
                force = field - x @ program.couplings - x * (a + c * x * x)
                x = x + (h * force + kick) / (1 + h / 2 * np.maximum(a + 3 * c * x * x, 0))
            slices.append(x)
        return np.concatenate(slices, axis=1)

    def _count(self):
        seeds = [index for index, (name, _) in enumerate(self.log) if name == "noise_seed"]
        return sum(name == "trigger" for name, _ in self.log[seeds[-1] if seeds else 0 :])


@pytest.fixture
def board():
    return FakeBoard()


@pytest.fixture
def engine():
    """A run engine that gives back what the plan returned, with its documents."""
    run_engine = RunEngine({}, call_returns_result=True, context_managers=[])
    documents = []
    run_engine.subscribe(lambda name, document: documents.append((name, document)))
    yield SimpleNamespace(run=lambda plan: run_engine(plan).plan_result, engine=run_engine, documents=documents)
    run_engine.loop.call_soon_threadsafe(run_engine.loop.stop)
    run_engine._th.join(timeout=5)
    run_engine.loop.close()

"""Devices of a hundred lines: the ports of the plans over plain NumPy simulations."""

from collections.abc import Mapping
from types import MappingProxyType, SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
from bluesky import RunEngine
from scipy.constants import elementary_charge
from scipy.signal import lfilter
from scipy.special import expit

from protocols.learning_rules import Gradient


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

    units = ""

    def __init__(self, name, value=None, *, log=None, high=None):
        self.name, self.value, self.log, self.high = name, value, log, high

    @property
    def limits(self):
        return None if self.high is None else (-self.high, self.high)

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


def langevin(program, inputs, *, temperature, shots, time, generator, step=0.05, start=0.0):
    """Sample the cells of one program for every row, shape (rows, shots, cells), by a linearly implicit scheme."""
    field = (program.bias - inputs @ program.weights.T)[:, np.newaxis, :]
    a, b, c = 2 * program.quadratic, 3 * program.cubic, 4 * program.quartic
    x = np.zeros((len(inputs), shots, program.cells)) + start
    steps = max(1, round(time / step))
    h = time / steps
    for _ in range(steps):
        force = field - x @ program.couplings - x * (a + x * (b + c * x))
        kick = np.sqrt(2 * temperature * h) * generator.standard_normal(x.shape)
        x = np.clip(x + (h * force + kick) / (1 + h / 2 * np.maximum(a + x * (2 * b + 3 * c * x), 0)), -16, 16)
    return x


class FakeBoard:
    """The port of a thermodynamic board: noise from (seed, acquisition, slot), all settings logged."""

    parent = None

    def __init__(self, name="board"):
        self.name = name
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
            "start": [0.0],
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
        self.start.value = [0.0]
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
        rows = self.rows.get()
        slots = dict(
            self.programs.get() if isinstance(self.programs.get(), Mapping) else enumerate(self.programs.get())
        )
        programs = list(slots.values())
        table = np.zeros((1, programs[0].inputs)) if rows is None else np.asarray(self.input_table.get())
        inputs = table if rows is None else table[rows[0] - 1 : rows[0] - 1 + rows[1]]
        assert rows is None or len(inputs) == rows[1], "rows beyond the table"
        assert all(p.cells == self.cells.get() and p.inputs == self.inputs.get() for p in programs)
        assert np.abs(inputs).max(initial=0) <= 1
        address = self.noise_seed.get(), self._count()
        samples = np.stack(
            [self._sample(program, inputs, np.random.default_rng([*address, slot])) for slot, program in slots.items()]
        )
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
        common = {"temperature": self.temperature.get(), "generator": generator, "start": self.start.get()}
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


class FakeRun:
    """Trajectories by the scheme of `langevin` on normal noise of an address, and their derivative in reverse."""

    def __init__(
        self,
        program,
        inputs,
        *,
        temperature,
        trajectories,
        observation_time,
        observations=1,
        burn_in=0.0,
        step=0.05,
        cells=None,
        seed=0,
        acquisition=0,
    ):
        self.program, self.inputs = program, np.asarray(inputs, dtype=float)
        self.cells = list(range(program.cells) if cells is None else cells)
        self.steps = []
        generator = np.random.default_rng([seed, acquisition])
        field = np.repeat(program.bias - self.inputs @ program.weights.T, trajectories, axis=0)
        a, b, c = 2 * program.quadratic, 3 * program.cubic, 4 * program.quartic
        x, seen = np.zeros(field.shape), []
        for observation in range(observations):
            time = observation_time + (burn_in if observation == 0 else 0.0)
            count = max(1, round(time / step))
            h = time / count
            for _ in range(count):
                slope = 1 + h / 2 * (a + x * (2 * b + 3 * c * x))
                force = field - x @ program.couplings - x * (a + x * (b + c * x))
                change = (h * force + np.sqrt(2 * temperature * h) * generator.standard_normal(x.shape)) / slope
                self.steps.append((x, change, slope, h))
                x = x + change
            seen.append((len(self.steps), x[:, self.cells]))
        self.ends = [end for end, _ in seen]
        shape = len(self.inputs), trajectories, observations, len(self.cells)
        self.samples = np.stack([states for _, states in seen], axis=1).reshape(shape).astype(np.float32)

    def gradient(self, weights):
        rows, trajectories, observations, read = self.samples.shape
        assert np.shape(weights) == self.samples.shape
        weights = np.reshape(weights, (rows * trajectories, observations, read))
        a, b, c = 2 * self.program.quadratic, 3 * self.program.cubic, 4 * self.program.quartic
        by_state = np.zeros(self.steps[0][0].shape)
        by_field, by_coupling = np.zeros_like(by_state), np.zeros_like(self.program.couplings)
        for end in range(len(self.steps), 0, -1):
            if end in self.ends:
                by_state[:, self.cells] += weights[:, self.ends.index(end)]
            x, change, slope, h = self.steps[end - 1]
            force = h * by_state / slope
            by_field += force
            by_coupling -= force.T @ x
            stiffness = a + x * (2 * b + 3 * c * x) + change / 2 * (2 * b + 6 * c * x)
            by_state = by_state - force * stiffness - force @ self.program.couplings
        couplings = by_coupling + by_coupling.T
        np.fill_diagonal(couplings, 0.0)
        by_row = by_field.reshape(rows, trajectories, -1).sum(axis=1)
        return Gradient(couplings=couplings, bias=by_row.sum(axis=0), weights=-by_row.T @ self.inputs)


class FakeBoardModel:
    """The port of a model of a board."""

    name = "model"
    run = staticmethod(FakeRun)


class FakeBody:
    """What a switch and a photon kernel have in common: settings that are logged, and counts from a probability."""

    parent = None
    settings: ClassVar = {}
    results = ()

    def __init__(self, name, *, seed=0):
        self.name = name
        self.log = []
        self.generator = np.random.default_rng(seed)
        for setting, value in self.settings.items():
            setattr(self, setting, Signal(setting, value, log=self.log))
        for result in self.results:
            setattr(self, result, Signal(result))
        self.fail_at = None
        self.on_trigger = lambda: None
        self.triggers = 0

    def stage(self):
        self.log.append(("stage", None))
        return [self]

    def unstage(self):
        self.log.append(("unstage", None))
        return [self]

    def trigger(self):
        self.triggers += 1
        self.log.append(("trigger", None))
        self.on_trigger()
        if self.fail_at == self.triggers:
            return Refused(OSError("the instrument does not answer"))
        self.acquire()
        return Done()

    def error(self, on, shots):
        smoothed = (on + 1) / (shots + 2)
        return np.sqrt(smoothed * (1 - smoothed) / shots)


class FakeSwitch(FakeBody):
    """The port of an activation switch over a probability; `remembers` of the shots repeat the one before."""

    settings: ClassVar = {"drive": 0.0, "shots": 100}
    results = (
        "on_count",
        "off_count",
        "probability",
        "probability_standard_error",
        "outcomes",
        "shot_times",
        "run_time",
    )

    def __init__(
        self, curve, *, name="switch", span=(-5.0, 5.0), limit=10.0, remembers=0.0, memory=None, step=0.0, seed=0
    ):
        super().__init__(name, seed=seed)
        self.curve, self.span, self.remembers, self.step = curve, span, remembers, step
        self.memory = remembers if memory is None else memory
        self.drive.high, self.drive.units = limit, "mV"
        self.shots.high = 10**6

    def acquire(self):
        if self.step:
            self.drive.value = self.step * round(self.drive.value / self.step)
        shots = self.shots.get()
        fresh = np.where(self.generator.random(shots) < self.curve(self.drive.get()), 1, -1)
        drawn = self.generator.random(shots) >= self.remembers
        drawn[0] = True
        self.outcomes.value = fresh[np.maximum.accumulate(np.where(drawn, np.arange(shots), 0))]
        on = int(np.count_nonzero(self.outcomes.value > 0))
        self.on_count.value, self.off_count.value = on, shots - on
        self.probability.value = on / shots
        self.probability_standard_error.value = self.error(on, shots)
        self.shot_times.value = 1e-3 * np.arange(shots)
        self.run_time.value = 1e-3 * shots


class FakePhoton(FakeBody):
    """The port of a photon kernel: p = 1 - (1 - eta F)(1 - pd)."""

    settings: ClassVar = {
        "inputs": (1.0,),
        "weights": (1.0,),
        "light": True,
        "shots": 100,
        "gate_time": 1e-6,
        "threshold": 0.05,
    }
    results = ("clicks", "click_probability", "click_probability_standard_error", "counts", "run_time")

    def __init__(self, efficiency=0.8, dark=1e-4, modes=4, seed=0):
        super().__init__("photon", seed=seed)
        self.efficiency, self.dark, self.modes = efficiency, dark, modes
        self.shots.high = 10**6

    def acquire(self):
        inputs, weights = (np.asarray(signal.get(), dtype=float) for signal in (self.inputs, self.weights))
        assert inputs.shape == weights.shape
        overlap = (inputs @ weights) ** 2 / (inputs @ inputs) / (weights @ weights) * self.light.get()
        shots = self.shots.get()
        p = 1 - (1 - self.efficiency * overlap) * (1 - self.dark)
        self.counts.value = (self.generator.random(shots) < p).astype(int)
        clicks = int(self.counts.value.sum())
        self.clicks.value = clicks
        self.click_probability.value = clicks / shots
        self.click_probability_standard_error.value = self.error(clicks, shots)
        self.run_time.value = 1e-6 * shots


KT = 8.617333262e-5 * 0.1
"""eV at 0.1 K."""


def dot_current(gate, bias, *, grounded=True, energy=2e-3, arms=(0.1, 0.35, 0.30), rates=(1e9, 1e9)):
    """Current, A, of a dot in the constant-interaction model by the birth-death chain of its charge."""
    gate, bias = np.broadcast_arrays(np.asarray(gate, float), np.asarray(bias, float))
    source, drain = (bias, 0 * bias) if grounded else (bias / 2, -bias / 2)
    weights, steps = [np.zeros(gate.shape)], []
    for charge in range(9):
        level = (charge - 0.5) * energy - arms[0] * gate - arms[1] * source - arms[2] * drain
        leads = list(zip(rates, (source, drain), strict=True))
        filled = [rate * expit(-(level + volts) / KT) for rate, volts in leads]
        emptied = [rate * expit((level + volts) / KT) for rate, volts in leads]
        weights.append(weights[-1] + np.log(np.maximum(sum(filled), 1e-290) / np.maximum(sum(emptied), 1e-290)))
        steps.append((filled[0], emptied[0]))
    p = np.exp(np.array(weights) - np.max(weights, axis=0))
    p /= p.sum(axis=0)
    flow = sum(before * up - after * down for before, after, (up, down) in zip(p[:-1], p[1:], steps, strict=True))
    return -elementary_charge * flow


def telegraph_trace(generator, *, rates, levels, density, bandwidth, interval, points):
    """A two-level signal with exact jump times and white noise through a single pole, and its charge at the samples."""
    duration = points * interval
    many = int(duration * sum(rates) + 50 * np.sqrt(duration * sum(rates)) + 100)
    start = int(generator.random() < rates[0] / sum(rates))
    charges = (np.arange(many) + start) % 2
    times = np.cumsum(generator.exponential(np.where(charges == 0, 1 / rates[0], 1 / rates[1])))
    times, after = times[times < duration], 1 - charges[times < duration]
    occupied = (np.searchsorted(times, interval * np.arange(points), side="right") + start) % 2
    rate = 2 * np.pi * bandwidth
    decay = np.exp(-rate * interval)
    drive = np.asarray(levels)[occupied].astype(float)
    drive[1:] = drive[:-1] * (1 - decay)
    bins = np.floor(times / interval).astype(int) + 1
    jumps = np.where(after == 1, 1, -1) * (levels[1] - levels[0]) * -np.expm1(-rate * (bins * interval - times))
    np.add.at(drive, bins[bins < points], jumps[bins < points])
    noise = generator.standard_normal(points) * np.sqrt(density * rate / 4)
    noise[1:] *= np.sqrt(1 - decay**2)
    return lfilter([1.0], [1.0, -decay], drive + noise), occupied == 1


class FakeDot(FakeBody):
    """The port of gate-defined dots: constant interaction, tunnel rates that barriers set, a sensor that steps."""

    settings: ClassVar = {
        "bias": 0.0,
        "measurement": "sweep",
        "sweep_gate": "plunger",
        "sweep_values": (0.0,),
        "settling_time": 1e-3,
        "integration_time": 1e-3,
        "trace_interval": 1e-5,
        "trace_points": 100,
        "level_empty": 0.0,
        "level_occupied": 0.0,
        "noise_density": 0.0,
        "rate_in": 0.0,
        "rate_out": 0.0,
        "bandwidth": 4e4,
    }
    results = ("current", "sensor_current", "trace", "occupation", "run_time")
    gate_names = (
        *("barrier_left", "plunger", "barrier_right", "barrier_2", "plunger_2", "sensor"),
        *("virtual_plunger", "virtual_plunger_2", "virtual_sensor"),
    )

    safe_voltages = MappingProxyType(dict.fromkeys(gate_names[:6], 0.0))

    def __init__(self, *, rates=(800.0, 1200.0), deviation=1e-13, seed=0):
        super().__init__("dot", seed=seed)
        self.rates, self.deviation = rates, deviation
        self.gates = {name: Signal(name, 0.0, log=self.log, high=1.5) for name in self.gate_names}
        self.bias.high, self.trace_points.high, self.settling_time.high = 0.02, 10**6, 10.0

    def gate(self, name):
        if name not in self.gates:
            raise KeyError(f"no gate {name!r}")
        return self.gates[name]

    def unstage(self):
        for signal in self.gates.values():
            signal.value = 0.0
        return super().unstage()

    def acquire(self):
        if self.measurement.get() == "trace":
            self.record()
            return
        values = np.asarray(self.sweep_values.get())
        volts = {name: np.full(len(values), signal.get()) for name, signal in self.gates.items()}
        volts["bias"] = np.full(len(values), self.bias.get())
        volts[self.sweep_gate.get()] = values
        first, second = (volts[name] + volts[f"virtual_{name}"] for name in ("plunger", "plunger_2"))
        rates = [1e9 * expit(40 * volts[name] - 20) for name in ("barrier_left", "barrier_right")]
        self.current.value = self.noisy(dot_current(first, volts["bias"], rates=rates))
        charge = sum(expit((0.1 * first - (n - 0.5) * 2e-3) / KT) for n in range(1, 6))
        other = sum(expit((0.1 * second - (n - 0.5) * 2.2e-3) / KT) for n in range(1, 6))
        self.sensor_current.value = self.noisy(5e-9 + 1e-9 * (first + second) - 4e-10 * charge - 1.5e-10 * other)
        self.run_time.value = len(values) * (self.settling_time.get() + self.integration_time.get())

    def noisy(self, current):
        return current + self.deviation * self.generator.standard_normal(len(current))

    def record(self):
        interval, bandwidth = self.trace_interval.get(), self.bandwidth.get()
        trace, _ = telegraph_trace(
            self.generator,
            rates=self.rates,
            levels=(5e-9, 4.6e-9),
            density=4e-26,
            bandwidth=bandwidth,
            interval=interval,
            points=self.trace_points.get(),
        )
        self.trace.value = trace
        middle = (self.level_empty.get() + self.level_occupied.get()) / 2
        self.occupation.value = (trace < middle).astype(float)
        self.run_time.value = interval * len(trace)


@pytest.fixture(name="dot_current")
def offer_dot_current():
    return dot_current


@pytest.fixture(name="telegraph_trace")
def offer_telegraph_trace():
    return telegraph_trace


@pytest.fixture
def make_dot():
    return FakeDot


@pytest.fixture
def make_switch():
    return FakeSwitch


@pytest.fixture
def make_photon():
    return FakePhoton


@pytest.fixture
def board():
    return FakeBoard()


@pytest.fixture
def board_model():
    return FakeBoardModel()


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

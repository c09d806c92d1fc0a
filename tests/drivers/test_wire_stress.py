"""Whatever a wire does and whoever else asks, a reply answers its own question, or a typed error is raised.

Few and short here; `WIRE_EXAMPLES=300` makes it many.
"""

import contextlib
import os
import threading

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from drivers.errors import InstrumentError
from drivers.keysight_34465a import Keysight34465A
from drivers.qdevil_qdac2 import Qdac2
from drivers.thermodynamic_board import ThermodynamicBoard
from drivers.wire import TROUBLES
from sim_devices import benches
from sim_devices.benches import Bench
from sim_devices.faults import Fault
from sim_devices.instruments.keysight_34465a import Keysight34465A as MeterPersona
from sim_devices.instruments.qdevil_qdac2 import Qdac2 as DacPersona
from sim_devices.server import serve
from sim_devices.visa import open_library
from twin.clock import VirtualClock

TYPED = (*TROUBLES, InstrumentError)
RESOURCE = "TCPIP0::{}::5025::SOCKET"
TIMEOUT = 40
"""Of an exchange, ms."""
KINDS = ["mute", "slow", "garbled", "error", "identity", "dropped"]
EXAMPLES = int(os.environ.get("WIRE_EXAMPLES", "5"))


class Volts:
    """0 V on whatever a meter measures."""

    def voltage(self, times):
        return 0.0 * times


def board_bench():
    return benches.open("thermodynamic_board", seed=1)


def meter_bench():
    bench = Bench("meter", VirtualClock())
    bench.place(MeterPersona(bench.clock, bench.worker, "meter", voltage=Volts()), RESOURCE.format("meter"))
    return bench


def dac_bench():
    bench = Bench("dac", VirtualClock())
    bench.place(DacPersona(bench.clock, bench.worker), RESOURCE.format("dac"))
    return bench


def own(name):
    return (lambda driver: getattr(driver, name)), (lambda driver, value: setattr(driver, name, value))


def slew_of(number):
    return (lambda dac: dac.channel(number).slew), (lambda dac, value: setattr(dac.channel(number), "slew", value))


# No two questions have an answer in common.
RIGS = {
    "board": (
        board_bench,
        ThermodynamicBoard,
        {1000: own("noise_seed"), 2000: own("shots"), 3000: own("capture_count"), 100: own("histogram_bins")},
    ),
    "meter": (meter_bench, Keysight34465A, {1000: own("sample_count"), 2000: own("trigger_count")}),
    "dac": (dac_bench, Qdac2, {1000: slew_of(1), 2000: slew_of(2), 3000: slew_of(24)}),
}


class Wire(RuleBasedStateMachine):
    """One driver, what its instrument may hold, and what the wire does to them."""

    rig = "board"
    over_tcp = False
    exchanges = 0

    @initialize()
    def connect(self):
        open_bench, driver, self.questions = RIGS[self.rig]
        self.closing = contextlib.ExitStack()
        self.bench = self.closing.enter_context(open_bench())
        self.resource = RESOURCE.format(self.rig)
        resource, library = self.resource, None
        if self.over_tcp:
            host, port = self.closing.enter_context(serve(self.bench, port=0)).addresses[self.resource]
            resource, library = f"TCPIP0::{host}::{port}::SOCKET", "@py"
        self.driver = driver(resource, visa_library=library or open_library(self.bench), timeout=5000)
        self.closing.callback(lambda: self.driver.adapter.close())
        self.driver.identity_timeout = 0.1
        assert self.driver.id
        self.possible = {}
        for least in self.questions:
            self.put(least)
        self.hurry(TIMEOUT)
        self.armed = set()

    def hurry(self, milliseconds):
        self.driver._session_options["timeout"] = milliseconds
        with contextlib.suppress(Exception):
            self.driver.adapter.connection.timeout = milliseconds

    def put(self, least, value=None):
        value = least if value is None else value
        self.questions[least][1](self.driver, value)
        self.possible[least] = {value}

    def read(self, least):
        """Ask a question: its answer is right, unless bytes are spoilt on the way, which no one can find out."""
        type(self).exchanges += 1
        answer = self.questions[least][0](self.driver)
        if "garbled" not in self.armed:
            assert answer in self.possible[least]
        return answer

    @rule(kind=st.sampled_from(KINDS), rate=st.sampled_from([0.2, 0.6, 1.0]), delay=st.sampled_from([0.02, 0.05, 0.09]))
    def spoil(self, kind, rate, delay):
        self.armed.add(kind)
        self.bench.inject(self.resource, [Fault(one, rate=rate, delay=delay) for one in self.armed], seed=len(KINDS))

    @precondition(lambda self: self.armed)
    @rule()
    def heal(self):
        self.bench.inject(self.resource, [])
        self.armed.clear()
        self.hurry(5000)
        self.driver.identity_timeout = 2.0
        self.driver.recover()
        for least in self.questions:
            self.possible[least] = {self.read(least)}
        with contextlib.suppress(InstrumentError):
            self.driver.check_errors()
        self.driver.identity_timeout = 0.1
        self.hurry(TIMEOUT)

    @rule(pick=st.integers(0, 3), offset=st.integers(0, 500))
    def set(self, pick, offset):
        least = list(self.questions)[pick % len(self.questions)]
        type(self).exchanges += 1
        before = self.possible[least]
        try:
            self.put(least, least + offset)
        except TYPED:
            self.possible[least] = before | {least + offset}

    @rule(pick=st.integers(0, 3))
    def ask(self, pick):
        with contextlib.suppress(*TYPED):
            self.read(list(self.questions)[pick % len(self.questions)])

    @rule()
    def recover(self):
        with contextlib.suppress(*TYPED):
            self.driver.recover()

    @rule()
    def ask_from_two_threads(self):
        wrong = []

        def work(questions):
            for least in questions:
                try:
                    self.read(least)
                except TYPED:
                    pass
                except BaseException as error:  # noqa: BLE001
                    wrong.append(error)

        orders = (list(self.questions) * 2, list(self.questions)[::-1] * 2)
        threads = [threading.Thread(target=work, args=[order]) for order in orders]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if wrong:
            raise wrong[0]

    def teardown(self):
        if not hasattr(self, "closing"):
            return
        with self.closing:
            self.armed.add("any")
            self.heal()


@pytest.mark.slow
@pytest.mark.parametrize("over_tcp", [False, True], ids=["in process", "tcp"])
@pytest.mark.parametrize("rig", RIGS)
def test_a_reply_answers_its_own_question_or_a_typed_error_is_raised(rig, over_tcp):
    machine = type("Stressed", (Wire,), {"rig": rig, "over_tcp": over_tcp})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=40,
            deadline=None,
            derandomize=True,
            database=None,
            print_blob=False,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert machine.exchanges


@pytest.mark.parametrize("over_tcp", [False, True], ids=["in process", "tcp"])
def test_an_instrument_that_tells_no_errors_ends_in_a_time_out(over_tcp):
    wire = type("Once", (Wire,), {"rig": "meter", "over_tcp": over_tcp})()
    wire.connect()
    wire.bench.inject(wire.resource, [Fault("mute", "SYSTem:ERRor?")])
    with pytest.raises(TROUBLES):
        wire.driver.check_errors()
    wire.teardown()

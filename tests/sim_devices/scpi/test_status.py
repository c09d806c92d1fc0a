"""The error queue and the status registers against a plain model, in any order of events."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

REFUSALS = {"NONSENSE": (-113, 32), "SAMP:PER 0": (-222, 16), "FAUL:INT": (101, 8), "FAUL:DIV": (-310, 8)}
WORDS = st.integers(0, 0x7FFF)
BITS = st.integers(0, 14)
NAMES = st.sampled_from(["OPER", "QUES"])


class Model:
    """One status register as SCPI-99 describes it."""

    def __init__(self):
        self.condition = self.event = self.enable = self.negative = 0
        self.positive = 0x7FFF

    def become(self, condition):
        rising, falling = condition & ~self.condition, self.condition & ~condition
        self.event |= (rising & self.positive) | (falling & self.negative)
        self.condition = condition


class StatusMachine(RuleBasedStateMachine):
    make_client = None

    @initialize()
    def connect(self):
        self.client = self.make_client()
        self.source = self.client.source
        self.errors = []
        self.event_status = self.event_enable = self.service_enable = 0
        self.registers = {"OPER": Model(), "QUES": Model()}
        self.unread = False
        self.armed = self.running = False

    def queue(self, number, bit):
        self.event_status |= bit
        if len(self.errors) < 32:
            self.errors.append(number)
        else:
            self.errors[-1] = -350

    def send(self, text):
        if self.unread:
            self.unread = False
            self.queue(-410, 4)
        self.client.send(text)

    def ask(self, text):
        self.send(text)
        return self.client.read().decode()

    @rule(text=st.sampled_from(sorted(REFUSALS)), times=st.integers(1, 12))
    def refuse(self, text, times):
        self.send(";:".join([text] * times))
        for _ in range(times):
            self.queue(*REFUSALS[text])

    @rule()
    def next_error(self):
        answer = self.ask("SYST:ERR?")
        assert answer.startswith(f"{self.errors.pop(0) if self.errors else 0},")

    @rule()
    def all_errors(self):
        answer = self.ask("SYST:ERR:COUN?;:SYST:ERR:ALL?").split(";", 1)
        assert answer[0] == str(len(self.errors))
        for number in self.errors or [0]:
            assert f"{number}," in answer[1]
        self.errors.clear()

    @rule()
    def read_event_status(self):
        assert self.ask("*ESR?") == str(self.event_status)
        self.event_status = 0

    @rule(value=st.integers(0, 255))
    def enable_events(self, value):
        self.send(f"*ESE {value}")
        self.event_enable = value

    @rule(value=st.integers(0, 255))
    def enable_service(self, value):
        self.send(f"*SRE {value}")
        self.service_enable = value

    @rule(name=NAMES, value=WORDS, node=st.sampled_from(["enable", "positive", "negative"]))
    def write_register(self, name, value, node):
        self.send(f"STAT:{name}:{ {'enable': 'ENAB', 'positive': 'PTR', 'negative': 'NTR'}[node] } {value}")
        setattr(self.registers[name], node, value)

    @rule(name=NAMES)
    def read_event(self, name):
        register = self.registers[name]
        assert self.ask(f"STAT:{name}:COND?;EVEN?") == f"{register.condition};{register.event}"
        register.event = 0

    @rule(name=NAMES, bit=BITS, value=st.booleans())
    def change(self, name, bit, value):
        self.source.set_condition({"OPER": "operation", "QUES": "questionable"}[name], bit, value)
        register = self.registers[name]
        register.become(register.condition & ~(1 << bit) | (value << bit))

    @rule()
    def preset(self):
        self.send("STAT:PRES")
        for register in self.registers.values():
            register.enable, register.positive, register.negative = 0, 0x7FFF, 0

    @rule()
    def clear_status(self):
        self.send("*CLS")
        self.errors.clear()
        self.event_status = 0
        self.armed = False
        for register in self.registers.values():
            register.event = 0

    @rule()
    def leave_a_reply_unread(self):
        self.send("*IDN?")
        self.unread = True

    @rule()
    def take(self):
        assert self.client.session.take() == (b"Szilard,Source,SN1,1.0\n" if self.unread else b"")
        self.unread = False

    @rule()
    def begin(self):
        self.send("INIT")
        if self.running:
            self.queue(-221, 16)
        self.running = True

    @rule()
    def arm(self):
        self.send("*OPC")
        self.armed = self.running
        self.event_status |= not self.running

    @rule()
    def complete(self):
        if self.running:
            self.source.complete()
            self.running = False
            self.event_status |= self.armed
            self.armed = False

    @rule()
    def reset(self):
        self.send("*RST")
        self.armed = False

    @invariant()
    def the_status_byte_sums_up(self):
        operation, questionable = self.registers["OPER"], self.registers["QUES"]
        status = 4 * bool(self.errors) + 16 * self.unread + 32 * bool(self.event_status & self.event_enable)
        status += 128 * bool(operation.event & operation.enable) + 8 * bool(questionable.event & questionable.enable)
        status += 64 * bool(status & self.service_enable & ~64)
        assert self.client.session.status_byte() == status


@pytest.mark.slow
def test_status_reporting_follows_the_standard_in_any_order_of_events(make_client):
    class Machine(StatusMachine):
        pass

    Machine.make_client = staticmethod(make_client)
    case = Machine.TestCase
    case.settings = settings(max_examples=120, stateful_step_count=40, deadline=None, derandomize=True)
    case().runTest()

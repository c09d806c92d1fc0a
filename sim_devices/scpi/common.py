"""The commands that every instrument understands: IEEE 488.2 chapter 10, and SYSTem, STATus and FORMat of SCPI-99."""

import copy

from sim_devices.scpi.declarations import command, query, session_setting, setting
from sim_devices.scpi.errors import ScpiError
from sim_devices.scpi.operation import Operation, Suspension
from sim_devices.scpi.parameters import Boolean, Choice, Integer
from sim_devices.scpi.response import Block, DataFormat, Quoted
from sim_devices.scpi.session import Session
from sim_devices.scpi.status import ALL_BITS

_MEMORY = Integer(0, 9)


class CommonCommands:
    """Declarations that :class:`~sim_devices.scpi.Instrument` passes on to every instrument."""

    # ---- IEEE 488.2 ------------------------------------------------------------------------------------------------

    event_enable = session_setting("*ESE", Integer(0, 255), "event_enable")
    service_enable = session_setting("*SRE", Integer(0, 255), "service_enable")
    power_on_clear = session_setting("*PSC", Boolean(), "power_on_clear")

    @query("*IDN?")
    def _common_identify(self, session: Session) -> str:
        return session.instrument.identity

    @command("*RST")
    def _common_reset(self, session: Session) -> None:
        session.data_format = DataFormat()
        session.cancel_completion()
        session.instrument.reset_settings()
        session.instrument.reset()

    @command("*CLS", owner=False)
    def _common_clear_status(self, session: Session) -> None:
        session.clear_status()

    @query("*ESR?")
    def _common_event_status(self, session: Session) -> int:
        status, session.event_status = session.event_status, 0
        return status

    @query("*STB?")
    def _common_status_byte(self, session: Session) -> int:
        return session.status_byte()

    @command("*OPC", owner=False)
    def _common_operation_complete(self, session: Session) -> None:
        session.arm_completion()

    @query("*OPC?")
    def _common_completed(self, session: Session) -> int | Suspension:
        instrument = session.instrument
        return Suspension(lambda: not instrument.pending, lambda: 1) if instrument.pending else 1

    @command("*WAI", owner=False)
    def _common_wait(self, session: Session) -> Suspension | None:
        instrument = session.instrument
        return Suspension(lambda: not instrument.pending) if instrument.pending else None

    @command("*TRG")
    def _common_trigger(self, session: Session) -> Operation | None:
        return session.instrument.trigger(session)

    @query("*TST?")
    def _common_test(self, session: Session) -> int | Operation:
        return session.instrument.self_test()

    @query("*OPT?")
    def _common_options(self, session: Session) -> str:
        return session.instrument.options

    @command("*SAV", _MEMORY, guards=("check_recall",))
    def _common_save(self, session: Session, memory: int) -> None:
        instrument = session.instrument
        instrument.memories[memory] = (copy.deepcopy(instrument.settings), instrument.save_state())

    @command("*RCL", _MEMORY, guards=("check_recall",))
    def _common_recall(self, session: Session, memory: int) -> None:
        instrument = session.instrument
        if memory not in instrument.memories:
            raise ScpiError(-224, f"nothing was saved in memory {memory}")
        settings, state = instrument.memories[memory]
        instrument.settings.update(copy.deepcopy(settings))
        instrument.recall_state(state)

    @query("*LRN?")
    def _common_learn(self, session: Session) -> str:
        items = session.instrument.declarations.values()
        return ";".join(message for item in items if isinstance(item, setting)
                        for message in item.messages(session.instrument))  # fmt: skip

    # ---- SYSTem ----------------------------------------------------------------------------------------------------

    @query("SYSTem:ERRor[:NEXT]?")
    def _common_next_error(self, session: Session) -> tuple[int, Quoted]:
        number, text = session.errors.pop()
        return number, Quoted(text)

    @query("SYSTem:ERRor:ALL?")
    def _common_all_errors(self, session: Session) -> list[tuple[int, Quoted]]:
        errors = [session.errors.pop() for _ in range(max(1, len(session.errors)))]
        return [(number, Quoted(text)) for number, text in errors]

    @query("SYSTem:ERRor:COUNt?")
    def _common_count_errors(self, session: Session) -> int:
        return len(session.errors)

    @query("SYSTem:VERSion?")
    def _common_version(self, session: Session) -> str:
        return session.instrument.scpi_version

    @query("SYSTem:LOCK:REQuest?")
    def _common_request_lock(self, session: Session) -> bool:
        if session.instrument.owner is None:
            session.instrument.set_owner(session)
        return session.instrument.owner is session

    @command("SYSTem:LOCK:RELease", owner=False)
    def _common_release_lock(self, session: Session) -> None:
        if session.instrument.owner is session:
            session.instrument.set_owner(None)

    @query("SYSTem:LOCK:OWNer?")
    def _common_lock_owner(self, session: Session) -> Quoted:
        owner = session.instrument.owner
        return Quoted("NONE" if owner is None else owner.name)

    @query("SYSTem:HELP:HEADers?")
    def _common_headers(self, session: Session) -> Block:
        forms: dict[str, set[bool]] = {}
        for item in session.instrument.declarations.values():
            forms.setdefault(item.header, set()).update(item.actions())
        marks = {(True,): "?/qonly/", (False,): "/nquery/", (False, True): ""}
        lines = sorted(("" if header[0] == "*" else ":") + header + marks[tuple(sorted(kinds))]
                       for header, kinds in forms.items())  # fmt: skip
        return Block("\n".join(lines).encode())

    # ---- STATus ----------------------------------------------------------------------------------------------------

    operation_enable = session_setting("STATus:OPERation:ENABle", Integer(0, ALL_BITS), "operation.enable")
    operation_positive = session_setting("STATus:OPERation:PTRansition", Integer(0, ALL_BITS), "operation.positive")
    operation_negative = session_setting("STATus:OPERation:NTRansition", Integer(0, ALL_BITS), "operation.negative")
    questionable_enable = session_setting("STATus:QUEStionable:ENABle", Integer(0, ALL_BITS), "questionable.enable")
    questionable_positive = session_setting(
        "STATus:QUEStionable:PTRansition", Integer(0, ALL_BITS), "questionable.positive"
    )
    questionable_negative = session_setting(
        "STATus:QUEStionable:NTRansition", Integer(0, ALL_BITS), "questionable.negative"
    )

    @query("STATus:OPERation[:EVENt]?")
    def _common_operation_event(self, session: Session) -> int:
        return session.operation.read_event()

    @query("STATus:OPERation:CONDition?")
    def _common_operation_condition(self, session: Session) -> int:
        return session.operation.condition

    @query("STATus:QUEStionable[:EVENt]?")
    def _common_questionable_event(self, session: Session) -> int:
        return session.questionable.read_event()

    @query("STATus:QUEStionable:CONDition?")
    def _common_questionable_condition(self, session: Session) -> int:
        return session.questionable.condition

    @command("STATus:PRESet", owner=False)
    def _common_preset_status(self, session: Session) -> None:
        session.operation.preset()
        session.questionable.preset()

    # ---- FORMat ----------------------------------------------------------------------------------------------------

    @command("FORMat[:DATA]", Choice("ASCii", "INTeger", "REAL"), Integer(0, 64, optional=True), owner=False)
    def _common_set_format(self, session: Session, kind: str, length: int | None) -> None:
        formats = session.instrument.formats
        wanted = f"{kind},{length}" if length else kind
        name = next((name for name in formats if wanted in (name, name.partition(",")[0])), None)
        if name is None:
            raise ScpiError(-224, f"{wanted} is not {' or '.join(formats)}")
        session.data_format = DataFormat(name, session.data_format.swapped)

    @query("FORMat[:DATA]?")
    def _common_format(self, session: Session) -> str:
        return session.data_format.name

    @command("FORMat:BORDer", Choice("NORMal", "SWAPped"), owner=False)
    def _common_set_byte_order(self, session: Session, order: str) -> None:
        session.data_format = DataFormat(session.data_format.name, order == "SWAP")

    @query("FORMat:BORDer?")
    def _common_byte_order(self, session: Session) -> str:
        return "SWAP" if session.data_format.swapped else "NORM"

"""Sessions of the simulated VISA library, one class for each way an interface carries bytes."""

import threading
import time
from collections.abc import Callable
from typing import Any

from pyvisa import constants, rname
from pyvisa.attributes import (
    AllSessionTypes,
    Attribute,
    AttributesByID,
    AttributesPerResource,
    CharAttribute,
    EnumAttribute,
    FlagAttribute,
    NotAvailable,
    RangeAttribute,
)
from pyvisa.constants import InterfaceType, ResourceAttribute, SerialTermination, StatusCode

from sim_devices.benches import Bench
from sim_devices.scpi.status import MESSAGE_AVAILABLE
from sim_devices.visa_lock import ResourceLock, VisaError

__all__ = ["MessageSession", "StreamSession", "VisaSession", "session_class"]

_UNSUPPORTED_ENDINGS = (SerialTermination.last_bit, SerialTermination.termination_break)


class VisaSession:
    """One VISA session to an instrument.

    Parameters
    ----------
    bench
        Where the instrument stands.
    parsed
        Its resource name.
    client
        Who connects, as ``host:port``.
    lock
        The lock that all sessions to this resource share.
    on_output
        Makes the session a stream; called when there is something to fetch or the connection is lost.
    """

    def __init__(
        self,
        bench: Bench,
        parsed: rname.ResourceName,
        client: str,
        lock: ResourceLock,
        on_output: Callable[[], None] | None = None,
    ) -> None:
        self.resource_name = str(parsed)
        self.lock = lock
        self.attributes = _initial_attributes(parsed)
        self._apply_attributes()
        self._session = bench.connect(self.resource_name, client, on_output)

    def get_attribute(self, attribute: int) -> Any:
        """Read an attribute.

        Raises
        ------
        VisaError
            The resource has no such attribute.
        """
        if attribute == ResourceAttribute.resource_lock_state:
            return self.lock.state
        try:
            return self.attributes[attribute]
        except KeyError:
            raise VisaError(StatusCode.error_nonsupported_attribute) from None

    def set_attribute(self, attribute: int, state: Any) -> None:
        """Write an attribute.

        Raises
        ------
        VisaError
            The resource has no such attribute, it is read only, or it cannot have this value.
        """
        if attribute not in self.attributes:
            raise VisaError(StatusCode.error_nonsupported_attribute)
        declaration = AttributesByID[attribute]
        if not declaration.write:
            raise VisaError(StatusCode.error_attribute_read_only)
        if not (_is_value(declaration, state) and self._accepts(attribute, state)):
            raise VisaError(StatusCode.error_nonsupported_attribute_state)
        self.attributes[attribute] = state
        self._apply_attributes()

    def write(self, data: bytes) -> None:
        """Send bytes to the instrument."""
        raise NotImplementedError

    def read(self, count: int) -> tuple[bytes, StatusCode]:
        """Read at most `count` bytes and say why reading stopped.

        Raises
        ------
        TimeoutError
            Nothing ended the read within the time-out of the session.
        ConnectionError
            The instrument is gone.
        """
        raise NotImplementedError

    def discard_input(self) -> None:
        """Forget the bytes that arrived and were not read."""
        raise NotImplementedError

    def read_stb(self) -> int:
        """Read the status byte."""
        return self._session.read_stb()

    def clear(self) -> None:
        """Clear the device, and forget what it had said."""
        self._session.clear()
        self.discard_input()

    def trigger(self) -> None:
        """Send a trigger, as ``*TRG`` does."""
        self._session.trigger()

    def close(self) -> None:
        """Leave the instrument."""
        self._session.close()

    def _accepts(self, attribute: int, state: Any) -> bool:
        raise NotImplementedError

    def _apply_attributes(self) -> None:
        milliseconds = self.attributes[ResourceAttribute.timeout_value]
        self._timeout = threading.TIMEOUT_MAX if milliseconds == constants.VI_TMO_INFINITE else milliseconds / 1000
        enabled = bool(self.attributes[ResourceAttribute.termchar_enabled])
        enabled |= self.attributes.get(ResourceAttribute.asrl_end_in) == SerialTermination.termination_char
        character = bytes([self.attributes[ResourceAttribute.termchar]])
        self._termination: bytes | None = character if enabled else None
        ends_lines = self.attributes.get(ResourceAttribute.asrl_end_out) == SerialTermination.termination_char
        self._line_end = character if ends_lines else b""
        self._send_end = bool(self.attributes[ResourceAttribute.send_end_enabled])


class StreamSession(VisaSession):
    """A raw socket or a serial line: replies arrive as they are made, and nothing marks their end but their bytes."""

    def __init__(self, bench: Bench, parsed: rname.ResourceName, client: str, lock: ResourceLock) -> None:
        self._arrived = b""
        self._offset = 0
        self._transfer = threading.Lock()
        self._news = threading.Event()
        self._readers = 0
        super().__init__(bench, parsed, client, lock, self._notice)

    def write(self, data: bytes) -> None:
        """Send bytes; each complete message among them is executed."""
        self._session.write(data + self._line_end if self._line_end else data)

    def read(self, count: int) -> tuple[bytes, StatusCode]:
        """Read up to the termination character or to `count` bytes."""
        return self._cut(count) or self._wait(count)

    def discard_input(self) -> None:
        """Forget the bytes that arrived and were not read."""
        with self._transfer:
            self._arrived, self._offset = b"", 0

    def read_stb(self) -> int:
        """Read the status byte; bytes that wait here count as a message available."""
        return super().read_stb() | (MESSAGE_AVAILABLE if self._arrived else 0)

    def _accepts(self, attribute: int, state: Any) -> bool:
        endings = (ResourceAttribute.asrl_end_in, ResourceAttribute.asrl_end_out)
        return attribute not in endings or state not in _UNSUPPORTED_ENDINGS

    def _notice(self) -> None:
        if self._readers:
            self._news.set()

    def _wait(self, count: int) -> tuple[bytes, StatusCode]:
        deadline = time.monotonic() + self._timeout
        with self._transfer:
            self._readers += 1
        try:
            while True:
                self._news.clear()
                if found := self._cut(count):
                    return found
                if not self._news.wait(_until(deadline)):
                    self.discard_input()
                    raise TimeoutError(f"{self.resource_name}: nothing ended the read within {self._timeout} s")
        finally:
            with self._transfer:
                self._readers -= 1

    def _cut(self, count: int) -> tuple[bytes, StatusCode] | None:
        """Take from what has arrived, and from what is ready where that is not enough, if it ends a read."""
        with self._transfer:
            size, status = self._complete(count)
            if status is None:
                self._arrived, self._offset = self._arrived[self._offset :] + self._session.take(), 0
                size, status = self._complete(count)
            if status is None:
                return None
            data = self._arrived[self._offset : self._offset + size]
            self._offset += size
            if self._offset == len(self._arrived):
                self._arrived, self._offset = b"", 0
        return data, status

    def _complete(self, count: int) -> tuple[int, StatusCode | None]:
        available = len(self._arrived) - self._offset
        if not available:
            return 0, None
        if self._termination is not None:
            end = self._arrived.find(self._termination, self._offset, self._offset + count)
            if end >= 0:
                return end + 1 - self._offset, StatusCode.success_termination_character_read
        if available >= count:
            return count, StatusCode.success_max_count_read
        if not self.attributes[ResourceAttribute.suppress_end_enabled]:
            return available, StatusCode.success
        return 0, None


class MessageSession(VisaSession):
    """An interface with END: a write ends a message, and a read never crosses the end of a reply."""

    _rest: tuple[bytes, bool] | None = None

    def write(self, data: bytes) -> None:
        """Send bytes, the last one with END unless the session suppresses it."""
        self._rest = None
        self._session.write(data, end=self._send_end)

    def read(self, count: int) -> tuple[bytes, StatusCode]:
        """Read up to the end of the reply, the termination character where enabled, or `count` bytes."""
        data, end = self._rest or self._session.read(count, self._timeout)
        self._rest = None
        size = min(len(data), count)
        stop = -1 if self._termination is None else data.find(self._termination, 0, count)
        if stop >= 0:
            size = stop + 1
        if size < len(data):
            self._rest = data[size:], end
            end = False
            data = data[:size]
        if end:
            return data, StatusCode.success
        return data, StatusCode.success_termination_character_read if stop >= 0 else StatusCode.success_max_count_read

    def discard_input(self) -> None:
        """Forget the part of a reply that was not read."""
        self._rest = None

    def _accepts(self, attribute: int, state: Any) -> bool:
        return attribute != ResourceAttribute.suppress_end_enabled or not state


_CLASSES: dict[tuple[InterfaceType, str], type[VisaSession]] = {
    (InterfaceType.tcpip, "SOCKET"): StreamSession,
    (InterfaceType.asrl, "INSTR"): StreamSession,
    (InterfaceType.tcpip, "INSTR"): MessageSession,
    (InterfaceType.gpib, "INSTR"): MessageSession,
    (InterfaceType.usb, "INSTR"): MessageSession,
}


def session_class(parsed: rname.ResourceName) -> type[VisaSession]:
    """Give the kind of session that a resource has.

    Raises
    ------
    VisaError
        Resources of this kind are not simulated.
    """
    try:
        return _CLASSES[parsed.interface_type_const, parsed.resource_class]
    except KeyError:
        raise VisaError(StatusCode.error_resource_not_found) from None


def _until(deadline: float) -> float:
    return min(max(0.0, deadline - time.monotonic()), threading.TIMEOUT_MAX)


def _is_value(declaration: type[Attribute], state: Any) -> bool:
    if issubclass(declaration, EnumAttribute | FlagAttribute):
        try:
            declaration.enum_type(state)
        except ValueError:
            return False
        return True
    if not isinstance(state, int):
        return False
    if issubclass(declaration, RangeAttribute):
        return declaration.min_value <= state <= declaration.max_value or state in (declaration.values or ())
    return 0 <= state <= (255 if issubclass(declaration, CharAttribute) else 0xFFFFFFFF)


def _initial_attributes(parsed: rname.ResourceName) -> dict[int, Any]:
    kind = (parsed.interface_type_const, parsed.resource_class)
    declarations = AttributesPerResource[kind] | AttributesPerResource[AllSessionTypes]
    known = {item.attribute_id: item.default for item in declarations if item.default is not NotAvailable}
    known |= {
        ResourceAttribute.resource_name: str(parsed),
        ResourceAttribute.resource_class: parsed.resource_class,
        ResourceAttribute.interface_type: parsed.interface_type_const,
        ResourceAttribute.resource_manufacturer_name: "szilard",
        ResourceAttribute.suppress_end_enabled: kind == (InterfaceType.tcpip, "SOCKET"),
    }
    return known | _address_attributes(parsed)


def _address_attributes(parsed: rname.ResourceName) -> dict[int, Any]:
    place: dict[int, Any]
    match parsed:
        case rname.TCPIPSocket():
            place = {
                ResourceAttribute.tcpip_address: parsed.host_address,
                ResourceAttribute.tcpip_port: int(parsed.port),
            }
        case rname.TCPIPInstr():
            place = {
                ResourceAttribute.tcpip_address: parsed.host_address,
                ResourceAttribute.tcpip_device_name: parsed.lan_device_name,
            }
        case rname.GPIBInstr():
            place = {
                ResourceAttribute.gpib_primary_address: int(parsed.primary_address),
                ResourceAttribute.gpib_secondary_address: int(parsed.secondary_address or constants.VI_NO_SEC_ADDR),
            }
        case rname.USBInstr():
            place = {
                ResourceAttribute.manufacturer_id: int(parsed.manufacturer_id, 0),
                ResourceAttribute.model_code: int(parsed.model_code, 0),
                ResourceAttribute.usb_serial_number: parsed.serial_number,
            }
        case _:
            place = {}
    board = getattr(parsed, "board", "")
    return place | ({ResourceAttribute.interface_number: int(board)} if str(board).isdecimal() else {})

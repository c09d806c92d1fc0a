"""Overlapped operations: *OPC, *OPC?, *WAI, queries that wait, abort, and device clear in the middle."""

import threading

import pytest

from sim_devices.scpi import Operation, ScpiError

IDENTITY = "Szilard,Source,SN1,1.0"


def test_a_command_that_takes_long_returns_at_once(client, source):
    client.send("INIT")
    assert client.ask("SAMP:COUN?") == "1000"
    client.send("SAMP:COUN 5;:INIT")
    assert client.errors() == [-221, -221]
    source.complete()
    client.send("SAMP:COUN 5")
    assert client.errors() == []


def test_opc_sets_its_bit_when_the_operation_is_complete(client, source):
    client.send("INIT;*OPC")
    assert client.ask("*ESR?") == "0"
    source.complete()
    assert client.ask("*ESR?") == "1"
    assert client.ask("*OPC;*ESR?") == "1"


def test_opc_waits_for_all_operations(client, source):
    client.send("INIT")
    source.begin(source.operation(), client.session)
    client.send("*OPC")
    first, second = source.futures
    second.set_result(None)
    assert client.ask("*ESR?") == "0"
    first.set_result(None)
    assert client.ask("*ESR?") == "1"


@pytest.mark.parametrize("cancel", ["*CLS", "*RST"])
def test_cls_and_rst_cancel_opc(client, source, cancel):
    client.send(f"INIT;*OPC;{cancel}")
    source.complete()
    assert client.ask("*ESR?") == "0"


def test_opc_query_answers_when_the_operation_is_complete(client, source):
    client.send("INIT;*OPC?;*IDN?")
    assert client.silent()
    source.complete()
    assert client.read().decode() == f"1;{IDENTITY}"


def test_a_time_out_while_waiting_is_no_query_error_and_the_reply_comes_later(client, source):
    client.send("INIT;*OPC?")
    with pytest.raises(TimeoutError):
        client.read(timeout=0.01)
    assert client.errors() == []
    source.complete()
    assert client.read() == b"1"


def test_a_reader_is_woken_by_the_completion(client, source):
    client.send("INIT;*OPC?")
    timer = threading.Timer(0.05, source.complete)
    timer.start()
    assert client.read(timeout=10) == b"1"
    timer.join()


def test_wai_holds_the_rest_of_the_message_back(client, source):
    client.send("INIT;*WAI;:SAMP:COUN 5;COUN?")
    assert source.count == 1000
    source.complete()
    assert client.read() == b"5"
    assert client.errors() == []


def test_messages_after_one_that_waits_are_kept_in_order(client, source):
    client.send("INIT;*WAI;:SAMP:COUN 5")
    client.send("SAMP:COUN 6")
    client.send(":SAMP:COUN?;MODE?")
    assert client.silent()
    source.complete()
    assert client.read() == b"6;RES"
    assert client.errors() == []


def test_a_message_that_waits_behind_an_unread_reply_interrupts_it(client, source):
    client.send("INIT;*OPC?")
    client.send("SAMP:COUN?")
    source.complete()
    assert client.read() == b"1000"
    assert client.errors() == [-410]


def test_a_query_that_waits_answers_with_the_result(client, source):
    client.send("READ?;*IDN?")
    assert client.silent()
    source.complete(42)
    assert client.read().decode() == f"42;{IDENTITY}"


def test_a_query_may_join_an_operation(client, source):
    assert client.ask("FETC?") == '"ready"'
    client.send("INIT;:FETC?")
    assert client.silent()
    source.complete()
    assert client.read() == b'"fetched"'


def test_two_operations_in_one_message_follow_each_other(client, source):
    client.send("READ?;:READ?;*OPC?")
    source.complete(1)
    assert client.silent()
    source.complete(2)
    assert client.read() == b"1;2;1"
    assert len(source.futures) == 2


def test_an_operation_that_is_done_at_once_is_no_operation(client, source, monkeypatch):
    def done():
        operation = Operation(source_future())
        operation.future.set_result(7)
        return operation

    source_future = type(source.operation().future)
    monkeypatch.setattr(source, "operation", done)
    assert client.ask("INIT;*OPC;*ESR?;:READ?;*OPC?") == "1;7;1"


def test_an_operation_that_fails_queues_its_error_in_the_session_that_began_it(make_client, source):
    one, two = make_client(source), make_client(source)
    one.send("INIT;*OPC")
    source.futures[-1].set_exception(ScpiError(101, "the lid was opened"))
    assert one.errors() == [101]
    assert two.errors() == []
    assert one.ask("*ESR?") == "9"
    one.send("READ?;*IDN?")
    source.futures[-1].set_exception(ZeroDivisionError("no noise"))
    assert one.read().decode() == IDENTITY
    assert one.errors() == [-310]


def test_abort_while_an_operation_is_pending_ends_the_wait(client, make_client, source):
    other = make_client(source)
    client.send("INIT;*OPC?")
    other.send("ABOR")
    assert client.read() == b"1"
    assert client.errors() == []
    client.send("READ?;*IDN?")
    other.send("ABOR")
    assert client.read().decode() == IDENTITY
    assert client.errors() == [-230]


def test_another_client_may_wait_for_the_operation(make_client, source):
    one, two = make_client(source), make_client(source)
    one.send("INIT")
    two.send("*OPC;*WAI;:SAMP:COUN?")
    assert two.silent()
    source.complete()
    assert two.read() == b"1000"
    assert two.ask("*ESR?") == "1"
    assert one.ask("*ESR?") == "0"


def test_device_clear_ends_the_wait_and_the_operation_goes_on(client, source):
    client.send("INIT;*OPC;*WAI;:SAMP:COUN 5")
    client.send("SAMP:COUN 6")
    client.session.clear()
    assert client.ask("SAMP:COUN?") == "1000"
    assert source.pending
    source.complete()
    assert client.ask("SAMP:COUN?;*ESR?") == "1000;0"


def test_a_waiting_client_that_closes_is_forgotten(make_client, source):
    one, two = make_client(source), make_client(source)
    one.send("INIT;*WAI;:SAMP:COUN 5")
    one.session.close()
    source.complete()
    assert two.ask("SAMP:COUN?") == "1000"


def test_a_stream_is_told_of_a_late_reply_without_the_lock(make_client, source):
    told = threading.Event()

    def on_output():
        taken = []
        thread = threading.Thread(target=lambda: taken.append(client.session.take()))
        thread.start()
        thread.join(5)
        if taken == [b"1\n"]:
            told.set()

    client = make_client(source, on_output=on_output)
    client.send("INIT;*OPC?")
    worker = threading.Thread(target=source.complete)
    worker.start()
    worker.join(10)
    assert told.is_set()


def test_messages_that_wait_are_bounded(client, source):
    client.send("INIT;*WAI")
    block = b"SOUR:DATA #9%09d%s\n" % (1 << 24, bytes(1 << 24))
    for _ in range(5):
        client.send(block)
    client.send("SAMP:COUN?")
    assert client.errors() == [-363, -363]
    source.complete()
    assert client.read() == b"1000"


def test_many_messages_that_begin_operations_do_not_recurse(client, source, monkeypatch):
    def done():
        operation = Operation(type(source.futures[0])())
        operation.future.set_result(7)
        return operation

    client.send("INIT;*WAI")
    monkeypatch.setattr(source, "operation", done)
    for _ in range(5000):
        client.send("INIT;*WAI;:SAMP:COUN 3")
    client.send("SAMP:COUN?")
    source.complete()
    assert client.read() == b"3"
    assert client.errors() == []


def test_a_query_whose_operation_has_no_result_is_an_error(client, source):
    client.send("READ?;*IDN?")
    source.complete(None)
    assert client.read().decode() == IDENTITY
    assert client.errors() == [-310]

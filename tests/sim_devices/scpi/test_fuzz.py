"""Hostile input: whatever is written, nothing is raised, nothing hangs, and the next question has its own answer."""

import random
import time
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

IDENTITY = b"Szilard,Source,SN1,1.0\n"
VALID = (
    b"*IDN?", b"*RST", b"*CLS", b"*ESE 255", b"*SRE 255", b"*OPC?", b"*WAI", b"*OPC", b"*SAV 1", b"*RCL 1", b"*LRN?",
    b"SAMP:COUN 1000", b"SAMPle:COUNt? MAX", b":SAMP:PER 2.5E-3 MS", b"SOUR3:VOLT:LEV -1.25", b"SOURCE4:VOLTAGE?",
    b"SAMP:CELL (@1:4,7)", b"SOUR:LAB 'it''s; \"#15\"'", b'SENS:FUNC "STATistics"', b"SAMP:WIND -1,MAX;WIND?",
    b"FORM REAL,32", b"FORM:BORD SWAP", b"SOUR:DATA 1,2,3 MV,#HFF", b"SOUR:DATA #18abcd\n;#\"", b"SOUR:DATA?",
    b"SOUR:RAW?", b"SOUR:EDG #18abcdefgh", b"SOUR:COPY 1,2", b"SYST:ERR?", b"SYST:ERR:ALL?", b"SYST:HELP:HEAD?",
    b"STAT:OPER:ENAB 32767", b"STAT:PRES", b"SYST:LOCK:REQ?", b"FAUL:DIV", b"FAUL:OBJ?", b"OUTP ON;OUTP?", b"INIT",
    b"READ?", b"FETC?", b"ABOR",
)  # fmt: skip
PIECES = (
    b";", b":", b"\n", b"?", b"#", b"#9", b"#0", b"#6999999", b'"', b"'", b"(@", b")", b",", b" ", b"\x00", b"\xff",
    b"1e999", b"NAN", b"*", b"9" * 300, b"A" * 13, b"\r\n",
)  # fmt: skip


def still_answers(client, *, streaming=False):
    """Send END, end what is waited for, clear the errors, and see that the next question has its own answer."""
    client.session.write(b"\n", end=True)
    while client.session.suspended:
        client.source.futures[-1].cancel()
    client.session.write(b"*CLS\n")
    if streaming:
        client.session.take()
    client.session.write(b"*CLS;*IDN?\n")
    data, end = client.session.read(1 << 30, 5.0)
    assert (data, end) == (IDENTITY, True)
    assert client.session.take() == b""
    return client.errors() == []


def mutate(message, generator):
    """Cut, repeat, replace and insert at random."""
    message = bytearray(message)
    for _ in range(generator.randrange(1, 5)):
        place = generator.randrange(len(message) + 1)
        kind = generator.randrange(4)
        if kind == 0:
            message[place:place] = generator.choice(PIECES)
        elif kind == 1:
            del message[place : place + generator.randrange(1, 6)]
        elif kind == 2:
            message[place : place + 1] = generator.randbytes(1)
        else:
            message[place:place] = generator.choice(VALID)
    return bytes(message)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.lists(st.binary(max_size=200), max_size=8), end=st.booleans())
def test_random_bytes_leave_the_instrument_whole(make_client, data, end):
    client = make_client()
    for piece in data:
        client.session.write(piece, end=end)
    assert still_answers(client)


@pytest.mark.slow
@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.one_of(st.sampled_from(VALID), st.sampled_from(PIECES), st.binary(max_size=6)), max_size=25))
def test_mixed_pieces_of_commands_leave_the_instrument_whole(make_client, pieces):
    client = make_client()
    client.session.write(b"".join(pieces))
    assert still_answers(client)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_mutated_commands_leave_the_instrument_whole(make_client, seed):
    """At least 100,000 bytes a seed, in one long session with cuts at random places."""
    generator = random.Random(seed)
    client = make_client()
    sent = 0
    while sent < 100_000:
        data = b"\n".join(mutate(generator.choice(VALID), generator) for _ in range(20)) + b"\n"
        cut = generator.randrange(len(data))
        for piece in (data[:cut], data[cut:]):
            client.session.write(piece, end=generator.random() < 0.02)
        sent += len(data)
        assert client.session.read_stb() < 256
        assert still_answers(client)


@pytest.mark.slow
def test_noise_on_a_stream_leaves_the_instrument_whole(make_client):
    generator = random.Random(7)
    client = make_client(on_output=lambda: None)
    for _ in range(150):
        client.session.write(generator.randbytes(2000))
    assert still_answers(client, streaming=True)


@pytest.mark.parametrize(
    "flood",
    [
        b"\n" * (1 << 22),
        b";" * (1 << 22) + b"\n",
        b"#" * (1 << 20) + b"\n",
        b"'" * (1 << 20) + b"\n",
        b"A:" * (1 << 20) + b"\n",
        b"A;" * (1 << 20) + b"\n",
        b":SAMP:CELL (@" + b"1," * (1 << 20) + b"1)\n",
        b":SAMP:COUN " + b"1" * (1 << 20) + b"\n",
        b":SAMP:COUN " + b"1," * (1 << 20) + b"\n",
        b":SOUR:LAB '" + b"''" * (1 << 20) + b"'\n",
        b"A" * (1 << 23) + b"\n",
        b":SOUR:DATA " + b"(" * (1 << 20) + b"\n",
        b"SOUR:DATA #9999999999" + b"\x00" * (1 << 20) + b"\n",
    ],
    ids=lambda flood: repr(flood[:16]),
)
def test_a_flood_is_refused_in_bounded_time(make_client, flood):
    client = make_client()
    begin = time.perf_counter()
    client.session.write(flood)
    assert still_answers(client)
    assert time.perf_counter() - begin < 5.0


def test_a_promised_block_takes_no_memory(make_client):
    client = make_client()
    tracemalloc.start()
    try:
        client.session.write(b"SOUR:DATA #960000000")
        client.session.write(b"0")
        for _ in range(10):
            client.session.write(bytes(100))
        assert tracemalloc.get_traced_memory()[1] < 200_000
    finally:
        tracemalloc.stop()
    assert still_answers(client)

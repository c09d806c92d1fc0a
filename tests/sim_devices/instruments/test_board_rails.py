import pytest


def test_outputs_take_board_time_to_settle(board, client, gate):
    client.write("OUTP ON")
    assert client.ask("OUTP?;:STAT:OPER:COND?") == "1;2"
    gate.set()
    assert client.ask("*OPC?;:STAT:OPER:COND?") == "1;0"
    assert board.clock.now() == pytest.approx(1e-3)


def test_an_open_interlock_switches_the_outputs_off_and_stays_latched(board, client, connect):
    other = connect(board, "other:2")
    client.write("OUTP ON;:NOIS ON;*WAI")
    board.open_interlock()
    assert client.ask("OUTP?;:NOIS?;:INT?;:INT:SOUR?;:STAT:QUES:COND?") == '0;0;0;"LID";4096'
    assert client.errors() == [101]
    assert other.errors() == [101]
    assert client.send("OUTP ON") == [101]
    assert client.send("INT:CLE") == [101]
    board.close_interlock()
    assert client.ask("INT?") == "0"
    assert client.send("OUTP ON") == [101]
    assert client.send("INT:CLE;:OUTP ON") == []
    assert client.ask("INT?;:OUTP?;:STAT:QUES:COND?") == "1;1;0"


def test_an_interlock_without_latch_closes_by_itself(board, client):
    client.write("INT:LATC OFF")
    board.open_interlock("TEMP")
    assert client.ask("INT?;:INT:SOUR?") == '0;"TEMP"'
    board.close_interlock("TEMP")
    assert client.send("*CLS;OUTP ON") == []


def test_the_cause_of_a_reading_that_fails_is_reported_before_it(board, powered, gate):
    powered.write("READ?")
    board.open_interlock()
    assert powered.errors() == [101, 241]


def test_an_open_interlock_ends_a_run_and_keeps_nothing_of_it(board, powered, gate):
    powered.write("INIT;*OPC")
    board.open_interlock()
    assert powered.errors() == [101]
    assert powered.send("CALC:MEAN?") == [241]
    assert int(powered.ask("STAT:OPER:COND?")) & 1 << 4 == 0
    assert powered.send("INIT") == [101]


def test_overheating_trips_until_cold_and_cleared(board, client):
    client.write("OUTP ON;*WAI")
    board.set_temperature(71.0)
    assert client.errors() == [103]
    assert client.ask("OUTP?;:OUTP:PROT:STAT?;:STAT:QUES:COND?;:SYST:TEMP?") == "0;1;16;+7.100000E+01"
    assert client.send("OUTP ON") == [104]
    assert client.send("OUTP:PROT:CLE") == [103]
    board.set_temperature(30.0)
    assert client.send("OUTP ON") == [104]
    assert client.send("OUTP:PROT:CLE;:OUTP ON") == []
    assert client.ask("OUTP?;:STAT:QUES:COND?") == "1;0"


def test_a_limit_below_the_temperature_of_the_board_trips(board, client):
    board.set_temperature(50.0)
    assert client.send("OUTP:PROT:TEMP 40") == [103]
    assert client.ask("OUTP:PROT:STAT?") == "1"


def test_noise_needs_the_rails_and_goes_off_with_them(client):
    assert client.send("NOIS ON") == [-221]
    assert client.ask("NOIS?") == "0"
    assert client.send("OUTP ON;:NOIS ON") == []
    client.write("OUTP OFF")
    assert client.ask("NOIS?") == "0"


def test_the_calendar_runs_with_the_clock_of_the_bench(board, client):
    client.write("SYST:DATE 2026,2,28;TIME 23,59,58")
    board.clock.sleep(3.0)
    assert client.ask("SYST:DATE?;TIME?;UPT?") == "2026,3,1;0,0,1;3"
    assert client.send("SYST:DATE 2026,2,29") == [-222]
    assert client.ask("SYST:DATE?;TIME?") == "2026,3,1;0,0,1"


def test_one_temperature_is_answered_for_each_cell_asked_for(client):
    assert client.ask("SYST:TEMP? (@1,4:5)").count(",") == 2
    assert client.send("SYST:TEMP? (@257)") == [-222]

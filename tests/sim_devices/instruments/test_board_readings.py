import numpy as np
import pytest

from twin.models.thermodynamic_board import Circuit

SLOTS, ROWS, SHOTS, CELLS = 3, 2, 40, 3


@pytest.fixture
def learning(client, block):
    """Three programs of four coupled cells, two of three rows, cells 4, 2 and 1 read, two projections a row."""
    rng = np.random.default_rng(5)
    client.write("FORM REAL,64;:FORM:BORD SWAP;:OUTP ON;:NOIS ON;NOIS:TEMP 0.5;:MOD:CELL 4;INP 2")
    for slot in range(SLOTS):
        client.write(
            b"MOD:SEL %d;COUP " % (2 * slot)
            + block(rng.normal(0, 0.3, 6), "<f8")
            + b";WEIG "
            + block(rng.normal(0, 1, 8), "<f8")
            + b";BIAS "
            + block(np.full(4, 4.0 * slot), "<f8")
            + b";QUAD "
            + block(np.ones(4), "<f8")
        )
    client.write(b"INP:TABL:DEF 3,2;:INP:TABL " + block([1, 0, -1, 1, 0.5, -1], "<f8") + b";:INP:MODE SWE")
    projections = np.zeros((ROWS, 2, 4))
    projections[..., [3, 1, 0]] = rng.normal(size=(ROWS, 2, CELLS))
    client.write(b"CALC:PROJ:DEF 2;:CALC:PROJ " + block(projections, "<f8"))
    client.write(f"SAMP:COUN {SHOTS};TOBS 1;MOD (@0,2,4);ROWS 2,2;CELL (@4,2,1);:MOD:COMM ALL;:INIT;*WAI")
    assert client.errors() == []
    client.projections = projections[..., [3, 1, 0]]
    return client


def raw(client):
    return client.block("FETC?", "<f8").reshape(SLOTS, ROWS, SHOTS, CELLS)


def test_results_are_ordered_slot_row_shot_cell(learning):
    samples = raw(learning)
    assert np.array_equal(learning.block("DATA:ROW? 41,40", "<f8").reshape(SHOTS, CELLS), samples[0, 1])
    means = samples.mean(axis=(1, 2, 3))
    assert means[0] < means[1] < means[2]
    alone = learning.ask("NOIS:SEED?")
    learning.write(f"NOIS:SEED {alone};:SAMP:MOD (@2);ROWS 3,1;:CALC:PROJ:DEF 0;:INIT;*WAI")
    assert np.array_equal(learning.block("FETC?", "<f8").reshape(SHOTS, CELLS), samples[1, 1])


def test_moments_are_those_of_the_samples(learning):
    samples = raw(learning)
    mean, variance = samples.mean(axis=2), samples.var(axis=2, ddof=1)
    centred = samples - mean[:, :, None]
    covariance = np.einsum("prmi,prmj->prij", centred, centred) / (SHOTS - 1)
    upper = covariance[..., *np.triu_indices(CELLS)]
    shape = (SLOTS, ROWS, CELLS)
    assert learning.block("CALC:MEAN?", "<f8").reshape(shape) == pytest.approx(mean, abs=1e-6)
    assert learning.block("CALC:VAR?", "<f8").reshape(shape) == pytest.approx(variance, abs=1e-6)
    assert learning.block("CALC:COV?", "<f8").reshape(upper.shape) == pytest.approx(upper, abs=1e-6)
    assert learning.block("CALC:SERR?", "<f8").reshape(shape) == pytest.approx(np.sqrt(variance / SHOTS), abs=1e-6)
    correlation = covariance[..., 0, 2] / np.sqrt(covariance[..., 0, 0] * covariance[..., 2, 2])
    assert learning.block("CALC:CORR? 4,1", "<f8") == pytest.approx(correlation.ravel(), abs=1e-5)
    assert learning.ask("CALC:COUN?") == str(SHOTS)


def test_projections_are_those_of_the_samples_of_the_same_acquisition(learning):
    samples = raw(learning)
    projected = np.einsum("rkc,prmc->prmk", learning.projections, samples)
    mean = projected.mean(axis=2)
    covariance = np.einsum(
        "prmk,prmc->prkc", projected - mean[:, :, None], samples - samples.mean(axis=2, keepdims=True)
    ) / (SHOTS - 1)
    assert learning.block("CALC:PROJ:MEAN?", "<f8") == pytest.approx(mean.ravel(), abs=1e-5)
    assert learning.block("CALC:PROJ:CORR?", "<f8") == pytest.approx(covariance.ravel(), abs=1e-5)


def test_statistics_alone_give_the_same_moments_and_no_samples(learning):
    mean, variance = learning.block("CALC:MEAN?", "<f8"), learning.block("CALC:VAR?", "<f8")
    learning.write(f"NOIS:SEED {learning.ask('NOIS:SEED?')};:SENS:FUNC 'STAT';:INIT;*WAI")
    assert np.array_equal(learning.block("CALC:MEAN?", "<f8"), mean)
    assert np.array_equal(learning.block("FETC?", "<f8"), np.concatenate([mean, variance]))
    assert learning.ask("DATA:POIN?") == "0"
    assert learning.send("DATA:ROW? 1,1") == [241]
    assert learning.send("CALC:HIST:DATA?") == [241]


def test_readings_follow_the_unit(learning):
    mean, variance = learning.block("CALC:MEAN?", "<f8"), learning.block("CALC:VAR?", "<f8")
    samples = raw(learning)
    learning.write("MOD:UNIT PHYS")
    volt = Circuit().unit_voltage
    assert learning.block("CALC:MEAN?", "<f8") == pytest.approx(mean * volt)
    assert learning.block("CALC:VAR?", "<f8") == pytest.approx(variance * volt**2)
    assert raw(learning) == pytest.approx(samples * volt, rel=1e-6)


def test_only_the_moments_asked_for_are_kept(learning):
    learning.write("CALC:MOM VAR;PROJ:DEF 0;:INIT;*WAI")
    assert learning.send("CALC:COV?") == [241]
    assert learning.block("CALC:VAR?", "<f8").size == SLOTS * ROWS * CELLS
    learning.write("CALC:MOM MEAN;:INIT;*WAI")
    assert learning.send("CALC:VAR?") == [241]
    assert learning.block("CALC:MEAN?", "<f8").size == SLOTS * ROWS * CELLS
    learning.write("CALC OFF;:INIT;*WAI")
    assert learning.send("CALC:MEAN?") == [241]
    assert learning.ask("CALC:COUN?") == "0"
    assert raw(learning).size
    learning.write("CALC ON;:INIT;*WAI;:CALC:CLE")
    assert learning.send("CALC:MEAN?") == [241]


def test_samples_leave_the_memory_oldest_first(learning):
    samples = raw(learning).reshape(-1, CELLS)
    learning.write("DATA:POIN:EVEN:THR 200")
    assert learning.ask("DATA:POIN?") == "240"
    assert int(learning.ask("STAT:OPER:COND?")) & 1 << 10
    assert np.array_equal(learning.block("DATA:REM? 50", "<f8").reshape(-1, CELLS), samples[:50])
    assert learning.ask("DATA:POIN?") == "190"
    assert not int(learning.ask("STAT:OPER:COND?")) & 1 << 10
    assert np.array_equal(learning.block("DATA:REM? 190,WAIT", "<f8").reshape(-1, CELLS), samples[50:])
    assert learning.send("DATA:REM? 1") == [-222]
    assert learning.send("DATA:ROW? 1,1") == [-222]
    assert learning.send("DATA:CLE;:FETC?") == [241]


def test_time_stamps_follow_the_schedule(learning):
    stamps = learning.block("DATA:TIM? 1,240", "<f8")
    period = 2e-5 + 1e-5 + 1 / 12e6
    assert stamps == pytest.approx(period * np.arange(1, 241))
    assert stamps[-1] == pytest.approx(float(learning.ask("SAMP:TIME?")))


def test_converter_codes_are_samples_over_the_step(learning):
    samples = raw(learning).ravel()
    learning.write("FORM REAL,64")
    step, offset = learning.block("CAL:DATA? LSB", "<f8")
    learning.write("FORM INT,16")
    codes = learning.block("FETC?", "<i2")
    assert codes * step + offset == pytest.approx(samples, abs=step / 2 * 1.001)


def test_a_threshold_gives_one_bit_per_cell(learning):
    samples = raw(learning).reshape(-1, CELLS)
    learning.write(f"NOIS:SEED {learning.ask('NOIS:SEED?')};:SAMP:THR 0.25;:INIT;*WAI")
    packed = learning.block("FETC?", "u1")
    assert packed.size == len(samples)
    assert np.array_equal(packed, (samples > 0.25) @ [1, 2, 4])
    learning.write("FORM ASC")
    assert np.array_equal(learning.values("FETC?").reshape(-1, CELLS), samples > 0.25)


def test_a_histogram_counts_below_within_and_above_its_range(learning):
    samples = raw(learning)[..., 1]
    learning.write("CALC:HIST:CELL 2;RANG 0,2;BINS 4")
    counts = learning.block("CALC:HIST:DATA?", "<u4").reshape(SLOTS, ROWS, 6)
    assert (counts.sum(axis=-1) == SHOTS).all()
    assert np.array_equal(counts[..., 0], (samples < 0).sum(axis=-1))
    assert np.array_equal(counts[..., 2], ((samples >= 0.5) & (samples < 1)).sum(axis=-1))
    learning.write("CALC:HIST:CELL 3")
    assert learning.send("CALC:HIST:DATA?") == [241]


def test_without_a_run_there_is_no_data(client):
    for query in ("FETC?", "CALC:MEAN?", "DATA:REM? 1", "DATA:ROW? 1,1", "CALC:HIST:DATA?", "CALC:PROJ?"):
        assert client.send(query) == [241]


def test_a_capture_is_one_trace_at_its_rate(powered):
    powered.write("MOD:BIAS:ELEM 1,1;:MOD:COMM;:NOIS OFF;:SENS:FUNC 'CAPT';:CAPT:COUN 512;RATE 1.5MHZ;:INIT;*WAI")
    assert powered.errors() == []
    trace = powered.values("FETC?")
    stamps = powered.block("DATA:TIM? 1,512", ">f8")
    assert np.diff(stamps) == pytest.approx(np.full(511, 1 / 1.5e6))
    at_2tau = trace[np.searchsorted(stamps, 2e-5 * (1 - 1e-9))]
    assert at_2tau == pytest.approx(0.385136, abs=2e-3)
    assert (np.diff(trace[:20]) > 0).all()

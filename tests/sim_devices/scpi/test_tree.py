"""Which declaration a header stands for."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_devices.scpi.tree import HeaderError, HeaderTree, parse_header


def tree(*headers):
    built = HeaderTree()
    for header in headers:
        built.insert(parse_header(header), header, query=header.endswith("?"))
    return built


def find(built, header, path=None):
    return built.find(path or built.root, header.encode())


DECLARED = (
    "*IDN?",
    "MODel:COUPling[:DATA]",
    "MODel:COUPling:LIMit?",
    "MODel:BIAS",
    "[SENSe:]FUNCtion",
    "TRIGger[:SEQuence]:SOURce",
    "OUTPut<1:4>[:CHANnel<1:2>]:STATe",
)
BOARD = tree(*DECLARED)


@pytest.mark.parametrize("header", ["MOD:COUP", "model:coupling", ":Mod:Coup:Data", "MODEL:COUP:DATA"])
def test_short_and_long_forms_in_any_case_mean_the_same(header):
    assert find(BOARD, header)[:2] == ("MODel:COUPling[:DATA]", ())


@pytest.mark.parametrize(
    ("header", "meant"),
    [
        ("FUNC", "[SENSe:]FUNCtion"),
        ("sens:function", "[SENSe:]FUNCtion"),
        ("TRIG:SOUR", "TRIGger[:SEQuence]:SOURce"),
        ("trigger:seq:source", "TRIGger[:SEQuence]:SOURce"),
        ("*idn?", "*IDN?"),
    ],
)
def test_optional_nodes_may_be_left_out(header, meant):
    assert find(BOARD, header)[0] == meant


@pytest.mark.parametrize(
    ("header", "suffixes"),
    [
        ("OUTP:STAT", (1, 1)),
        ("OUTP3:STAT", (3, 1)),
        ("OUTPUT4:CHAN2:STATE", (4, 2)),
        ("OUTP:CHANNEL2:STAT", (1, 2)),
    ],
)
def test_numeric_suffixes_default_to_the_first(header, suffixes):
    assert find(BOARD, header)[1] == suffixes


@pytest.mark.parametrize(
    ("header", "number"),
    [
        ("MODE:COUP", -113),
        ("MO:COUP", -113),
        ("MOD:COUP?", -113),
        ("MOD:COUP:LIM", -113),
        ("MOD", -113),
        ("COUP", -113),
        ("*IDN", -113),
        ("OUTP5:STAT", -114),
        ("OUTP0:STAT", -114),
        ("OUTP1:CHAN3:STAT", -114),
        ("MOD2:COUP", -114),
        ("MOD:COUPLINGCONSTANTS", -112),
    ],
)
def test_other_spellings_are_refused(header, number):
    with pytest.raises(HeaderError) as caught:
        find(BOARD, header)
    assert caught.value.number == number


def test_a_header_begins_where_the_one_before_it_ended():
    _, _, path = find(BOARD, "MOD:COUP:DATA")
    assert find(BOARD, "LIM?", path)[0] == "MODel:COUPling:LIMit?"
    _, _, path = find(BOARD, "MOD:COUP")
    assert find(BOARD, "BIAS", path)[0] == "MODel:BIAS"
    assert find(BOARD, ":FUNC", path)[0] == "[SENSe:]FUNCtion"
    with pytest.raises(HeaderError):
        find(BOARD, "FUNC", path)


def test_a_common_command_keeps_the_path():
    _, _, path = find(BOARD, "MOD:COUP")
    _, _, path = find(BOARD, "*IDN?", path)
    assert find(BOARD, "BIAS", path)[0] == "MODel:BIAS"


def test_a_path_keeps_its_suffix():
    built = tree("SOURce<1:24>:VOLTage", "SOURce<1:24>:RANGe")
    _, _, path = find(built, "SOUR7:VOLT")
    assert find(built, "RANG", path)[:2] == ("SOURce<1:24>:RANGe", (7,))
    assert find(built, ":SOUR:RANG", path)[1] == (1,)


def test_an_unknown_last_mnemonic_keeps_the_path_before_it():
    with pytest.raises(HeaderError) as caught:
        find(BOARD, "MOD:COUPLINGS")
    assert find(BOARD, "BIAS", caught.value.path)[0] == "MODel:BIAS"
    with pytest.raises(HeaderError) as caught:
        find(BOARD, "MODELS:BIAS")
    with pytest.raises(HeaderError):
        find(BOARD, "BIAS", caught.value.path)


@given(st.text("abcdeMODCUPL:?*_019", min_size=1, max_size=30).filter(lambda text: text.strip(":?*")))
def test_no_header_breaks_the_search(header):
    with contextlib.suppress(HeaderError):
        assert find(BOARD, header)[0] in DECLARED


@pytest.mark.parametrize("header", ["", "MODel COUPling", "MODel:[DATA", "A:LONGERTHANTWELVE", "SOURce<n>:VOLTage"])
def test_a_header_declared_wrongly_is_refused(header):
    with pytest.raises(ValueError, match="header"):
        parse_header(header)


def test_two_mnemonics_with_one_short_form_are_refused():
    with pytest.raises(ValueError, match="short form"):
        tree("MODel:COUPling", "MODel:COUPler")

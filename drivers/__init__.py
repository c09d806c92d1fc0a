"""Instrument drivers: pymeasure, one property per command of the manual, blind to where the instrument is."""

"""Simulated instruments: their language, the wire around them, and the benches they stand on."""

"""Numba kernels: floats and arrays in, arrays out, randomness addressed by counters."""

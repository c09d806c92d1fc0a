"""Models of instruments: frozen parameters in named units, around the kernels."""

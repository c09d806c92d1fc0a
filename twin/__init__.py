"""The digital twin: physics of the instruments, in plain arrays and seconds."""

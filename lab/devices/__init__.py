"""One ophyd device per role."""

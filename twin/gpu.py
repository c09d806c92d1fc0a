"""A GPU as a place to compute at, by CUDA."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from twin.compute import Call, GpuError, MissingExtraError


class Gpu:
    """The GPU that CUDA calls the current one. What has no version for it runs on the threads of this machine.

    Raises
    ------
    MissingExtraError
        If Numba's CUDA target is not installed.
    GpuError
        If there is no GPU.
    """

    def __init__(self) -> None:
        if find_spec("numba_cuda") is None:
            raise MissingExtraError("a GPU needs numba-cuda: pip install 'szilard[cuda]'")
        from numba import cuda

        if not cuda.is_available():
            raise GpuError("there is no GPU that CUDA can use; `numba -s` says what CUDA finds")
        self._name = getattr(cuda.get_current_device(), "name", "that Numba simulates")

    @property
    def description(self) -> str:
        """What it computes with, in words."""
        return f"the GPU {self._name}"

    def run(self, call: Call) -> Any:
        """Return what a call returns."""
        module, _, name = call.gpu.partition(":")
        function = getattr(import_module(module), name) if module else call.here
        return function(**call.arguments)

    def close(self) -> None:
        """Do nothing."""

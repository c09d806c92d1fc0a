"""How every kernel is compiled, and the one piece of memory that plain Numba lacks.

Internals of Numba are used here, by the option ``_nrt`` and the intrinsic `stack_lanes`, and in the modules that emit
instructions (`tile`, `adjoint_tile`), for speed alone. A Numba without them refuses to compile a kernel, so the upper
bound of its version is the last one tested.

Numba's disk cache looks at the file of a kernel, not at what that file imports: set TWIN_NUMBA_CACHE=0 while working
on the kernels.
"""

import os
from typing import Any

from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

LANES = 64
"""Trajectories that a kernel advances side by side: four 512-bit registers of single precision."""

_options: dict[str, Any] = {
    "cache": os.environ.get("TWIN_NUMBA_CACHE", "1") != "0",
    "nogil": True,
    "boundscheck": False,
    "error_model": "numpy",
    "fastmath": {"contract"},
}

kernel = njit(**_options)
"""Compile a kernel: no GIL, no bounds checks, fused multiply-add, cached on disk unless TWIN_NUMBA_CACHE=0."""

leaf = njit(**{**_options, "_nrt": False})
"""Compile a kernel that allocates nothing, without counting references: in an inner loop that costs more than the
arithmetic."""

inlined = njit(**_options, inline="always")
"""Paste a piece of a kernel into its caller, where LLVM sees what overlaps with what."""


@intrinsic
def stack_lanes(_typing_context):  # type: ignore[no-untyped-def]
    """Return an array of LANES floats on the stack, which LLVM knows to overlap no other array.

    A loop over lanes that writes to heap memory first compares its addresses with those of every array it reads, which
    costs as much as the loop itself. The array must not outlive the function.
    """
    array_type = types.Array(types.float32, 1, "C")

    def codegen(context, builder, _signature, _arguments):  # type: ignore[no-untyped-def]
        count = context.get_constant(types.intp, LANES)
        lanes = cgutils.alloca_once(builder, context.get_data_type(types.float32), size=count)
        lanes.align = 64
        array = context.make_array(array_type)(context, builder)
        size = context.get_constant(types.intp, 4)
        populate_array(
            array,
            data=lanes,
            shape=cgutils.pack_array(builder, [count]),
            strides=cgutils.pack_array(builder, [size]),
            itemsize=size,
            meminfo=None,
        )
        return array._getvalue()  # noqa: SLF001  (the one way to read a Numba struct proxy)

    return array_type(), codegen

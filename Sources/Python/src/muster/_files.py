"""Files of NumPy's as arrays: what their headers say."""

from __future__ import annotations

from typing import Any

import numpy

from ._errors import FileError

# enum muster_type, by NumPy's letters.
CODES = {
    "f2": 1, "f4": 2, "f8": 3, "i1": 4, "i2": 5, "i4": 6, "i8": 7,
    "u1": 8, "u2": 9, "u4": 10, "u8": 11, "b1": 12,
}  # fmt: skip


def type_code(dtype: numpy.dtype) -> int:
    """enum muster_type of a dtype; 0: the library has no such numbers, or not in this byte order."""
    return CODES.get(dtype.str.lstrip("<=|"), 0)


def read_header(path: Any) -> tuple[tuple[int, ...], numpy.dtype, int]:
    """The shape, the dtype and its enum muster_type of a .npy file. Errors: FileError, OSError."""
    with open(path, "rb") as file:
        try:
            version = numpy.lib.format.read_magic(file)
            read = (
                numpy.lib.format.read_array_header_1_0
                if version == (1, 0)
                else numpy.lib.format.read_array_header_2_0
            )
            shape, fortran, dtype = read(file)
        except ValueError as error:
            raise FileError(f"{path}: it is no .npy file ({error}): give the dtype of its elements") from None
    if fortran and len(shape) > 1:
        raise FileError(f"{path}: it is in Fortran's order: save numpy.ascontiguousarray(...) of it")
    code = type_code(dtype)
    if code == 0:
        raise FileError(f"{path}: it holds {dtype}: numbers in this machine's byte order can be mapped")
    return shape, dtype, code

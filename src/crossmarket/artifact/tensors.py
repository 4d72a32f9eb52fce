"""Tensors of an artifact: safetensors in which names, dtypes, shapes and values are checked."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from crossmarket.artifact.folders import parse_json
from crossmarket.errors import DataError

Array = NDArray[Any]
Arrays = Mapping[str, Array]

_LARGEST_HEADER = 1 << 16


def tensor_bytes(arrays: Arrays) -> bytes:
    """Render arrays as a safetensors file; the same arrays give the same bytes."""
    return save({name: np.ascontiguousarray(array) for name, array in arrays.items()})


class Tensors:
    """The tensors of a file; each is taken out once, with the dtype and shape it must have.

    Parameters
    ----------
    content : bytes
        The file.
    place : str
        Its name in messages.

    Raises
    ------
    DataError
        If it is not exactly a safetensors file.
    """

    def __init__(self, content: bytes, place: str) -> None:
        self.place = place
        self._left: dict[str, Array] = {}
        length = int.from_bytes(content[:8], "little")
        if len(content) < 8 or length > min(_LARGEST_HEADER, len(content) - 8):
            raise DataError(f"{place} has a header of {length:,} bytes; it is no file of tensors")
        header = parse_json(content[8 : 8 + length], place)
        try:
            self._left = load(content)
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{place} is no file of tensors") from error
        if not isinstance(header, dict) or header.keys() != self._left.keys():
            raise DataError(f"{place} holds more than tensors")

    def again(self) -> Self:
        """The same tensors, to be taken out once more by another reader."""
        other = copy(self)
        other._left = dict(self._left)
        return other

    def take(self, name: str, dtype: DTypeLike, shape: tuple[int | None, ...]) -> Array:
        """Take a tensor out.

        Parameters
        ----------
        name : str
            Its name.
        dtype : dtype
            What it must be.
        shape : tuple of int or None
            What it must have; None leaves a length open.

        Raises
        ------
        DataError
            If it is missing, of another dtype or shape, or holds a value that is not finite.
        """
        array = self._left.pop(name, None)
        if array is None:
            raise DataError(f"{self.place} lacks the tensor {name!r}")
        fits = len(array.shape) == len(shape) and all(
            wanted in (None, length) for wanted, length in zip(shape, array.shape, strict=True)
        )
        if array.dtype != np.dtype(dtype) or not fits:
            raise DataError(
                f"{self.place}: {name!r} is {array.dtype} {list(array.shape)}, "
                f"not {np.dtype(dtype)} {['any' if n is None else n for n in shape]}"
            )
        if not np.isfinite(array).all():
            raise DataError(f"{self.place}: {name!r} holds a value that is not finite")
        return array

    def finish(self) -> None:
        """Make sure that nothing is left over.

        Raises
        ------
        DataError
            If a tensor was not asked for.
        """
        if self._left:
            raise DataError(f"{self.place} holds the unknown tensor {min(self._left)!r}")

"""What a ground-truth file must hold, checked value by value."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from retrieval_core.data.benchmarks.pickles import read_pickle
from retrieval_core.data.catalogue import Box
from retrieval_core.errors import DatasetError


class Fields:
    """A mapping read from a file; whatever it lacks is an error that names file and key.

    Args:
        path: of the file, for messages.
        content: what was read from it.
        where: the place in the file, for messages.

    Raises:
        DatasetError: the content is no mapping.
    """

    def __init__(self, path: Path, content: Any, where: str = "") -> None:
        self._path = path
        self._where = where
        if not isinstance(content, Mapping):
            raise self.error(f"expected keys and values, found {type(content).__name__}")
        self._content = content

    @staticmethod
    def read(path: Path) -> "Fields":
        """The mapping in a pickle (errors as `read_pickle`)."""
        return Fields(path, read_pickle(path))

    def __contains__(self, key: str) -> bool:
        return key in self._content

    def section(self, key: str) -> "Fields":
        """A mapping in the mapping."""
        return Fields(self._path, self._value(key), f"{self._where}{key}.")

    def sections(self, key: str, count: int | None = None) -> list["Fields"]:
        """A list of mappings, `count` of them where that is known."""
        entries = self._items(key)
        if count is not None and len(entries) != count:
            raise self.error(f"{key} has {len(entries)} entries for {count} queries")
        where = f"{self._where}{key}"
        return [Fields(self._path, entry, f"{where}[{i}].") for i, entry in enumerate(entries)]

    def names(self, key: str) -> list[str]:
        """Names of images, one or more."""
        values = [v.decode("latin1") if isinstance(v, bytes) else v for v in self._items(key)]
        if not values or not all(isinstance(value, str) for value in values):
            raise self.error(f"{key} is no list of names")
        return [str(value) for value in values]

    def numbers(self, key: str) -> list[int]:
        """Whole numbers, none or more."""
        values = np.asarray(self._value(key)).reshape(-1)
        # an empty list is an array of floats
        if values.dtype.kind not in "iuf" or not (np.isfinite(values) & (values % 1 == 0)).all():
            raise self.error(f"{key} is no list of whole numbers")
        return [int(value) for value in values]

    def number(self, key: str) -> int:
        """One whole number."""
        values = self.numbers(key)
        if len(values) != 1:
            raise self.error(f"{key} is no whole number")
        return values[0]

    def text(self, key: str) -> str:
        """A text that is not empty."""
        value = self._value(key)
        if not isinstance(value, str) or not value:
            raise self.error(f"{key} is no text: {value!r}")
        return value

    def indices(self, key: str, count: int) -> tuple[int, ...]:
        """Positions in a list of `count` images, ascending, each once."""
        found = sorted(set(self.numbers(key)))
        outside = [i for i in found if not 0 <= i < count]
        if outside:
            raise self.error(f"{key} names image {outside[0]} of a list of {count}")
        return tuple(found)

    def box(self, key: str) -> Box | None:
        """Left, top, right and bottom in pixels, or None where the whole image is meant."""
        if self._content.get(key) is None:
            return None
        values = np.asarray(self._value(key)).reshape(-1)
        if values.size != 4 or values.dtype.kind not in "iuf" or not np.isfinite(values).all():
            raise self.error(f"{key} is no box: {self._value(key)!r}")
        left, top, right, bottom = (float(value) for value in values)
        if left >= right or top >= bottom:
            raise self.error(f"{key} is an empty box: {[left, top, right, bottom]}")
        return left, top, right, bottom

    def error(self, fault: str) -> DatasetError:
        """An error about this place of the file."""
        return DatasetError(
            f"{self._path}: {self._where}{fault}; delete the file and get the published one"
        )

    def _value(self, key: str) -> Any:
        if key not in self._content:
            raise self.error(f"{key} is missing, there is {sorted(map(str, self._content))}")
        return self._content[key]

    def _items(self, key: str) -> list[Any]:
        value = self._value(key)
        if not isinstance(value, list | tuple | np.ndarray):
            raise self.error(f"{key} is no list")
        return list(value)

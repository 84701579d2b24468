"""Which things belong together because something connects them."""

from collections.abc import Hashable, Iterable
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)


def connected(groups: Iterable[Iterable[Key]]) -> dict[Key, int]:
    """The number of each key's component, where all keys of a group are connected.

    Args:
        groups: keys, in any order; the first of a component's keys to come decides its number.
    """
    parent: dict[Key, Key] = {}

    def root(key: Key) -> Key:
        parent.setdefault(key, key)
        while parent[key] != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    for group in groups:
        first, *others = (root(key) for key in group)
        for other in others:
            parent[root(other)] = root(first)
    numbers: dict[Key, int] = {}
    return {key: numbers.setdefault(root(key), len(numbers)) for key in parent}

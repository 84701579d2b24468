"""Ground-truth pickles give data and run nothing."""

import builtins
import collections
import io
import os
import pickle
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrieval_core.data.benchmarks.pickles import read_pickle
from retrieval_core.errors import DatasetError, UnsafePickleError

CONTENT = {
    "imlist": ["all_souls_000000", "é"],
    "gnd": [
        {
            "bbx": np.array([1.5, 2.0, 3.0, 4.0]),
            "easy": np.arange(3),
            "hard": np.array([], dtype=np.int32),
            "junk": [np.int64(7), 8, 2**70],
            "names": np.array(["a", "bc"]),
            "mixed": np.array(["a", None], dtype=object),
            "columns": np.asfortranarray(np.arange(6).reshape(2, 3)),
            "swapped": np.arange(3, dtype=">i2"),
        }
    ],
    "plain": (None, True, 1.5, b"\xff\x00", b"", "", {1, 2}, frozenset((3,)), bytearray(b"x")),
}


class Reduced:
    """Pickles to a call of its choice."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.reduced = function, arguments

    def __reduce__(self) -> Any:
        return self.reduced


def assert_equal(found: Any, expected: Any) -> None:
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key in expected:
            assert_equal(found[key], expected[key])
    elif isinstance(expected, list | tuple):
        assert type(found) is type(expected)
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_equal(one, other)
    elif isinstance(expected, np.ndarray):
        assert found.dtype.kind == expected.dtype.kind
        np.testing.assert_array_equal(found, expected)
    else:
        assert found == expected


def load(folder: Path, content: bytes) -> Any:
    (folder / "gnd.pkl").write_bytes(content)
    return read_pickle(folder / "gnd.pkl")


@pytest.mark.parametrize("protocol", range(6))
def test_data_of_every_protocol(tmp_path: Path, protocol: int) -> None:
    content = dict(CONTENT)
    if protocol < 5:
        content["plain"] = CONTENT["plain"][:-1]  # what names bytearray is refused
    assert_equal(load(tmp_path, pickle.dumps(content, protocol)), content)


@pytest.mark.parametrize("module", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
def test_arrays_of_both_numpys_and_of_python_2(tmp_path: Path, module: bytes) -> None:
    # protocol 2 of Python 2: the array's bytes and the dictionary's key are its plain strings
    written = (
        b"\x80\x02}U\x02okc" + module + b"\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x02\x85cnumpy\ndtype\nU\x02i2K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xff"
        b"J\xff\xff\xff\xffK\x00tb\x89U\x04\xff\x00\x02\x01tbs."
    )
    assert load(tmp_path, written)["ok"].tolist() == [255, 258]


@pytest.mark.parametrize(
    "function", [os.system, eval, exec, open, getattr, __import__, shutil.rmtree, io.FileIO]
)
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_callables_are_named_and_not_run(tmp_path: Path, function: Any, protocol: int) -> None:
    target = tmp_path / "ran"
    hostile = Reduced(function, f"touch {target}")
    content = {"imlist": ["a"], "gnd": [{"bbx": [0, 0, 1, 1], "easy": [hostile]}]}
    name = f"{function.__module__}.{function.__qualname__}".replace(
        "builtins", "(__)?builtins?(__)?"
    )
    with pytest.raises(UnsafePickleError, match=name.replace("_io", "_?io")) as raised:
        load(tmp_path, pickle.dumps(content, protocol))
    assert "gnd.pkl" in str(raised.value)
    assert not target.exists()


@pytest.mark.parametrize(
    "written",
    [
        b"cos\nsystem\n(S'touch ran'\ntR.",  # GLOBAL, REDUCE
        b"(S'touch ran'\nios\nsystem\n.",  # INST
        b"(cos\nsystem\nS'touch ran'\no.",  # OBJ
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x09touch ran\x85R.",  # STACK_GLOBAL
        # the name fetched from the memo, where it was put under another's
        b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94h\x00h\x01\x93\x8c\x09touch ran\x85R.",
        b"\x80\x04\x8c\x05numpy\x8c\x0endarray.tofile\x93.",  # a path through an allowed name
        b"\x80\x02c__builtin__\nset\ncos\nsystem\n\x81.",  # NEWOBJ
    ],
)
def test_every_way_to_name_a_callable(tmp_path: Path, monkeypatch: Any, written: bytes) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnsafePickleError, match=r"os\.system|ndarray\.tofile"):
        load(tmp_path, written)
    assert not (tmp_path / "ran").exists()


def test_callables_inside_arrays(tmp_path: Path) -> None:
    content = np.array([Reduced(os.system, "touch ran"), None], dtype=object)
    with pytest.raises(UnsafePickleError, match="system"):
        load(tmp_path, pickle.dumps({"gnd": content}))


def test_persistent_and_registered_objects_are_refused(tmp_path: Path) -> None:
    for written in (b"\x80\x02\x82\x01.", b"Pid\n.", b"\x80\x02K\x01Q."):
        with pytest.raises((UnsafePickleError, DatasetError)):
            load(tmp_path, written)


@pytest.mark.parametrize(
    "setting",
    [
        b"}U\x06systemK\x01sb",  # BUILD with a dictionary
        b"N}U\x08__call__K\x01s\x86b",  # BUILD with slots
        b"N}U\x0c__setstate__K\x01s\x86b",
    ],
)
@pytest.mark.parametrize(
    "name",
    [
        b"numpy\nndarray",
        b"numpy\ndtype",
        b"numpy.core.multiarray\n_reconstruct",
        b"numpy.core.multiarray\nscalar",
        b"_codecs\nencode",
        b"__builtin__\nset",
        b"__builtin__\nbytes",
    ],
)
def test_what_is_allowed_cannot_be_altered(tmp_path: Path, name: bytes, setting: bytes) -> None:
    with pytest.raises(DatasetError):
        load(tmp_path, b"\x80\x02c" + name + b"\n" + setting + b".")
    assert_equal(load(tmp_path, pickle.dumps(CONTENT["gnd"], 2)), CONTENT["gnd"])


def array(shape: bytes, dtype: bytes, content: bytes) -> bytes:
    """A pickled array that may lie about its size."""
    return (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01" + shape + b"\x85cnumpy\ndtype\nU" + bytes([len(dtype)]) + dtype + b"K\x00K\x01"
        b"\x87R\x89" + content + b"tb."
    )


HUGE = b"\x8a\x05\x00\x00\x00\x00\x40"  # 2**38


@pytest.mark.parametrize(
    "written",
    [
        array(HUGE, b"f8", b"U\x01x"),
        array(HUGE, b"O8", b"]"),
        # arrays and scalars made by their own name instead of from their content
        b"\x80\x02cnumpy\nndarray\n" + HUGE + b"\x85R.",
        b"\x80\x02cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nU\x0bV1000000000\x85R\x85R.",
        b"\x80\x02c__builtin__\nbytes\n" + HUGE + b"\x85R.",
        b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00xX\x03\x00\x00\x00zip\x87R.",
        # a slot of the memo far behind the end
        b"\x80\x02K\x01r" + struct.pack("<I", 2**32 - 1) + b".",
        b"\x80\x02I1\np4294967295\n.",
        b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b"x.",
        b"\x80\x04\x8e" + struct.pack("<Q", 2**60) + b"x.",
    ],
)
def test_claims_of_size_take_no_memory(tmp_path: Path, written: bytes) -> None:
    with pytest.raises(DatasetError, match=r"gnd\.pkl"):
        load(tmp_path, written)


@pytest.mark.parametrize("kept", [0, 1, 10, 60, 200, -1])
def test_truncated_and_foreign_files(tmp_path: Path, kept: int) -> None:
    whole = pickle.dumps(CONTENT, 2)
    with pytest.raises(DatasetError, match=r"truncated or no pickle.*get it again"):
        load(tmp_path, whole[:kept])
    for content in (b"<!DOCTYPE html><html></html>", b"\x1f\x8b\x08", bytes(range(100, 200))):
        with pytest.raises((DatasetError, UnsafePickleError)):
            load(tmp_path, content)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"nowhere\.pkl cannot be read"):
        read_pickle(tmp_path / "nowhere.pkl")


def test_other_classes_are_refused_however_harmless(tmp_path: Path) -> None:
    for value in (collections.OrderedDict(a=1), builtins.complex(1, 2), Path("x")):
        with pytest.raises(UnsafePickleError):
            load(tmp_path, pickle.dumps(value))

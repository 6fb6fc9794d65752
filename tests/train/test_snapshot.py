"""The snapshot: safetensors' own layout, in one buffer that is used again."""

import mmap
import os

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load

from modersmal.train.snapshot import Layout, Snapshot

shapes = st.lists(st.integers(1, 5), max_size=3).map(tuple)
dtypes = st.sampled_from([torch.float32, torch.int64, torch.float16, torch.bool])
tensors = st.dictionaries(
    st.text("abcå.", min_size=1, max_size=6),
    st.tuples(shapes, dtypes).map(lambda made: (torch.rand(made[0]) * 9).to(made[1])),
    max_size=5,
)


@pytest.fixture(scope="module")
def snapshot():
    made = Snapshot()
    yield made
    made.close()


def as_files(snapshot, files):
    """What the writer would write."""
    with mmap.mmap(snapshot.descriptor, os.fstat(snapshot.descriptor).st_size) as shared:
        return {
            file.name: len(file.header.encode()).to_bytes(8, "little")
            + file.header.encode()
            + shared[file.offset : file.offset + file.bytes]
            for file in files
        }


def equal(one, other):
    return one.keys() == other.keys() and all(
        one[name].dtype == other[name].dtype and torch.equal(one[name], other[name]) for name in one
    )


@given(st.dictionaries(st.sampled_from(["a.safetensors", "b.safetensors"]), tensors, min_size=1))
def test_what_was_taken_is_safetensors(contents):
    taken = Snapshot()
    contents = contents | {"c.safetensors": {"one": torch.ones(3)}}
    files = as_files(taken, taken.take(contents))
    assert all(equal(load(files[name]), dict(contents[name])) for name in contents)
    taken.close()


@given(tensors)
def test_every_tensor_is_aligned_to_its_width(contents):
    layout = Layout.of({"first": {"odd": torch.ones(3, dtype=torch.uint8)}, "second": contents})
    for (file, name), start in layout.places.items():
        if file == "second":
            assert start % contents[name].itemsize == 0
    assert all(len(file.header) % 8 == 0 for file in layout.files if file.header.isascii())


def test_the_buffer_is_used_again_and_holds_the_later_values(snapshot):
    weights = torch.ones(1000)
    snapshot.take({"a": {"w": weights}})
    address = snapshot._buffer.data_ptr()
    weights += 1
    files = as_files(snapshot, snapshot.take({"a": {"w": weights}}))
    assert snapshot._buffer.data_ptr() == address
    assert equal(load(files["a"]), {"w": weights})


def test_it_is_a_copy(snapshot):
    weights = torch.ones(1000)
    files = snapshot.take({"a": {"w": weights}})
    weights += 1
    assert equal(load(as_files(snapshot, files)["a"]), {"w": torch.ones(1000)})


def test_it_grows_when_the_optimizer_has_begun(snapshot):
    small = as_files(snapshot, snapshot.take({"a": {"w": torch.ones(10)}, "b": {}}))
    assert equal(load(small["b"]), {})
    contents = {"a": {"w": torch.ones(10)}, "b": {"m": torch.rand(5000), "step": torch.tensor(3.0)}}
    large = as_files(snapshot, snapshot.take(contents))
    assert all(equal(load(large[name]), contents[name]) for name in contents)


def test_strided_and_learning_tensors_are_taken_as_they_read(snapshot):
    matrix = torch.arange(6.0).reshape(2, 3)
    contents = {"a": {"t": matrix.T, "p": torch.nn.Parameter(matrix)}}
    found = load(as_files(snapshot, snapshot.take(contents))["a"])
    assert equal(found, {"t": matrix.T.contiguous(), "p": matrix})

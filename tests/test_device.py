"""Hardware selects itself: the logic, on a machine that need not have it."""

import os

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from biasloop.device import (
    Device,
    _in_steps,
    choose,
    choose_for_training,
    cores,
    keep_freed_memory,
    make_deterministic,
    multiplies_better_by_onednn,
    multiplies_bfloat16,
    return_freed_memory,
    running_sums,
)


@pytest.mark.parametrize(
    ("cuda", "bf16", "mps", "asked", "expected"),
    [
        (True, True, False, "auto", ("cuda", "bfloat16")),
        (True, False, False, "auto", ("cuda", "float32")),
        (True, True, False, "float32", ("cuda", "float32")),
        (False, False, True, "auto", ("mps", "float32")),
        (False, False, False, "auto", ("cpu", "float32")),
        (False, False, False, "bfloat16", ("cpu", "bfloat16")),
    ],
)
def test_the_device_and_precision_that_are_there(monkeypatch, cuda, bf16, mps, asked, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: bf16)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert choose(asked) == Device(*expected)


@pytest.mark.parametrize(
    ("native", "asked", "expected"),
    [
        (True, "auto", "bfloat16"),
        (False, "auto", "float32"),
        (True, "float32", "float32"),
        (False, "bfloat16", "bfloat16"),
    ],
)
def test_training_is_in_bfloat16_where_the_processor_is(monkeypatch, native, asked, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr("biasloop.device.multiplies_bfloat16", lambda device: native)
    assert choose_for_training(asked) == Device("cpu", expected)
    assert choose("auto") == Device("cpu", "float32")


@pytest.mark.parametrize(
    ("device", "found", "expected"),
    [
        ("cpu", {"avx512_bf16": True}, True),
        ("cpu", {"avx2": True, "avx512_f": True}, False),
        ("cpu", {}, False),
        ("mps", {"bf16": True}, False),
    ],
)
def test_bfloat16_takes_instructions(monkeypatch, device, found, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found, raising=False)
    assert multiplies_bfloat16(device) is expected


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({"avx512_f": True, "cpu_name": "AMD EPYC"}, True),
        ({"avx512_f": True, "cpu_name": "Intel(R) Xeon(R) Platinum 8480+"}, False),
        ({"avx512_f": False, "avx2": True, "cpu_name": "AMD EPYC"}, False),
        ({}, False),
    ],
)
def test_onednn_trains_where_mkl_leaves_instructions_out(monkeypatch, found, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found, raising=False)
    assert multiplies_better_by_onednn() is expected


def test_a_torch_that_does_not_say_has_no_instructions(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert not multiplies_bfloat16("cpu")
    assert not multiplies_better_by_onednn()


def test_keeping_freed_memory_is_harmless(monkeypatch):
    keep_freed_memory()
    return_freed_memory()
    monkeypatch.setattr("sys.platform", "darwin")
    keep_freed_memory()
    return_freed_memory()
    assert torch.ones(1_000_000).sum() == 1_000_000


@pytest.mark.parametrize("name", ["ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"])
@pytest.mark.parametrize(("set_to", "found"), [(None, "256"), ("7", "7")])
def test_few_kernels_are_kept_unless_told_otherwise(monkeypatch, name, set_to, found):
    monkeypatch.setenv(name, set_to or "")
    if set_to is None:
        monkeypatch.delenv(name)
    keep_freed_memory()
    assert os.environ[name] == found


def test_a_precision_is_a_dtype():
    assert Device("cpu", "bfloat16").dtype is torch.bfloat16
    assert Device("cpu", "float32").dtype is torch.float32


def test_cores_are_those_of_the_process(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 3, 5}, raising=False)
    assert cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cores() == 1


def test_one_seed_draws_the_same_everywhere():
    drawn = []
    for seed in (4, 4, 5):
        make_deterministic(seed)
        drawn.append((torch.rand(3).tolist(), np.random.rand(3).tolist()))  # noqa: NPY002
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]


@given(
    st.integers(0, 10_000),
    st.sampled_from([torch.float32, torch.float64]),
    st.sampled_from([1, 7, 200, 5000]),
)
@settings(max_examples=50, deadline=None)
def test_running_sums_of_whole_numbers_are_those_of_fractions(seed, dtype, width):
    generator = torch.Generator().manual_seed(seed)
    shares = torch.randn(3, width, generator=generator, dtype=dtype).mul(4).softmax(-1)
    found, expected = _in_steps(shares), shares.double().cumsum(-1)
    assert found.dtype == dtype
    assert bool((found.diff(dim=-1) >= 0).all())
    # Each is rounded to a step of 2^-52, and the whole to its type.
    most = width * 2.0**-52 + torch.finfo(dtype).eps
    torch.testing.assert_close(found.double(), expected, atol=most, rtol=0)
    assert torch.equal(running_sums(shares), shares.cumsum(-1))


@pytest.mark.accelerator
def test_running_sums_can_be_had_where_only_deterministic_kernels_run():
    place = torch.device(choose().name)
    make_deterministic(0)
    shares = torch.rand(3, 5000, dtype=torch.float64).softmax(-1)
    found = running_sums(shares.to(place)).cpu()
    torch.testing.assert_close(found, shares.cumsum(-1), atol=1e-11, rtol=0)

"""Linear layers by oneDNN against torch's own: outputs, gradients, what is frozen, training."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.pytorch_utils import Conv1D

from biasloop.models.fast import linear as products
from biasloop.models.fast.linear import trained_by_onednn


@pytest.fixture(autouse=True)
def preferring_onednn(monkeypatch):
    """Whether it pays is the processor's: what it computes is the same on all."""
    monkeypatch.setattr(products, "multiplies_better_by_onednn", lambda: True)


def layers(inputs, outputs, biased):
    yield torch.nn.Linear(inputs, outputs, bias=biased)
    if biased:
        yield Conv1D(outputs, inputs)


def laid_out(tensor):
    """Strides; that of a dimension of one says nothing."""
    return [step for size, step in zip(tensor.shape, tensor.stride(), strict=True) if size > 1]


def gradients(layer, states, towards):
    """Output, and gradients of the states and of every parameter that is trained."""
    states = states.clone().requires_grad_()
    trained = [p for p in layer.parameters() if p.requires_grad]
    output = layer(states)
    found = torch.autograd.grad(output, [states, *trained], towards)
    return [output.detach(), *found]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 7), min_size=1, max_size=3),
    st.integers(1, 40),
    st.integers(1, 40),
    st.booleans(),
    st.booleans(),
)
def test_outputs_and_gradients_are_torchs(shape, inputs, outputs, biased, frozen):
    random = torch.Generator().manual_seed(0)
    states = torch.randn(*shape, inputs, generator=random)
    towards = torch.randn(*shape, outputs, generator=random)
    for layer in layers(inputs, outputs, biased):
        layer.weight.requires_grad_(not frozen)
        expected = gradients(layer, states, towards)
        with trained_by_onednn(layer):
            found = gradients(layer, states, towards)
        assert len(found) == len(expected)
        for mine, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-4)
            assert laid_out(mine) == laid_out(theirs)


def test_it_is_onednn_that_multiplies_and_only_for_a_while(monkeypatch):
    if not products.has_onednn():
        pytest.skip("torch has no oneDNN products for this processor")
    layer = torch.nn.Linear(3, 5)
    asked = []
    plain = products.linear
    monkeypatch.setattr(products, "linear", lambda *given: asked.append(1) or plain(*given))
    states = torch.ones(2, 3, requires_grad=True)
    with trained_by_onednn(layer):
        layer(states).sum().backward()
    assert len(asked) == 3  # one forward, two backward
    layer(states).sum().backward()
    assert len(asked) == 3


def test_torch_multiplies_where_onednn_is_slower(monkeypatch):
    monkeypatch.setattr(products, "multiplies_better_by_onednn", lambda: False)
    layer, states = torch.nn.Linear(3, 5), torch.randn(2, 3)
    with trained_by_onednn(layer):
        assert torch.equal(layer(states), copy.deepcopy(layer)(states))
        assert "forward" not in vars(layer)


def test_other_types_are_left_to_torch():
    layer = torch.nn.Linear(3, 5, dtype=torch.float64)
    states = torch.randn(2, 3, dtype=torch.float64)
    with trained_by_onednn(layer):
        assert torch.equal(layer(states), copy.deepcopy(layer)(states))
    left, right = torch.randn(4, 3).double(), torch.randn(3, 2).double()
    assert torch.equal(products.product(left, right), left @ right)

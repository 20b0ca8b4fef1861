"""Nucleus sampling against transformers' warper, and against the batch that a prompt is in."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from transformers import MinPLogitsWarper, TopPLogitsWarper

from biasloop.models.fast.sampling import Nucleus, greedy, inverse, within_nucleus
from biasloop.stages.update import outside_nucleus


def kept_by_transformers(logits, top_p):
    return torch.isfinite(TopPLogitsWarper(top_p)(None, logits))


def kept_by_us(logits, top_p):
    vocabulary = logits.shape[-1]
    probabilities = logits.softmax(-1).repeat_interleave(vocabulary, 0)
    tokens = torch.arange(vocabulary).repeat(len(logits))
    return within_nucleus(probabilities, tokens, top_p).view(len(logits), vocabulary)


@given(
    seed=st.integers(0, 10_000),
    top_p=st.sampled_from([0.05, 0.3, 0.5, 0.9, 0.95, 0.999, 1.0]),
    spread=st.sampled_from([0.0, 0.1, 1.0, 5.0, 20.0]),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
)
@settings(max_examples=60, deadline=None)
def test_the_nucleus_is_that_of_transformers(seed, top_p, spread, dtype):
    generator = torch.Generator().manual_seed(seed)
    logits = (spread * torch.randn(3, 97, generator=generator)).to(dtype).float()
    theirs, ours = kept_by_transformers(logits, top_p), kept_by_us(logits, top_p)
    probabilities = logits.softmax(-1)
    # Which of equally likely tokens close the nucleus is chance there (an unstable sort), so what
    # is kept is held against it as probabilities.
    kept = [torch.where(k, probabilities, 0.0).sort(-1).values for k in (ours, theirs)]
    # Sums in another order: a token with which the probability reaches top_p to 1e-6 may go
    # either way, and nothing else may.
    reached = probabilities.double().sort(-1, descending=True).values.cumsum(-1)
    for row in range(len(logits)):
        if (reached[row] - top_p).abs().min() > 1e-6:
            assert torch.equal(kept[0][row], kept[1][row])
            if len(set(probabilities[row].tolist())) == probabilities.shape[1]:
                assert torch.equal(ours[row], theirs[row])
        elif top_p < 1:
            assert abs(int(ours[row].sum() - theirs[row].sum())) <= 1


@given(
    seed=st.integers(0, 10_000),
    top_p=st.sampled_from([0.5, 0.9, 1.0]),
    min_p=st.sampled_from([0.01, 0.2, 0.9]),
)
@settings(max_examples=12, deadline=None)
def test_min_p_leaves_out_what_transformers_leaves_out(seed, top_p, min_p):
    logits = 2 * torch.randn(2, 40, generator=torch.Generator().manual_seed(seed))
    theirs = MinPLogitsWarper(min_p)(None, TopPLogitsWarper(top_p)(None, logits))
    expected = torch.isfinite(theirs)
    assert torch.equal(~outside_nucleus(logits, top_p, min_p), expected)
    streams = [np.random.default_rng([seed, row]) for row in range(2)]
    choose = Nucleus(top_p, 1.0, streams, min_p)
    drawn = torch.stack([choose(logits, [0, 1]) for _ in range(20)])
    for row in range(2):
        assert expected[row][drawn[:, row]].all()


def test_with_min_p_tokens_are_drawn_as_often_as_their_renormalised_probability():
    logits = torch.tensor([[2.0, 1.5, 1.0, 0.0, -2.0]])
    kept = MinPLogitsWarper(0.3)(None, logits).softmax(-1)[0].double().numpy()
    assert (kept == 0).sum() == 2
    draws = 4000
    streams = [np.random.default_rng([3, row]) for row in range(draws)]
    drawn = Nucleus(1.0, 1.0, streams, 0.3)(logits.expand(draws, -1), range(draws)).numpy()
    counts = np.bincount(drawn, minlength=5)
    assert counts[kept == 0].sum() == 0
    assert stats.chisquare(counts[:3], draws * kept[:3] / kept[:3].sum()).pvalue > 1e-3


def test_of_equally_likely_tokens_as_many_are_kept_as_are_needed():
    ours = kept_by_us(torch.zeros(1, 10), 0.35)
    assert ours[0].nonzero()[:, 0].tolist() == [6, 7, 8, 9]
    assert kept_by_transformers(torch.zeros(1, 10), 0.35).sum() == 4


@pytest.mark.parametrize("vocabulary", [1, 5, 255, 256, 257, 1000])
def test_the_inverse_is_a_search_of_the_cumulative_sum(vocabulary):
    generator = torch.Generator().manual_seed(vocabulary)
    probabilities = (3 * torch.randn(64, vocabulary, generator=generator)).softmax(-1)
    uniform = torch.rand(64, generator=generator, dtype=torch.float64)
    found = inverse(probabilities, uniform)
    sums = probabilities.double().cumsum(-1)
    for row in range(64):
        target = float(uniform[row]) * float(sums[row, -1])
        assert found[row] == np.searchsorted(sums[row].numpy(), target, side="right")
    # The ends, too, are tokens of the vocabulary.
    for end in (0.0, 1 - 2**-53):
        token = inverse(probabilities, torch.full((64,), end, dtype=torch.float64))
        assert (token < vocabulary).all()


@pytest.mark.parametrize(("top_p", "temperature"), [(0.9, 1.0), (0.5, 0.7), (1.0, 1.5), (0.1, 1.0)])
def test_draws_have_the_distribution_of_the_warped_logits(top_p, temperature):
    draws, vocabulary = 20_000, 40
    logits = 2 * torch.randn(1, vocabulary, generator=torch.Generator().manual_seed(5))
    warped = TopPLogitsWarper(top_p)(None, logits / temperature).double().softmax(-1)[0].numpy()
    streams = [np.random.default_rng([17, i]) for i in range(draws)]
    drawn = Nucleus(top_p, temperature, streams)(logits.expand(draws, -1), range(draws)).numpy()
    counts = np.bincount(drawn, minlength=vocabulary)
    assert counts[warped == 0].sum() == 0
    expected = draws * warped[warped > 0] / warped.sum()
    if len(expected) > 1:
        assert stats.chisquare(counts[warped > 0], expected).pvalue > 1e-3


def test_a_prompts_draws_are_its_own():
    logits = torch.randn(9, 300, generator=torch.Generator().manual_seed(2))

    def draw(rows):
        streams = [np.random.default_rng([3, i]) for i in range(9)]
        return Nucleus(0.9, 1.0, streams)(logits[rows], rows).tolist()

    together = draw(list(range(9)))
    assert [draw([row])[0] for row in range(9)] == together
    assert draw([4, 7, 1]) == [together[row] for row in (4, 7, 1)]


def test_greedy_takes_the_first_of_the_likeliest():
    assert greedy(torch.tensor([[0.0, 2.0, 2.0], [3.0, 1.0, 3.0]]), [0, 1]).tolist() == [1, 0]

"""Simulated chains against the exact path and against sampling theory."""

import math

import numpy as np
import pytest
from closed_forms import fit_beta, mle_chain, wmle_chain
from scipy import stats

from biasloop import seeds
from biasloop.errors import InputError
from biasloop.theory import command, measure, run, settings
from biasloop.theory.chain import _base
from biasloop.theory.settings import unlimited


def band(chain):
    return np.quantile(measure(chain)["mean"], [0.025, 0.975], axis=1)


def test_closed_form_lies_in_the_band():
    low, high = band(wmle_chain(replicates=200))
    g = np.arange(11)
    exact = (1 + 3 * 2.0**g) / (2 + 5 * 2.0**g)
    assert (low < exact).all()
    assert (exact < high).all()


def test_mle_does_not_drift():
    final = measure(mle_chain(replicates=200))["mean"][-1]
    assert stats.ttest_1samp(final, 0.5).pvalue > 0.01


def test_wmle_would_fail_the_drift_test():
    final = measure(wmle_chain(replicates=200))["mean"][-1]
    assert stats.ttest_1samp(final, 0.5).pvalue < 1e-10


def test_a_chain_is_fit_beta_on_its_own_draws():
    """The slow twin: the same random stream, plain x, `fit_beta`."""
    from biasloop import seeds
    from biasloop.theory.families import Beta

    chain = wmle_chain(samples=500, replicates=2, generations=4, seed=9)
    for replicate in range(2):
        stream = seeds.generator(9, "simulate", replicate)
        source, weigher = np.array([2.0, 2.0]), (3.0, 2.0)
        for generation in range(4):
            x = np.exp(Beta().draw(source, 500, stream)[0])
            weigher = fit_beta(x, stats.beta.pdf(x, *weigher))
            np.testing.assert_allclose(chain.parameters[generation, replicate], weigher, rtol=1e-8)
            source = np.array(weigher)


@pytest.mark.parametrize("family", ["beta", "normal", "normal-known-variance", "categorical"])
@pytest.mark.parametrize("real_weight", ["density", "one"])
@pytest.mark.parametrize(
    ("regime", "fraction"),
    [("synthetic", None), ("preservation", 0.1), ("accumulation", 0.0), ("accumulation", 0.3)],
)
def test_simulation_follows_the_exact_path(family, real_weight, regime, fraction):
    given = settings(
        family=family,
        regime=regime,
        real_fraction=fraction,
        real_weight=real_weight,
        generations=6,
        samples=20_000,
        replicates=40,
    )
    simulated, exact = measure(run(given)), measure(run(unlimited(given)))
    for name in ("mean", "variance"):
        middle = simulated[name].mean(axis=1)
        error = simulated[name].std(axis=1, ddof=1) / np.sqrt(40)
        # Four standard errors, and a floor for the O(1/samples) bias of any weighted fit.
        assert (np.abs(middle - exact[name][:, 0]) < 4 * error + 2e-3 * np.abs(middle)).all()


@pytest.mark.parametrize("regime", ["preservation", "accumulation"])
@pytest.mark.parametrize("real_weight", ["density", "one"])
@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.5, 0.9])
def test_real_fraction_from_one_to_ninety_per_cent(regime, real_weight, fraction):
    given = settings(
        regime=regime,
        real_fraction=fraction,
        real_weight=real_weight,
        replicates=40,
        samples=5_000,
    )
    low, high = band(run(given))
    exact = measure(run(unlimited(given)))["mean"][:, 0]
    assert (low < exact).all()
    assert (exact < high).all()


def test_mle_variance_by_regime():
    """First-order theory: martingale, contraction, sum of 1/k^2; see docs/theory.md."""
    generations, samples, replicates = 12, 1000, 1500
    cases = {
        ("synthetic", None): float(generations),
        ("preservation", 0.3): sum(0.7 ** (2 * k) for k in range(generations)),
        ("accumulation", 0.0): sum(1 / k**2 for k in range(1, generations + 1)),
    }
    for (regime, fraction), factor in cases.items():
        chain = mle_chain(
            family="normal-known-variance",
            regime=regime,
            real_fraction=fraction,
            generations=generations,
            samples=samples,
            replicates=replicates,
        )
        ratio = chain.parameters[-1, :, 0].var(ddof=1) * samples / factor
        low, high = stats.chi2.ppf([0.001, 0.999], replicates - 1) / (replicates - 1)
        assert low < ratio < high, regime


def test_same_seed_same_bytes_whatever_the_threads():
    given = settings(replicates=60, samples=4000, generations=3)
    one, two = run(given, threads=1), run(given, threads=2)
    assert one.parameters.tobytes() == two.parameters.tobytes()
    other = run(settings(replicates=60, samples=4000, generations=3, seed=1))
    assert other.parameters.tobytes() != one.parameters.tobytes()


def test_replicates_do_not_depend_on_how_many_there_are():
    few = wmle_chain(samples=100, replicates=3, generations=3).parameters
    many = wmle_chain(samples=100, replicates=70, generations=3).parameters
    np.testing.assert_allclose(many[:, :3], few, rtol=1e-9)


def test_collapse_to_a_point_is_an_error_with_its_generation():
    with pytest.raises(InputError, match=r"Generation \d+ has no fit"):
        wmle_chain(samples=50, generations=80)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"generations": 0}, "--generations 0"),
        ({"samples": 1}, "--samples 1"),
        ({"samples": 10.5}, "--samples 10.5"),
        ({"replicates": 0}, "--replicates 0"),
        ({"samples": None, "replicates": 2}, "no sampling noise"),
        ({"samples": 10**9, "replicates": 10**4}, "draws"),
        ({"seed": -1}, "--seed"),
        ({"regime": "preserve"}, "did you mean 'preservation'"),
        ({"real_fraction": 0.1}, "no real data enter"),
        ({"regime": "preservation", "real_fraction": 0.0}, r"\(0, 1\]"),
        ({"regime": "preservation", "real_fraction": 1.5}, r"\(0, 1\]"),
        ({"regime": "accumulation", "real_fraction": -0.5}, r"\[0, 1\]"),
        ({"regime": "preservation", "real_fraction": float("nan")}, "nan"),
        ({"regime": "preservation", "real_fraction": 0.01, "samples": 10}, "rounds to 0"),
        ({"real_weight": "two"}, "real weight"),
        ({"estimator": "mlee"}, "estimator"),
        ({"family": "categorical", "pretrained": (0.5, 0.5)}, "2 shares"),
        ({"real": (2, -2)}, "positive"),
    ],
)
def test_wrong_settings(changes, text):
    with pytest.raises(InputError, match=text):
        settings(**changes)


def test_command_line_names_every_choice():
    given = settings(regime="preservation", real_fraction=0.25, real_weight="one", samples=None)
    assert command(given) == (
        "biasloop simulate wmle --family beta --pretrained 3,2 --real 2,2 --generations 11 "
        "--samples inf --replicates 1 --regime preservation --real-fraction 0.25 "
        "--real-weight one --seed 0"
    )


def test_a_base_of_draws_is_its_maximum_likelihood_fit():
    """Generation 0 of many replicates scatters with the base; of an exact one it does not."""
    exact = wmle_chain(generations=1, samples=200_000, replicates=8, seed=3)
    drawn = wmle_chain(generations=1, samples=200_000, replicates=8, seed=3, pretrained_samples=500)
    spread = [measure(chain)["mean"][0].std() for chain in (exact, drawn)]
    assert spread[1] > 4 * spread[0]
    middle = [measure(chain)["mean"][0].mean() for chain in (exact, drawn)]
    assert middle[1] == pytest.approx(middle[0], abs=4 * spread[1] / np.sqrt(8))
    # The base itself, of the first replicate, by scipy's fit of the same draws.
    given = drawn.settings
    random = seeds.generator(3, "simulate", "base", 0)
    sample = given.family.draw(np.array([3.0, 2.0]), 500, random)
    a, b, _, _ = stats.beta.fit(np.exp(sample[0]), floc=0, fscale=1)
    (base,) = _base(given, range(1))
    assert base == pytest.approx((a, b), rel=1e-3)


@pytest.mark.parametrize(
    "given", [("mle", 100), ("wmle", math.inf)], ids=["no base is used", "unlimited data"]
)
def test_a_base_of_draws_needs_a_base_and_draws(given):
    with pytest.raises(InputError, match="--pretrained-samples 50"):
        settings(given[0], samples=given[1], pretrained_samples=50)
    with pytest.raises(InputError, match="--pretrained-samples 1: give a whole number"):
        settings("wmle", pretrained_samples=1)

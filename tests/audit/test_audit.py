"""The audit: planted leans are found, none is made up, and the real share solves the map."""

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from scipy import stats
from statsmodels.stats.proportion import confint_proportions_2indep
from typer.testing import CliRunner

import biasloop as bl
from biasloop.analysis import Corrections
from biasloop.analysis.classifier_errors import Confusion
from biasloop.audit.audit import mean_difference, share_difference
from biasloop.audit.copies import copied
from biasloop.audit.needed import ASSUMPTIONS, needed_real_share, needed_table, next_shares
from biasloop.cli.main import app
from biasloop.cli.text import audit_json, print_audit
from biasloop.errors import InputError
from biasloop.theory import population_map


def words(text):
    return text.split()


OWN = {
    "left": words("union climate equal health school care wage vote rights city"),
    "right": words("border flag church rifle tax market freedom farm stone oil"),
}
COMMON = words("the a of and to in we our they people have will make see go with for on all")


def article(random, label):
    sentences = [
        " ".join(
            random.choice(OWN[label] if random.random() < 0.3 else COMMON) for _ in range(9)
        ).capitalize()
        for _ in range(8)
    ]
    return ". ".join(sentences) + "."


def write(path, random, counts, body=article):
    rows = [
        {"id": f"{label}-{i}", "title": "", "body": body(random, label), "label": label,
         "source": f"s{i % 7}"}
        for label, count in counts.items()
        for i in range(count)
    ]  # fmt: skip
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    path = tmp_path_factory.mktemp("audit") / "real.jsonl"
    return write(path, np.random.default_rng(0), {"left": 160, "right": 160})


@pytest.fixture(autouse=True, scope="module")
def shared(tmp_path_factory):
    """The instruments are fitted once on the real articles, as for a user who audits again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BIASLOOP_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


CHEAP = ["metrics.leaning.candidates=[word-tfidf]"]


def test_a_planted_lean_is_found(real, tmp_path):
    given = write(tmp_path / "s.jsonl", np.random.default_rng(1), {"left": 40, "right": 160})
    found = bl.audit_set(real, given, 0.05, overrides=CHEAP)
    assert (found.real, found.synthetic, found.withheld) == (160, 200, "")
    row = found.leans.filter(pl.col("leaning") == "right").row(0, named=True)
    assert row["low"] < 0.3 < row["high"]
    assert row["holm"] < 1e-6
    assert row["corrected_low"] < 0.8 < row["corrected_high"]
    needed = dict(found.needed.select("assumption", "share").iter_rows())
    # 1 - tolerance / lean, for plain maximum likelihood; of the lean corrected, not as read.
    lean = row["corrected"] - row["real_corrected"]
    assert needed["no amplification"] == pytest.approx(1 - 0.05 / lean, abs=0.02)
    assert found.refused == ""
    assert needed["no amplification"] < needed["real data unweighted"]


def test_copies_are_told_first_and_left_out(real, tmp_path, capsys):
    """What is left is judged as if the copies had not been there."""
    own = write(tmp_path / "own.jsonl", np.random.default_rng(1), {"left": 30, "right": 70})
    written = [json.loads(line) for line in own.read_text().splitlines()]
    again = [json.loads(line) for line in real.read_text().splitlines()][::3]
    disguises = (
        str.upper,
        lambda text: text.replace(" ", "\n  "),
        lambda text: " ".join(text.split()[:40]),
        lambda text: "As an AI model, here is the article: " + text,
    )
    for number, row in enumerate(again):
        row["id"], row["body"] = f"copy-{number}", disguises[number % 4](row["body"])
    mixed = tmp_path / "mixed.jsonl"
    mixed.write_text("\n".join(map(json.dumps, [*again, *written])))
    found = bl.audit_set(real, mixed, 0.05, overrides=CHEAP)
    assert (found.copies, found.synthetic) == (len(again), 100)
    assert 0 < found.of_seen < len(again)
    without = bl.audit_set(real, own, 0.05, overrides=CHEAP)
    assert (without.copies, without.of_seen) == (0, 0)
    assert_frame_equal(found.leans, without.leans)
    assert found.text == without.text
    print_audit(found)
    said = capsys.readouterr().out
    share = 100 * len(again) / (len(again) + 100)
    first = f"copied: {len(again)} of {len(again) + 100} synthetic articles ({share:.1f} %)"
    assert said.startswith(first)


def test_a_set_that_is_nothing_but_copies_has_no_p_value(real):
    found = bl.audit_set(real, real, 0.05, overrides=CHEAP)
    assert audit_json(found)["copies"] == 320
    assert (found.copies, found.of_seen, found.synthetic) == (320, 160, 0)
    assert found.leans.is_empty()
    assert found.text == {}
    result = CliRunner().invoke(app, ["audit", str(real), str(real), "--set", *CHEAP])
    assert result.exit_code == 0
    assert "copied: 320 of 320 synthetic articles (100.0 %)" in result.output
    assert ", p " not in result.output
    assert "power" not in result.output


@given(
    st.lists(st.text("abcd ", max_size=60), max_size=6),
    st.lists(st.text("abcd ", max_size=60), max_size=6),
)
def test_copies_are_those_of_a_plain_search(texts, originals):
    def runs(text):
        own = text.split()
        size = min(8, len(own))
        return [tuple(own[at : at + size]) for at in range(len(own) - size + 1) if size]

    known = {run for text in originals for run in runs(text)}
    expected = [
        bool(own := runs(text)) and sum(run in known for run in own) / len(own) > 0.5
        for text in texts
    ]
    assert copied(texts, originals).tolist() == expected


def test_no_lean_is_not_shown(real, tmp_path):
    given = write(tmp_path / "s.jsonl", np.random.default_rng(2), {"left": 100, "right": 100})
    found = bl.audit_set(real, given, 0.05, overrides=CHEAP)
    assert found.leans["holm"].min() > 0.05
    assert (found.leans["low"] < 0).all()
    assert not any("lower on the synthetic set" in warning for warning in found.warnings)


@pytest.mark.parametrize(
    ("accuracy", "as_read", "as_read_unweighted"), [(0.84, 0.63, 0.80), (0.65, 0.17, 0.58)]
)
def test_the_real_data_needed_are_for_the_true_shares(accuracy, as_read, as_read_unweighted):
    random = np.random.default_rng(4)
    synthetic, real = np.array([0.3, 0.7]), np.array([0.5, 0.5])
    rates = np.array([[accuracy, 1 - accuracy], [1 - accuracy, accuracy]])
    names = ("no amplification", "real data unweighted")
    truth = {name: float(needed_real_share(synthetic, real, 0.05, name)) for name in names}
    assert truth == pytest.approx({names[0]: 0.75, names[1]: 0.855}, abs=0.001)
    # What stood here before: the same of the shares as read, whatever the number of articles.
    for name, wanted in zip(names, (as_read, as_read_unweighted), strict=True):
        found = needed_real_share(synthetic @ rates, real @ rates, 0.05, name)
        assert found == pytest.approx(wanted, abs=0.006)
    times, held, points = 60, dict.fromkeys(names, 0), {name: [] for name in names}
    for _ in range(times):
        counts = [random.multinomial(500, share @ rates) for share in (synthetic, real)]
        confusion = Confusion(np.stack([random.multinomial(150, row) for row in rates]), "articles")
        read = (row[None] for row in counts)
        table = needed_table(*read, confusion.corrections(300, random), 0.05, random)
        for row in table.filter(pl.col("assumption").is_in(names)).iter_rows(named=True):
            high = np.inf if row["high"] is None else row["high"]
            held[row["assumption"]] += row["low"] <= truth[row["assumption"]] <= high
            points[row["assumption"]].append(row["share"])
    for name in names:
        assert stats.binomtest(held[name], times, 0.95).pvalue > 0.001, held
        assert np.median(points[name]) == pytest.approx(truth[name], abs=0.04)


def test_articles_of_one_source_that_err_alike_count_for_fewer():
    """With design effects d, the answer is that of counts d times smaller."""

    def table(counts, design_effects):
        confusion = Confusion(np.array(counts), "sources", "", design_effects)
        read = np.array([[120, 280]]), np.array([[210, 190]])
        random = np.random.default_rng(8)
        return needed_table(*read, confusion.corrections(400, random), 0.05, random)

    clustered = table([[180, 20], [30, 270]], [4.0, 3.0])
    fewer = table([[45, 5], [10, 90]], None)
    assert_frame_equal(clustered, fewer)
    alone = table([[180, 20], [30, 270]], None)
    first = slice(0, 1)  # no amplification: finite ends
    widths = [float((t["high"] - t["low"])[first][0]) for t in (alone, clustered)]
    assert widths[1] > 1.1 * widths[0]


def test_without_a_classifier_that_tells_them_apart_the_real_data_are_refused(real, tmp_path):
    given = write(tmp_path / "s.jsonl", np.random.default_rng(5), {"left": 40, "right": 60})
    mixed = [json.loads(line) for line in real.read_text().splitlines()]
    random = np.random.default_rng(6)
    for row in mixed:
        row["label"] = str(random.choice(["left", "right"]))
    noise = tmp_path / "noise.jsonl"
    noise.write_text("\n".join(map(json.dumps, mixed)))
    shown = CliRunner().invoke(
        app,
        ["audit", str(noise), str(given), "--set", CHEAP[0]],
    )
    assert shown.exit_code == 0, shown.output
    assert "the real data needed cannot be told: the classifier tells the leanings" in shown.output
    assert "in the training set" not in shown.output


def test_damaged_articles_are_corrected_by_their_own_level_s_errors():
    """Synthetic articles half damaged: the errors of sound ones alone would ask for too little."""
    rates = np.array([[[0.9, 0.1], [0.2, 0.8]], [[0.9, 0.1], [0.6, 0.4]]])
    true, real = np.array([0.2, 0.8]), np.array([0.5, 0.5])
    synthetic_read = 1e6 * np.stack([true @ rates[0], true @ rates[1]])
    real_read = 1e6 * np.stack([real @ rates[0], np.zeros(2)])
    known = Corrections(np.linalg.inv(rates), np.repeat(np.linalg.inv(rates)[None], 50, 0), None)
    random = np.random.default_rng(1)
    table = needed_table(synthetic_read, real_read, known, 0.05, random)
    for name in ("no amplification", "real data unweighted"):
        found = table.filter(pl.col("assumption") == name)["share"].item()
        assert found == pytest.approx(float(needed_real_share(true, real, 0.05, name)), abs=1e-3)
    sound = Corrections(known.point[:1], known.drawn[:, :1], None)
    all_sound = [counts.sum(axis=0, keepdims=True) for counts in (synthetic_read, real_read)]
    less = needed_table(*all_sound, sound, 0.05, random)
    assert (less["share"] < table["share"] - 0.05)[:2].all()


def test_collapsed_text_is_withheld_and_nothing_is_concluded(real, tmp_path):
    given = write(
        tmp_path / "s.jsonl", np.random.default_rng(3), {"left": 50, "right": 50},
        lambda random, label: "I am here tonight. " * 20,
    )  # fmt: skip
    shown = CliRunner().invoke(app, ["audit", str(real), str(given), "--set", CHEAP[0]])
    assert shown.exit_code == 0, shown.output
    assert "leaning is withheld: the synthetic set" in shown.output
    assert "in the training set" not in shown.output
    value = json.loads(
        CliRunner()
        .invoke(app, ["audit", str(real), str(given), "--json", "--set", CHEAP[0]])
        .output
    )
    assert value["leans"] == value["needed"] == []
    assert value["distance"] is None
    assert value["text"]["distinct_2"]["value"] < 0
    assert any("lower on the synthetic set" in warning for warning in value["warnings"])


def test_what_is_refused(real, tmp_path):
    with pytest.raises(InputError, match="no such file"):
        bl.audit_set(tmp_path / "none.jsonl", real)
    with pytest.raises(InputError, match="no column 'text'"):
        bl.audit_set(real, real, body="text")
    with pytest.raises(InputError, match="tolerance must lie between"):
        needed_real_share(np.array([0.4, 0.6]), np.array([0.5, 0.5]), 0.0, "no amplification")


shares = st.lists(st.floats(0.05, 1), min_size=3, max_size=3).map(
    lambda values: np.array(values) / sum(values)
)


@settings(max_examples=30, deadline=None)
@given(shares, shares, st.floats(0.01, 0.2), st.sampled_from(sorted(ASSUMPTIONS)))
def test_the_needed_share_is_the_least_that_keeps_within_the_tolerance(p, q, tolerance, name):
    found = needed_real_share(p, q, tolerance, name)

    def off(share):
        return np.abs(next_shares(p, q, share, name) - q).max()

    if np.isnan(found):
        assert off(1.0) > tolerance
        return
    for share in np.linspace(found, 1, 7):
        assert off(share) <= tolerance + 1e-9
    if found > 0:
        assert off(found - 1e-4) > tolerance


@given(shares, shares, st.floats(0.001, 0.999))
def test_the_maps_are_theory_s(p, q, real_share):
    of_theory = {
        "no amplification": ("mle", "density"),
        "real data unweighted": ("wmle", "one"),
        "real data weighted": ("wmle", "density"),
    }
    assert set(of_theory) == set(ASSUMPTIONS)
    for name, (estimator, weight) in of_theory.items():
        expected = population_map(
            p,
            tuple(q),
            family="categorical",
            estimator=estimator,
            regime="preservation",
            real_fraction=real_share,
            real_weight=weight,
        )
        np.testing.assert_allclose(next_shares(p, q, real_share, name), expected, rtol=1e-9)
        alone = population_map(p, tuple(q), family="categorical", estimator=estimator)
        np.testing.assert_allclose(next_shares(p, q, 0.0, name), alone, rtol=1e-9)


def test_many_needed_shares_are_one_after_the_other():
    random = np.random.default_rng(1)
    p, q = random.dirichlet(np.ones(3), (2, 40))
    for name in ASSUMPTIONS:
        together = needed_real_share(p, q, 0.05, name)
        alone = [float(needed_real_share(*pair, 0.05, name)) for pair in zip(p, q, strict=True)]
        np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize("name", ASSUMPTIONS)
def test_the_map_is_what_sampling_and_counting_gives(name):
    random, size, real_share = np.random.default_rng(3), 400_000, 0.3
    p, q = np.array([0.2, 0.3, 0.5]), np.array([0.35, 0.35, 0.3])
    real = np.arange(size) < real_share * size
    drawn = np.where(real, random.choice(3, size, p=q), random.choice(3, size, p=p))
    likely = p[drawn]  # how likely the last model, which wrote the synthetic part, finds each
    if name == "no amplification":
        weights = np.ones(size)
    elif name == "real data weighted":
        weights = likely
    else:  # the real part keeps its share of the weight
        part = likely[~real].sum() / (1 - real_share)
        weights = np.where(real, part / size, likely)
    counted = np.bincount(drawn, weights, minlength=3) / weights.sum()
    np.testing.assert_allclose(next_shares(p, q, real_share, name), counted, atol=0.005)


@given(shares, shares, st.floats(0.01, 0.2))
def test_without_weights_the_needed_share_has_a_closed_form(p, q, tolerance):
    wanted = max(0.0, 1 - tolerance / max(np.abs(p - q).max(), 1e-12))
    assert needed_real_share(p, q, tolerance, "no amplification") == pytest.approx(wanted, abs=1e-5)
    squared = p**2 / (p**2).sum()
    wanted = max(0.0, 1 - tolerance / max(np.abs(squared - q).max(), 1e-12))
    found = needed_real_share(p, q, tolerance, "real data unweighted")
    assert found == pytest.approx(wanted, abs=1e-5)


@given(st.integers(0, 50), st.integers(0, 80))
def test_shares_are_compared_as_statsmodels_does(first, second):
    found = share_difference((first, second), (50, 80))
    low, high = confint_proportions_2indep(second, 80, first, 50, method="newcomb")
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-9), pytest.approx(high, abs=1e-9))
    assert found.low <= found.value <= found.high


def test_means_are_compared_as_scipy_does():
    random = np.random.default_rng(0)
    first, second = random.normal(size=40), random.normal(0.5, 2, size=60)
    found = mean_difference(np.append(first, np.nan), second)
    assert found.pvalue == pytest.approx(stats.ttest_ind(second, first, equal_var=False).pvalue)
    assert found.low < found.value < found.high
    assert mean_difference(first[:1], second) is None
    assert mean_difference(np.ones(3), np.ones(4)).pvalue == 1

"""The figures equal plain means, the tests those of SciPy and statsmodels; nothing is invented."""

import json

import numpy as np
import polars as pl
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from biasloop.analysis import paired_mean
from biasloop.errors import InputError
from biasloop.published import lines, read_published, reproduce, series, write_reproduction
from biasloop.published.reproduction import RECOMPUTED


@pytest.fixture
def done(whole):
    return reproduce(read_published(whole.path))


def shares(scores):
    """Share of each label's argmax in %, shape (labels, generations)."""
    chosen = scores.argmax(axis=-1)
    return np.stack([100 * (chosen == i).mean(axis=-1) for i in range(scores.shape[-1])])


def test_series_are_plain_means(whole, done):
    found = series(done)
    assert list(found) == ["shares", "quality", "perplexity"]
    assert list(found["shares"]) == ["fresh", "stale_mix"]
    for regime in ("fresh", "stale_mix"):
        expected = shares(whole.scores[regime])
        for index, label in enumerate(("red", "blue", "green")):
            assert found["shares"][regime][label] == pytest.approx(expected[index])
        for metric in ("quality", "perplexity"):
            expected = [values.mean() for values in whole.values[metric, regime]]
            assert found[metric][regime] == pytest.approx(expected)


def test_a_regime_without_a_metric_is_not_in_it(folder, random):
    folder.metric("Fresh", random)
    assert series(reproduce(read_published(folder.path))).keys() == {
        "shares",
        "quality",
        "perplexity",
    }
    found = series(reproduce(read_published(folder.path)))
    assert (found["shares"], found["perplexity"]) == ({}, {})


def test_every_figure_is_there_with_its_paired_test(whole, done):
    table = done.recomputed
    assert table.schema == RECOMPUTED
    assert table.drop_nulls("reference").is_empty()  # not the paper's labels
    hits = whole.scores["fresh"].argmax(axis=-1) == 1
    row = table.row(
        by_predicate=(pl.col("quantity") == "share:blue")
        & (pl.col("regime") == "fresh")
        & (pl.col("generation") == 3),
        named=True,
    )
    moved = 100 * (hits[3].astype(float) - hits[0])
    low, high = paired_mean(moved / 100, shares=True).interval()
    assert row["recomputed"] == pytest.approx(100 * hits[3].mean())
    assert row["low"] < row["recomputed"] < row["high"]
    assert row["change"] == pytest.approx(moved.mean())
    assert (row["change_low"], row["change_high"]) == pytest.approx((100 * low, 100 * high))
    base = table.filter(regime="base", quantity="share:red")["recomputed"].item()
    assert base == pytest.approx(100 * (whole.scores["base"].argmax(axis=-1) == 0).mean())


def test_every_regime_has_a_verdict_and_the_leaning_can_be_chosen(whole):
    experiment = read_published(whole.path)
    assert reproduce(experiment).leaning == "green"
    done = reproduce(experiment, "blue")
    assert [verdict.regime for verdict in done.verdicts] == ["fresh", "stale_mix"]
    assert {verdict.leaning for verdict in done.verdicts} == {"blue"}
    assert done.evidence.comparisons["quantity"].unique().sort().to_list() == [
        "quality",
        "share:blue",
    ]
    with pytest.raises(InputError, match="did you mean 'blue'"):
        reproduce(experiment, "bleu")


def test_a_drift_is_found_and_none_is_not(folder, random):
    quality = random.uniform(1, 2, 200)
    rows = [f"{g},{v - 0.1 * g}" for g in range(1, 6) for v in quality]
    (folder.path / "Down_Generation_Quality.csv").write_text(
        "\n".join(["Generation,GibberishLevel", *rows])
    )
    rows = [f"{g},{v}" for g in range(1, 6) for v in quality]
    (folder.path / "Flat_Generation_Quality.csv").write_text(
        "\n".join(["Generation,GibberishLevel", *rows])
    )
    done = reproduce(read_published(folder.path))
    assert {verdict.regime: verdict.collapsed for verdict in done.verdicts} == {
        "down": "in this chain",
        "flat": "not in this chain",
    }
    slope = done.evidence.trends.filter(regime="down")["slope"].item()
    assert slope == pytest.approx(-0.1)


def test_neurons_are_corrected_as_by_statsmodels(folder, random):
    pvalues = {
        metric: folder.neurons(random, f"{title}")
        for metric, title in (("bias", "Bias Performance"), ("quality", "Generation Quality"))
    }
    done = reproduce(read_published(folder.path))
    for metric, values in pvalues.items():
        count = done.neurons.counts["weight_mean", metric]
        assert (count.tests, count.raw) == (60, (values < 0.05).sum())
        assert count.benjamini_hochberg == multipletests(values, 0.05, "fdr_bh")[0].sum()
        assert count.bonferroni == multipletests(values, 0.05, "bonferroni")[0].sum()
    met = done.neurons.overlaps["weight_mean", "bias", "quality"]
    hits = [values < 0.05 for values in pvalues.values()]
    assert met.both == (hits[0] & hits[1]).sum()
    assert met.more == pytest.approx(
        stats.hypergeom(60, hits[0].sum(), hits[1].sum()).sf(met.both - 1)
    )
    assert done.experiment.associations["layer"].unique().sort().to_list() == [0, 1]


def test_neurons_meet_by_place_not_by_row(folder, random):
    folder.neurons(random, "Bias Performance")
    folder.neurons(random, "Generation Quality")
    before = reproduce(read_published(folder.path)).neurons
    path = next(folder.path.glob("*Quality.csv"))
    pl.read_csv(path, infer_schema=False).select(
        "layer", "neuron_id", "beta_coefficient", "p_value"
    ).sample(fraction=1, shuffle=True, seed=3).write_csv(path)
    assert reproduce(read_published(folder.path)).neurons == before


def test_only_neurons_of_both_tables_can_meet(folder, random):
    first = folder.neurons(random, "Bias Performance")
    second = folder.neurons(random, "Generation Quality")
    path = next(folder.path.glob("*Quality.csv"))
    head, *rows = path.read_text().splitlines()
    path.write_text("\n".join([head, *rows[7:]]))
    met = reproduce(read_published(folder.path)).neurons.overlaps["weight_mean", "bias", "quality"]
    both = ((first < 0.05) & (second < 0.05))[7:].sum()
    assert (met.total, met.both) == (53, both)
    assert met.first == (first[7:] < 0.05).sum()


def test_references_are_met_only_where_the_labels_are_the_papers(make_folder, random):
    papers = make_folder("papers", labels=("Center", "Left", "Right"))
    papers.bias("Synthetic", random)
    other = make_folder("other", labels=("Red", "Blue"))
    other.bias("Synthetic", random)
    other.metric("Synthetic", random)
    other.neurons(random)
    held, free = (
        reproduce(read_published(f.path)).recomputed.drop_nulls("reference")
        for f in (papers, other)
    )
    right = held.filter(quantity="share:right", regime="synthetic")
    assert right["reference"].to_list() == [54.4, 51.6, 55.9, 58.5]
    np.testing.assert_allclose(right["difference"], right["recomputed"] - right["reference"])
    assert free.is_empty()


def test_what_is_printed_is_told_from_what_the_release_comes_to(make_folder, random, tmp_path):
    folder = make_folder(labels=("Left", "Center", "Right"))
    folder.base(random, "GPT2")
    folder.bias("Overfitting", random)
    done = reproduce(read_published(folder.path))
    printed = done.recomputed.filter(source="printed")
    there = printed.drop_nulls("recomputed")
    assert there["quantity"].to_list() == ["share:center", "share:right"]
    assert there["reference"].to_list() == [47.9, 46.8]
    # What is printed and not to be had is shown as that, and never as met.
    lacking = printed.filter(pl.col("recomputed").is_null())
    assert lacking["reference"].to_list() == [3243, 1033, 389, 0.9196]
    assert lacking["difference"].null_count() == 4
    shown = lines(done)
    for start, how in (
        ("share “center”, %: base model", "  printed  "),
        ("share “left”, %: base model", "  from the release  "),
        ("share “left”, %: overfitting 2", "  from the release  "),
        ("classifier, macro F1", "0.9196"),
        ("Agreement: 2 figures", "4 more cannot be had"),
        ("Recomputation: 13 figures", "largest difference"),
    ):
        (line,) = [line for line in shown if line.startswith(start)]
        assert how in line
    page = write_reproduction(done, tmp_path / "out").read_text()
    assert "Recomputation: 13 figures" in page
    assert "published figure" not in page + "\n".join(shown)


def test_real_shares_are_known_of_the_papers_regimes_only(make_folder, random):
    """Right rises from a third to all in both; the second's real articles are not known."""
    folder = make_folder(labels=("Left", "Center", "Right"))
    for regime in ("Synthetic", "Synthetic_Center-Only"):
        folder.bias(regime, random)
        path = folder.path / f"{regime}_Bias_Performance.csv"
        last = (pl.col("Generation") == 4).cast(pl.Float64)
        moved = {name: (1 - last) * pl.col(name) for name in ("Left_Score", "Center_Score")}
        moved["Right_Score"] = (1 - last) * pl.col("Right_Score") + last
        pl.read_csv(path).with_columns(**moved).write_csv(path)
    done = reproduce(read_published(folder.path))
    known, unknown = done.verdicts
    assert (known.regime, known.amplified) == ("synthetic", "in this chain")
    assert set(known.real.values()) == {1 / 3}
    assert (unknown.regime, unknown.real) == ("synthetic_center-only", {})
    assert unknown.amplified != "in this chain"


def test_what_is_written_is_whole_and_the_same_again(whole, done, tmp_path):
    page = write_reproduction(done, tmp_path / "out")
    names = {str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*.*")}
    assert names == {
        "reproduction.html",
        "summary.json",
        "table.csv",
        "scores.parquet",
        "leaning_scores.parquet",
        "associations.parquet",
        "correlations.parquet",
        *(
            f"figures/{stem}.png"
            for stem in (
                "leaning_share",
                "leaning_share_1",
                "leaning_share_2",
                "quality",
                "perplexity",
                "bias_against_quality",
                "neurons_weight_mean",
                "correlations_weight_mean",
            )
        ),
    }
    for picture in (tmp_path / "out/figures").iterdir():
        assert picture.read_bytes().startswith(b"\x89PNG")
    text = page.read_text()
    assert "<script" not in text
    assert text.count("data:image/png") == 8
    summary = json.loads(
        (tmp_path / "out/summary.json").read_text(), parse_constant=lambda name: pytest.fail(name)
    )
    assert summary["regimes"] == ["fresh", "stale_mix"]
    assert pl.read_csv(tmp_path / "out/table.csv").height == done.recomputed.height
    write_reproduction(reproduce(read_published(whole.path)), tmp_path / "again")
    for name in names:
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_names_from_files_are_escaped(make_folder, random, tmp_path):
    odd = make_folder("odd", labels=("<b>Red", "Bl\u202eue"))
    odd.bias("<img src=x>\u202e\x1b[31m", random)
    done = reproduce(read_published(odd.path))
    text = write_reproduction(done, tmp_path / "out").read_text()
    assert "<img src=x" not in text
    assert "<b>" not in text.lower().replace("<b>{{", "")
    for character in ("\u202e", "\x1b"):
        assert character not in text + "\n".join(lines(done))


@pytest.mark.parametrize("what", ["neurons", "pearson", "base", "one article", "one generation"])
def test_little_is_enough(folder, random, tmp_path, what):
    match what:
        case "neurons":
            folder.neurons(random)
        case "pearson":
            folder.neurons(random, figure="pearson")
        case "base":
            folder.base(random)
        case "one article":
            folder.bias("Fresh", random, articles=1)
            folder.metric("Fresh", random, counts=(1, 1, 1))
        case "one generation":
            folder.bias("Fresh", random, generations=1)
    done = reproduce(read_published(folder.path))
    assert lines(done)
    assert write_reproduction(done, tmp_path / "out").stat().st_size > 1000
    json.dumps(series(done), allow_nan=False)

"""Reading: what files say is what the tables hold; what they say wrongly is named."""

import numpy as np
import polars as pl
import pytest
from scipy.stats import linregress, spearmanr

from biasloop.errors import InputError
from biasloop.published import read_published, reproduce, series
from biasloop.tables import LEANING_SCORES, SCORES


def test_regimes_and_labels_come_from_the_files(whole):
    found = read_published(whole.path)
    assert found.regimes == ("fresh", "stale_mix")
    assert found.tables.labels == ("red", "blue", "green")
    assert found.ignored == ()
    assert found.first == {"fresh": 1, "stale_mix": 1}
    assert found.absent == ()
    assert found.tables.scores.schema == SCORES
    assert found.tables.leaning_scores.schema == LEANING_SCORES
    assert len(found.files) == 11


def test_every_number_is_where_it_belongs(whole):
    tables = read_published(whole.path).tables
    for regime in ("fresh", "stale_mix"):
        rows = tables.leaning_scores.filter(regime=regime)
        for index, label in enumerate(tables.labels):
            own = rows.filter(leaning=label).sort("generation", pl.col("article_id").cast(int))
            expected = whole.scores[regime][:, :, index].ravel()
            np.testing.assert_array_equal(own["probability"], expected)
        for metric in ("quality", "perplexity"):
            own = tables.scores.filter(regime=regime, metric=metric)
            own = own.sort("generation", pl.col("article_id").cast(int))
            np.testing.assert_array_equal(
                own["value"], np.concatenate(whole.values[metric, regime])
            )
    assert tables.leaning_scores.filter(regime="base")["generation"].unique().to_list() == [-1]


def test_the_known_regimes_come_in_the_papers_order(folder, random):
    for regime in ("Zeta", "Overfitting", "Synthetic", "Alpha"):
        folder.metric(regime, random)
    found = read_published(folder.path)
    assert found.regimes == ("synthetic", "overfitting", "alpha", "zeta")


def test_numbering_from_0_and_from_1_is_the_same(tmp_path, folder, random):
    folder.bias("Fresh", random)
    one = series(reproduce(read_published(folder.path)))
    path = folder.path / "Fresh_Bias_Performance.csv"
    head, *rows = path.read_text().splitlines()
    moved = [f"{int(row.split(',', 1)[0]) - 1},{row.split(',', 1)[1]}" for row in rows]
    path.write_text("\n".join([head, *moved]))
    found = read_published(folder.path)
    assert found.first == {"fresh": 0}
    assert series(reproduce(found)) == one


def test_every_regime_is_numbered_on_its_own(make_folder, random):
    """Chains that begin at 0 and at 1, with a file missing and other numbers of articles."""
    mixed = make_folder(first=1)
    mixed.bias("Fresh", random)
    mixed.metric("Fresh", random)
    alone = reproduce(read_published(mixed.path))
    mixed.first = 0
    mixed.bias("Stale", random, articles=30)
    mixed.metric("Other", random, "perplexity", counts=(20, 25, 20, 25))
    mixed.base(random)
    found = read_published(mixed.path)
    assert found.first == {"fresh": 1, "stale": 0, "other": 0}
    for regime in ("fresh", "stale"):
        rows = found.tables.leaning_scores.filter(regime=regime)
        assert rows["generation"].unique().sort().to_list() == [0, 1, 2, 3]
        own = rows.filter(leaning="red").sort("generation", pl.col("article_id").cast(int))
        np.testing.assert_array_equal(own["probability"], mixed.scores[regime][:, :, 0].ravel())
    before, after = series(alone), series(reproduce(found))
    for kind in ("shares", "quality"):
        assert after[kind]["fresh"] == before[kind]["fresh"]
    assert "Generation 0 is number 1 in the files of fresh." in found.notes
    assert "Generation 0 is number 0 in the files of other, stale." in found.notes


def test_files_of_one_chain_begin_at_one_number(make_folder, random):
    folder = make_folder(first=1)
    folder.bias("Fresh", random)
    folder.first = 0
    for counts in ((40,) * 4, (40,) * 5, (40,) * 7):  # as many, to the same number, to a later one
        folder.metric("Fresh", random, counts=counts)
        with pytest.raises(InputError) as caught:
            read_published(folder.path)
        for part in ("Fresh_Bias_Performance.csv with 1", "Fresh_Generation_Quality.csv with 0"):
            assert part in str(caught.value)


def test_a_numbering_that_cannot_be_decided_is_refused(make_folder, random):
    folder = make_folder(first=1)
    folder.bias("Fresh", random)
    folder.first = 0
    folder.bias("Stale", random, generations=5)
    folder.metric("Stale", random, counts=(40,) * 5)
    with pytest.raises(
        InputError, match=r"Stale_Bias.*, Stale_Gen.*: generations 0 to 4, where Fresh_B.* 1 to 4"
    ):
        read_published(folder.path)


@pytest.mark.parametrize("number", [0, 1])
def test_a_set_that_two_chains_begin_with_tells_the_numbering(make_folder, random, number):
    """As of the released center-only chains: 0 to 11 and 1 to 11, with one set of number 1."""
    folder = make_folder(first=1)
    folder.bias("Kept", random)
    folder.metric("Kept", random)
    folder.bias("Other", random, articles=30)
    folder.first = 0
    folder.bias("Long", random, generations=5)
    folder.metric("Long", random, counts=(40,) * 5)
    for ending in ("Bias_Performance", "Generation_Quality"):
        kept = pl.read_csv(folder.path / f"Kept_{ending}.csv").filter(Generation=1)
        # Its rows in another order, and a digit less.
        kept = kept.with_columns(pl.lit(number, dtype=pl.Int64).alias("Generation"))[::-1]
        kept = kept.with_columns(pl.selectors.float().round(8))
        path = folder.path / f"Long_{ending}.csv"
        own = pl.read_csv(path).filter(pl.col("Generation") != number)
        pl.concat([own, kept]).write_csv(path)
    found = read_published(folder.path)
    assert found.first == {"kept": 1, "long": number, "other": 1}
    done = series(reproduce(found))
    for shares in (done["shares"]["long"]["red"], done["quality"]["long"]):
        assert len(shares) == 5 - number
    assert done["shares"]["long"]["red"][0] == done["shares"]["kept"]["red"][0]
    # The second set, whatever its number, is the chain's own.
    own = folder.scores["long"][number + 1].argmax(axis=-1) == 0
    assert done["shares"]["long"]["red"][1] == pytest.approx(100 * own.mean())
    told = [note for note in found.notes if "comes before Generation 0" in note]
    assert len(told) == number
    if told:
        assert told[0].startswith("Long_Bias_Performance.csv, Long_Generation_Quality.csv: ")


def test_the_order_of_rows_and_columns_does_not_matter(folder, random):
    folder.bias("Fresh", random)
    before = reproduce(read_published(folder.path))
    path = folder.path / "Fresh_Bias_Performance.csv"
    frame = pl.read_csv(path, infer_schema=False)
    frame.sample(fraction=1, shuffle=True, seed=1).select(
        "Red_Score", "Article_ID", "Blue_Score", "Green_Score", "Generation"
    ).write_csv(path)
    after = reproduce(read_published(folder.path))
    assert series(after) == series(before)
    assert after.recomputed.equals(before.recomputed)


def test_names_of_columns_and_endings_may_differ_in_case(folder, random):
    folder.metric("Fresh", random)
    old = folder.path / "Fresh_Generation_Quality.csv"
    new = folder.path / "fresh generation-quality.CSV"
    new.write_bytes(
        b"\xef\xbb\xbf" + old.read_bytes().replace(b"GibberishLevel", b" gibberishlevel")
    )
    old.unlink()
    assert read_published(folder.path).regimes == ("fresh",)


def test_absent_files_are_named(folder, random):
    folder.bias("Fresh", random)
    folder.metric("Stale_Mix", random, "perplexity")
    absent = read_published(folder.path).absent
    assert absent[:4] == (
        "Fresh_Generation_Quality.csv",
        "Fresh_Perplexity.csv",
        "Stale_Mix_Bias_Performance.csv",
        "Stale_Mix_Generation_Quality.csv",
    )
    assert "MODEL_Bias_Performance.csv (the base model's)" in absent
    assert sum("Neuron Weight" in name for name in absent) == 4


def test_of_the_papers_own_experiment_whole_regimes_are_named(make_folder, random):
    papers = make_folder(labels=("Left", "Center", "Right"))
    papers.bias("Synthetic", random)
    absent = read_published(papers.path).absent
    assert "Overfitting_Bias_Performance.csv" in absent


def test_other_csv_files_are_left_alone(folder, random):
    folder.metric("Fresh", random)
    (folder.path / "notes.csv").write_text("who,when\nme,now\n")
    (folder.path / "other.csv").write_text("Model,F1_Score\na,0.9\n")
    (folder.path / "LICENSE").write_text("MIT")
    assert read_published(folder.path).ignored == ("notes.csv", "other.csv")


def test_a_row_without_an_article_is_of_the_one_in_its_place(folder, random):
    folder.bias("Fresh", random)
    folder.metric("Fresh", random)
    found = read_published(folder.path)
    first = found.tables.scores.filter(generation=0)["article_id"].to_list()
    assert first == [str(n) for n in range(1, 41)]
    assert any("k-th article" in note for note in found.notes)


def test_an_article_column_is_believed_before_the_place(folder, random):
    folder.bias("Fresh", random)
    rows = [f"{g},{a},1.{a:02d}" for g in (1, 2) for a in range(40, 0, -1)]
    path = folder.path / "Fresh_Generation_Quality.csv"
    path.write_text("\n".join(["Generation,Article_ID,GibberishLevel", *rows]))
    tables = read_published(folder.path).tables
    found = dict(tables.scores.filter(generation=1).select("article_id", "value").iter_rows())
    assert found == {str(a): float(f"1.{a:02d}") for a in range(1, 41)}


def test_places_are_not_taken_for_articles_of_another_number(folder, random):
    folder.bias("Fresh", random)
    folder.metric("Fresh", random, counts=(30, 30))
    found = read_published(folder.path)
    assert not set(found.tables.scores["article_id"]) & set(
        found.tables.leaning_scores["article_id"]
    )
    assert any("not with the leanings" in note for note in found.notes)


def test_generations_of_different_length_are_not_paired(folder, random):
    folder.metric("Fresh", random, counts=(40, 39, 41))
    found = read_published(folder.path)
    assert any("nothing of it is paired" in note for note in found.notes)
    assert found.tables.scores["article_id"].n_unique() == 120
    done = reproduce(found)
    first, _, last = folder.values["quality", "fresh"]
    row = done.evidence.contrasts.filter(generation=2).row(0, named=True)
    # Not paired, so the variances of both means add up.
    error = np.sqrt(first.var(ddof=1) / len(first) + last.var(ddof=1) / len(last))
    assert row["value"] == pytest.approx(last.mean() - first.mean())
    assert (row["high"] - row["low"]) / 2 == pytest.approx(1.98 * error, rel=0.02)
    expected = [values.mean() for values in folder.values["quality", "fresh"]]
    assert series(done)["quality"]["fresh"] == pytest.approx(expected)


def test_a_generation_that_is_not_there_has_no_figure(folder, random):
    folder.metric("Fresh", random, counts=(5, 0, 5))
    done = series(reproduce(read_published(folder.path)))
    assert done["quality"]["fresh"][1] is None
    assert None not in (done["quality"]["fresh"][0], done["quality"]["fresh"][2])


BIAS = "Generation,Article_ID,Red_Score,Blue_Score"
QUALITY = "Generation,GibberishLevel"
NEURON = "neuron_id,layer,beta_coefficient,p_value"


@pytest.mark.parametrize(
    ("name", "text", "parts"),
    [
        ("A_Bias_Performance.csv", f"{BIAS}\n1,1,0.4,0.6\n1,2,x,0.5", ["row 3", "'Red_Score'"]),
        ("A_Bias_Performance.csv", f"{BIAS}\n1,1,0.4,0.6\n1,2,0.4", ["row 3", "'Blue_Score'"]),
        ("A_Bias_Performance.csv", f"{BIAS}\n1,1,0.4,0.6,7", ["row 2", "5 cells"]),
        ("A_Bias_Performance.csv", f"{BIAS}\n1,1,,0.6", ["row 2", "'Red_Score'", "empty"]),
        ("A_Bias_Performance.csv", f"{BIAS}\n1,1,nan,0.6", ["row 2", "'Red_Score'", "nan"]),
        ("A_Bias_Performance.csv", f"{BIAS}\n1,1,1.2,-0.2", ["row 2", "'Red_Score'", "between"]),
        ("A_Bias_Performance.csv", f"{BIAS}\n1,1,0.4,0.4", ["row 2", "sum to 0.8"]),
        ("A_Bias_Performance.csv", f"{BIAS}\n1,1,0_1,0.9", ["row 2", "'0_1'"]),
        ("A_Bias_Performance.csv", f"{BIAS}\n1.5,1,0.4,0.6", ["row 2", "'Generation'", "1.5"]),
        ("A_Bias_Performance.csv", f"{BIAS}\n-1,1,0.4,0.6", ["row 2", "'Generation'", "-1"]),
        ("A_Bias_Performance.csv", f"{BIAS}\n5,1,0.4,0.6", ["row 2", "'Generation'", "is 5"]),
        (
            "A_Bias_Performance.csv",
            f"{BIAS}\n1,1,0.4,0.6\n\n1,1,0.5,0.5",
            ["row 4", "'Article_ID'", "row 2 already"],
        ),
        ("A_Bias_Performance.csv", f"{BIAS}", ["no rows"]),
        ("A_Bias_Performance.csv", "", ["is empty"]),
        ("A_Bias_Performance.csv", 'Generation,"Article', ["row 1", "broken CSV"]),
        ("A_Bias_Performance.csv", "Generation,generation,a\n1,1,1", ["row 1", "twice"]),
        ("A_Bias_Performance.csv", "Generation,Red_Score,Blue_Score\n1,0,1", ["'Article_ID'"]),
        ("A_Bias_Performance.csv", "Article_ID,Red_Score,Blue_Score\n1,0,1", ["'Generation'"]),
        ("A_Bias_Performance.csv", "Generation,Article_ID,Red_Score\n1,1,1", ["at least two"]),
        ("A_Generation_Quality.csv", "Generation,Gibberish_Level\n1,1", ["did you mean"]),
        ("A_Generation_Quality.csv", f"{QUALITY}\n1,2\n1,3.4", ["row 3", "'GibberishLevel'"]),
        ("A_Generation_Quality.csv", f"{QUALITY}\n1,inf", ["row 2", "'GibberishLevel'"]),
        ("A_Generation_Quality.csv", f"{QUALITY}\n1,-0.1", ["row 2", "'GibberishLevel'"]),
        ("A_Perplexity.csv", "Generation,Perplexity\n1,0", ["row 2", "'Perplexity'", "above 0"]),
        ("A_Perplexity.csv", "Generation,Perplexity\n1,-3", ["row 2", "'Perplexity'", "above 0"]),
        ("real_Perplexity.csv", "Generation,Perplexity\n1,2", ["'real'", "rename"]),
        ("B_Bias_Performance.csv", "Model,Article_ID,R_Score,B_Score\nx,1,0,1\ny,2,0,1",
         ["row 3", "'Model'", "second model"]),
        ("Neuron Weight and Bias.csv", f"{NEURON}\n1,1,2,1.5", ["row 2", "'p_value'", "between"]),
        ("Neuron Weight and Bias.csv", f"{NEURON}\n1,1,2,0.5\n1,1,2,0.5", ["row 3", "already"]),
        ("Neuron Weight and Bias.csv", "neuron_id,layer,beta_coefficient\n1,1,2", ["'p_value'"]),
        ("Neuron Weight and Bias.csv", "neuron_id,pearson_correlation\n1,0.2", ["'layer'"]),
        ("notes.csv", "who,when\nme,now", ["no released results", "notes.csv"]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(folder, name, text, parts):
    (folder.path / name).write_text(text)
    with pytest.raises(InputError) as caught:
        read_published(folder.path)
    for part in (str(folder.path), *parts):
        assert part in str(caught.value)


def test_bytes_that_are_no_text_are_named(folder):
    path = folder.path / "A_Perplexity.csv"
    path.write_bytes(b"Generation,Perplexity\n1,2\n1,\xff\n")
    with pytest.raises(InputError, match="row 3: not UTF-8"):
        read_published(folder.path)


def test_label_sets_may_not_differ(whole, random, make_folder):
    make_folder(whole.path.name, labels=("Red", "Teal", "Green")).bias("Zeta", random)
    with pytest.raises(InputError, match=r"Zeta_Bias.*teal.*blue"):
        read_published(whole.path)


def test_one_file_per_regime_and_metric(folder, random):
    folder.metric("Fresh", random)
    source = folder.path / "Fresh_Generation_Quality.csv"
    (folder.path / "Fresh-Generation-Quality.csv").write_bytes(source.read_bytes())
    with pytest.raises(InputError, match="keep one of them"):
        read_published(folder.path)


def test_a_folder_must_be_there(tmp_path):
    with pytest.raises(InputError, match="is not a folder"):
        read_published(tmp_path / "nowhere")
    with pytest.raises(InputError, match="no released results there"):
        read_published(tmp_path)


def test_slopes_and_correlations_of_other_signs_are_told(make_folder, random):
    """Both tables as SciPy makes them of the same figures, and with one of them in disorder."""
    folder = make_folder()
    folder.bias("Fresh", random)
    values = random.normal(size=(60, 20)), random.normal(size=20)
    fits = [linregress(x, values[1]) for x in values[0]]
    tail = "Between Neuron Weight and Text Quality Index.csv"

    def write_tables(order, of_pvalues):
        there = {"neuron_id": range(1, 61), "layer": [1] * 60}
        slopes = {
            "beta_coefficient": [fits[i].slope for i in order],
            "p_value": [fits[i].pvalue for i in of_pvalues],
        }
        regression = f"Regression and Statistical Tests for Relationship {tail}"
        pl.DataFrame(there | slopes).write_csv(folder.path / regression)
        correlations = {"pearson_correlation": [fit.rvalue for fit in fits]}
        pearson = folder.path / f"Pearson Correlation {tail}"
        pl.DataFrame(there | correlations).write_csv(pearson)
        return read_published(folder.path)

    rows = list(range(60))
    found = write_tables(rows, rows)
    for table in (found.associations, found.correlations):
        assert (table["metric"].unique().to_list(), table.height) == (["quality"], 60)
    np.testing.assert_array_equal(found.correlations["pearson"], [fit.rvalue for fit in fits])
    assert not [name for name in found.absent if "Neuron" in name and "Quality" in name]
    told = "Neuron tables of weight_mean and quality: "
    (note,) = [n for n in found.notes if n.startswith(told)]
    assert note.startswith(f"{told}0 of 60 slopes have another sign")
    assert note.endswith("is 1.00.")
    order = random.permutation(60).tolist()
    (note,) = [n for n in write_tables(order, order).notes if n.startswith(told)]
    differ = sum(fits[i].slope * fits[k].rvalue < 0 for k, i in enumerate(order))
    assert note.startswith(f"{told}{differ} of 60 slopes have another sign")
    rank = spearmanr([abs(fit.rvalue) for fit in fits], [-fits[i].pvalue for i in order]).statistic
    assert f"is {rank:.2f}. In a regression on one regressor" in note
    # Every sign agrees, but the p-values are in another order.
    (note,) = [n for n in write_tables(rows, order).notes if n.startswith(told)]
    assert note.startswith(f"{told}0 of 60 slopes have another sign")
    assert "In a regression on one regressor" in note

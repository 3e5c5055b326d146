"""Judging and comparing models, against a slow evaluation by plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import root_mean_squared_error

from models.errors import ConfigError, DataError
from models.evaluation import judge as judging
from models.evaluation.baselines import Popularity, Random, baselines
from models.evaluation.comparison import Candidate, Watcher, check_measures, compare
from models.evaluation.curves import Iterated, doubled, learning_curve
from models.evaluation.judge import judge
from models.evaluation.memory import measured
from models.evaluation.protocols import Split, SplitDefinition
from models.evaluation.similar import similar_items, well_known
from models.families.base import Iteration
from tests.models.strategies import clustered_table, make_dataset


class Fixed:
    """Scores drawn once for every user; predicts the value 3 and a bit."""

    predicts_values = True

    def __init__(self, training, seed=0):
        self.scores = np.random.default_rng(seed).random(training.shape, dtype=np.float32)

    def score_users(self, users):
        """The scores of these users."""
        return self.scores[users]

    def score_histories(self, histories):
        """Scores that depend on a history's length alone."""
        return np.stack([self.scores[0] + len(histories.only(row).indices) for row in range(len(histories))])

    def predict(self, entries):
        """3 and a bit."""
        return np.float32(3) + self.scores[entries.row_numbers, entries.indices]


@pytest.fixture
def data():
    """40 users, 25 items, values 1 to 5, distinct times."""
    rng = np.random.default_rng(5)
    table = clustered_table(40, 25, 3, rng)
    return make_dataset(table, timestamps=rng.permutation(int((~np.isnan(table)).sum())).astype(np.int64))


def slow_metrics(scores, judged, k):
    """nDCG, capped recall and popularity lift by loops over people and ranks."""
    popularity = np.bincount(judged.training.histories.indices, minlength=judged.training.shape[1])
    gains, recalls, listed, owned = [], [], [], []
    for person, of_person in zip(judged.people, scores, strict=True):
        known = set(judged.known.row(person)[0].tolist())
        hidden = set(judged.hidden.row(person)[0].tolist())
        ranked = [item for item in np.argsort(-of_person, kind="stable").tolist() if item not in known][:k]
        gain = sum(1 / np.log2(rank + 2) for rank, item in enumerate(ranked) if item in hidden)
        ideal = sum(1 / np.log2(rank + 2) for rank in range(min(k, len(hidden))))
        gains.append(gain / ideal)
        recalls.append(len(hidden.intersection(ranked)) / min(k, len(hidden)))
        listed.append(np.mean([popularity[item] for item in ranked]))
        owned.append(np.mean([popularity[item] for item in known]))
    return {
        "ndcg@4": np.mean(gains),
        "recall@4": np.mean(recalls),
        "popularity_lift@4": np.mean(listed) / np.mean(owned) - 1,
    }


@pytest.mark.parametrize("name", ["folds", "leave-k-out", "latest-time", "strong"])
@pytest.mark.parametrize("block", [1, 7, 4096])
def test_metrics_agree_with_plain_loops_whatever_the_block(data, name, block, monkeypatch):
    """Values do not depend on how many people are scored at once, and are those of the definitions."""
    monkeypatch.setattr(judging, "_MOST_PEOPLE_PER_BLOCK", block)
    definition = SplitDefinition(name=name, folds=2)
    split = Split(data, definition)
    (result,) = compare([Candidate("fixed", lambda *_: Fixed(data), "f")], split, k=4, resamples=100).results
    expected = []
    for judged in split.rounds():
        ranker = Fixed(data)
        scores = (
            ranker.score_histories(judged.known.select(judged.people))
            if judged.strangers
            else ranker.score_users(judged.people)
        )
        expected.append((len(judged.people), slow_metrics(scores, judged, 4)))
    weights = [people for people, _ in expected]
    for metric in ("ndcg@4", "recall@4"):
        mean = np.average([values[metric] for _, values in expected], weights=weights)
        assert result.metrics[metric].value == pytest.approx(mean, rel=1e-9)  # float64 throughout
    if len(expected) == 1:
        lift = expected[0][1]["popularity_lift@4"]
        assert result.metrics["popularity_lift@4"].value == pytest.approx(lift, rel=1e-6)  # float32 counts
    assert ("rmse" in result.metrics) == (name != "strong")


def test_errors_are_of_all_hidden_entries_clipped_to_the_known_range(data):
    """RMSE over every fold's hidden entries, with predictions within the training values."""
    split = Split(data, SplitDefinition(name="folds", folds=3))
    (result,) = compare([Candidate("fixed", lambda *_: Fixed(data), "f")], split, k=4, resamples=100).results
    squares = [
        np.square(np.clip(Fixed(data).predict(judged.hidden), 1, 5).astype(float) - judged.hidden.values)
        for judged in split.rounds()
    ]
    assert result.metrics["rmse"].value == pytest.approx(np.sqrt(np.concatenate(squares).mean()), rel=1e-6)


def test_recall_by_popularity_adds_up_to_all_hits(data):
    """The groups' hits over their hidden entries are, together, the hits over all hidden entries."""
    split = Split(data, SplitDefinition(name="leave-k-out", leave=2))
    (judged,) = split.rounds()
    outcome = judge(Popularity(judged.training), judged, 5)
    assert outcome.hidden.sum() == judged.hidden.lengths[judged.people].sum()
    recall, people = outcome.parts["uncapped_recall"]
    per_person = judged.hidden.lengths * recall
    assert outcome.found.sum() == pytest.approx(per_person[people > 0].sum())


def test_the_best_is_marked_and_the_same_model_again_is_tied(data):
    """Of two equal models one is best and the other not significantly worse; random lists are."""
    candidates = [
        Candidate("first", lambda *_: _Clairvoyant(data), "f"),
        Candidate("again", lambda *_: _Clairvoyant(data), "f"),
        Candidate("worst", lambda *_: Fixed(data), "f"),
    ]
    split = Split(data, SplitDefinition(name="folds", folds=4))
    first, again, worst = compare(candidates, split, k=8, resamples=200).results
    assert first.metrics["recall@8"].best
    assert again.metrics["recall@8"].tied
    assert again.metrics["recall@8"].p == 1
    assert not worst.metrics["recall@8"].tied
    assert worst.metrics["recall@8"].p < 0.05
    low, high = first.metrics["recall@8"].low, first.metrics["recall@8"].high
    assert low < first.metrics["recall@8"].value < high


class _Clairvoyant(Fixed):
    """Knows most of what is hidden."""

    def __init__(self, whole):
        super().__init__(whole)
        rows = whole.histories
        self.scores[rows.row_numbers, rows.indices] += 0.5


def test_a_comparison_is_the_same_for_the_same_seed(data):
    """Values, intervals and p do not change from run to run; only seconds and memory may."""
    definition = SplitDefinition(name="strong", seed=4, test_share=0.4)
    runs = [compare(baselines(4), Split(data, definition), k=5, resamples=100) for _ in range(2)]
    first, second = (
        [(result.name, result.metrics, result.recall_by_popularity) for result in run.results] for run in runs
    )
    assert first == second
    assert runs[0].fingerprint == runs[1].fingerprint


def test_steps_and_names_of_a_fit_are_kept(data):
    """Losses and a family's own validation are recorded from the first round only."""

    def fit(training, progress):
        progress(Iteration(1, 2, 9.0, 0.1))
        progress(Iteration(2, 2, 4.0, 0.2))
        return Fixed(training)

    split = Split(data, SplitDefinition(name="folds", folds=3))
    (result,) = compare([Candidate("fixed", fit, "f", {"a": 1})], split, k=3, resamples=100).results
    assert [(step.iteration, step.loss) for step in result.steps] == [(1, 9.0), (2, 4.0)]
    assert len(result.fit_seconds) == len(result.judge_seconds) == 3
    assert result.config == {"a": 1}


def test_an_error_of_a_fit_names_the_candidate(data):
    """Of many recipes the one that cannot take the data is named."""

    def fit(*_):
        raise DataError("needs ratings")

    with pytest.raises(DataError, match="recipe-7: needs ratings"):
        compare([Candidate("recipe-7", fit, "f")], Split(data, SplitDefinition()), k=3)


def test_lists_longer_than_the_catalogue_are_refused(data):
    """The largest k that works is named."""
    with pytest.raises(ConfigError, match="--k between 1 and 25"):
        compare(baselines(0), Split(data, SplitDefinition()), k=26)


def test_a_metric_that_no_model_has_is_refused(data):
    """Errors of values are not made up for models that only rank."""
    results = compare(baselines(0), Split(data, SplitDefinition()), k=3, resamples=100).results
    check_measures(["ndcg", "coverage"], results, 3)
    with pytest.raises(ConfigError, match="no model here has a value for rmse"):
        check_measures(["ndcg", "rmse"], results, 3)


def test_random_lists_cover_the_catalogue_and_popular_ones_do_not(data):
    """Coverage, Gini and popularity lift tell the two baselines apart in the direction they must."""
    split = Split(data, SplitDefinition(name="leave-k-out"))
    popular, drawn = (result.metrics for result in compare(baselines(0), split, k=3, resamples=100).results)
    assert popular["coverage@3"].value < drawn["coverage@3"].value
    assert popular["gini@3"].value > drawn["gini@3"].value
    assert popular["popularity_lift@3"].value > drawn["popularity_lift@3"].value
    assert popular["novelty@3"].value < drawn["novelty@3"].value


def test_lists_of_cold_items_hold_nothing_else(data):
    """With `cold-items` metrics are those of the cold items ranked by themselves."""
    (judged,) = Split(data, SplitDefinition(name="cold-items", test_share=0.4)).rounds()
    ranker = Fixed(data)
    gains = []
    for person in judged.people.tolist():
        of_cold = {item: ranker.scores[person, item] for item in judged.listable.tolist()}
        ranked = sorted(of_cold, key=of_cold.get, reverse=True)[:4]
        hidden = judged.hidden.row(person)[0].tolist()
        gain = sum(1 / np.log2(rank + 2) for rank, item in enumerate(ranked) if item in hidden)
        gains.append(gain / sum(1 / np.log2(rank + 2) for rank in range(min(4, len(hidden)))))
    numerator, denominator = judge(ranker, judged, 4).parts["ndcg"]
    assert numerator.sum() / denominator.sum() == pytest.approx(np.mean(gains))
    with pytest.raises(ConfigError, match="use --k between 1 and 10"):
        judge(ranker, judged, 11)


class Indifferent(Fixed):
    """Scores all items alike."""

    def score_users(self, users):
        """Zeros."""
        return np.zeros((len(users), self.scores.shape[1]), dtype=np.float32)


def test_cold_items_that_are_all_alike_are_listed_in_no_common_order():
    """Who knows nothing of cold items gets what chance gives, the same at every time, whatever their rows."""
    ratings = np.ones((400, 20))
    ratings[:, 1::2] = np.where(np.arange(400)[:, np.newaxis] % 10 == 0, 1, np.nan)  # even rows are popular
    (judged,) = Split(make_dataset(ratings), SplitDefinition(name="cold-items", test_share=0.5)).rounds()
    parts = [judge(Indifferent(judged.training), judged, 1).parts["precision"] for _ in range(2)]
    found = parts[0][0].sum() / parts[0][1].sum()
    chance = (judged.hidden.lengths[judged.people] / judged.n_listable).mean()
    assert found == pytest.approx(chance, abs=0.1)  # four standard errors of 400 people
    np.testing.assert_array_equal(parts[0], parts[1])


def test_curves_double_the_iterations_up_to_the_models_own(data):
    """1, 2, 4, …, and the number itself once; points are judged as models are, and by their own entries."""
    assert [doubled(n) for n in (1, 2, 3, 8, 9)] == [[1], [1, 2], [1, 2, 3], [1, 2, 4, 8], [1, 2, 4, 8, 9]]
    (judged,) = Split(data, SplitDefinition(name="leave-k-out")).rounds()
    iterated = Iterated("f", 5, lambda n: Candidate("f", lambda training, _: Fixed(training, n), "f"))
    points = learning_curve(iterated, judged, 3, Watcher())
    assert [point.iterations for point in points] == [1, 2, 4, 5]
    for point in points:
        numerator, denominator = judge(Fixed(data, point.iterations), judged, 3).parts["ndcg"]
        assert point.metrics["ndcg@3"] == numerator.sum() / denominator.sum()
        errors = Fixed(data, point.iterations).predict(judged.training.histories)
        actual = judged.training.histories.values
        assert point.training == {
            "rmse": pytest.approx(
                root_mean_squared_error(actual, np.clip(errors, actual.min(), actual.max()))
            )
        }
        assert "rmse" in point.metrics


class _Vectors(Fixed):
    vectors = np.array([[2, 0], [1, 0], [0, 3], [1, 1], [0, 0]], dtype=np.float32)

    def item_vectors(self):
        return self.vectors


def test_similar_items_are_those_of_the_largest_cosine(data):
    """By direction, not by length; never the item itself, nor one without a vector."""
    assert similar_items(_Vectors(data), np.array([0, 2, 4], dtype=np.int32), 4).tolist() == [
        [1, 3, 2, -1],
        [3, 0, 1, -1],
        [-1, -1, -1, -1],
    ]


def test_similar_items_without_vectors_are_what_one_item_leads_to(data):
    """A model without item vectors is asked for the lists of people who have that one item."""
    scores = Fixed(data).scores[0]
    order = [item for item in np.argsort(-scores).tolist() if item != 7]
    assert similar_items(Fixed(data), np.array([7], dtype=np.int32), 3).tolist() == [order[:3]]


def test_well_known_items_are_distinct_and_popular():
    """They come from the upper tenth, the most popular first, or are all there is."""
    popularity = np.random.default_rng(0).permutation(1000)
    chosen = well_known(popularity, 5)
    assert popularity[chosen].tolist() == [999, 979, 959, 939, 919]
    assert sorted(well_known(np.array([3, 9, 5]), 3).tolist()) == [0, 1, 2]


def test_peak_memory_is_what_a_block_adds():
    """An array of 200 MB inside the block shows up, what was there before does not."""
    before = np.ones(10_000_000)
    with measured() as peak:
        np.ones(25_000_000)
    if peak.extra_bytes is None:
        pytest.skip("the system does not tell")
    assert 0.9 * 200e6 < peak.extra_bytes < 1.5 * 200e6
    assert before.sum() == 10_000_000


def test_random_scores_are_no_constant_and_come_from_the_seed(data):
    """Another call draws other numbers; the same seed draws the same."""
    first, second = (Random(25, np.random.default_rng(1)) for _ in range(2))
    users = np.arange(3, dtype=np.int32)
    drawn = first.score_users(users)
    np.testing.assert_array_equal(drawn, second.score_users(users))
    assert (first.score_histories(data.histories.select(users)) != drawn).any()

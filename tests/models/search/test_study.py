"""The search itself, with trials that are functions of their hyperparameters instead of fits."""

from __future__ import annotations

import math
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace

import pytest

from models.errors import ConfigError
from models.search.spaces import SEARCH_SPACES, Choice, Interval, SearchSpace
from models.search.study import Identity, opened
from models.search.trials import Judged

IDENTITY = Identity(
    family="als",
    metric="rmse",
    k=10,
    sampler="tpe",
    seed=3,
    fixed="{}",
    rounds=3,
    split="s",
    dataset="d",
    space="x",
)
SPACE = SearchSpace(
    {
        "regularization": Interval(0.01, 1.0, log=True),
        "ridge": Choice(("constant", "frequency")),
        "iterations": Interval(5, 40, integer=True),
    },
    predicts_values=True,
)


class Trials:
    """Judges by a function instead of fits, at once, and keeps what it was asked."""

    def __init__(self, value, *, die_after=math.inf):
        self.value = value
        self.die_after = die_after
        self.asked = []

    def submit(self, _judge, _family, config, number):
        """As an executor; interrupted after some calls."""
        if len(self.asked) >= self.die_after:
            raise KeyboardInterrupt
        self.asked.append((config, number))
        future = Future()
        error = self.value(config, number)
        future.set_result(Judged(error**2, 1.0, "exploded" if math.isnan(error) else None))
        return future


def error_of(config, _number):
    """The best is λ = 0.1, frequency, 20 iterations."""
    wrong = abs(math.log10(config["regularization"]) + 1) + abs(config["iterations"] - 20) / 40
    return 0.5 + wrong + (config.get("ridge") == "constant")


@pytest.fixture
def search(tmp_path):
    """Run a search in a file; returns its outcomes."""

    def _search(trials, n_trials, *, name="search.db", identity=IDENTITY, jobs=1, n_grid=3):
        with opened(tmp_path / name, identity, n_grid) as opened_search:
            with suppress(KeyboardInterrupt):
                opened_search.run(SPACE, n_trials, trials, jobs, 3, lambda: None)
            return opened_search.outcomes, opened_search.best

    return _search


def test_the_default_recipe_comes_first_and_the_best_is_kept(search):
    """Trial 0 is the defaults; the best is the smallest complete value of an error, and near the optimum."""
    outcomes, best = search(Trials(error_of), 40)
    assert len(outcomes) == 40
    assert outcomes[0].is_default
    assert outcomes[0].config == {"regularization": 0.12, "ridge": "frequency", "iterations": 15}
    assert sum(outcome.is_default for outcome in outcomes) == 1
    assert best.value == min(outcome.value for outcome in outcomes if outcome.state == "complete")
    assert best.value < outcomes[0].value  # TPE beats the defaults on a smooth bowl


def test_larger_is_better_for_list_metrics(search):
    """With nDCG the largest value wins."""
    outcomes, best = search(Trials(error_of), 12, identity=replace(IDENTITY, metric="ndcg"))
    assert best.value == max(outcome.value for outcome in outcomes if outcome.state == "complete")


def test_values_of_rounds_are_pooled(search):
    """The RMSE of a trial is the root of the mean over all rounds, not the mean of roots."""
    outcomes, _ = search(Trials(lambda _, number: [1.0, 2.0, 4.0][number]), 1)
    assert outcomes[0].value == pytest.approx(math.sqrt((1 + 4 + 16) / 3))


def test_bad_trials_are_given_up_early(search):
    """After the first five, a trial worse than the median of its round is not judged on the next."""
    trials = Trials(error_of)
    outcomes, _ = search(trials, 30)
    pruned = [outcome for outcome in outcomes if outcome.state == "pruned"]
    assert pruned
    assert all(outcome.state == "complete" for outcome in outcomes[:5])
    for outcome in pruned:
        assert (outcome.config, 2) not in trials.asked


def test_fits_that_go_wrong_count_and_end(search):
    """A fit without a number is a failed trial: not retried for ever, never the best."""
    outcomes, best = search(
        Trials(lambda config, n: math.nan if config["ridge"] == "constant" else error_of(config, n)), 25
    )
    assert len(outcomes) == 25
    assert {outcome.state for outcome in outcomes if outcome.config["ridge"] == "constant"} == {"failed"}
    assert best.config["ridge"] == "frequency"
    outcomes, best = search(Trials(lambda *_: math.nan), 3, name="other.db")
    assert [outcome.state for outcome in outcomes] == ["failed"] * 3
    assert best is None


def test_a_grid_is_tried_once_and_then_ends(search):
    """Every point of the grid once, beside the defaults, however many trials were asked for."""
    outcomes, _ = search(Trials(lambda *_: 1.0), 100, identity=replace(IDENTITY, sampler="grid"), n_grid=2)
    tried = [tuple(outcome.config.values()) for outcome in outcomes if not outcome.is_default]
    expected = {
        (weight, ridge, n) for weight in (0.01, 1.0) for ridge in ("constant", "frequency") for n in (5, 40)
    }
    assert len(tried) == len(expected)
    assert set(tried) == expected


@pytest.mark.parametrize("jobs", [1, 3])
@pytest.mark.parametrize("sampler", ["tpe", "random", "grid"])
@pytest.mark.parametrize("calls", [0, 1, 4, 17, 25])
def test_an_interrupted_search_goes_on_as_if_nothing_had_happened(search, sampler, calls, jobs):
    """Stopped in the middle of a batch and begun again, it comes to the very trials of one that was not."""
    identity = replace(IDENTITY, sampler=sampler)
    whole, _ = search(Trials(error_of), 14, name="whole.db", identity=identity, jobs=jobs)
    partly, _ = search(Trials(error_of, die_after=calls), 14, identity=identity, jobs=jobs)
    assert len(partly) < 14
    resumed, _ = search(Trials(error_of), 14, identity=identity, jobs=jobs)
    assert resumed == whole


@pytest.mark.parametrize("sampler", ["tpe", "random", "grid"])
def test_the_seed_decides(search, sampler):
    """The same seed finds the same trials, another seed others."""
    found = [
        search(Trials(error_of), 8, name=name, identity=replace(IDENTITY, sampler=sampler, seed=seed))[0]
        for name, seed in (("a.db", 3), ("b.db", 3), ("c.db", 4))
    ]
    assert found[0] == found[1]
    assert found[0] != found[2]


def test_tpe_beats_random(search):
    """What TPE learns from the trials before brings its last trials closer to the optimum than chance."""
    late = {}
    for sampler in ("tpe", "random"):
        identity = replace(IDENTITY, sampler=sampler)
        outcomes, _ = search(Trials(error_of), 60, name=f"{sampler}.db", identity=identity)
        late[sampler] = sum(outcome.value for outcome in outcomes[30:]) / 30
    assert late["tpe"] < late["random"]


def test_trials_can_be_added(search):
    """Asking for more goes on from what is there; asking for fewer tries nothing."""
    first, _ = search(Trials(error_of), 6)
    again = Trials(error_of)
    assert search(again, 5)[0] == first
    assert again.asked == []
    assert search(Trials(error_of), 9)[0][:6] == first


def test_batches_are_of_different_trials(search):
    """Workers at the same time do not try the same hyperparameters, and the count is exact."""
    outcomes, _ = search(Trials(error_of), 11, jobs=4)
    assert len(outcomes) == 11
    assert len({tuple(outcome.config.values()) for outcome in outcomes}) == 11


def test_another_search_is_refused_by_name(search, tmp_path):
    """A file of another search says what differs; one in use, and one of something else, are refused."""
    search(Trials(error_of), 1)
    with (
        pytest.raises(ConfigError, match=r"metric rmse there and mae here; dataset d there and e here"),
        opened(tmp_path / "search.db", replace(IDENTITY, metric="mae", dataset="e"), 3),
    ):
        pass
    with (
        opened(tmp_path / "search.db", IDENTITY, 3),
        pytest.raises(ConfigError, match="another search is at work"),
        opened(tmp_path / "search.db", IDENTITY, 3),
    ):
        pass
    (tmp_path / "text.db").write_text("user,item\n1,2\n")
    with (
        pytest.raises(ConfigError, match="not the file of a search"),
        opened(tmp_path / "text.db", IDENTITY, 3),
    ):
        pass


def test_what_follows_from_the_table_is_left_to_the_family(tmp_path):
    """The default trial says nothing of a hyperparameter whose default is None; later trials do."""
    identity = replace(IDENTITY, family="ials", metric="ndcg")
    with opened(tmp_path / "search.db", identity, 3) as search:
        search.run(SEARCH_SPACES["ials"], 12, Trials(lambda *_: 1.0), 1, 3, lambda: None)
        default, *others = search.outcomes
    assert "unobserved_weight" not in default.config
    assert all("unobserved_weight" in outcome.config for outcome in others)

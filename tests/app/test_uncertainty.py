"""Standard deviations and exploration: what the posterior says, the same for the same seed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.recommender import Options
from app.schemas import answers
from models.errors import RequestError
from tests.app.families import N_ITEMS, N_USERS, RECIPES, history, listed, tasteful

if TYPE_CHECKING:
    import httpx

WITHOUT = ["nmf", "popularity", "hybrid_svd"]
GAUSSIAN = [name for name in RECIPES if name not in WITHOUT]


@pytest.fixture(params=GAUSSIAN)
def gaussian(request, recommenders):
    """A recommender with a posterior."""
    return recommenders[request.param]


def deviations(answer):
    """The standard deviations of a list."""
    return [item["score_std"] for item in answer["items"]]


def test_deviations_come_for_stored_and_posted_histories_alike(gaussian):
    """The same history has the same standard deviations, positive and finite; the rest stays as it was."""
    for user in tasteful(gaussian, step=13):
        stored = gaussian.recommend(f"u{user:05}", Options(k=6, uncertainty=True))
        posted = gaussian.fold_in(history(gaussian, user), Options(k=6, uncertainty=True))
        np.testing.assert_allclose(deviations(stored), deviations(posted), rtol=1e-6)
        assert min(deviations(stored)) > 0
        assert np.isfinite(deviations(stored)).all()
        plain = gaussian.recommend(f"u{user:05}", Options(k=6))["items"]
        kept = ("item_id", "score", "rank")
        assert plain == [{name: item[name] for name in kept} for item in stored["items"]]


def test_deviations_are_those_of_the_dense_inverse(recommenders):
    """From the definition: A = XᵀX + λn·I by NumPy, σ² from the residuals of all users."""
    recommender = recommenders["als"]
    artifact = recommender.snapshot.artifact
    rule = recommender.snapshot.manifest.row_rule
    design = artifact.item_factors.astype(np.float64)
    biases = design[:, -1].copy()
    design[:, -1] = 1
    residuals = freedom = 0.0
    inverses = []
    for user in range(N_USERS):
        items, values = artifact.histories.row(user)
        rows = design[items]
        ridge = rule.regularization * len(items)
        inverse = np.linalg.inv(rows.T @ rows + ridge * np.eye(rows.shape[1]))
        targets = values - rule.global_mean - biases[items]
        residuals += ((targets - rows @ inverse @ rows.T @ targets) ** 2).sum()
        freedom += len(items) - np.trace(rows @ inverse @ rows.T)
        inverses.append(inverse)
    for user in range(0, N_USERS, 11):
        answer = recommender.recommend(f"u{user:05}", Options(k=8, uncertainty=True))
        asked = design[listed(answer)]
        expected = np.sqrt(residuals / freedom * np.einsum("nd,de,ne->n", asked, inverses[user], asked))
        np.testing.assert_allclose(deviations(answer), expected, rtol=1e-4)  # float32 targets


@pytest.mark.parametrize("explore", ["thompson", "ucb"])
def test_a_fixed_seed_gives_a_fixed_answer(gaussian, explore):
    """Two calls, stored or posted, say the same; the model's own scores stay what they are."""
    for user in tasteful(gaussian, step=17):
        options = Options(k=6, explore=explore, seed=11)
        first = gaussian.recommend(f"u{user:05}", options)
        assert gaussian.recommend(f"u{user:05}", options) == first
        posted = gaussian.fold_in(history(gaussian, user), options)
        assert listed(posted) == listed(first)
        everything = gaussian.recommend(f"u{user:05}", Options(k=N_ITEMS))["items"]
        own = {item["item_id"]: item["score"] for item in everything}
        explored = [item["explored_score"] for item in first["items"]]
        assert explored == sorted(explored, reverse=True)
        for item in first["items"]:
            assert item["score"] == pytest.approx(own[item["item_id"]], rel=1e-6)  # float32
            assert item["item_id"] in own  # nothing that was seen


def test_seeds_and_users_draw_differently(recommenders):
    """Other seeds explore otherwise, and one seed is no single draw for everybody."""
    recommender = recommenders["als"]
    drawn = {
        tuple(listed(recommender.recommend("u00004", Options(k=8, explore="thompson", seed=seed))))
        for seed in range(12)
    }
    assert len(drawn) > 6
    gains = []
    for user in range(8):
        items = recommender.recommend(f"u{user:05}", Options(k=1, explore="thompson"))["items"]
        gains.append(items[0]["explored_score"] - items[0]["score"])
    assert len({round(gain, 6) for gain in gains}) == 8


def test_an_upper_bound_is_the_score_and_two_deviations(gaussian):
    """UCB over all items: the order of score + 2·score_std, by the parts of the plain list."""
    everything = gaussian.recommend("u00004", Options(k=N_ITEMS, uncertainty=True))["items"]
    bounds = {item["item_id"]: item["score"] + 2 * item["score_std"] for item in everything}
    found = gaussian.recommend("u00004", Options(k=7, explore="ucb"))["items"]
    best = sorted(bounds.values(), reverse=True)[:7]
    np.testing.assert_allclose([item["explored_score"] for item in found], best, rtol=1e-5)  # float32
    np.testing.assert_allclose([bounds[item["item_id"]] for item in found], best, rtol=1e-5)


def test_draws_spread_as_the_deviations_say(recommenders):
    """The explored scores of one item over many seeds have its score for mean, its deviation for spread."""
    recommender = recommenders["ials"]
    only = tuple(f"i{item:05}" for item in range(N_ITEMS) if item != 31)
    options = {"k": 1, "exclude": only, "exclude_seen": False}
    [item] = recommender.recommend("u00002", Options(**options, uncertainty=True))["items"]
    draws = [
        recommender.recommend("u00002", Options(**options, explore="thompson", seed=seed))["items"][0]
        for seed in range(600)
    ]
    explored = np.array([each["explored_score"] for each in draws])
    # 600 draws: 4 standard errors of the mean and of the standard deviation
    assert abs(explored.mean() - item["score"]) < 4 * item["score_std"] / np.sqrt(600)
    assert explored.std() == pytest.approx(item["score_std"], rel=4 / np.sqrt(1200))


@pytest.mark.parametrize("name", WITHOUT)
@pytest.mark.parametrize("asked", [{"uncertainty": True}, {"explore": "ucb"}, {"explore": "thompson"}])
def test_families_without_a_posterior_say_so(recommenders, name, asked):
    """422 for stored, posted, unknown and many users alike, that names the family and the remedy."""
    recommender, options = recommenders[name], Options(k=3, **asked)
    for ask in (
        lambda: recommender.recommend("u00001", options),
        lambda: recommender.recommend("nobody", options),
        lambda: recommender.fold_in([], options),
        lambda: list(recommender.recommend_many(["u00001"], options)),
    ):
        with pytest.raises(RequestError, match=f"family {name} has no standard deviation.*ask without"):
            ask()


def test_popular_items_have_no_deviation(recommenders):
    """A count is no score of the model: the list is what it is without, and says that it is popular."""
    asked = recommenders["als"].recommend("nobody", Options(k=3, uncertainty=True, explore="thompson"))
    assert asked == recommenders["als"].recommend("nobody", Options(k=3))
    bounds = recommenders["als"].recommend("nobody", Options(k=3, explore="ucb"))
    assert bounds == recommenders["als"].recommend("nobody", Options(k=3))


@given(user=st.integers(0, N_USERS - 1), seed=st.integers(0, 2**63 - 1), k=st.integers(1, 12))
def test_exploring_and_excluding(recommenders, user, seed, k):
    """Of one draw, excluding an item removes just it and promotes the next."""
    recommender = recommenders["als"]
    longer = listed(recommender.recommend(f"u{user:05}", Options(k=k + 1, explore="thompson", seed=seed)))
    gone = f"i{longer[k // 2]:05}"
    options = Options(k=k, explore="thompson", seed=seed, exclude=(gone,))
    shorter = listed(recommender.recommend(f"u{user:05}", options))
    assert shorter == [item for item in longer if item != longer[k // 2]]


@pytest.mark.parametrize("value", [0, -1, 1e-30, 1e9, -1e9])
@pytest.mark.parametrize("service", ["real", "real_ratings"])
def test_no_value_breaks_the_posterior(service, value, request):
    """Any value is answered, with finite numbers, or refused with the remedy."""
    interactions = [{"item_id": "i1", "value": value}, {"item_id": "i2", "value": 1}]
    for explore in ("thompson", "ucb"):
        body = {"interactions": interactions, "explore": explore, "uncertainty": True, "diversity": 0.5}
        answer = request.getfixturevalue(service).post("/fold-in", json=body)
        assert answer.status_code in (200, 422), answer.text
        if answer.status_code == 200:
            answers.FoldedIn.model_validate_json(answer.content)
            assert "null" not in answer.text.replace('"fallback_reason":null', "")


def test_uncertainty_over_http(real: httpx.Client):
    """Query and body alike; the answers are as documented, and a seed fixes them."""
    url = "/recommend?user_id=u1&k=4&uncertainty=true&explore=thompson&seed=5"
    first, second = real.get(url), real.get(url)
    assert first.content == second.content
    items = answers.Recommendation.model_validate_json(first.content).items
    assert all(item.score_std and item.explored_score is not None for item in items)
    body = {"user_ids": ["u1", "nobody"], "k": 4, "uncertainty": True, "explore": "thompson", "seed": 5}
    many = real.post("/recommend", json=body)
    answers.Recommendations.model_validate_json(many.content)
    assert many.json()["results"][0] == first.json()
    for wrong in ("explore=greedy", "seed=-1", "seed=1.5", "uncertainty=maybe"):
        assert real.get(f"/recommend?user_id=u1&{wrong}").status_code == 422

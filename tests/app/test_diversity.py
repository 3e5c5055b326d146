"""Diversity: a reordering of the best, for every source; 0 is the list as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from app.recommender import Options
from app.schemas import answers
from tests.app.families import N_ITEMS, history, listed, tasteful
from tests.models.test_diversity import greedy

if TYPE_CHECKING:
    import httpx


def directions(recommender):
    """All items' factors at length 1, without bias."""
    factors = recommender.snapshot.manifest.row_rule.without_bias(recommender.snapshot.artifact.item_factors)
    wide = factors.astype(np.float64)
    return wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-30)


def sources(recommender, options):
    """The list of every source: stored, posted, popular, like an item, like a basket."""
    user = tasteful(recommender, step=1)[3]
    return {
        "factors": recommender.recommend(f"u{user:05}", options),
        "fold_in": recommender.fold_in(history(recommender, user), options),
        "popular": recommender.recommend("nobody", options),
        "similar": recommender.similar("i00003", options),
        "basket": recommender.similar_basket([("i00003", 1.0), ("i00005", -0.5)], options),
    }


def test_diverse_lists_are_the_greedy_choice_from_the_longer_list(recommender):
    """Every source: what a plain loop chooses from the whole list, scores as they were."""
    whole = sources(recommender, Options(k=N_ITEMS))
    unit = directions(recommender)
    for name, diverse in sources(recommender, Options(k=8, diversity=0.4)).items():
        everything = whole[name]["items"]
        rows = [int(item["item_id"][1:]) for item in everything]
        scores = {item["item_id"]: item["score"] for item in everything}
        chosen, value = greedy(list(scores.values()), unit[rows].tolist(), 8, 0.4)
        assert [item["rank"] for item in diverse["items"]] == list(range(1, 9))
        assert all(item["score"] == pytest.approx(scores[item["item_id"]]) for item in diverse["items"])
        found = listed(diverse)
        if found != [rows[position] for position in chosen]:  # then for a tie of popularity's one factor
            assert unit.shape[1] == 1 or len(set(scores.values())) < len(scores), name
        assert found[0] == rows[0] or scores[f"i{found[0]:05}"] == everything[0]["score"]
        assert callable(value)


def test_no_diversity_is_the_list_byte_for_byte(real: httpx.Client):
    """diversity=0 answers what is answered without, in queries and bodies."""
    for path in ("/recommend?user_id=u1", "/recommend?user_id=nobody", "/similar?item_id=i3"):
        assert real.get(f"{path}&diversity=0").content == real.get(path).content
    body = {"interactions": [{"item_id": "i1"}, {"item_id": "i2"}]}
    assert real.post("/fold-in", json={**body, "diversity": 0.0}).content == (
        real.post("/fold-in", json=body).content
    )


def test_more_diversity_is_less_alike(recommenders):
    """The mean cosine between the items of a list falls as diversity rises."""
    recommender = recommenders["ials"]
    unit = directions(recommender)
    means = []
    for diversity in (0.0, 0.5, 1.0):
        cosines = []
        for user in range(0, 60, 5):
            rows = listed(recommender.recommend(f"u{user:05}", Options(k=8, diversity=diversity)))
            cosines.append((unit[rows] @ unit[rows].T)[np.triu_indices(8, 1)].mean())
        means.append(np.mean(cosines))
    assert means[0] > means[1] > means[2]


def test_diverse_lists_obey_exclusions_filters_and_k(real: httpx.Client):
    """Excluded and filtered items stay out, k items come, and a bigger k extends the list."""
    query = "/recommend?user_id=u1&diversity=0.6&exclude_seen=false"
    short = real.get(f"{query}&k=5").json()["items"]
    longer = real.get(f"{query}&k=9").json()["items"]
    assert longer[:5] == short
    without = real.get(f"{query}&k=5&exclude={short[0]['item_id']}").json()["items"]
    assert short[0]["item_id"] not in {item["item_id"] for item in without}
    filtered = real.get(f"{query}&k=5&filter=genres:Comedy").json()
    assert [int(item["item_id"][1:]) % 3 > 0 for item in filtered["items"]] == [True] * 5


def test_diversity_goes_with_everything_else(real: httpx.Client):
    """Explained, explored and uncertain at once, an answer is still as documented."""
    url = "/recommend?user_id=u1&diversity=0.5&explain=true&uncertainty=true&explore=ucb&k=4"
    items = answers.Recommendation.model_validate_json(real.get(url).content).items
    for item in items:
        total = sum(each.contribution for each in item.because) + item.intercept
        assert total == pytest.approx(item.score, abs=1e-4)  # float32 scores of order 1
    assert all(item.explored_score == pytest.approx(item.score + 2 * item.score_std) for item in items)
    for wrong in ("-0.1", "1.01", "nan", "much"):
        assert real.get(f"/recommend?user_id=u1&diversity={wrong}").status_code == 422

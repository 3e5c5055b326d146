"""The recommender against dense scores, for every family; no HTTP."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.posted_history import Interaction
from app.recommender import Options, Recommender
from app.snapshot import load
from models.artifact import publish
from models.errors import RequestError, UnknownItemError, UnknownUserError
from models.registry import configure
from models.training import TrainingPlan, train
from tests import reference
from tests.app.families import N_ITEMS, N_USERS, dense_scores, history, listed, tasteful
from tests.models.strategies import clustered_table, make_dataset


def test_a_list_is_the_top_of_all_scores(recommender):
    """Items, order and scores are those of the dense scores, with and without what was seen."""
    for user in tasteful(recommender, step=7):
        scores = dense_scores(recommender, user)
        seen = recommender.snapshot.artifact.histories.row(user)[0].tolist()
        for exclude_seen, excluded in ((True, seen), (False, [])):
            answer = recommender.recommend(f"u{user:05}", Options(k=8, exclude_seen=exclude_seen))
            expected = reference.top_k(scores, 8, excluded)
            found = [item["score"] for item in answer["items"]]
            np.testing.assert_allclose(found, scores[expected], rtol=1e-4, atol=1e-5)  # float32 products
            np.testing.assert_allclose(scores[listed(answer)], scores[expected], rtol=1e-4, atol=1e-5)
            assert [item["rank"] for item in answer["items"]] == list(range(1, 9))
            assert (answer["source"], answer["shortfall"]) == ("factors", 0)


def test_explanations_sum_to_the_score_for_every_source(recommender):
    """Stored or folded in, every contribution list sums to its score, largest first."""
    for user in tasteful(recommender, step=11):
        for answer in (
            recommender.recommend(f"u{user:05}", Options(k=5, explain=True)),
            recommender.fold_in(history(recommender, user), Options(k=5, explain=True)),
        ):
            for item in answer["items"]:
                parts = [because["contribution"] for because in item["because"]]
                assert parts == sorted(parts, reverse=True)
                assert len(parts) == len(history(recommender, user))
                # float32 factors; parts of opposite sign may be larger than their sum
                tolerance = 1e-5 * (1 + sum(map(abs, parts)))
                assert abs(sum(parts) + item["intercept"] - item["score"]) < tolerance


def test_a_cut_explanation_carries_the_rest(recommender):
    """With explain_top, the shown parts, the rest and the intercept still sum to the score."""
    answer = recommender.recommend("u00001", Options(k=3, explain=True, explain_top=2))
    for item in answer["items"]:
        parts = [because["contribution"] for because in item["because"]]
        assert len(parts) == 2
        total = sum(parts) + item["because_rest"] + item["intercept"]
        assert total == pytest.approx(item["score"], abs=1e-4)  # float32 factors


def test_folding_in_ones_own_history_is_being_oneself(recommender):
    """Posting a stored history gives the stored user's list and scores."""
    for user in tasteful(recommender, step=5):
        stored = recommender.recommend(f"u{user:05}", Options(k=10))
        folded = recommender.fold_in(history(recommender, user), Options(k=10))
        assert folded["source"] == "fold_in"
        for ours, theirs in zip(folded["items"], stored["items"], strict=True):
            assert ours["score"] == pytest.approx(theirs["score"], rel=1e-5, abs=1e-6)


@given(user=st.integers(0, N_USERS - 1), k=st.integers(1, 20), position=st.integers(0, 19))
def test_excluding_an_item_removes_just_it_and_promotes_the_next(recommenders, user, k, position):
    """The list without one of its items is the longer list with that item taken out."""
    recommender = recommenders["als"]
    longer = listed(recommender.recommend(f"u{user:05}", Options(k=k + 1)))
    gone = longer[position % len(longer)]
    shorter = listed(recommender.recommend(f"u{user:05}", Options(k=k, exclude=(f"i{gone:05}",))))
    assert shorter == [item for item in longer if item != gone][:k]


@given(user=st.integers(0, N_USERS - 1), k=st.integers(1, 30), more=st.integers(1, 30))
def test_a_bigger_k_extends_the_list(recommenders, user, k, more):
    """Asking for more keeps the beginning as it was."""
    recommender = recommenders["ials"]
    short = listed(recommender.recommend(f"u{user:05}", Options(k=k)))
    assert listed(recommender.recommend(f"u{user:05}", Options(k=k + more)))[: len(short)] == short


@given(order=st.randoms(), user=st.integers(0, N_USERS - 1))
def test_the_order_of_a_posted_history_does_not_matter(recommenders, order, user):
    """A shuffled history gives the same answer, bit for bit."""
    recommender = recommenders["ials"]
    posted = history(recommender, user)
    shuffled = list(posted)
    order.shuffle(shuffled)
    options = Options(k=10)
    assert recommender.fold_in(shuffled, options)["items"] == recommender.fold_in(posted, options)["items"]


def test_when_fewer_items_are_left_all_come_and_the_shortfall_is_said(recommender):
    """Asking for more than what is eligible returns everything eligible, once, and counts what is missing."""
    seen = recommender.snapshot.artifact.histories.row(0)[0].tolist()
    answer = recommender.recommend("u00000", Options(k=N_ITEMS, exclude=("i00000", "i00001", "nowhere")))
    left = set(range(N_ITEMS)) - set(seen) - {0, 1}
    assert set(listed(answer)) == left
    assert len(listed(answer)) == len(left)
    assert answer["shortfall"] == N_ITEMS - len(left)


def test_an_unknown_user_gets_popular_items_with_the_reason_or_an_error(recommender):
    """The fallback says that it is one, honours exclusions, and can be refused."""
    popularity = recommender.snapshot.artifact.popularity
    answer = recommender.recommend("nobody", Options(k=4, exclude=("i00007",)))
    assert (answer["source"], answer["fallback_reason"]) == ("popular", "unknown_user")
    assert listed(answer) == reference.top_k(popularity.tolist(), 4, [7])
    assert [item["score"] for item in answer["items"]] == popularity[listed(answer)].tolist()
    with pytest.raises(UnknownUserError, match=rf"'nobody' is not among the {N_USERS} users.*POST /fold-in"):
        recommender.recommend("nobody", Options(k=4, on_unknown="error"))


def test_a_history_of_unknown_items_is_said_to_be_one(recommender):
    """Unknown items are listed; if all are unknown, the answer is popular items with the reason."""
    posted = [Interaction("i00001", 4.0), Interaction("x", 1.0), Interaction("i00002", 5.0)]
    some = recommender.fold_in(posted, Options(k=3))
    assert (some["source"], some["ignored_items"]) == ("fold_in", ["x"])
    none = recommender.fold_in([Interaction("x", 1.0), Interaction("y", 1.0)], Options(k=3))
    assert (none["source"], none["fallback_reason"]) == ("popular", "unknown_items")
    assert none["ignored_items"] == ["x", "y"]
    empty = recommender.fold_in([], Options(k=3))
    assert (empty["source"], empty["fallback_reason"]) == ("popular", "empty_history")
    with pytest.raises(UnknownItemError, match="none of the 1 items of the history"):
        recommender.fold_in([Interaction("x", 1.0)], Options(k=3, on_unknown="error"))


def test_repeated_interactions_add_up_for_implicit_and_replace_for_ratings(recommenders):
    """Two plays of 2 and 3 are 5 plays; of two ratings the later counts, else the last posted."""
    options = Options(k=5)
    implicit, ratings = recommenders["ials"], recommenders["als"]
    twice = implicit.fold_in([Interaction("i00001", 2.0), Interaction("i00001", 3.0)], options)
    assert twice["items"] == implicit.fold_in([Interaction("i00001", 5.0)], options)["items"]
    four = ratings.fold_in([Interaction("i00001", 4.0)], options)["items"]
    last = [Interaction("i00001", 1.0), Interaction("i00001", 4.0)]
    latest = [Interaction("i00001", 4.0, 200), Interaction("i00001", 1.0, 100)]
    assert ratings.fold_in(last, options)["items"] == four
    assert ratings.fold_in(latest, options)["items"] == four


def test_a_missing_value_is_one_for_implicit_and_an_error_for_ratings(recommenders):
    """Only a model of ratings needs a rating."""
    options = Options(k=5)
    implicit = recommenders["ials"]
    bare = implicit.fold_in([Interaction("i00001")], options)
    assert bare["items"] == implicit.fold_in([Interaction("i00001", 1.0)], options)["items"]
    for name in ("als", "svd", "svd-item", "svd-user", "svd-global"):
        with pytest.raises(RequestError, match=r"'i00001' has no value.*send its rating as `value`"):
            recommenders[name].fold_in([Interaction("i00001")], options)


def test_a_dislike_lowers_what_is_alike(recommenders):
    """A negative value on an implicit model pushes the item's nearest neighbour down."""
    recommender = recommenders["ials"]
    neighbour = recommender.similar("i00001", Options(k=1))["items"][0]["item_id"]

    def score_with(value):
        posted = [Interaction("i00009", 3.0), Interaction("i00001", value)]
        answer = recommender.fold_in(posted, Options(k=N_ITEMS, exclude_seen=False))
        return {item["item_id"]: item["score"] for item in answer["items"]}[neighbour]

    assert score_with(-5.0) < score_with(5.0)


def test_dislikes_alone_are_no_preference(recommenders):
    """A history of dislikes leaves all scores equal: popular items with the reason, the disliked left out."""
    recommender = recommenders["ials"]
    popularity = recommender.snapshot.artifact.popularity.tolist()
    for k in (1, 4):
        posted = [Interaction("i00001", -1.0), Interaction("i00002", -3.0)]
        answer = recommender.fold_in(posted, Options(k=k))
        assert (answer["source"], answer["fallback_reason"]) == ("popular", "no_preference")
        assert listed(answer) == reference.top_k(popularity, k, [1, 2])


def test_similar_items_are_the_nearest_by_cosine_without_bias(recommender):
    """Neighbours and scores are the dense cosines; an item is not its own neighbour."""
    artifact, rule = recommender.snapshot.artifact, recommender.snapshot.manifest.row_rule
    q = artifact.item_factors.astype(np.float64)
    q = q[:, :-1] if rule.biased else q
    unit = q / np.linalg.norm(q, axis=1, keepdims=True)
    for item in (0, 13, 49):
        answer = recommender.similar(f"i{item:05}", Options(k=6))
        cosines = unit @ unit[item]
        expected = reference.top_k(cosines, 6, [item])
        np.testing.assert_allclose(cosines[listed(answer)], cosines[expected], atol=1e-6)  # ties
        assert item not in listed(answer)
        found = [each["score"] for each in answer["items"]]
        np.testing.assert_allclose(found, cosines[expected], atol=1e-5)  # float32
    with pytest.raises(UnknownItemError, match=f"'nothing' is not among the {N_ITEMS} items"):
        recommender.similar("nothing", Options(k=6))


def test_a_basket_is_the_weighted_sum_of_directions(recommender):
    """Neighbours of a basket are the dense cosines to Σ wᵢ qᵢ/|qᵢ|, the basket itself left out."""
    q = recommender.snapshot.manifest.row_rule.without_bias(recommender.snapshot.artifact.item_factors)
    unit = q / np.linalg.norm(q, axis=1, keepdims=True)
    mixed = 2 * unit[3] + unit[5] - unit[8]
    answer = recommender.similar_basket(
        [("i00003", 2.0), ("i00005", 1.0), ("i00008", -1.0), ("gone", 1.0)], Options(k=6)
    )
    cosines = unit @ mixed / np.linalg.norm(mixed)
    expected = reference.top_k(cosines.tolist(), 6, [3, 5, 8])
    np.testing.assert_allclose(cosines[listed(answer)], cosines[expected], atol=1e-5)  # float32
    assert answer["ignored_items"] == ["gone"]
    with pytest.raises(UnknownItemError, match="'gone'"):
        recommender.similar_basket([("gone", 1.0)], Options(k=6))


def test_opposite_weights_leave_no_direction(recommender):
    """A basket that cancels out is like nothing: an empty list and its shortfall, not NaN."""
    answer = recommender.similar_basket([("i00003", 1.0), ("i00003", -1.0)], Options(k=6))
    assert (answer["items"], answer["shortfall"]) == ([], 6)


def test_similar_users_are_the_nearest_by_cosine(recommender):
    """Users like a user, without the user, by dense cosine."""
    artifact, rule = recommender.snapshot.artifact, recommender.snapshot.manifest.row_rule
    p = rule.without_bias(artifact.user_factors).astype(np.float64)
    # User-centred SVD leaves nothing of a user whose ratings are all the same: never a neighbour.
    unit = p / np.maximum(np.linalg.norm(p, axis=1, keepdims=True), 1e-12)
    answer = recommender.similar_users("u00004", 7)
    cosines = unit @ unit[4]
    found = [int(user["user_id"][1:]) for user in answer["users"]]
    np.testing.assert_allclose(cosines[found], cosines[reference.top_k(cosines, 7, [4])], atol=1e-6)
    assert 4 not in found
    with pytest.raises(UnknownUserError):
        recommender.similar_users("nobody", 7)


def test_a_prediction_is_the_score_in_the_list(recommender):
    """GET /predict and the list say the same of one pair; unknown ids are errors."""
    first = recommender.recommend("u00002", Options(k=1))["items"][0]
    predicted = recommender.predict("u00002", first["item_id"])["score"]
    assert predicted == pytest.approx(first["score"], rel=1e-5)
    both = recommender.predict_many([("u00002", first["item_id"]), ("u00003", "i00000")])["results"]
    assert both[0]["score"] == predicted
    with pytest.raises(UnknownUserError):
        recommender.predict("nobody", "i00000")
    with pytest.raises(UnknownItemError):
        recommender.predict("u00002", "nothing")


def test_an_item_is_known_with_or_without_metadata(recommender):
    """Metadata come back as they were given; an item without any has an empty object."""
    assert recommender.item("i00003")["metadata"] == {"title": "Three"}
    assert recommender.item("i00004")["metadata"] == {}
    counted = recommender.snapshot.artifact.popularity[4]
    assert recommender.item("i00004")["interactions"] == counted


def test_a_huge_explanation_is_refused_before_it_is_computed(recommenders):
    """More contributions than one answer should hold are an error with the remedy; explain_top cuts them."""
    recommender = recommenders["ials"]
    everyone = [f"u{user:05}" for user in range(N_USERS)] * 14
    with pytest.raises(RequestError, match=r"100,000 contributions.*smaller explain_top, or fewer users"):
        recommender.recommend_many(everyone, Options(k=N_ITEMS, explain=True))
    short = list(recommender.recommend_many(everyone[:50], Options(k=5, explain=True, explain_top=1)))
    assert len(short) == 50


@pytest.mark.parametrize("weight", [1e-30, 1e-60, 1e30, 1e300])
def test_the_scale_of_basket_weights_does_not_matter(recommender, weight):
    """A basket of one item is that item, however large or small its weight."""
    plain = recommender.similar("i00003", Options(k=5))["items"]
    scaled = recommender.similar_basket([("i00003", weight)], Options(k=5))["items"]
    assert scaled == plain


def test_weights_that_cancel_up_to_rounding_leave_no_direction(recommender):
    """0.1 + 0.2 − 0.3 of one item is nothing, although floating point says 5e-17."""
    basket = [("i00003", 0.1), ("i00003", 0.2), ("i00003", -0.3)]
    assert recommender.similar_basket(basket, Options(k=5))["items"] == []


def test_duplicates_are_merged_as_training_merged_them(tmp_path):
    """A posted history repeats the policy of the training table: sum, max, last or a refusal."""
    dataset = make_dataset(clustered_table(30, 20, 3, np.random.default_rng(1)))
    config = configure("ials", {"factors": 4})
    twice = [Interaction("i00001", 5.0, 1), Interaction("i00001", 2.0, 2)]
    for duplicates, value in (("sum", 7.0), ("max", 5.0), ("last", 2.0), ("error", None)):
        root = tmp_path / duplicates
        publish(root, *train(dataset, TrainingPlan(family="ials", config=config, duplicates=duplicates)))
        recommender = Recommender(load(root))
        if value is None:
            with pytest.raises(RequestError, match=r"'i00001' comes twice.*send each item once"):
                recommender.fold_in(twice, Options(k=3))
        else:
            once = recommender.fold_in([Interaction("i00001", value)], Options(k=3))
            assert recommender.fold_in(twice, Options(k=3))["items"] == once["items"]

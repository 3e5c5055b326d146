"""Titles are found however people type them."""

import unicodedata

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from models.title_search import TitleSearch, folded

TITLES = [
    "The Godfather", "Godfather, The: Part II", "Le fabuleux destin d'Amélie Poulain", "Amelia", "Star Wars",
    "The Clone Wars", "Smørrebrød", "Łódź", "千と千尋の神隠し", "Преступление и наказание", "Straße",
    "The Matrix", "Matrix Reloaded", "Dune", "Up", "", "One Flew Over the Cuckoo's Nest", "Alien", "Aliens",
]  # fmt: skip
WEIGHTS = np.arange(len(TITLES), dtype=np.int64)


def found(query: str, k: int = 3) -> list[str]:
    """The best titles."""
    rows, _ = TitleSearch(TITLES, WEIGHTS).search(query, k)
    return [TITLES[row] for row in rows.tolist()]


@pytest.mark.parametrize(
    ("query", "best"),
    [
        ("the godfather", "The Godfather"),
        ("GODFATHER THE", "The Godfather"),
        ("godfahter", "The Godfather"),
        ("godf", "The Godfather"),
        ("godfather part ii", "Godfather, The: Part II"),
        ("amelie", "Le fabuleux destin d'Amélie Poulain"),
        ("Ame\u0301lie poulain", "Le fabuleux destin d'Amélie Poulain"),
        ("star wrs", "Star Wars"),
        ("matirx", "The Matrix"),
        ("starwars", "Star Wars"),
        ("clonewars", "The Clone Wars"),
        ("matrixrelaoded", "Matrix Reloaded"),
        ("god father", "The Godfather"),
        ("smorrebrod", "Smørrebrød"),
        ("lodz", "Łódź"),
        ("strasse", "Straße"),
        ("千と千尋の神隠し", "千と千尋の神隠し"),
        ("преступление", "Преступление и наказание"),
        ("cukoos nest", "One Flew Over the Cuckoo's Nest"),
        ("up", "Up"),
        ("dune", "Dune"),
    ],
)
def test_title_is_found_as_people_type_it(query: str, best: str) -> None:
    """Case, accents, word order, unfinished words, spaces and small typos do not matter."""
    assert found(query)[0] == best


@pytest.mark.parametrize("query", ["zzzzzz", "!!!", "  ", "\n", "\x00", "\u0301", "🙂"])
def test_nothing_is_found_where_nothing_is_like_it(query: str) -> None:
    """A query of no letters, or of other words, finds nothing; nothing finds a title without letters."""
    rows, likenesses = TitleSearch(TITLES, WEIGHTS).search(query, 5)
    assert (len(rows), len(likenesses)) == (0, 0)


def test_weight_decides_between_equals() -> None:
    """Of titles that are as like the query the one of larger weight comes first, then the earlier."""
    search = TitleSearch(["Emma", "Dracula", "Emma", "Emma"], np.array([1, 9, 5, 1]))
    rows, likenesses = search.search("emma", 5)
    assert rows.tolist() == [2, 0, 3]
    np.testing.assert_allclose(likenesses, 1)


def test_very_title_comes_before_longer_ones() -> None:
    """Alien before Aliens, whatever their weights."""
    assert found("alien")[:2] == ["Alien", "Aliens"]
    assert found("aliens")[:2] == ["Aliens", "Alien"]


word = st.text(st.characters(categories=["L", "Nd"]), min_size=1, max_size=12)
titles = st.lists(st.lists(word, min_size=1, max_size=5).map(" ".join), min_size=1, max_size=30)


@given(titles, st.data())
def test_every_title_finds_itself(catalogue: list[str], data: st.DataObject) -> None:
    """In any script and spelling of case and accents, among any others, with likeness 1."""
    wanted = data.draw(st.sampled_from(catalogue))
    form = data.draw(st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"]))
    assume(folded(wanted).strip())
    rows, likenesses = TitleSearch(catalogue, np.zeros(len(catalogue), np.int64)).search(
        unicodedata.normalize(form, wanted), len(catalogue)
    )
    same = {row for row, title in enumerate(catalogue) if folded(title).split() == folded(wanted).split()}
    assert same <= set(rows[likenesses > 1 - 1e-9].tolist())
    assert (np.diff(likenesses) <= 0).all()
    assert len(set(rows.tolist())) == len(rows)


@given(titles, st.text(max_size=200), st.integers(1, 40))
def test_any_text_is_a_query(catalogue: list[str], query: str, k: int) -> None:
    """Whatever is asked, there is an answer of at most k titles, with likenesses in (0, 1]."""
    rows, likenesses = TitleSearch(catalogue, np.zeros(len(catalogue), np.int64)).search(query, k)
    assert len(rows) == len(likenesses) <= k
    assert ((likenesses > 0) & (likenesses <= 1 + 1e-9)).all()


def test_catalogue_without_titles_finds_nothing() -> None:
    """An empty catalogue, and one of empty titles, is searched without a fault."""
    for catalogue in ([], ["", ""]):
        rows, _ = TitleSearch(catalogue, np.zeros(len(catalogue), np.int64)).search("x", 3)
        assert len(rows) == 0

"""Titles as people type them: case, accents, order, spaces, unfinished words and small typos do not matter.

Titles that share rare n-grams with the query are candidates; the best of those are compared word by word.
"""

from __future__ import annotations

import math
import re
import unicodedata
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np
from rapidfuzz.distance import OSA

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.types import Float64Array, PointerArray, RowArray

_CANDIDATES: Final = 100
"""Titles that are compared word by word."""
_POSTINGS: Final = 50_000
"""Where the rare n-grams of a query are in so many titles, its common ones are not looked at."""
_LEAST_LIKENESS: Final = 0.6
"""Of the words of a query to words of a title, on average; less is another title."""
_BEGUN: Final = 0.9
"""Likeness of the beginning of a word to the word."""
_WHOLE: Final = 0.1
"""Share of the score that says how much of the title was asked for."""
_GRAM_BITS: Final = 20
"""N-grams are told apart by so many bits: seldom do two fall together, and then a candidate is in vain."""
_OWNER_BITS: Final = 32
_SPREAD: Final = (1_000_003, 1_009, 7_919_003)
_PRIME: Final = (1 << 31) - 1
_SPACE, _END = ord(" "), ord("\n")

_MARKS = re.compile("[\u0300-\u036f]+")
_BETWEEN_WORDS = re.compile(r"[^\w\n]+|_+")
_UNDECOMPOSED = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i"}
)


def folded(text: str) -> str:
    """Words in lower case without accents, separated by single spaces; lines stay lines."""
    plain = _MARKS.sub("", unicodedata.normalize("NFKD", text)).casefold().translate(_UNDECOMPOSED)
    return _BETWEEN_WORDS.sub(" ", plain)


class TitleSearch:
    """Finds titles.

    Args:
        titles: in any script; an empty one is never found.
        weights: shape ``(n,)``; of equally good titles the one of larger weight comes first.
    """

    def __init__(self, titles: Sequence[str], weights: PointerArray) -> None:
        lines = folded("\n".join(title.replace("\n", " ") for title in titles)).split("\n")
        self._titles = [line.strip() for line in lines[: len(titles)]]
        self._weights = weights
        grams, owners = _grams(self._titles)
        postings = np.sort(grams << _OWNER_BITS | owners)
        postings = postings[np.diff(postings, prepend=-1) != 0]
        counts = np.bincount(postings >> _OWNER_BITS, minlength=1 << _GRAM_BITS)
        self._starts = np.concatenate([[0], np.cumsum(counts)])
        self._owners = (postings & ((1 << _OWNER_BITS) - 1)).astype(np.int32)

    def search(self, query: str, k: int) -> tuple[RowArray, Float64Array]:
        """The k titles most like a query, fewer where fewer are like it.

        Returns:
            Positions of the titles, int32, and likenesses in (0, 1]: 1 is the very title.
        """
        words = folded(query.replace("\n", " ")).split()
        if not words:
            return np.empty(0, dtype=np.int32), np.empty(0)
        candidates = self._candidates(words, max(_CANDIDATES, k))
        scored = [(self._likeness(words, row), int(self._weights[row]), -row) for row in candidates.tolist()]
        best = sorted((each for each in scored if each[0] > 0), reverse=True)[:k]
        rows = np.array([-row for _, _, row in best], dtype=np.int32)
        return rows, np.array([likeness for likeness, _, _ in best])

    def _candidates(self, words: Sequence[str], most: int) -> RowArray:
        """Titles by the n-grams that they share with the query, the rare ones counting more."""
        shared = np.zeros(len(self._titles), dtype=np.float32)
        grams = np.unique(_grams([" ".join(words)])[0])
        lengths = self._starts[grams + 1] - self._starts[grams]
        rarest = lengths.argsort(kind="stable")
        enough = np.searchsorted(np.cumsum(lengths[rarest]), _POSTINGS) + 1
        for gram, length in zip(grams[rarest[:enough]].tolist(), lengths[rarest].tolist(), strict=False):
            start = self._starts[gram]
            shared[self._owners[start : start + length]] += math.log1p(len(self._titles) / max(1, length))
        rows = np.flatnonzero(shared)
        if len(rows) > most:
            rows = rows[np.argpartition(shared[rows], len(rows) - most)[-most:]]
        return rows.astype(np.int32)

    def _likeness(self, words: Sequence[str], row: int) -> float:
        """How much of the query is in the title, and a little of how much of the title is in the query."""
        title = self._titles[row].split()
        letters = sum(map(len, words))
        joined = [first + second for first, second in pairwise(title)]
        like = sum(len(word) * _best_likeness(word, title, joined) for word in words) / letters
        if like < _LEAST_LIKENESS:
            return 0.0
        return (1 - _WHOLE) * like + _WHOLE * min(1.0, letters / sum(map(len, title)))


def _best_likeness(word: str, title: Sequence[str], joined: Sequence[str]) -> float:
    """How like a word is to any of a title, or to two of them without the space between."""
    likeness = max(_word_likeness(word, each) for each in title)
    if likeness < _BEGUN and joined:
        likeness = max(likeness, *(_word_likeness(word, each) for each in joined))
    return likeness


def _word_likeness(word: str, other: str) -> float:
    if word == other:
        return 1.0
    likeness: float = OSA.normalized_similarity(word, other)
    return max(likeness, _BEGUN) if other.startswith(word) else likeness


def _grams(lines: Sequence[str]) -> tuple[PointerArray, PointerArray]:
    """The bigrams and trigrams of the words of some lines, the spaces around a word included.

    Returns:
        A number below 2 to the `_GRAM_BITS` for each, drawn by its letters, and the number of its line.
    """
    text = "".join(f" {line} \n" for line in lines)
    letters = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32).astype(np.int64)
    owners = np.cumsum(letters == _END)
    first, second, third = letters[:-2], letters[1:-1], letters[2:]
    is_bigram = (first != _END) & (second != _END)
    is_trigram = is_bigram & (third != _END) & (second != _SPACE)
    bigrams = (first * _SPREAD[0] + second * _SPREAD[1])[is_bigram]
    trigrams = (first * _SPREAD[0] + second * _SPREAD[1] + third * _SPREAD[2])[is_trigram]
    numbers = np.concatenate([bigrams, trigrams]) % _PRIME & ((1 << _GRAM_BITS) - 1)
    return numbers, np.concatenate([owners[:-2][is_bigram], owners[:-2][is_trigram]])

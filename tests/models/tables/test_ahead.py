"""Elements computed in another thread."""

from __future__ import annotations

import threading

import pytest

from models.tables.ahead import computed_ahead


def test_the_same_elements_in_order():
    """Nothing is lost, doubled or moved."""
    assert list(computed_ahead(iter(range(100)))) == list(range(100))
    assert list(computed_ahead(iter([]))) == []
    assert list(computed_ahead(iter([None, None]))) == [None, None]


def test_an_error_is_raised_in_its_place():
    """The elements before it come first."""

    def elements():
        yield 1
        yield 2
        raise ValueError("three")

    ahead = computed_ahead(elements())
    assert (next(ahead), next(ahead)) == (1, 2)
    with pytest.raises(ValueError, match="three"):
        next(ahead)


def test_leaving_early_ends_the_thread():
    """At most one element more than was taken is computed, and nothing goes on in the background."""
    computed = []

    def elements():
        for element in range(100):
            computed.append(element)
            yield element

    threads = threading.active_count()
    ahead = computed_ahead(elements())
    assert next(ahead) == 0
    ahead.close()
    assert computed in ([0], [0, 1])
    assert threading.active_count() == threads

"""Filters over item metadata, against plain Python over the same records."""

from __future__ import annotations

import json
import operator
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from models.errors import RequestError
from models.ids import IdMap
from models.item_fields import build_fields
from models.item_filter import FilterMasks, ItemFilter, parse_filter

NUMBERS = st.sampled_from([-1e300, -2.5, -1, 0, -0.0, 1, 1.5, 2, 1990, 2**53, 5e-324])
STRINGS = st.sampled_from(["", "a", "A", "b c", "ü", "😀", "1990", "true", "x:y", "!a", "\0"])
DATES = st.sampled_from(
    [
        "1969-12-31",
        "1970-01-01",
        "1970-01-01T00:00:00",
        "1970-01-01T23:59:59.999999Z",
        "1970-01-02",
        "1970-01-02 01:00+02:00",
        "2024-02-29",
        "2024-02-29T12:00:00.5",
        "0001-01-01",
        "9999-12-31",
    ]
)
BOOLEANS = st.booleans()
KINDS = {"number": NUMBERS, "string": STRINGS, "date": DATES, "boolean": BOOLEANS}
FULL = {"number": 1, "string": "a", "date": "1970-01-01", "boolean": True}
"""Of the first item, so that all fields are there."""
RECORDS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            **{kind: st.none() | values for kind, values in KINDS.items()},
            **{f"{kind}s": st.lists(values, max_size=3) for kind, values in KINDS.items()},
        },
    ),
    max_size=8,
).map(lambda drawn: [FULL | {f"{kind}s": [value] for kind, value in FULL.items()}, *drawn])
COMPARISONS = {"gte": operator.ge, "gt": operator.gt, "lte": operator.le, "lt": operator.lt}
SIGNS = {"gte": ">=", "gt": ">", "lte": "<=", "lt": "<"}


@st.composite
def clauses(draw):
    """A clause as JSON."""
    kind = draw(st.sampled_from(sorted(KINDS)))
    field = draw(st.sampled_from([kind, f"{kind}s"]))
    if kind in ("string", "boolean") or draw(st.booleans()):
        return {"field": field, "any_of": draw(st.lists(KINDS[kind], min_size=1, max_size=3))}
    ends = draw(st.sampled_from([("gte",), ("gt",), ("lte",), ("lt",), ("gte", "lte"), ("gt", "lt")]))
    return {"field": field} | {end: draw(KINDS[kind]) for end in ends}


FILTERS = st.fixed_dictionaries(
    {}, optional={"must": st.lists(clauses(), max_size=3), "must_not": st.lists(clauses(), max_size=3)}
)


def moment(text):
    """A date or datetime as the moment it begins."""
    found = datetime.fromisoformat(text)
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found


def compares(value, how, bound):
    """One comparison; a date without a time is compared by the day."""
    if not isinstance(bound, str):
        return how(value, bound)
    if len(bound) == 10:
        return how(moment(value).astimezone(UTC).date(), date.fromisoformat(bound))
    return how(moment(value), moment(bound))


def fulfils(record, clause):
    """Whether one of the item's values fulfils the clause."""
    field = clause["field"]
    values = record.get(field)
    listed = values if isinstance(values, list) else [] if values is None else [values]

    def one(value):
        if "any_of" not in clause:
            return all(
                compares(value, COMPARISONS[end], bound) for end, bound in clause.items() if end != "field"
            )
        if field.startswith("date"):
            return any(compares(value, operator.eq, wanted) for wanted in clause["any_of"])
        return value in clause["any_of"]

    return any(map(one, listed))


def passes(record, item_filter):
    """The meaning of a filter."""
    must = all(fulfils(record, clause) for clause in item_filter.get("must", []))
    return must and not any(fulfils(record, clause) for clause in item_filter.get("must_not", []))


def masks_of(records, **options):
    """Masks over items numbered as the records are."""
    ids = [f"{number:03}" for number in range(len(records))]
    items = IdMap.build(ids)
    assert list(items) == ids
    return FilterMasks(build_fields(items, dict(zip(ids, records, strict=True))), **options)


def posted(item_filter):
    """A filter as it comes out of a body."""
    return ItemFilter.model_validate_json(json.dumps(item_filter), strict=True)


def texts(item_filter):
    """A filter as query parameters; None where they cannot say it."""
    said = []
    for sign, clauses in (("", item_filter.get("must", [])), ("!", item_filter.get("must_not", []))):
        for clause in clauses:
            values = [
                str(value).lower() if isinstance(value, bool) else str(value)
                for value in clause.get("any_of", [])
            ]
            ends = [end for end in clause if end in SIGNS]
            if values:
                condition = "|".join(values)
            elif ends == ["gte", "lte"]:
                condition = f"{clause['gte']}..{clause['lte']}"
            elif len(ends) == 1:
                condition = SIGNS[ends[0]] + str(clause[ends[0]])
            else:
                return None
            if not condition:
                return None
            said.append(f"{sign}{clause['field']}:{condition}")
    return said


@given(RECORDS, FILTERS)
def test_a_filter_lets_through_what_plain_python_does(records, item_filter):
    """Every kind, lists, missing values, ranges, any-of and not, on random records."""
    eligible = masks_of(records).eligible(posted(item_filter))
    expected = [passes(record, item_filter) for record in records]
    assert eligible.mask.tolist() == expected
    assert eligible.rows.tolist() == np.flatnonzero(expected).tolist()


@given(RECORDS, FILTERS)
def test_text_json_and_order_do_not_matter(records, item_filter):
    """The same filter in a query string, in a body, printed and read again, or shuffled, is one filter."""
    masks = masks_of(records)
    eligible = masks.eligible(posted(item_filter))
    said = texts(item_filter)
    if said is not None:
        parsed = parse_filter(said, masks.fields)
        assert masks.eligible(parsed) is eligible
        printed = parsed.model_dump_json(exclude_defaults=True)
        assert masks.eligible(ItemFilter.model_validate_json(printed, strict=True)) is eligible
    shuffled = {part: clauses[::-1] * 2 for part, clauses in item_filter.items()}
    for clause in [clause for clauses in shuffled.values() for clause in clauses if "any_of" in clause]:
        clause["any_of"] = clause["any_of"][::-1] * 2
    assert masks.eligible(posted(shuffled)) is eligible


@given(RECORDS, FILTERS, FILTERS)
def test_filters_together_let_through_what_each_does(records, one, other):
    """And is intersection; a clause that is not fulfilled is one whose negation is."""
    masks = masks_of(records)
    both = {part: one.get(part, []) + other.get(part, []) for part in ("must", "must_not")}
    np.testing.assert_array_equal(
        masks.eligible(posted(both)).mask,
        masks.eligible(posted(one)).mask & masks.eligible(posted(other)).mask,
    )
    for clause in one.get("must", []):
        np.testing.assert_array_equal(
            masks.eligible(posted({"must": [clause]})).mask,
            ~masks.eligible(posted({"must_not": [clause]})).mask,
        )


def test_no_clause_lets_everything_through():
    """An empty filter is none."""
    assert masks_of([FULL, {}]).eligible(ItemFilter()).mask.all()


MASKS = masks_of([FULL | {"strings": ["a"], "cast": {"a": 1}, "mixed": 1}, {"mixed": "x"}])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("number", "not of the form field:value"),
        ("number:", "not of the form field:value"),
        (":1", "not of the form field:value"),
        ("!:1", "not of the form field:value"),
        ("", "not of the form field:value"),
        ("strin:a", r"no field.*did you mean 'string'.*fields are boolean \(boolean\), date \(date\)"),
        ("cast:a", r"'cast' cannot be filtered by, as its values are objects; fields are"),
        ("mixed:a", "of different types: number, string"),
        ("number:x", r"'x' is no number, as values of number \(number\) are"),
        ("number:nan", "is no number"),
        ("number:>1e999", "is no number"),
        ("number:1..", "is no number"),
        ("number:..1", "is no number"),
        ("number:1|x", "is no number"),
        ("boolean:1", "neither true nor false"),
        ("boolean:>true", r"boolean \(boolean\) has no ranges"),
        ("string:>=a", r"string \(string\) has no ranges"),
        ("strings:a..b", r"strings \(list of strings\) has no ranges"),
        ("date:1990", "'1990' does not suit the field date.*ISO 8601"),
        ("date:>=1990-02-30", "'1990-02-30' does not suit"),
        ("date:1990-01-01..", "'' does not suit"),
    ],
)
def test_a_text_that_makes_no_sense_is_refused(text, message):
    """The message quotes it and says what would make sense."""
    with pytest.raises(RequestError, match=message):
        MASKS.eligible(parse_filter([text], MASKS.fields))


@pytest.mark.parametrize(
    ("clause", "message"),
    [
        ({"field": "number", "any_of": [True]}, "True does not suit the field number"),
        ({"field": "number", "any_of": ["1"]}, "'1' does not suit"),
        ({"field": "number", "gte": "1990-01-01"}, "does not suit the field number"),
        ({"field": "boolean", "any_of": [1]}, "1.0 does not suit the field boolean"),
        ({"field": "string", "any_of": [1]}, "does not suit the field string"),
        ({"field": "string", "gte": "a"}, "string.* has no ranges"),
        ({"field": "boolean", "gte": 0}, "boolean.* has no ranges"),
        ({"field": "date", "lt": 0}, "0.0 does not suit the field date"),
        ({"field": "date", "any_of": ["yesterday"]}, "'yesterday' does not suit"),
        ({"field": "\ud800", "any_of": [1]}, "no field"),
    ],
)
def test_values_of_the_wrong_type_are_refused(clause, message):
    """What JSON types a field's values have is not guessed."""
    for part in ("must", "must_not"):
        with pytest.raises(RequestError, match=message):
            MASKS.eligible(ItemFilter.model_validate({part: [clause]}))


def test_equal_numbers_of_other_types_are_not_taken_for_known():
    """1 == True in Python, but a filter by one must not be answered with what is known of the other."""
    MASKS.eligible(posted({"must": [{"field": "number", "any_of": [1]}]}))
    with pytest.raises(RequestError, match="does not suit"):
        MASKS.eligible(posted({"must": [{"field": "number", "any_of": [True]}]}))


@pytest.mark.parametrize(
    "clause",
    [
        {"field": "n"},
        {"field": "n", "any_of": []},
        {"field": "n", "any_of": [1], "gte": 1},
        {"field": "n", "gte": 1, "gt": 1},
        {"field": "n", "lte": 1, "lt": 1},
        {"field": "n", "equals": 1},
        {"field": 1, "any_of": [1]},
        {"field": "n", "any_of": [[1]]},
        {"field": "n", "gte": True},
        {"any_of": [1]},
    ],
    ids=str,
)
def test_what_is_no_clause_is_refused(clause):
    """One condition, of known members, on one field."""
    with pytest.raises(ValidationError):
        posted({"must": [clause]})


def test_filters_are_of_bounded_length():
    """A request cannot ask for a thousand passes over the catalogue."""
    clause = {"field": "number", "any_of": [1]}
    MASKS.eligible(posted({"must": [clause] * 32, "must_not": [clause] * 32}))
    MASKS.eligible(posted({"must": [{"field": "number", "any_of": list(range(1000))}]}))
    for too_long in (
        {"must": [clause] * 33, "must_not": [clause] * 32},
        {"must": [clause], "must_not": [{"field": "number", "any_of": list(range(1000))}]},
    ):
        with pytest.raises(RequestError, match="is too long; send at most 64 clauses and 1,000 values"):
            MASKS.eligible(posted(too_long))


def test_values_that_occur_nowhere_match_nothing():
    """They are no error: another catalogue may have them."""
    for text in ("string:zzz", "strings:zzz|yyy", "number:77", "date:2100-01-01", "boolean:false"):
        assert not MASKS.eligible(parse_filter([text], MASKS.fields)).mask.any()
        assert MASKS.eligible(parse_filter([f"!{text}"], MASKS.fields)).mask.all()


def test_without_metadata_a_filter_says_so():
    """The remedy is an items table."""
    masks = FilterMasks(build_fields(IdMap.build(["a"]), {}))
    with pytest.raises(RequestError, match="published without item metadata; train it with an items table"):
        parse_filter(["genres:Comedy"], masks.fields)


def test_what_is_remembered_is_bounded_and_the_latest():
    """Bytes are counted, the least recently used goes; what is larger than all is answered all the same."""
    records = [{"n": number} for number in range(100)]

    def answer(masks, number):
        return masks.eligible(parse_filter([f"n:{number}"], masks.fields))

    one = answer(masks_of(records), 0).nbytes
    masks = masks_of(records, cache_bytes=2 * one)
    first, second = answer(masks, 1), answer(masks, 2)
    assert answer(masks, 1) is first
    third = answer(masks, 3)
    assert answer(masks, 1) is first
    assert answer(masks, 3) is third
    assert answer(masks, 2) is not second
    assert sum(each.nbytes for each in masks._remembered.values()) <= 2 * one
    tiny = masks_of(records, cache_bytes=one - 1)
    assert answer(tiny, 5).rows.tolist() == [5]
    assert not tiny._remembered


def test_threads_get_the_right_answers():
    """Many threads with more filters than are remembered."""
    masks = masks_of([{"n": number % 20} for number in range(400)], cache_bytes=2000)
    filters = [parse_filter([f"n:{number}"], masks.fields) for number in range(20)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(8) as pool:
            for number, eligible in enumerate(pool.map(masks.eligible, filters * 100)):
                assert (eligible.rows % 20 == number % 20).all()
                assert len(eligible.rows) == 20
    finally:
        sys.setswitchinterval(interval)
    assert masks._free == 2000 - sum(each.nbytes for each in masks._remembered.values())


@pytest.mark.parametrize(
    ("values", "card"),
    [
        (["a", "b"], "x (string)"),
        (["a", ["b", "a"]], "x (list of strings)"),
        ([1, 2.5, None], "x (number)"),
        ([[1], []], "x (list of numbers)"),
        ([True, False], "x (boolean)"),
        (["1990-01-01", "1990-01-01T10:00:00+02:00"], "x (date)"),
        (["1990-01-01", "soon"], "x (string)"),
        (["1990-13-01"], "x (string)"),
        (["19900101"], "x (string)"),  # as well a number of eight digits
        (["1990-01-01T"], "x (string)"),
    ],
    ids=str,
)
def test_kinds_of_fields(values, card):
    """A member's kind is what all of its values are."""
    [field] = masks_of([{"x": value} for value in values]).fields
    assert str(field.card) == card


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([None, []], "no item has a value"),
        ([{"a": 1}, "x"], "its values are objects"),
        ([["a"], [["b"]]], "its values are lists of lists"),
        ([1, "a"], "different types: number, string"),
        ([True, 1], "different types: boolean, number"),
        ([1, 10**400], "beyond float64"),
        (["x" * 501], "longer than 500 characters"),
    ],
    ids=["nothing", "objects", "nested", "mixed", "boolean and number", "huge", "long"],
)
def test_members_that_are_no_fields(values, reason):
    """They are left out, and the reason is kept."""
    fields = masks_of([{"x": value} for value in values]).fields
    assert not list(fields)
    assert reason in fields.unfilterable["x"]
    with pytest.raises(RequestError, match=r"'x' cannot be filtered by, as .*; fields are none"):
        parse_filter(["x:1"], fields)


def test_only_items_of_the_catalogue_count():
    """Records of others are left out, as is an `item_id`, which answers give by themselves."""
    fields = build_fields(IdMap.build(["a"]), {"a": {"x": "1", "item_id": "a"}, "b": {"x": "2", "y": 3}})
    assert [(field.card.name, len(field.items)) for field in fields] == [("x", 1)]

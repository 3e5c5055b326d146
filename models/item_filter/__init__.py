"""Filters over item metadata: two ways to write one, and the items that it lets through."""

from models.item_filter.clauses import Clause, ItemFilter
from models.item_filter.masks import FilterMasks
from models.item_filter.text import parse_filter

__all__ = ["Clause", "FilterMasks", "ItemFilter", "parse_filter"]

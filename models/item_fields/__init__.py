"""Item metadata as typed columns that a filter can look things up in, memory-mapped like everything else."""

from models.item_fields.build import build_fields
from models.item_fields.fields import Intervals, ItemField, ItemFields
from models.item_fields.kinds import FieldCard, Kind

__all__ = ["FieldCard", "Intervals", "ItemField", "ItemFields", "Kind", "build_fields"]

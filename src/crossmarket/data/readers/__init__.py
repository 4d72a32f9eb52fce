"""Reading interactions in any of the known formats, with the account of every row."""

from crossmarket.data.accounting import FileReport, ReadReport, ReadResult, RowCounts
from crossmarket.data.readers.columns import ColumnMap
from crossmarket.data.readers.reading import read_data
from crossmarket.data.readers.registry import FORMATS

__all__ = [
    "FORMATS",
    "ColumnMap",
    "FileReport",
    "ReadReport",
    "ReadResult",
    "RowCounts",
    "read_data",
]

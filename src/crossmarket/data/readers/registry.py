"""All formats: a new one is added here and nowhere else."""

from __future__ import annotations

from crossmarket.data.readers import recbole, store, table, wsdm, xmarket
from crossmarket.data.readers.formats import Format

#: All formats by name, in the order in which a path is tried on them.
FORMATS: dict[str, Format] = {
    module.FORMAT.name: module.FORMAT for module in (store, wsdm, xmarket, recbole, table)
}

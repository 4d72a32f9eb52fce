"""Published tables for the mini-markets, written as the catalogue writes them."""

import yaml

from crossmarket.experiments.published import read_published
from crossmarket.reproduction.run import setting_of

POPULARITY = {"title": "Popularity", "model": "popularity"}
EASE = {"title": "EASE", "model": "ease"}
KNN = {"title": "Item kNN", "model": "item-knn"}


def published(folder, rows, **changes):
    """A table read from a file, as `read_published` reads those of the catalogue."""
    entries = {
        "name": "small-table1",
        "paper": "FOREC",
        "table": 1,
        "title": "A small table.",
        "kind": "comparison",
        "data": "xmarket",
        "protocol": {"name": "ratio-full"},
        "stated": "All is stated.",
        "columns": ["uk", "de"],
        "rows": rows,
        **changes,
    }
    path = folder / f"{entries['name']}.yaml"
    path.write_text(yaml.safe_dump(entries), encoding="utf-8")
    return read_published(path)


def row(title, system, values, **changes):
    return {"title": title, "system": system, "values": values, **changes}


def setting(table, data, folder, **changes):
    return setting_of(table, data, folder, **changes)

"""The forms in which a fitted system can be served, from the least to the most personal."""

from __future__ import annotations

from collections.abc import Mapping

from crossmarket.artifact.forms.base import Form
from crossmarket.artifact.forms.counts import CountForm
from crossmarket.artifact.forms.item_item import ItemItemForm
from crossmarket.artifact.forms.vectors import VectorForm

#: Every form by its name in an artifact.
__all__ = ["FORMS", "CountForm", "Form", "ItemItemForm", "VectorForm"]

FORMS: Mapping[str, type[Form]] = {
    form.kind: form for form in (CountForm, ItemItemForm, VectorForm)
}

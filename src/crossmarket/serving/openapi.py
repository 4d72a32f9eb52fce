"""Building OpenAPI descriptions: documents, operations, parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

import crossmarket
from crossmarket.serving.problems import MEDIA_TYPE, STATUS

_REFERENCE = "#/components/schemas/{model}"
_EVERYWHERE = ("bad_request", "unauthorised", "misdirected", "target_too_long", "head_too_large")
_OF_BODY = ("bad_json", "body_too_large", "unsupported_media_type")


def document(
    title: str,
    description: str,
    paths: dict[str, Any],
    models: Sequence[type[BaseModel]],
    security: list[dict[str, Any]],
) -> dict[str, Any]:
    """A whole description.

    Parameters
    ----------
    title, description : str
        Of the service.
    paths : dict
        Operations by address and method.
    models : sequence of BaseModel types
        The forms that they name.
    security : list
        Any one of these opens it.
    """
    _, schemas = models_json_schema(
        [(model, "validation") for model in models], ref_template=_REFERENCE
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": title,
            "version": crossmarket.__version__,
            "description": description,
        },
        "security": security,
        "paths": paths,
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def operation(
    summary: str,
    answer: str | None,
    codes: Sequence[str],
    *,
    path: Mapping[str, str] | None = None,
    query: Sequence[dict[str, Any]] = (),
    body: tuple[str, dict[str, Any]] | None = None,
    is_open: bool = False,
) -> dict[str, Any]:
    """What a method does at an address.

    Parameters
    ----------
    summary : str
        One sentence.
    answer : str or None
        Name of the form of its JSON; None for another media type.
    codes : sequence of str
        Codes of the problems it may answer, besides those that every address may.
    path : mapping of str to str
        Example of each part of the path.
    query : sequence of dict
        From `parameter`.
    body : (str, dict)
        Name of the form of what is sent, and an example.
    is_open : bool
        Whether it needs no key.
    """
    text = {"type": "string", "minLength": 1}
    parts = [parameter(name, "path", text, example) for name, example in (path or {}).items()]
    values: dict[str, Any] = {
        "summary": summary,
        "parameters": [*parts, *query],
        "responses": _responses(answer, codes if body is None else (*codes, *_OF_BODY)),
    }
    if body is not None:
        form, example = body
        content = {"application/json": {"schema": _reference(form), "example": example}}
        values["requestBody"] = {"required": True, "content": content}
    if is_open:
        values["security"] = []
    return values


def parameter(name: str, place: str, kind: dict[str, Any], example: Any) -> dict[str, Any]:
    """A parameter in the `path` or in the `query`, of a kind of JSON schema."""
    return {
        "name": name,
        "in": place,
        "required": place == "path",
        "schema": kind,
        "example": example,
    }


def _responses(answer: str | None, codes: Sequence[str]) -> dict[str, Any]:
    content = {} if answer is None else {"application/json": {"schema": _reference(answer)}}
    found: dict[str, Any] = {"200": {"description": "The answer."}}
    if content:
        found["200"]["content"] = content
    problem = {MEDIA_TYPE: {"schema": _reference("ProblemDetails")}}
    for code in (*_EVERYWHERE, *codes):
        status = found.setdefault(str(STATUS[code]), {"description": "", "content": problem})
        status["description"] = ", ".join(filter(None, (status["description"], f"`{code}`")))
    return found


def _reference(model: str) -> dict[str, str]:
    return {"$ref": _REFERENCE.format(model=model)}

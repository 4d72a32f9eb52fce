"""The reference of every setting, from the pydantic models and the presets."""

from __future__ import annotations

import inspect
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import yaml
from docs.generators.markdown import GENERATED, anchor, table
from pydantic import BaseModel

from crossmarket.data.simulate import SimulationConfig
from crossmarket.evaluation.protocols import Protocol
from crossmarket.experiments.experiment import Experiment
from crossmarket.experiments.systems import SystemConfig
from crossmarket.experiments.tuning.plan import TuningPlan
from crossmarket.models.base import Recommender
from crossmarket.models.config import ModelConfig, flat_values
from crossmarket.models.facts import split_description
from crossmarket.models.registry import MODELS

_BOUNDS = {
    "minimum": "≥",
    "exclusiveMinimum": ">",
    "maximum": "≤",
    "exclusiveMaximum": "<",
    "minItems": "at least",
}

_INTRODUCTION = """\
Every setting of every system, with the value it has when nobody says otherwise and where that
value comes from (a paper, a control, or a choice of this package). Names that are not listed
are refused, and so are values out of range. Where the source is *none*, the paper gives no value
and the one here is a choice of this package.

On the command line a setting is changed with `--set name=value`, a nested one with its dotted
name: `--set backbone.embedding_size=128`. In an experiment file it goes under `config:`, in Python
into `Model.from_config({...})`. A preset is a named set of changes that `--set` is applied on top
of; where a system has a preset called `default`, that is what the command line starts from, while
a config built in Python without a preset starts from the defaults in the tables below."""


def render() -> str:
    """Render the whole page."""
    lines = [GENERATED, "", "# Configuration", "", _INTRODUCTION, "", "## Systems", ""]
    lines += [*_index(), ""]
    for model in MODELS.values():
        lines += _system(model)
    lines += ["## Shared sections", ""]
    for config in _shared():
        lines += [f"### {config.__name__}", "", _first(config), "", *_fields(config), ""]
    lines += ["## Experiments", "", "The YAML files of `crossmarket compare` and `tune`.", ""]
    for title, documented in [
        ("Experiment file", Experiment),
        ("Tuning file", TuningPlan),
        ("An entry of `systems`", SystemConfig),
        ("`protocol`", Protocol),
    ]:
        lines += [f"### {title}", "", _first(documented), "", *_documented(documented), ""]
    lines += [
        "## Simulated markets",
        "",
        "The YAML file of `crossmarket data simulate --config`.",
        "",
    ]
    lines += [*_fields(SimulationConfig), "", "The default markets:", "", "```yaml"]
    markets = SimulationConfig().model_dump(mode="json", include={"markets"})
    lines += [yaml.safe_dump(markets, default_flow_style=None, sort_keys=False).strip(), "```"]
    return "\n".join(lines).rstrip() + "\n"


def _index() -> list[str]:
    """Links to the systems of each family."""
    families: dict[str, list[str]] = {}
    for name, model in MODELS.items():
        families.setdefault(model.family, []).append(f"[`{name}`](#{name})")
    return [f"- {family}: {', '.join(links)}" for family, links in families.items()]


def _system(model: type[Recommender]) -> list[str]:
    config = model.config_class
    facts = "; ".join(dict.fromkeys([model.paper, model.family]))
    lines = [f"### {model.name}", ""]
    lines += [f"{model.summary[0].upper()}{model.summary[1:]} ({facts}).", ""]
    inherited = next((base for base in config.__mro__[1:] if base in _shared()), None)
    if inherited is None:
        return [*lines, *_fields(config), "", *_presets(model)]
    name = inherited.__name__
    linked = f"All settings of [{name}](#{anchor(name)})"
    changed = _fields(config, inherited)
    lines += [*([f"{linked}, and:", "", *changed] if changed else [f"{linked}."]), ""]
    return [*lines, *_presets(model)]


@cache
def _shared() -> tuple[type[ModelConfig], ...]:
    """Config classes that are sections of others or that several systems build on."""
    found: dict[str, type[ModelConfig]] = {}
    waiting = [model.config_class for model in MODELS.values()]
    bases = Counter(config.__mro__[1] for config in dict.fromkeys(waiting))
    for base, count in bases.items():
        if count > 1 and issubclass(base, ModelConfig) and base.model_fields:
            found[base.__name__] = base
    while waiting:
        for section in _sections(waiting.pop(0)):
            if section.__name__ not in found:
                found[section.__name__] = section
                waiting.append(section)
    return tuple(found.values())


def _sections(config: type[BaseModel]) -> Iterator[type[ModelConfig]]:
    for field in config.model_fields.values():
        candidates = getattr(field.annotation, "__args__", ()) or (field.annotation,)
        for candidate in candidates:
            if inspect.isclass(candidate) and issubclass(candidate, ModelConfig):
                yield candidate


def _fields(config: type[BaseModel], inherited: type[BaseModel] | None = None) -> list[str]:
    """Table of the fields; without those that are as in the class that they come from."""
    known = {} if inherited is None else _properties(inherited)
    rows = []
    for name, facts in _properties(config).items():
        if known.get(name) == facts:
            continue
        meaning, source = split_description(facts.get("description", ""))
        rows.append([f"`{name}`", _type(facts), _default(facts), meaning, source])
    header = ["name", "values", "default", "meaning", "source"]
    if not any(row[-1] for row in rows):
        header, rows = header[:-1], [row[:-1] for row in rows]
    return table(header, rows) if rows else []


def _properties(config: type[BaseModel]) -> dict[str, Any]:
    return dict(config.model_json_schema(ref_template="{model}").get("properties", {}))


def _type(facts: Mapping[str, Any]) -> str:
    if "anyOf" in facts:
        return " or ".join(_type(choice) for choice in facts["anyOf"])
    if "$ref" in facts:
        linked = facts["$ref"]
        return f"[{linked}](#{anchor(linked)})" if linked.endswith("Config") else linked
    if "enum" in facts:
        return ", ".join(f"`{choice}`" for choice in facts["enum"])
    if facts.get("type") == "array":
        items = facts.get("items", {})
        name = "entries" if "$ref" in items else f"{_type(items)}s"
        return f"list of {name}"
    bounds = [f"{sign} {facts[key]:g}" for key, sign in _BOUNDS.items() if key in facts]
    names = {"number": "number", "integer": "whole number", "string": "text", "boolean": "yes/no"}
    return " ".join([names.get(facts["type"], facts["type"]), " and ".join(bounds)]).strip()


def _default(facts: Mapping[str, Any]) -> str:
    if "default" not in facts:
        return "see below"
    value = facts["default"]
    if isinstance(value, dict):
        return "its defaults"
    return f"`{json.dumps(value, ensure_ascii=False)}`"


def _presets(model: type[Recommender]) -> list[str]:
    if not model.presets:
        return []
    flat = {name: flat_values(values) for name, values in model.presets.items()}
    start = flat.get("default", {})
    rows, paired = [], []
    for name, values in flat.items():
        if f"paper-{name}" in flat:
            paired.append(name)
        if name in ("default", "paper") or not start:
            rows.append([f"`{name}`", "the defaults above", _settings(values)])
        elif not name.startswith("paper-"):
            rows.append([f"`{name}`", "`default`", _settings(_changes(start, values))])
    lines = ["Presets:", "", *table(["preset", "starts from", "changes"], rows), ""]
    if paired:
        lines += [
            "Each of those that start from `default` exists on top of `paper` too, with `paper-` "
            f"before its name, such as `paper-{paired[0]}`.",
            "",
        ]
    return lines


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in after.items() if before.get(key, ...) != value}


def _settings(values: Mapping[str, Any]) -> str:
    texts = [f"`{name}={_scalar(value)}`" for name, value in values.items()]
    return ", ".join(texts) or "nothing"


def _scalar(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _first(documented: type) -> str:
    return (inspect.getdoc(documented) or "").split("\n\n")[0].replace("\n", " ")


def _documented(config: type[BaseModel]) -> list[str]:
    """Fields as the `Attributes` sections of the docstrings of class and bases explain them."""
    texts = [inspect.cleandoc(vars(base)["__doc__"] or "") for base in reversed(config.__mro__)]
    parts = [text.partition("Attributes\n----------\n")[2].split("\n\n")[0] for text in texts]
    rows = []
    for entry in re.split(r"\n(?=\S)", "\n".join(part for part in parts if part)):
        head, _, body = entry.partition("\n")
        names = [name.strip() for name in head.partition(" : ")[0].split(",")]
        meaning = " ".join(body.split())
        defaults = [_field_default(config, name) for name in names]
        listed = ", ".join(f"`{name}`" for name in names)
        rows.append([listed, ", ".join(dict.fromkeys(defaults)), meaning])
    return table(["name", "default", "meaning"], rows)


def _field_default(config: type[BaseModel], name: str) -> str:
    field = config.model_fields[name]
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return "its defaults"
    return f"`{json.dumps(value, ensure_ascii=False)}`"

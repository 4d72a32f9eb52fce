"""`crossmarket models`: the systems there are, and every setting of one."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from crossmarket.cli.commands import Command, JsonOption, example, plain_table
from crossmarket.errors import UsageError

if TYPE_CHECKING:
    from crossmarket.models.base import Recommender

_LISTED_PRESETS = 4


def models(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="System to show with every setting.")
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(help="Its settings under this preset; `default` where there is one."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the systems, or show the settings of one: value, meaning, where the value is from."""
    if name is not None:
        _show(name, preset, as_json)
    elif preset is not None:
        raise UsageError("--preset needs the name of a system: crossmarket models NAME --preset P")
    else:
        _list(as_json)


def _list(as_json: bool) -> None:
    from crossmarket.models.facts import COUNTED_ON
    from crossmarket.models.registry import all_models

    found, broken = all_models()
    facts = [_facts(model) for model in found.values()]
    if as_json:
        typer.echo(json.dumps({"systems": facts, "broken": broken}, indent=2, ensure_ascii=False))
        return
    table = plain_table("name", "paper", "trainable", "supports", "presets")
    table.columns[2].no_wrap = True
    table.columns[2].justify = "right"
    for family in dict.fromkeys(row["family"] for row in facts):
        table.add_row(f"{family}:")
        for row in facts:
            if row["family"] == family:
                cells = [row["name"], row["paper"], _count(row["trainable"])]
                table.add_row(*cells, ", ".join(row["supports"]), _shortened(row["presets"]))
        table.add_section()
    Console(markup=False).print(table)
    typer.echo(f"trainable: scalars learned for {COUNTED_ON} with the default settings")
    typer.echo("supports: learning from sources, folding in a bare history, users without history")
    for sentence in broken:
        typer.echo(f"note: {sentence}", err=True)


def _show(name: str, preset: str | None, as_json: bool) -> None:
    from crossmarket.models.facts import COUNTED_ON, settings
    from crossmarket.models.registry import default_preset, find_model

    model = find_model(name)
    chosen = default_preset(model) if preset is None else preset
    values = list(settings(model.from_config(preset=chosen).config))
    facts = _facts(model)
    if as_json:
        config = [asdict(setting) for setting in values]
        shown = {**facts, "preset": chosen, "config": config}
        typer.echo(json.dumps(shown, indent=2, ensure_ascii=False))
        return
    typer.echo(f"{name}: {facts['summary']}")
    typer.echo(f"paper: {facts['paper']}; family: {facts['family']}")
    typer.echo(f"package: {facts['package']}")
    typer.echo(f"trainable for {COUNTED_ON}: {_count(facts['trainable'])}")
    typer.echo(f"supports: {', '.join(facts['supports']) or '-'}")
    typer.echo(f"presets: {', '.join(facts['presets']) or '-'}")
    typer.echo("settings:" if chosen is None else f"settings of preset {chosen}:")
    table = plain_table("field", "value", "meaning", "source")
    for setting in values:
        value = setting.value
        if not isinstance(value, str):
            value = json.dumps(value, ensure_ascii=False)
        table.add_row(setting.field, value, setting.meaning, setting.source)
    Console(markup=False).print(table)


def _facts(model: type[Recommender]) -> dict[str, Any]:
    """What a listing says of a system."""
    from crossmarket.models.facts import supports, trainable_counts
    from crossmarket.models.registry import MODELS, plug_in_versions

    built_in = model.name in MODELS
    packages = plug_in_versions([model.name])
    return {
        "name": model.name,
        "summary": model.summary,
        "paper": model.paper,
        "family": model.family,
        "trainable": trainable_counts().get(model.name) if built_in else None,
        "supports": supports(model),
        "presets": list(model.presets),
        "package": " ".join(next(iter(packages.items()), ("crossmarket",))),
    }


def _count(number: int | None) -> str:
    return "-" if number is None else f"{number:,}"


def _shortened(names: list[str]) -> str:
    shown = ", ".join(names[:_LISTED_PRESETS])
    more = len(names) - _LISTED_PRESETS
    return shown if more <= 0 else f"{shown} and {more} more"


COMMANDS = (Command(models, example("crossmarket models popularity")),)

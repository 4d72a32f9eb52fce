"""Damaged and hostile artifacts: refused, or the market left out and named."""

import json
import os
import shutil
import struct

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load, save
from tests.artifact.making import (
    copy_of,
    packaged,
    render,
    rewrite_json,
    sign,
    write_by_hand,
)

from crossmarket.artifact.artifact import Artifact
from crossmarket.artifact.manifest import FileRecord
from crossmarket.errors import DataError, UsageError
from crossmarket.experiments.checking import check_path


def refused(path, market=None):
    """The reason why an artifact, or a market of it while the others load, is refused."""
    if market is None:
        with pytest.raises(DataError) as caught:
            Artifact.open(path)
        return str(caught.value)
    artifact = Artifact.open(path)
    assert list(artifact.unavailable) == [market]
    assert artifact.markets
    with pytest.raises(DataError, match=f"market '{market}' cannot be served"):
        Artifact.from_pretrained(path)
    assert artifact.unavailable[market] in check_path(path).damage
    return artifact.unavailable[market]


@pytest.fixture
def artifact(tmp_path):
    return copy_of("dcmpt", tmp_path / "artifact")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small") / "artifact"
    return write_by_hand(folder, ["a", "b", "c"], ["u", "v"], [[0], [1, 2]], "counts")


def sound(path):
    try:
        return bool(Artifact.open(path).markets)
    except DataError:
        return False


def files_of(path):
    return sorted(file for file in path.rglob("*") if file.is_file())


def test_every_changed_byte_is_refused(small):
    """One other value at every offset; `benchmarks/artifact_faults.py` tries all values."""
    assert sound(small)
    for file in files_of(small):
        content = file.read_bytes()
        with file.open("r+b", buffering=0) as handle:
            for place, byte in enumerate(content):
                os.pwrite(handle.fileno(), bytes([byte ^ (1 << place % 8)]), place)
                assert not sound(small), (file, place)
                os.pwrite(handle.fileno(), bytes([byte]), place)
    assert sound(small)


def test_every_truncation_and_some_extensions_are_refused(small):
    for file in files_of(small):
        content = file.read_bytes()
        for length in reversed(range(len(content))):
            os.truncate(file, length)
            assert not sound(small), (file, length)
        for extra in (b"\0", b"\n", content[:64]):
            file.write_bytes(content + extra)
            assert not sound(small), (file, extra)
        file.write_bytes(content)
    assert sound(small)


@pytest.mark.parametrize("file", ["seen.parquet", "golden.json", "users.safetensors"])
def test_a_missing_file_leaves_its_market_out(artifact, file):
    (artifact / "markets" / "mx" / file).unlink()
    assert f"markets/mx/{file} is missing" in refused(artifact, "mx")


def test_a_missing_market_is_named(artifact):
    shutil.rmtree(artifact / "markets" / "mx")
    assert "markets/mx is no folder" in refused(artifact, "mx")


def test_what_all_markets_need_must_be_there(artifact):
    (artifact / "backbone" / "items.parquet").unlink()
    assert "items.parquet is missing" in refused(artifact)
    shutil.rmtree(artifact / "backbone")
    assert "backbone is no folder" in refused(artifact)
    (artifact / "manifest.json").unlink()
    assert "is no artifact; make one with `crossmarket package`" in refused(artifact)
    assert "is no folder that can be read" in refused(artifact / "nothing")


def test_files_that_no_manifest_lists_are_refused(artifact):
    (artifact / "markets" / "mx" / "extra.bin").write_bytes(b"x")
    assert "extra.bin is in no manifest" in refused(artifact, "mx")
    (artifact / "markets" / "mx" / "extra.bin").unlink()
    shutil.copytree(artifact / "markets" / "mx", artifact / "markets" / "jp")
    assert "markets/jp is in no manifest" in refused(artifact, "jp")
    shutil.rmtree(artifact / "markets" / "jp")
    for place in ("extra", "backbone/extra", "backbone/manifest.json", "markets/Extra"):
        (artifact / place).write_bytes(b"x")
        assert "extra" in refused(artifact).lower() or "manifest" in refused(artifact)
        (artifact / place).unlink()
    (artifact / "markets" / ".mx.77.new.tmp").mkdir()  # what a killed writer may leave
    assert Artifact.from_pretrained(artifact)


@pytest.mark.parametrize(
    "place", ["markets/mx/seen.parquet", "markets/mx", "backbone/model.safetensors", "backbone"]
)
def test_links_are_not_followed(artifact, tmp_path, place):
    moved = tmp_path / "elsewhere"
    (artifact / place).rename(moved)
    (artifact / place).symlink_to(moved)
    said = refused(artifact, "mx" if place.startswith("markets") else None)
    assert "no plain file" in said or "no folder" in said


def test_a_linked_artifact_and_odd_files_are_refused(artifact, tmp_path):
    (tmp_path / "link").symlink_to(artifact)
    assert "no folder" in refused(tmp_path / "link")
    (artifact / "markets" / "mx" / "seen.parquet").unlink()
    os.mkfifo(artifact / "markets" / "mx" / "seen.parquet")
    assert "no plain file" in refused(artifact, "mx")


@pytest.mark.parametrize(
    "name", ["../mx", "..", "mx/../de", "MX", "a" * 33, "-mx", "m x", "", "mx\0", "CON.", "．．"]
)
def test_market_names_are_names(artifact, name):
    own = json.loads((artifact / "manifest.json").read_text())
    own["markets"][name] = own["markets"].pop("mx")
    (artifact / "manifest.json").write_bytes(render(own))
    assert "names no market" in refused(artifact)


@pytest.mark.parametrize("name", ["../../secret", "/etc/passwd", "sub/file", ".."])
def test_file_names_stay_in_their_folder(artifact, tmp_path, name):
    (tmp_path / "secret").write_bytes(b"x")
    place = artifact / "markets" / "mx" / "manifest.json"
    manifest = json.loads(place.read_text())
    manifest["files"][name] = manifest["files"]["seen.parquet"]
    rewrite_manifest(artifact, "mx", manifest)
    assert refused(artifact, "mx")


def rewrite_manifest(artifact, market, values):
    """Replace a market's manifest and sign the artifact's, files left as they are."""
    content = render(values)
    (artifact / "markets" / market / "manifest.json").write_bytes(content)
    own = json.loads((artifact / "manifest.json").read_text())
    own["markets"][market] = FileRecord.of(content).model_dump()
    (artifact / "manifest.json").write_bytes(render(own))


def change_tensors(file, change):
    tensors = {name: array.copy() for name, array in load(file.read_bytes()).items()}
    change(tensors)
    file.write_bytes(save(tensors))


ATTACKS = {
    "not finite": lambda t: t["vectors"].__setitem__((0, 0), np.nan),
    "infinite": lambda t: t["mixture"].__setitem__((0, 0), np.inf),
    "wide": lambda t: t.update(vectors=t["vectors"].astype(np.float64)),
    "half": lambda t: t.update(vectors=t["vectors"].astype(np.float16)),
    "short": lambda t: t.update(vectors=t["vectors"][:-1].copy()),
    "narrow": lambda t: t.update(vectors=t["vectors"][:, :-1].copy()),
    "flat": lambda t: t.update(vectors=t["vectors"].ravel()),
    "missing": lambda t: t.pop("mixture"),
    "unknown": lambda t: t.update({"../x": t["vectors"]}),
}


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("file", ["users.safetensors", "items.safetensors"])
def test_tensors_must_be_what_they_must_be(artifact, attack, file):
    change_tensors(artifact / "markets" / "mx" / file, ATTACKS[attack])
    sign(artifact)
    assert "markets/mx" in refused(artifact, "mx")


def header_of(length=None, text=None, body=b""):
    raw = (text or "{}").encode()
    return struct.pack("<Q", len(raw) if length is None else length) + raw + body


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 7,
        header_of(length=1 << 62),
        header_of(length=1 << 20),
        header_of(text="{" * 60_000),
        header_of(text="[]"),
        header_of(text='{"__metadata__": {"a": "b"}}'),
        header_of(text='{"a": {"dtype": "F32", "shape": [1000000000], "data_offsets": [0, 4]}}'),
        header_of(
            text='{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}, '
            '"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}',
            body=b"\0" * 4,
        ),
        header_of(
            text='{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}, '
            '"b": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}',
            body=b"\0" * 4,
        ),
        b"\x80\x04\x95\x1a\0\0\0\0\0\0\0\x8c\x05posix\x94\x8c\x06system\x94\x93\x94.",
    ],
)
def test_files_that_are_no_tensors(artifact, content):
    (artifact / "markets" / "mx" / "users.safetensors").write_bytes(content)
    sign(artifact)
    assert "users.safetensors" in refused(artifact, "mx")


def test_tables_must_fit_the_market(artifact):
    folder = artifact / "markets" / "mx"
    whole = {name: pl.read_parquet(folder / name) for name in ("seen.parquet", "users.parquet")}
    seen, users = whole["seen.parquet"], whole["users.parquet"]
    attacks = [
        ("seen.parquet", seen.with_columns(pl.col("user") + 100)),
        ("seen.parquet", seen.with_columns(-pl.col("item") - 1)),
        ("seen.parquet", seen.reverse()),
        ("seen.parquet", pl.concat([seen, seen.tail(1)])),
        ("seen.parquet", seen.head(-1)),  # the counts of the popular items say otherwise
        ("seen.parquet", seen.cast({"item": pl.Int64})),
        ("seen.parquet", seen.with_columns(learned=pl.lit(None, pl.Boolean))),
        ("seen.parquet", seen.drop("learned")),
        ("users.parquet", users.reverse()),
        ("users.parquet", pl.concat([users, users.tail(1)])),
        ("users.parquet", users.head(-1)),
        ("users.parquet", users.rename({"user_id": "id"})),
    ]
    for name, table in attacks:
        table.write_parquet(folder / name)
        sign(artifact)
        assert "markets/mx" in refused(artifact, "mx")
        whole[name].write_parquet(folder / name)
    (folder / "users.parquet").write_bytes(b"PAR1 no table PAR1")
    sign(artifact)
    assert "users.parquet is no table" in refused(artifact, "mx")


def test_a_small_table_that_claims_millions_of_rows_is_refused(artifact):
    rows = pl.DataFrame({"user_id": pl.repeat("u", 5_000_000, eager=True)})
    rows.write_parquet(artifact / "markets" / "mx" / "users.parquet")
    sign(artifact)
    assert "users.parquet is not the table" in refused(artifact, "mx")


def test_items_that_the_backbone_does_not_know(artifact):
    file = artifact / "markets" / "mx" / "catalog.parquet"
    table = pl.read_parquet(file)
    table.with_columns(pl.col("item_id") + "x").write_parquet(file)
    sign(artifact)
    assert "sells an item that the backbone does not know" in refused(artifact, "mx")


@pytest.mark.parametrize(
    "changes",
    [
        {"market": "de"},
        {"system": "ease"},
        {"kind": "pickle"},
        {"form": {}},
        {"form": {"power": "1"}},
        {"form": []},
        {"more": 1},
        {"closed_form": "no"},
    ],
)
def test_the_adapter_must_say_what_it_is(artifact, changes):
    rewrite_json(artifact / "markets" / "mx" / "adapter_config.json", **changes)
    sign(artifact)
    assert refused(artifact, "mx")


def test_a_market_of_another_backbone_is_refused(artifact):
    other = packaged("dcmpt, paper")[1]
    shutil.rmtree(artifact / "markets" / "mx")
    shutil.copytree(other / "markets" / "mx", artifact / "markets" / "mx")
    sign(artifact)
    assert "was made for another backbone" in refused(artifact, "mx")


def test_a_changed_backbone_shuts_out_every_market(artifact):
    change_tensors(
        artifact / "backbone" / "model.safetensors",
        lambda tensors: tensors["layer0"].__setitem__((0, 0), 9),
    )
    sign(artifact)
    found = Artifact.open(artifact)
    assert not found.markets
    assert all("another backbone" in reason for reason in found.unavailable.values())


@pytest.mark.parametrize("place", ["manifest.json", "markets/mx/manifest.json"])
def test_a_newer_format_asks_for_an_upgrade(artifact, place):
    rewrite_json(artifact / place, version=2)
    market = None if place == "manifest.json" else "mx"
    if market:
        own = json.loads((artifact / "manifest.json").read_text())
        own["markets"]["mx"] = FileRecord.of((artifact / place).read_bytes()).model_dump()
        (artifact / "manifest.json").write_bytes(render(own))
    assert "is of format 2, this program reads up to 1; upgrade crossmarket" in refused(
        artifact, market
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"format": "crossmarket-artifact"}',
        '{"format": "crossmarket-artifact", "format": "crossmarket-artifact"}',
        '{"format": NaN}',
        "[" * 200_000,
        "\ufeff{}",
    ],
)
def test_manifests_that_are_none(artifact, text):
    (artifact / "manifest.json").write_text(text, encoding="utf-8")
    assert "manifest.json" in refused(artifact)


def test_a_manifest_has_one_form(artifact):
    place = artifact / "manifest.json"
    text = place.read_text()
    for other in (text.rstrip(), text + "\n", text.replace("\n  ", "\n   ", 1)):
        place.write_text(other)
        assert "was changed after it was written" in refused(artifact)
    values = json.loads(text)
    place.write_bytes(render({**values, "more": 1}))
    assert "damaged at" in refused(artifact)


def test_golden_answers_catch_what_hashes_cannot(artifact):
    """Another vector under a manifest that fits it: only the recorded answers know."""
    change_tensors(
        artifact / "markets" / "mx" / "users.safetensors",
        lambda tensors: tensors["vectors"].__imul__(-1),
    )
    sign(artifact)
    assert "comes out differently here" in refused(artifact, "mx")
    golden = artifact / "markets" / "mx" / "golden.json"
    for text in ("[]", "{}", '[{"user": 1}]', '[{"answer": {"items": 3}}]', '[{"user": "mx-01"}]'):
        golden.write_text(text)
        sign(artifact)
        assert "golden.json" in refused(artifact, "mx")
    golden.unlink()
    sign(artifact)
    assert "lacks golden.json" in refused(artifact, "mx")


def test_golden_answers_catch_swapped_items(artifact):
    change_tensors(
        artifact / "markets" / "mx" / "items.safetensors",
        lambda tensors: tensors.update(vectors=tensors["vectors"][::-1].copy()),
    )
    sign(artifact)
    assert "comes out differently here" in refused(artifact, "mx")


def test_replaced_files_change_no_answer(artifact):
    opened = Artifact.from_pretrained(artifact)
    before = opened.recommend("mx", "mx-03").to_dict()
    shutil.rmtree(artifact)
    assert opened.recommend("mx", "mx-03").to_dict() == before
    assert opened.market("mx").similar(opened.market("mx").item_ids[0]).items


def test_check_passes_a_sound_artifact_and_names_damage(artifact):
    report = check_path(artifact)
    assert report.passed
    assert report.checked == ["backbone", "market de", "market mx", "market uk"]
    (artifact / "backbone" / "config.json").write_bytes(b"{}")
    report = check_path(artifact)
    assert not report.passed
    assert "config.json has 2 bytes" in report.damage[0]
    with pytest.raises(UsageError, match="name a run, an artifact or data"):
        check_path(artifact / "none")

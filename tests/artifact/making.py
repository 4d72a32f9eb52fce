"""Small artifacts for tests: packaged from runs, made by hand, changed and signed again."""

import json
import shutil
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from tests.small import TINY, markets, result_of

from crossmarket.artifact.folders import render_json
from crossmarket.artifact.forms import CountForm, ItemItemForm, VectorForm
from crossmarket.artifact.manifest import ArtifactManifest, FileRecord
from crossmarket.data.vocabulary import Vocabulary
from crossmarket.experiments.run import Run, resolve_settings
from crossmarket.files import content_hash
from crossmarket.packaging.package import save_pretrained
from crossmarket.packaging.placing import write_artifact
from crossmarket.packaging.writing import (
    MarketSource,
    make_backbone,
    make_market,
    records,
    sorted_pairs,
)

SMALL = {"epochs": 1, "embedding_size": 8}

#: Systems with settings that learn in no time, one for each way of being served.
SYSTEMS = {
    "dcmpt": ("dcmpt", TINY),
    "dcmpt, output": ("dcmpt", {**TINY, "inject": "output", "graph": "target"}),
    "dcmpt, paper": ("dcmpt", {**TINY, "prompt_init": "glorot", "graph": "target"}),
    "dcmpt, no prompt": ("dcmpt", {**TINY, "prompt": "none"}),
    "dcmpt, popularity": ("dcmpt", {**TINY, "prompt": "none", "popularity": [0.3]}),
    "lightgcn": ("lightgcn", SMALL),
    "lightgcn, target": ("lightgcn", {**SMALL, "markets": "target", "similarity": "dot"}),
    "fine-tuned": ("fine-tuned", {"backbone": SMALL, "tuning": SMALL}),
    "bi-tgcf": ("bi-tgcf", SMALL),
    "dccdr": ("dccdr", SMALL),
    "m3rec": ("m3rec", {**SMALL, "skip_gram": {"epochs": 1}}),
    "random-walk": ("random-walk", SMALL),
    "random-walk, exact": ("random-walk", {"scores": "exact"}),
    "ease": ("ease", {}),
    "ease, target": ("ease", {"markets": "target"}),
    "item-knn": ("item-knn", {"neighbours": 5}),
    "popularity": ("popularity", {}),
    "popularity, all": ("popularity", {"markets": "all"}),
}
#: Where artifacts are made that tests share; it goes when the process ends.
_PLACE = TemporaryDirectory(prefix="crossmarket-")
TARGETS = ("de", "mx", "uk")


def make_run(folder, model="dcmpt", config=TINY, data=None, targets=TARGETS, **settings):
    """Fit nothing yet: a run of mini-markets whose models `save_pretrained` fits."""
    values = {"targets": targets, "threads": 1, "seed": 3, **settings}
    return Run.create(
        folder, resolve_settings(model, None, config, **values), data or result_of(markets())
    )


@cache
def _packaged(label):
    place = Path(_PLACE.name) / label
    run = make_run(place / "run", *SYSTEMS[label])
    save_pretrained(run, place / "artifact")
    return run, place / "artifact"


def packaged(label):
    """A run and the artifact made of it; nobody may change either."""
    return _packaged(label)


@cache
def models_of(label):
    """The run's fitted models by market, with everything known of their users."""
    run, _ = packaged(label)
    return {market: run.recommender(market) for market in TARGETS}


def copy_of(label, folder):
    """A copy of an artifact, to be changed."""
    return Path(shutil.copytree(packaged(label)[1], folder))


def sign(artifact):
    """Write manifests that fit the files as they are now, as an attacker could.

    A manifest keeps what else it says; hashes, sizes and names of files are made anew.
    """
    own = json.loads((artifact / "manifest.json").read_text())
    backbone = {path.name: path.read_bytes() for path in files_in(artifact / "backbone")}
    own["backbone"] = dump(records(backbone))
    for market in sorted(path for path in (artifact / "markets").iterdir() if path.is_dir()):
        manifest = json.loads((market / "manifest.json").read_text())
        manifest["files"] = dump(
            records(
                {
                    path.name: path.read_bytes()
                    for path in files_in(market)
                    if path.name != "manifest.json"
                }
            )
        )
        content = render(manifest)
        (market / "manifest.json").write_bytes(content)
        own["markets"][market.name] = FileRecord.of(content).model_dump()
    (artifact / "manifest.json").write_bytes(render(own))


def render(values):
    """A manifest of any values, with the right hash of itself."""
    fields = {name: value for name, value in values.items() if name != "sha256"}
    return render_json({**fields, "sha256": content_hash(fields)})


def dump(files):
    return {name: record.model_dump() for name, record in files.items()}


def files_in(folder):
    return sorted(path for path in folder.iterdir() if path.is_file())


def rewrite_json(path, **changes):
    path.write_bytes(render_json({**json.loads(path.read_text()), **changes}))


def write_by_hand(folder, items, users, histories, kind="vectors", *, width=3, seed=0):
    """An artifact of one market `xx` that sells every item, with random scores.

    `histories` has the item rows of each user.
    """
    generator = np.random.default_rng(seed)
    vocabulary, names = Vocabulary(items), Vocabulary(users)
    count, size = len(names), len(vocabulary)
    owners = np.repeat(np.arange(count), [len(set(rows)) for rows in histories])
    taken = np.concatenate([np.zeros(0, int), *(np.unique(rows) for rows in histories)])
    catalogue = np.arange(size, dtype=np.int32)

    def draw(*shape):
        return generator.integers(-3, 4, shape).astype(np.float32)

    form = {
        "vectors": lambda: VectorForm(
            draw(count, width), draw(size, width), catalogue, draw(size, width)
        ),
        "item-item": lambda: ItemItemForm(catalogue, catalogue, draw(size, size), False),
        "counts": lambda: CountForm(draw(size)),
    }[kind]()
    files, backbone = make_backbone("by-hand", {}, vocabulary, {"xx": form})
    source = MarketSource(
        "xx",
        names,
        catalogue,
        sorted_pairs(owners, taken.astype(int)),
        np.ones(len(owners), dtype=bool),
        form,
        {},
    )
    return write_files(folder, files, {"xx": make_market(source, backbone)})


def write_files(folder, backbone, files):
    """An artifact of the files of a backbone and of its markets."""
    manifest = ArtifactManifest(
        run="0" * 64,
        system="by-hand",
        settings={},
        learned_from=list(files),
        retrain_due=0,
        data="",
        versions={},
        commit=None,
        backbone=records(backbone),
        markets={},
    )
    write_artifact(folder, manifest, backbone, files)
    return folder

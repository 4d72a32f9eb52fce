import pytest
from tests.small import markets, result_of
from tests.toys import dataset_of

from crossmarket.analysis.run import draw_table
from crossmarket.analysis.target_size import ANALYSIS, SHARES, ThinnedProtocol, choose_pair
from crossmarket.data.changed_splits import thin_users
from crossmarket.errors import UsageError
from crossmarket.evaluation.evaluator import evaluate_market
from crossmarket.evaluation.protocols import Protocol
from crossmarket.experiments.run import restrict
from crossmarket.experiments.systems import SystemConfig
from crossmarket.models.registry import build_model

KNN = SystemConfig(title="Item kNN", model="item-knn")


def setting_of(folder, **chosen):
    return ANALYSIS.setting(result_of(markets()), folder, systems=(KNN,), **chosen)


def test_each_share_is_trained_on_what_is_left_and_tested_on_the_whole(tmp_path):
    table = ANALYSIS.compute(setting_of(tmp_path, markets=("uk", "de"), seeds=(1,)))
    assert table["share"].to_list() == [float(share) for share in SHARES]
    assert set(table["target"]) == {"uk"}
    assert set(table["source"]) == {"de"}
    protocol = Protocol(name="forec")
    split = protocol.split(restrict(result_of(markets()), ("de", "uk")), 1)
    for row in table.rows(named=True):
        thinned = thin_users(split, "uk", row["share"])
        model = build_model("item-knn").fit(thinned.train, target="uk", valid=thinned.valid)
        values = evaluate_market(model, protocol, split, "uk").per_user["ndcg@10"]
        assert row["ndcg"] == pytest.approx(values.mean())
        assert row["interactions"] == len(thinned.train.edges("uk"))
    assert table["interactions"].is_sorted()
    draw_table(ANALYSIS, table, [tmp_path / "picture.svg"])
    text = (tmp_path / "picture.svg").read_text()
    assert "<!-- Less data in uk, with de as the source -->" in text


def test_the_share_changes_training_alone():
    data = result_of(markets())
    whole, tenth = (ThinnedProtocol(name="forec", share=share) for share in (1.0, 0.1))
    split = tenth.split(data, 0)
    assert len(tenth.for_target(split, "uk").train.edges("uk")) < len(split.train.edges("uk"))
    for one, other in zip(
        whole.held_out(split, "uk").arrays(), tenth.held_out(split, "uk").arrays(), strict=True
    ):
        assert (one == other).all()
    assert (whole.label, tenth.label) == ("forec", "forec, share=0.1")
    assert whole.key == Protocol(name="forec").key != tenth.key


def test_the_pair_is_chosen_or_the_papers_or_the_largest(tmp_path):
    assert choose_pair(setting_of(tmp_path, markets=("mx", "de"))) == ("mx", "de")
    assert choose_pair(setting_of(tmp_path)) == ("de", "uk")  # the two largest
    rows = [
        (market, f"u{user}", f"i{item}", 1.0, item)
        for market in ("ca", "uk", "us")
        for user in range(3 if market == "us" else 2)
        for item in range(4)
    ]
    papers = ANALYSIS.setting(result_of(dataset_of(rows)), tmp_path, systems=(KNN,))
    assert choose_pair(papers) == ("ca", "uk")
    with pytest.raises(UsageError, match="needs two markets"):
        choose_pair(setting_of(tmp_path, markets=("de",)))

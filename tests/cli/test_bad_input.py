"""Bad input: one sentence, exit code 1 or 2, no traceback, nothing half-written."""

import json

import pytest
from tests.commands import ok, refused, run, tree
from tests.small import markets, settings, store

OTHERS = "\n".join(f"uk,u{user},i{item}" for user in range(8) for item in range(user, user + 9))


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with data of three markets, as the working folder."""
    monkeypatch.chdir(tmp_path)
    store(tmp_path / "markets")
    return tmp_path


def table(path, rows=OTHERS, header="market,user,item"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{header}\n{rows}\n")
    return path


def untouched(here, *arguments, code):
    """Run a command that must be refused; nothing at all may change."""
    before = tree(here)
    said = refused(*arguments, code=code)
    assert tree(here) == before
    assert {path.name for path in here.iterdir()} == {name.split("/")[0] for name in before}
    return said


FIT = ("fit", "--out", "out", "--model", "popularity", "--data")
CONVERT = ("data", "convert", "--out", "out")
DESCRIBE = ("data", "describe")


@pytest.mark.parametrize("command", [FIT, CONVERT, DESCRIBE], ids=["fit", "convert", "describe"])
class TestData:
    def test_missing_folder(self, here, command):
        said = untouched(here, *command, "nowhere", code=2)
        assert said == "nowhere does not exist; name a file or folder of interactions"

    def test_empty_file(self, here, command):
        (here / "uk.csv").touch()
        said = untouched(here, *command, "uk.csv", code=1)
        assert said == "uk.csv is empty; it needs a header and rows"

    def test_empty_folder(self, here, command):
        (here / "empty").mkdir()
        said = refused(*command, "empty", code=2)
        assert said.startswith("empty holds nothing that can be read")

    def test_header_only(self, here, command):
        (here / "uk.csv").write_text("market,user,item\n")
        said = untouched(here, *command, "uk.csv", code=1)
        assert said == "uk.csv has a header but no rows; leave the file out or fill it"

    def test_wrong_column(self, here, command):
        table(here / "shop.csv", header="market,buyer,item")
        said = untouched(here, *command, "shop.csv", code=1)
        assert said == (
            "shop.csv has no column for user; its columns are: 'market', 'buyer', 'item'; "
            "say which one it is with columns user=NAME"
        )

    @pytest.mark.parametrize("name", ["shop.csv", "shop.parquet", "shop.inter", "uk_5core.txt"])
    def test_binary_file(self, here, command, name):
        (here / name).write_bytes(bytes(range(256)) * 40)
        said = untouched(here, *command, name, code=1)
        assert name in said

    def test_unknown_format_column_role_or_share(self, here, command):
        path = table(here / "shop.csv")
        for options, message in [
            (("--format", "xls"), "invalid value for '--format'"),
            (("--columns", "buyer=user"), "wrong columns: buyer"),
            (("--columns", "user"), "cannot read columns 'user'"),
            (("--max-rejected", "2"), "max_rejected is a share from 0 to 1, not 2"),
            (("--min-weight", "-1"), "min_weight must be a number of at least 0"),
            (("--time-unit", "days"), "invalid value for '--time-unit'"),
        ]:
            assert untouched(here, *command, path.name, *options, code=2).startswith(message)

    def test_too_many_broken_rows(self, here, command):
        table(here / "shop.csv", OTHERS + "\nuk,,i1" * 30)
        said = untouched(here, *command, "shop.csv", code=1)
        assert "30 of 102 rows of shop.csv are broken" in said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--targets", "fr"), "there is no market 'fr' in these data; choose from: de, mx, uk"),
        (("--targets", "mx,fr"), "there is no market 'fr'"),
        (("--targets", ","), "--targets ',' holds no name; write at least one"),
        (("--markets", "fr"), "there is no market 'fr'"),
        (("--markets", ","), "--markets ',' holds no name; write at least one"),
        (("--model", "dcmtp"), "there is no model 'dcmtp'; choose from: dcmpt, "),
        (("--preset", "papper"), "dcmpt has no preset 'papper'; it has: default, paper, "),
        (("--model", "ease", "--preset", "big"), "ease has no preset 'big'; it has: none"),
        (("--set", "epohcs=3"), "dcmpt: setting 'epohcs': "),
        (("--set", "backbone.epohcs=3"), "dcmpt: setting 'backbone.epohcs': "),
        (("--set", "epochs=many"), "dcmpt: setting 'epochs': input should be a valid integer"),
        (("--set", "epochs=-1"), "dcmpt: setting 'epochs': input should be greater than or equal"),
        (("--set", "backbone=3"), "dcmpt: setting 'backbone': "),
        (("--set", "learning_rate=.inf"), "dcmpt: setting 'learning_rate': "),
        (("--set", "learning_rate=.nan"), "dcmpt: setting 'learning_rate': "),
        (("--set", "epochs"), "cannot read --set 'epochs'; write it as name=value"),
        (("--set", "epochs=["), "cannot read --set 'epochs=['; write it as name=value"),
        (("--set", "=3"), "cannot read --set '=3'; write it as name=value"),
        (
            ("--set", "backbone=1", "--set", "backbone.epochs=1"),
            "--set 'backbone.epochs=1' sets a part of something already set",
        ),
        (("--seed", "-1"), "invalid value for '--seed': "),
        (("--seed", "one"), "invalid value for '--seed': "),
        (("--threads", "0"), "invalid value for '--threads': "),
        (("--protocol", "ratio"), "unknown protocol 'ratio'; choose from: ratio-full, "),
        (("--protocol", "launch@3"), "protocol 'launch@3': the fraction must lie in (0, 1]"),
        (("--source-split", "test"), "unknown source split 'test'; choose train or all"),
        (("--device", "quantum"), "torch cannot compute on 'quantum' here"),
        (("--speed", "3"), "no such option: --speed"),
    ],
)
def test_wrong_options_of_fit(here, options, message):
    said = untouched(here, "fit", "--data", "markets", "--out", "out", *options, code=2)
    assert said.startswith(message)


def test_whole_sources_with_time(here):
    options = ("--protocol", "time-full", "--source-split", "all", "--model", "popularity")
    said = refused("fit", "--data", "markets", "--out", "out", *options, code=2)
    assert said.startswith("source_split=all would show the sources' future")


def test_protocols_that_the_data_cannot_keep(here):
    table(here / "shop.csv")
    said = untouched(here, *FIT, "shop.csv", "--protocol", "time-full", code=1)
    assert said.startswith("a time split needs the time of every interaction and market 'uk'")
    said = untouched(here, *FIT, "shop.csv", "--protocol", "given-full", code=1)
    assert said.startswith("these data bring no train and valid parts")
    said = untouched(here, "data", "split", "shop.csv", "--out", "o", "--protocol", "x", code=2)
    assert said.startswith("unknown protocol 'x'")


def test_missing_options_and_commands(here):
    assert (
        untouched(here, "fit", "--data", "markets", code=2) == "missing option '--out'; see --help"
    )
    assert untouched(here, "evaluate", code=2) == "missing argument 'RUN'; see --help"
    assert untouched(here, "fti", code=2) == "no such command 'fti'. Did you mean 'fit'?"


@pytest.mark.parametrize("command", [FIT, CONVERT], ids=["fit", "convert"])
def test_out_that_cannot_be_written(here, command):
    (here / "out").write_text("mine")
    assert "out" in untouched(here, *command, "markets", code=2)
    (here / "out").unlink()
    (here / "out").mkdir()
    (here / "out" / "notes.txt").write_text("mine")
    assert "out" in untouched(here, *command, "markets", code=2)


@pytest.mark.parametrize("name", ["fit", "convert", "split", "simulate"])
def test_out_below_a_file(here, name):
    (here / "file").write_text("mine")
    out = ("--out", "file/out")
    command = {
        "fit": ("fit", "--data", "markets", "--model", "popularity", *out),
        "convert": ("data", "convert", "markets", *out),
        "split": ("data", "split", "markets", *out),
        "simulate": ("data", "simulate", *out),
    }[name]
    said = untouched(here, *command, code=1)
    assert said.startswith("the system refused: ")


# -- data that are small, but not wrong -----------------------------------------------------


def fit_and_list(data, market, *options):
    ok("fit", "--data", data, "--out", "run", "--threads", 1, *settings(), *options)
    lists = ok("recommend", "run", "--market", market, "--all-users", "--json").json()
    assert {row["market"] for row in lists} <= {market}
    ok("check", "run")
    return lists


def test_one_market_alone_works(here):
    table(here / "one" / "uk.csv", OTHERS.replace("uk,", ""), "user,item")
    lists = fit_and_list("one", "uk")
    assert {row["user_id"] for row in lists} == {f"u{user}" for user in range(8)}
    found = ok("evaluate", "run", "--json").json()
    assert found["markets"].keys() == {"uk"}


def test_one_market_out_of_several_works(here):
    options = ("--markets", "mx", "--targets", "mx")
    assert fit_and_list("markets", "mx", *options)
    assert json.loads((here / "run" / "data" / "data.json").read_text())["markets"].keys() == {"mx"}


def test_a_market_with_one_user_works(here):
    more = "\n".join(f"de,alone,i{item}" for item in range(9))
    table(here / "shop.csv", f"{OTHERS}\n{more}")
    lists = fit_and_list("shop.csv", "de")
    # The only user has bought all that the market sells.
    assert lists == []
    ok("evaluate", "run", "--json")


def test_a_market_with_one_interaction_is_learned_from_but_cannot_be_tested(here):
    table(here / "shop.csv", f"{OTHERS}\nde,alone,i3")
    assert fit_and_list("shop.csv", "uk")
    said = refused("evaluate", "run", code=1)
    assert said == (
        "ratio-full leaves no test user in market 'de'; "
        "give it more data or leave the market out of the targets"
    )


def test_an_item_sold_nowhere_else_is_recommended(here):
    more = "\n".join(
        f"de,d{user},{item}" for user in range(5) for item in ("i1", "i2", f"i{user}a")
    )
    table(here / "shop.csv", f"{OTHERS}\n{more}\nde,d0,only-here")
    lists = fit_and_list("shop.csv", "de")
    shown = {row["item_id"] for row in lists if row["user_id"] == "d1"}
    assert "only-here" in shown
    assert not shown & {f"i{item}" for item in range(3, 16)}  # sold in the other market only


# -- runs -----------------------------------------------------------------------------------


@pytest.fixture
def fitted(here):
    ok(*FIT, "markets")
    return here


def test_a_run_of_other_data(fitted):
    table(fitted / "shop.csv")
    said = untouched(fitted, *FIT, "shop.csv", code=2)
    assert said.startswith("out is a run of other data; choose another folder")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--seed", "7"), "out is a run with seed=0, not 7; "),
        (("--threads", "1"), "out is a run with threads=2, not 1; "),
        (("--set", "markets=all"), "out is a run with config.markets=target, not all; "),
        (("--protocol", "loo-99"), "out is a run with protocol.name=ratio-full, not loo-99; "),
        (("--refit",), "out is a run with protocol.refit=False, not True; "),
    ],
)
def test_a_run_of_another_config(fitted, options, message):
    assert untouched(fitted, *FIT, "markets", *options, code=2).startswith(message)


@pytest.mark.parametrize("command", ["evaluate", "recommend"])
def test_what_is_no_run(here, command):
    options = ("--market", "mx", "--user", "mx-01") if command == "recommend" else ()
    for place in ("markets", "nowhere"):
        said = untouched(here, command, place, *options, code=2)
        assert said == f"{place} is no run; make one with `crossmarket fit --out {place}`"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--protocol", "ratio"), "unknown protocol 'ratio'"),
        (("--history", "future"), "protocol option history: input should be 'train' or"),
        (("--protocol", "launch@0"), "protocol 'launch@0': the fraction must lie in (0, 1]"),
    ],
)
def test_wrong_options_of_evaluate(fitted, options, message):
    assert untouched(fitted, "evaluate", "out", *options, code=2).startswith(message)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--market", "mx"), "say for whom: --user ID, --history ITEM,ITEM or --all-users"),
        (("--market", "mx", "--user", "a", "--all-users"), "say for whom"),
        (("--market", "fr", "--all-users"), "there is no market 'fr' in these data"),
        (("--market", "mx", "--user", "de-01"), "market 'mx' has no user 'de-01'; give a history"),
        (("--market", "mx", "--history", "x,y"), "none of the items of history 1 is known"),
        (("--market", "mx", "--history", ","), "none of the items of history 1 is known"),
        (("--market", "mx", "--all-users", "-k", "0"), "invalid value for '-k'"),
        (("--market", "mx", "--all-users", "--out", "x.txt"), "cannot write x.txt; give a name"),
    ],
)
def test_wrong_options_of_recommend(fitted, options, message):
    ok("fit", "--data", "markets", "--out", "out", "--model", "popularity")
    assert untouched(fitted, "recommend", "out", *options, code=2).startswith(message)


def test_lists_that_cannot_be_written(fitted):
    (fitted / "lists.csv").mkdir()
    (fitted / "lists.csv" / "mine").write_text("mine")
    options = ("--market", "mx", "--all-users", "--out", "lists.csv")
    assert untouched(fitted, "recommend", "out", *options, code=1).startswith("the system refused")


def test_a_market_that_was_no_target(here):
    ok(*FIT, "markets", "--targets", "mx")
    said = untouched(here, "recommend", "out", "--market", "uk", "--all-users", code=2)
    assert said == "this run was not fitted for market 'uk'; it has: mx"


@pytest.mark.parametrize("content", [b"", b"\x00\xff", b"{}", b"[]", b'{"format": 2}'])
def test_a_spoilt_run(fitted, content):
    (fitted / "out" / "run.json").write_bytes(content)
    for command in (("evaluate", "out"), (*FIT, "markets"), ("check", "out")):
        before = tree(fitted)
        if command[0] == "check":
            assert run(*command).code == 1
        else:
            refused(*command, code=1)
        assert tree(fitted) == before


def test_the_simulation_has_bad_input_too(here):
    (here / "s.yaml").write_text("markets: []\n")
    assert untouched(here, "data", "simulate", "--out", "o", "--config", "s.yaml", code=2)
    assert untouched(here, "data", "simulate", "--out", "o", "--seed", "-3", code=2)
    assert markets().markets == ("de", "mx", "uk")

"""Serving loads neither torch nor training code, and unpickles nothing."""

import subprocess
import sys

from tests.artifact.making import packaged

SCRIPT = """
import sys

happened = []
forbidden = ("pickle.find_class", "socket.connect", "subprocess.Popen", "os.system", "os.exec")
sys.addaudithook(lambda event, args: event in forbidden and happened.append(event))
from crossmarket.artifact.artifact import Artifact
from crossmarket.artifact.exporting import lists

artifact = Artifact.from_pretrained(sys.argv[1])
market = artifact.market("mx")
assert artifact.recommend("mx", market.users.ids[0], explain=True).items
assert market.recommend(history=market.item_ids[:3]).items
assert market.similar(market.item_ids[0]).items
assert lists(market).height
assert not happened, happened
loaded = {name.split(".")[0] for name in sys.modules}
assert not loaded & {"torch", "scipy", "sklearn", "optuna", "matplotlib", "requests"}, loaded
ours = {name.split(".")[1] for name in sys.modules if name.startswith("crossmarket.")}
print(" ".join(sorted(ours)))
"""


def test_loading_and_answering_need_numpy_polars_and_little_else():
    command = [sys.executable, "-c", SCRIPT, str(packaged("dcmpt")[1])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["artifact", "data", "errors", "files", "metrics"]

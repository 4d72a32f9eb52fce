"""A service over made markets."""

import pytest
from tests.browser import Watched, chromium
from tests.serving.calling import ADMIN, READ, live
from tests.serving.making import write

from crossmarket.serving.keys import Key
from crossmarket.serving.service import Service
from crossmarket.serving.settings import Settings


@pytest.fixture(scope="session")
def artifact(tmp_path_factory):
    return write(tmp_path_factory.mktemp("serving") / "artifact")


@pytest.fixture(scope="session")
def shared(artifact):
    """A service that no test changes."""
    service = Service(Settings(artifact, read_key=Key(READ)))
    yield service
    service.close()


@pytest.fixture(scope="session")
def running(artifact, tmp_path_factory):
    """A service in a process of its own, with short time limits."""
    log = tmp_path_factory.mktemp("running") / "log"
    limits = {"head_seconds": 1, "body_seconds": 1, "write_seconds": 1, "idle_seconds": 1}
    with live(log, artifact=artifact, access_log=True, limits=limits) as service:
        yield service


@pytest.fixture
def depot(tmp_path):
    folder = tmp_path / "depot"
    folder.mkdir()
    return folder


@pytest.fixture
def make_service(artifact, depot):
    """Starts services with keys and administration; `changes` are fields of the settings."""
    services = []

    def start(**changes):
        values = {
            "artifact": artifact,
            "depot": depot,
            "admin_port": 0,
            "read_key": Key(READ),
            "admin_key": Key(ADMIN),
        }
        services.append(Service(Settings(**(values | changes))))
        return services[-1]

    yield start
    for service in services:
        service.close()


@pytest.fixture
def service(make_service):
    return make_service()


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture
def visit(browser):
    """Opens a service in a context of its own; at the end nothing strange may have happened."""
    visits = []

    def start(service, *, key=READ, **options):
        watched = Watched(browser, service.url, **options)
        visits.append(watched)
        if key is not None:
            script = f"sessionStorage.setItem('crossmarket-read-key', '{key}')"
            watched.page.add_init_script(script)
        return watched

    yield start
    for watched in visits:
        assert watched.trouble == []
        assert watched.violations() == []
        assert watched.page.evaluate("[window.ran, top.ran, document.cookie]") == [None, None, ""]
        assert {
            url.startswith(f"{watched.base}/") or url == "data:," for _, url in watched.asked
        } == {True}
        watched.page.close()

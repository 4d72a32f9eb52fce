"""The description is what the service does: its examples run, and so do requests made from it."""

import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.serving.calling import READ, administer, bearer, call, part
from tests.serving.making import stock


def document(service):
    return call(service.public, "GET", "/openapi.json").json()


def routes_of(described):
    return {(method.upper(), path) for path, one in described["paths"].items() for method in one}


def requests_of(described):
    """Method, path, address and values of each request that the document gives as an example."""
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            address, query = path, {}
            for parameter in operation["parameters"]:
                name, example = parameter["name"], parameter["example"]
                if parameter["in"] == "path":
                    address = address.replace(f"{{{name}}}", part(example))
                else:
                    query[name] = str(example).lower()
            values = {"params": query} if query else {}
            if "requestBody" in operation:
                values["json"] = operation["requestBody"]["content"]["application/json"]["example"]
            yield method.upper(), path, address, values


def test_every_route_is_described(service):
    administration = administer(service, "GET", "/openapi.json").json()
    for gate, described in ((service.public, document(service)), (service.admin, administration)):
        routes = {
            (method, route.path_format)
            for route in gate.routes
            for method in route.methods - {"HEAD"}
        }
        assert routes_of(described) == routes


def test_the_examples_work_as_they_stand(shared):
    for method, path, address, values in requests_of(document(shared)):
        answer = call(shared.public, method, address, **values)
        assert answer.status_code == 200, (path, answer.text)
        if "recommendations" in path or "similar" in path:
            assert answer.json()["items"]


def test_the_examples_of_administration_work_in_their_order(service, depot):
    first = document(service)
    new = stock(depot, "de", 2, "de")
    described = administer(service, "GET", "/openapi.json").json()
    done = {}
    for method, path, address, values in requests_of(described):
        answer = administer(service, method, address, **values)
        assert answer.status_code == 200, (path, answer.text)
        done[method, path] = answer.json()
    market = "/admin/markets/{market}"
    assert done["DELETE", market]["version"] is None
    assert done["PUT", market]["version"] == new.version
    assert done["POST", f"{market}/rollback"]["previous"] == new.version
    told = [one["action"] for one in done["GET", "/admin/audit"]["entries"]]
    assert told == ["remove", "swap", "rollback"]
    assert document(service) == first


def test_it_names_no_user(shared):
    text = call(shared.public, "GET", "/openapi.json").text
    assert "example.org" not in text


def test_requests_made_from_it_get_what_it_promises(shared, running):
    schema = schemathesis.openapi.from_dict(document(shared))
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) == 14

    @given(st.data())
    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    def ask(data):
        operation = data.draw(st.sampled_from(operations))
        case = data.draw(operation.as_strategy())
        case.call_and_validate(base_url=running.url, headers=bearer(READ))

    ask()
    assert running.get("/livez").status_code == 200

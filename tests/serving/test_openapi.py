"""The description is what the service does: its examples run, and so do requests made from it."""

import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.serving.calling import READ, bearer, call, part


def document(service):
    return call(service.public, "GET", "/openapi.json").json()


def test_every_route_is_described(shared):
    described = {
        (method.upper(), path)
        for path, methods in document(shared)["paths"].items()
        for method in methods
    }
    routes = shared.public.routes
    assert described == {(min(one.methods), one.path_format) for one in routes}


def test_the_examples_work_as_they_stand(shared):
    for path, methods in document(shared)["paths"].items():
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
            answer = call(shared.public, method.upper(), address, **values)
            assert answer.status_code == 200, (path, answer.text)
            if "recommendations" in path or "similar" in path:
                assert answer.json()["items"]


def test_it_names_no_user(shared):
    text = call(shared.public, "GET", "/openapi.json").text
    assert "example.org" not in text


def test_requests_made_from_it_get_what_it_promises(shared, running):
    schema = schemathesis.openapi.from_dict(document(shared))
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) == 10

    @given(st.data())
    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    def ask(data):
        operation = data.draw(st.sampled_from(operations))
        case = data.draw(operation.as_strategy())
        case.call_and_validate(base_url=running.url, headers=bearer(READ))

    ask()
    assert running.get("/livez").status_code == 200

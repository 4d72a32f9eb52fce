"""Bytes on a real connection: malformed, slow and too many; the service answers on."""

import json
import socket
import time

import pytest
from tests.serving.calling import READ, part
from tests.serving.making import FIRST, ITEMS, make

HEAD = f"Host: localhost\r\nAuthorization: Bearer {READ}\r\n".encode()
POST = b"POST /v1/markets/uk/recommendations HTTP/1.1\r\n" + HEAD
JSON = b"Content-Type: application/json\r\n"


def status(received):
    """Status code of the first answer; None where the connection was just closed."""
    return int(received.split(b" ", 2)[1]) if received else None


def body(received):
    return json.loads(received.partition(b"\r\n\r\n")[2])


def get(path, close=True):
    last = b"Connection: close\r\n" if close else b""
    return f"GET {path} HTTP/1.1\r\n".encode() + HEAD + last + b"\r\n"


MALFORMED = {
    "nothing known": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "no words": b"\r\n\r\n\r\n",
    "one word": b"GET\r\n\r\n",
    "no version": b"GET /v1/markets\r\n\r\n",
    "a far version": b"GET /livez HTTP/9.9\r\n\r\n",
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "an unknown method": b"HACK / HTTP/1.1\r\n" + HEAD + b"\r\n",
    "a tunnel": b"CONNECT evil.example:443 HTTP/1.1\r\n" + HEAD + b"\r\n",
    "a star": b"OPTIONS * HTTP/1.1\r\n" + HEAD + b"\r\n",
    "a full address": b"GET http://evil.example/v1/markets HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    "no host": b"GET /v1/markets HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /v1/markets HTTP/1.1\r\nHost: evil.example\r\n" + HEAD + b"\r\n",
    "two keys": b"GET /v1/markets HTTP/1.1\r\nAuthorization: Bearer x\r\n" + HEAD + b"\r\n",
    "NUL in a header": b"GET /v1/markets HTTP/1.1\r\nX: a\x00b\r\n" + HEAD + b"\r\n",
    "NUL in the path": b"GET /v1/\x00markets HTTP/1.1\r\n" + HEAD + b"\r\n",
    "bytes in the path": b"GET /v1/markets/\xff\xfe HTTP/1.1\r\n" + HEAD + b"\r\n",
    "no colon": b"GET /v1/markets HTTP/1.1\r\nHost\r\n\r\n",
    "blank before a colon": b"GET /v1/markets HTTP/1.1\r\nX : y\r\n" + HEAD + b"\r\n",
    "a folded header": b"GET /v1/markets HTTP/1.1\r\nX: y\r\n z\r\nHost: evil.example\r\n\r\n",
    "two lengths": POST + JSON + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}x",
    "length and chunks": POST
    + JSON
    + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a negative length": POST + JSON + b"Content-Length: -1\r\n\r\n",
    "a hexadecimal length": POST + JSON + b"Content-Length: 0x2\r\n\r\n{}",
    "an endless length": POST + JSON + b"Content-Length: " + b"9" * 40 + b"\r\n\r\n",
    "a large length": POST + JSON + b"Content-Length: 99999999\r\n\r\n{",
    "chunks of no size": POST + JSON + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "a chunk of any size": POST
    + JSON
    + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
    "unknown encoding": POST + JSON + b"Transfer-Encoding: gzip\r\n\r\n\x1f\x8b",
    "an upgrade": b"GET /nothing HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
    + HEAD
    + b"\r\n",
    "a long target": b"GET /" + b"a" * 60_000 + b" HTTP/1.1\r\n" + HEAD + b"\r\n",
    "many headers": b"GET /v1/markets HTTP/1.1\r\n" + b"X: y\r\n" * 9000 + HEAD + b"\r\n",
    "an endless header": b"GET /v1/markets HTTP/1.1\r\nX: " + b"y" * 400_000,
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_requests_are_refused_and_the_next_one_is_answered(running, name):
    start = time.monotonic()
    received = running.exchange(MALFORMED[name])
    assert status(received) in (None, *range(400, 500)), received[:200]
    assert time.monotonic() - start < 8
    assert status(running.exchange(get("/v1/markets"))) == 200


def test_bytes_one_by_one_are_a_request_too(running):
    user = make("uk", FIRST)[1].users[0]
    text = json.dumps({"user": user}).encode()
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in text) + b"0\r\n\r\n"
    head = POST + JSON + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    received = running.exchange(*(bytes([byte]) for byte in head), chunks)
    assert status(received) == 200
    assert body(received)["strategy"] == "personal"


def test_pipelined_requests_are_answered_in_their_order(running):
    made = make("uk", FIRST)[1]
    paths = [f"/v1/markets/uk/users/{part(user)}/recommendations?k=1" for user in made.users[:8]]
    sent = [get(path, close=False) for path in paths[:-1]] + [get(paths[-1])]
    received = running.exchange(b"".join(sent)).decode()
    assert received.count("HTTP/1.1 200 OK") == 8
    parts = received.split("HTTP/1.1 200 OK")[1:]
    found = [json.loads(text.partition("\r\n\r\n")[2]) for text in parts]
    assert [one["items"][0]["id"] for one in found] == [made.best(u, 1)[0] for u in made.users[:8]]


@pytest.mark.parametrize(
    "pieces",
    [
        [],
        [b"GET /liv"],
        [b"GET /livez HTTP/1.1\r\nHost: localhost\r\n", b"X: y\r\n", b"Y: z\r\n"],
        [POST + JSON + b"Content-Length: 50\r\n\r\n", b"{", b'"', b"k"],
        [b"GET /livez HTTP/1.1\r\nContent-Length: 50\r\n" + HEAD + b"\r\n", b"x"],
    ],
    ids=["silent", "half a line", "half a head", "half a body", "half a body nobody reads"],
)
def test_slow_clients_are_cut_off_and_others_do_not_wait(running, pieces):
    with running.connect() as connection:
        start = time.monotonic()
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(0.1)
        assert running.get("/v1/markets").status_code == 200
        while connection.recv(65536):
            pass
        assert time.monotonic() - start < 6


def test_blank_lines_do_not_keep_a_connection_open(running):
    with running.connect() as connection:
        connection.sendall(get("/livez", close=False))
        assert connection.recv(65536)
        start = time.monotonic()
        with pytest.raises(ConnectionError):
            while time.monotonic() - start < 8:
                connection.sendall(b"\r\n")
                time.sleep(0.2)


def test_many_requests_in_one_piece_are_no_long_head(running):
    one = get("/livez", close=False)
    with running.connect() as connection:
        connection.sendall(one * 400 + one[:20])
        connection.sendall(one[20:-2] + b"Connection: close\r\n\r\n")
        received = b""
        while piece := connection.recv(65536):
            received += piece
    assert received.count(b'{"status":"alive"}') == 401


def test_who_does_not_read_is_cut_off(running):
    request = POST + JSON + b"Content-Length: %d\r\n\r\n"
    text = json.dumps({"history": ["x" * 1000 + str(n) for n in range(800)]}).encode()
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(15)
        connection.connect(("127.0.0.1", running.port))
        with pytest.raises((ConnectionError, TimeoutError)) as raised:
            for _ in range(200):
                connection.sendall(request % len(text) + text)
        assert isinstance(raised.value, ConnectionError)
    assert running.get("/v1/markets").status_code == 200


def test_the_log_is_json_and_names_neither_users_nor_items_nor_keys(running):
    made = make("uk", FIRST)[1]
    running.get(f"/v1/markets/uk/users/{part(made.users[1])}/recommendations")
    running.get(f"/v1/markets/uk/items/{part(ITEMS[1])}/similar")
    running.get(f"/v1/markets/{part(made.users[2])}", key="wrong-key-of-somebody")
    text = running.errors()
    lines = [json.loads(line) for line in text.splitlines()]
    assert lines[0]["event"] == "start"
    routes = {line.get("route") for line in lines if line["event"] == "request"}
    assert "/v1/markets/{market}/users/{user}/recommendations" in routes
    for secret in (READ, "wrong-key", "example.org", "item 0", "item%20"):
        assert secret not in text

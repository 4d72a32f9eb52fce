"""What a few clients may cost all others."""

import socket
import time

from tests.serving.test_wire import get

ASKED = 60


def test_answers_that_nobody_reads_do_not_pile_up(running):
    """The kernel would keep megabytes of them for each connection."""
    one = get("/openapi.json", close=False)
    size = len(running.exchange(get("/openapi.json")))
    assert size * ASKED < 3_000_000
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(10)
        connection.connect(("127.0.0.1", running.port))
        connection.sendall(one * ASKED)
        time.sleep(2)
        received = 0
        try:
            while piece := connection.recv(65536):
                received += len(piece)
        except ConnectionError:
            pass
    assert received < size * ASKED / 2
    assert '"level":"error"' not in running.errors()
    assert running.get("/livez").status_code == 200

"""Asking the node: its health within one deadline, and what it serves."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from cn_ops.application import get, read_page, wait_healthy
from cn_ops.errors import OperationFailed, TimedOut, VerificationFailed


class Node:
    """A web server of this very process; ``answers`` are given in turn, the last one for ever."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self.url = f"http://127.0.0.1:{server.server_port}"
        self.answers: list[tuple[int, bytes]] = [(200, b"{}")]
        self.asked: list[str] = []

    def next_answer(self, path: str) -> tuple[int, bytes]:
        self.asked.append(path)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.fixture
def node() -> Iterator[Node]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = made.next_answer(self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made = Node(server)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield made
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def nobody() -> Iterator[str]:
    """A port that is taken, so that nobody else takes it, and that refuses to be asked."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


class Clock:
    """Time passes only while somebody pauses, and a little at each look."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.pauses: list[float] = []

    def __call__(self) -> float:
        self.now += 0.001
        return self.now

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


def wait(url: str, deadline: float, clock: Clock, gave_up: Callable[[], str | None] = lambda: None) -> None:
    wait_healthy(url, deadline, gave_up=gave_up, clock=clock, pause=clock.pause)


def test_answer_has_its_status_and_body(node: Node) -> None:
    node.answers = [(503, b'{"status":"unavailable"}')]
    answer = get(f"{node.url}/healthz")
    assert (answer.status, answer.body, answer.problem) == (503, b'{"status":"unavailable"}', "")
    assert answer.summary == 'HTTP 503: {"status":"unavailable"}'


@pytest.mark.parametrize("path", ["", "/"])
def test_no_answer_is_no_exception(nobody: str, path: str) -> None:
    answer = get(nobody + path)
    assert answer.status == 0
    assert "refused" in answer.summary


@pytest.mark.parametrize("url", ["http://", "nonsense", "http://127.0.0.1:99999/", "http://[::1", "ftp://x\n/"])
def test_address_that_is_none_is_no_exception(url: str) -> None:
    assert get(url).status == 0


def test_server_that_speaks_no_http_is_no_exception() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def speak() -> None:
            with server.accept()[0] as connection:
                connection.recv(1000)
                connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")

        thread = threading.Thread(target=speak)
        thread.start()
        answer = get(f"http://127.0.0.1:{server.getsockname()[1]}")
        thread.join()
    assert answer.status == 0
    assert answer.problem


def test_answer_that_is_cut_off_is_no_exception() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def speak() -> None:
            with server.accept()[0] as connection:
                connection.recv(1000)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")

        thread = threading.Thread(target=speak)
        thread.start()
        answer = get(f"http://127.0.0.1:{server.getsockname()[1]}")
        thread.join()
    assert answer.status == 0
    assert answer.problem


def test_proxy_of_the_environment_is_not_asked(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert get(node.url).status == 200


def test_waiting_ends_with_the_first_200(node: Node) -> None:
    node.answers = [(503, b""), (404, b""), (200, b"")]
    wait(f"{node.url}/healthz", 60, Clock())
    assert node.asked == ["/healthz"] * 3


def test_pauses_grow_and_the_deadline_is_one_for_all_tries(nobody: str) -> None:
    clock = Clock()
    with pytest.raises(TimedOut, match="not healthy within 10 s") as late:
        wait(nobody, 10, clock)
    assert clock.now - 1000 == pytest.approx(10, abs=0.1)
    assert clock.pauses[:5] == [0.02, 0.04, 0.08, 0.16, 0.2]
    assert max(clock.pauses) == 0.2
    assert "refused" in late.value.evidence
    assert late.value.exit_code == 6


def test_real_deadline_is_held(nobody: str) -> None:
    with pytest.raises(TimedOut, match=r"within 0\.2 s"):
        wait_healthy(nobody, 0.2)


def test_no_time_left_is_no_try(node: Node) -> None:
    with pytest.raises(TimedOut, match="within 0 s"):
        wait(node.url, 0, Clock())
    assert node.asked == []


def test_waiting_ends_at_once_when_it_is_useless(nobody: str) -> None:
    clock = Clock()
    with pytest.raises(OperationFailed, match=r"cannot become healthy: web has ended$") as useless:
        wait(nobody, 60, clock, lambda: "web has ended\nlast words")
    assert useless.value.evidence == "last words"
    assert useless.value.exit_code == 1
    assert clock.pauses == []


def test_page_counts_its_entries_and_names_the_topic(node: Node) -> None:
    node.answers = [(200, json.dumps({"count": 2, "events": [{"id": 1}, {"id": 2}]}).encode())]
    page = read_page(f"{node.url}/", "/v1/events?topic={topic}&limit=9", "kukuri:a/b&c あ")
    assert page.entries == ('{"id": 1}', '{"id": 2}')
    assert node.asked == ["/v1/events?topic=kukuri%3Aa%2Fb%26c%20%E3%81%82&limit=9"]


def test_pages_of_the_same_content_are_equal_whatever_the_order_of_keys(node: Node) -> None:
    node.answers = [(200, b'[{"a":1,"b":2}]'), (200, b'[ {"b":2, "a":1} ]'), (200, b'[{"a":1,"b":3}]')]
    one, same, other = (read_page(node.url, "/x", "") for _ in range(3))
    assert one == same
    assert one != other


@pytest.mark.parametrize(
    ("status", "body", "word"),
    [
        (500, b"oops", "did not serve"),
        (404, b"[]", "did not serve"),
        (200, b"<html>", "did not answer JSON"),
        (200, b"\xff", "did not answer JSON"),
        (200, b"5", "one list of entries"),
        (200, b"{}", "one list of entries"),
        (200, b'{"a": [], "b": []}', "one list of entries"),
    ],
)
def test_what_is_no_list_of_entries_is_a_failed_verification(node: Node, status: int, body: bytes, word: str) -> None:
    node.answers = [(status, body)]
    with pytest.raises(VerificationFailed, match=word) as failed:
        read_page(node.url, "/v1/events", "t")
    assert failed.value.exit_code == 4
    assert f"HTTP {status}" in failed.value.evidence


def test_node_that_is_down_is_a_failed_verification(nobody: str) -> None:
    with pytest.raises(VerificationFailed, match="did not serve") as failed:
        read_page(nobody, "/v1/events", "t")
    assert "no answer" in failed.value.evidence

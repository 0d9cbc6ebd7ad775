"""The embedded stack's services: their ports, their ends, and what a killed command leaves of them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from cn_ops.application import get
from cn_ops.errors import MissingError, OperationFailed, TimedOut
from cn_ops.settings import EmbeddedService, EmbeddedSettings
from cn_ops.stack.embedded import EmbeddedStack
from cn_ops.stack.embedded_services import MARK_VARIABLE, Entry, Services
from tests.support import stacks
from tests.support.processes import lives, wait_until

# A web server that answers everything with 200; {stubborn} ones do not hear SIGTERM.
WEB = """
import http.server, signal, sys
if sys.argv[2:] == ["stubborn"]:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
print("serving", flush=True)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
WEB_SERVICE = ("{python}", "-c", WEB, "{port}")
PATH = "the state"


@contextmanager
def stack_of(folder: Path, *command: str, deadline: float = 30, stop_deadline: float = 10) -> Iterator[EmbeddedStack]:
    """Give a stack whose one service is this command; its server is never started."""
    with stacks.embedded(
        folder / PATH,
        deadline=deadline,
        stop_deadline=stop_deadline,
        writers=("web",),
        embedded=EmbeddedSettings(services={"web": EmbeddedService(command=command)}),
    ) as stack:
        yield stack


def entry(folder: Path) -> Entry:
    return Entry(**json.loads((folder / PATH / "embedded" / "services.json").read_text())["web"])


def recorded(folder: Path) -> int:
    pid = entry(folder).pid
    assert pid is not None
    return pid


def test_service_starts_once_and_answers(tmp_path: Path) -> None:
    with stack_of(tmp_path, *WEB_SERVICE) as stack:
        stack.start(["web"])
        pid = recorded(tmp_path)
        stack.start(["web"])
        assert recorded(tmp_path) == pid
        assert stack.running() == ("web",)
        assert get(f"{stack.base_url}/healthz").status == 200
        assert "serving" in stack.logs(10)
    assert not lives(pid)


def test_address_is_known_before_the_start_and_stays(tmp_path: Path) -> None:
    with stack_of(tmp_path, *WEB_SERVICE) as stack:
        before = stack.base_url
        assert not (tmp_path / PATH).exists()
        stack.start(["web"])
        stack.stop(["web"])
        stack.start(["web"])
        assert stack.base_url == before


def test_port_that_was_taken_in_between_is_given_up(tmp_path: Path) -> None:
    with stack_of(tmp_path, *WEB_SERVICE) as stack:
        stack.start(["web"])
        before = entry(tmp_path).port
        stack.stop(["web"])
        with socket.create_server(("127.0.0.1", before)):
            stack.start(["web"])
            assert entry(tmp_path).port != before
            assert get(f"{stack.base_url}/healthz").status == 200


def test_service_that_ends_at_once_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    with stack_of(tmp_path, "sh", "-c", "echo broken configuration >&2; exit 3") as stack:
        began = time.monotonic()
        with pytest.raises(OperationFailed, match="web has ended") as failed:
            stack.start(["web"])
        assert time.monotonic() - began < 5
        assert "broken configuration" in failed.value.evidence
        assert stack.running() == ()


def test_answer_of_something_else_is_not_the_services_health(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with stack_of(tmp_path / "other", *WEB_SERVICE) as other, stack_of(tmp_path, "sh", "-c", "exit 3") as stack:
        other.start(["web"])
        monkeypatch.setattr("cn_ops.stack.embedded_services._free", lambda port: True)
        monkeypatch.setattr("cn_ops.stack.embedded_services._free_port", lambda: entry(tmp_path / "other").port)
        with pytest.raises(OperationFailed, match=r"something else than web|web has ended"):
            stack.start(["web"])


def test_deadline_holds_when_health_never_comes(tmp_path: Path) -> None:
    with stack_of(tmp_path, "sleep", "300", deadline=1) as stack:
        began = time.monotonic()
        with pytest.raises(TimedOut, match="not healthy within"):
            stack.start(["web"])
        assert 1 <= time.monotonic() - began < 2


def test_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    with stack_of(tmp_path, "no-such-service-program") as stack:
        with pytest.raises(MissingError, match="no-such-service-program"):
            stack.start(["web"])
        assert stack.running() == ()
        assert entry(tmp_path).mark is None


def test_service_that_does_not_hear_is_killed_after_the_deadline(tmp_path: Path) -> None:
    with stack_of(tmp_path, *WEB_SERVICE, "stubborn", stop_deadline=0.5) as stack:
        stack.start(["web"])
        pid = recorded(tmp_path)
        began = time.monotonic()
        stack.stop(["web"])
        assert 0.5 <= time.monotonic() - began < 3
        assert not lives(pid)
        assert stack.running() == ()


def test_children_of_a_service_end_with_it(tmp_path: Path) -> None:
    command = ("sh", "-c", 'sleep 300 & echo $! > "$PIDS"; exec "$0" "$@"', *WEB_SERVICE)
    service = EmbeddedService(command=command, environment={"PIDS": str(tmp_path / "pids")})
    settings = EmbeddedSettings(services={"web": service})
    with stacks.embedded(tmp_path / PATH, writers=("web",), embedded=settings) as stack:
        stack.start(["web"])
        child = int((tmp_path / "pids").read_text())
        assert lives(child)
        stack.stop(["web"])
        wait_until(lambda: not lives(child))


def test_service_whose_number_was_never_written_down_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Services._write

    def killed_before_the_second_write(services: Services, name: str, entry: Entry) -> None:
        if entry.pid is not None:
            raise KeyboardInterrupt
        write(services, name, entry)

    with stack_of(tmp_path, *WEB_SERVICE) as stack:
        with monkeypatch.context() as patch:
            patch.setattr(Services, "_write", killed_before_the_second_write)
            with pytest.raises(KeyboardInterrupt):
                stack.start(["web"])
        mark = entry(tmp_path).mark
        assert entry(tmp_path).pid is None
        assert stack.running() == ("web",)
        stack.start(["web"])
        same = [one.pid for one in psutil.process_iter() if mark == environment(one).get(MARK_VARIABLE)]
        assert same == [recorded(tmp_path)]
    assert not lives(same[0])


def environment(found: psutil.Process) -> dict[str, str]:
    try:
        return dict(found.environ())
    except psutil.Error:
        return {}


def test_foreign_process_with_the_recorded_number_is_left_alone(tmp_path: Path) -> None:
    with stack_of(tmp_path, *WEB_SERVICE) as stack:
        stack.start(["web"])
        stack.stop(["web"])
        record = tmp_path / PATH / "embedded" / "services.json"
        foreign = subprocess.Popen(["sleep", "300"], start_new_session=True)
        try:
            document = json.loads(record.read_text())
            document["web"]["pid"] = foreign.pid
            record.write_text(json.dumps(document))
            assert stack.running() == ()
            stack.stop(["web"])
            stack.down(volumes=True)
            assert foreign.poll() is None
        finally:
            foreign.kill()
            foreign.wait()


def test_service_is_known_by_its_mark_when_the_clock_was_corrected(tmp_path: Path) -> None:
    with stack_of(tmp_path, *WEB_SERVICE) as stack:
        stack.start(["web"])
        record = tmp_path / PATH / "embedded" / "services.json"
        document = json.loads(record.read_text())
        document["web"]["started"] -= 3600
        record.write_text(json.dumps(document))
        assert stack.running() == ("web",)


def test_service_that_the_settings_name_no_more_is_ended_too(tmp_path: Path) -> None:
    with stack_of(tmp_path, *WEB_SERVICE) as stack:
        stack.start(["web"])
        pid = recorded(tmp_path)
        settings = EmbeddedSettings(services={"site": EmbeddedService(command=WEB_SERVICE)})
        renamed = EmbeddedStack(stacks.embedded_settings(tmp_path / PATH, writers=("site",), embedded=settings))
        assert renamed.running() == ("web",)
        renamed.down(volumes=False)
        assert not lives(pid)


def test_record_that_cannot_be_understood_is_named(tmp_path: Path) -> None:
    with stack_of(tmp_path, *WEB_SERVICE) as stack:
        stack.start(["web"])
        record = tmp_path / PATH / "embedded" / "services.json"
        kept = record.read_text()
        record.write_text("{")
        try:
            with pytest.raises(OperationFailed, match=r"services\.json cannot be understood"):
                stack.running()
        finally:
            record.write_text(kept)


def test_killed_service_is_seen_and_starts_again(tmp_path: Path) -> None:
    with stack_of(tmp_path, *WEB_SERVICE) as stack:
        stack.start(["web"])
        pid = recorded(tmp_path)
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: stack.running() == ())
        stack.start(["web"])
        assert recorded(tmp_path) != pid
        assert stack.running() == ("web",)

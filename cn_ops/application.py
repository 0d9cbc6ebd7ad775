"""The node as its users meet it: its health, and what it serves."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

from cn_ops.errors import OperationFailed, TimedOut, VerificationFailed

# One answer may take this long; the deadline is for all tries together.
TRY_SECONDS = 5.0
# Between two looks at what is being started: each may be a process, on a machine that is busy with that.
LONGEST_PAUSE = 0.2
READ_SECONDS = 30.0
LARGEST_ANSWER = 64 * 1024 * 1024


@dataclass(frozen=True)
class Answer:
    """An HTTP answer, or why there was none (``status`` 0)."""

    status: int
    body: bytes
    problem: str = ""

    @property
    def summary(self) -> str:
        """One line for people."""
        if self.problem:
            return self.problem
        return f"HTTP {self.status}: {self.body[:200].decode(errors='replace').strip()}"


def get(url: str, *, timeout: float = TRY_SECONDS) -> Answer:
    """Ask once; ``timeout`` in seconds. Never raises for what the network or the server does."""
    try:
        return _ask(url, timeout)
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        return Answer(0, b"", problem=f"no answer: {str(reason).strip() or type(reason).__name__}")


def _ask(url: str, timeout: float) -> Answer:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # the node is local: no proxy
    try:
        response = opener.open(url, timeout=timeout)
    except urllib.error.HTTPError as error:
        response = error
    with response:
        body = response.read(LARGEST_ANSWER)
        if missing := getattr(response, "length", None):  # what is cut off must not pass for the answer
            raise http.client.IncompleteRead(body, missing)
        return Answer(response.status, body)


def wait_healthy(
    url: str,
    deadline: float,
    *,
    total: float | None = None,
    gave_up: Callable[[], str | None] = lambda: None,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Wait until ``url`` answers 200, at most ``deadline`` seconds in all.

    ``total`` is the whole deadline, for the message, where a part of it has passed already.
    ``gave_up`` may say why waiting longer is useless (the service has ended): in its first line, with evidence
    below. Raises ``TimedOut``, or ``OperationFailed`` when it was useless to wait.
    """
    end = clock() + deadline
    wait = 0.02
    last = Answer(0, b"", problem="it was never asked")
    while (left := end - clock()) > 0:
        last = get(url, timeout=min(TRY_SECONDS, left))
        if last.status == 200:
            return
        if reason := gave_up():
            why, _, evidence = reason.partition("\n")
            raise OperationFailed(
                f"{url} cannot become healthy: {why}",
                evidence=evidence or last.summary,
                hint="look at `inv stack.logs`",
            )
        pause(max(0.0, min(wait, end - clock())))
        wait = min(wait * 2, LONGEST_PAUSE)
    raise TimedOut(
        f"{url} was not healthy within {deadline if total is None else total:g} s",
        evidence=last.summary,
        hint="look at `inv stack.logs`; application.deadline sets how long to wait",
    )


@dataclass(frozen=True)
class Page:
    """What the application answered to the read; each entry as canonical JSON."""

    url: str
    text: str
    entries: tuple[str, ...]


def read_page(base_url: str, path: str, topic: str) -> Page:
    """Read what the application serves; raises ``VerificationFailed`` unless it is JSON with entries.

    The entries are the answer itself when it is a list, or the one list that it holds.
    """
    url = base_url.rstrip("/") + path.replace("{topic}", quote(topic, safe=""))
    answer = get(url, timeout=READ_SECONDS)
    if answer.status != 200:
        raise VerificationFailed(f"the application did not serve {url}", evidence=answer.summary)
    try:
        document = json.loads(answer.body)
    except ValueError:
        raise VerificationFailed(f"{url} did not answer JSON", evidence=answer.summary) from None
    lists = [document] if isinstance(document, list) else []
    if isinstance(document, dict):
        lists = [value for value in document.values() if isinstance(value, list)]
    if len(lists) != 1:
        raise VerificationFailed(f"{url} did not answer one list of entries", evidence=answer.summary)
    return Page(url, _canonical(document), tuple(_canonical(entry) for entry in lists[0]))


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)

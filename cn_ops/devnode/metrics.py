"""Counters of a service, in Prometheus' text format."""

from __future__ import annotations

import time
from collections import Counter

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """What a service has done since it started; one event loop writes, so no lock is needed."""

    def __init__(self) -> None:
        self._started = time.time()
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._posted = 0

    def count_request(self, method: str, route: str, status: int) -> None:
        """Count an answered request; ``route`` is one of a few, never a path as the client wrote it."""
        self._requests[(method, route, status)] += 1

    def count_event(self) -> None:
        """Count an event that was kept."""
        self._posted += 1

    def text(self, *, is_up: bool) -> str:
        """Return everything, and whether the database answers."""
        lines = [
            "# HELP cn_database_up Whether the database answers.",
            "# TYPE cn_database_up gauge",
            f"cn_database_up {int(is_up)}",
            "# HELP cn_events_posted_total Events that were posted and kept.",
            "# TYPE cn_events_posted_total counter",
            f"cn_events_posted_total {self._posted}",
            "# HELP cn_http_requests_total Requests that were answered.",
            "# TYPE cn_http_requests_total counter",
        ]
        lines += [
            f'cn_http_requests_total{{method="{method}",route="{route}",status="{status}"}} {count}'
            for (method, route, status), count in sorted(self._requests.items())
        ]
        lines += [
            "# HELP process_start_time_seconds When the process started, in seconds since 1970.",
            "# TYPE process_start_time_seconds gauge",
            f"process_start_time_seconds {self._started:.3f}",
        ]
        return "\n".join(lines) + "\n"

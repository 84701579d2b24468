"""Whether a service does its work; without the libraries that take seconds to import."""

import json
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

Check = Callable[[], bool]
TIMEOUT = 5.0
WORKER_FLOW = "evaluate/evaluate"


def answers(url: str) -> Check:
    """Whether an address answers with a success."""

    def check() -> bool:
        try:
            _fetch(url)
        except (OSError, ValueError):
            return False
        return True

    return check


def worker_polls(api: str) -> Check:
    """Whether a worker has asked the Prefect server for work since this call."""
    begin = datetime.now(UTC)

    def check() -> bool:
        try:
            deployment = json.loads(_fetch(f"{api}/deployments/name/{WORKER_FLOW}"))
        except (OSError, ValueError):
            return False
        return _is_later(deployment, begin)

    return check


def _is_later(deployment: dict[str, Any], begin: datetime) -> bool:
    polled = deployment.get("last_polled")
    return isinstance(polled, str) and datetime.fromisoformat(polled) > begin


def _fetch(url: str) -> bytes:
    # the services are on this machine: no proxy of the surroundings has to do with them
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=TIMEOUT) as answer:
        body: bytes = answer.read()
    return body

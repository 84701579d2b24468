"""Telling the Prefect UI about a stage; a server that does not answer never stops the work."""

import logging
import threading
from collections.abc import Callable
from typing import Any

from prefect.exceptions import MissingContextError

logger = logging.getLogger(__name__)

_given_up = threading.Event()


def report(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a function of Prefect's API; the first failure ends all reporting of this process.

    Every further call would wait for the same dead server before it failed.

    Returns:
        What the call returns; None outside a flow or where the server does not answer.
    """
    if _given_up.is_set():
        return None
    try:
        return call(*args, **kwargs)
    except MissingContextError:
        return None
    except Exception as error:
        logger.warning("no more reports to the Prefect server: %s", error)
        _given_up.set()
        return None

"""How long to wait between two attempts."""

import random
import time
from email.utils import parsedate_to_datetime


def seconds_to_wait(retry_after: str | None, longest: float) -> float | None:
    """What a Retry-After header asks for.

    Args:
        retry_after: seconds or a date, or None.
        longest: seconds at most.

    Returns:
        Seconds, or None when the header is absent or means nothing.
    """
    if not retry_after:
        return None
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(retry_after).timestamp() - time.time()
        except ValueError:
            return None
    return min(max(seconds, 0.0), longest)


def backoff(failures: int, first: float, longest: float) -> float:
    """Seconds before the next attempt: doubled each time, and never the same for two processes.

    Args:
        failures: attempts in a row that brought nothing.
        first: seconds after the first one.
        longest: seconds at most.
    """
    # processes that failed together must not come back together
    jitter = random.SystemRandom().uniform(0.5, 1.0)
    return float(min(first * 2 ** max(failures - 1, 0), longest) * jitter)

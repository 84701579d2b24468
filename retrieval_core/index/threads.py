"""How many cores there are to use."""

import os


def cores() -> int:
    """Cores that this process may use; a worker's share is in OMP_NUM_THREADS."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    share = os.environ.get("OMP_NUM_THREADS", "")
    return min(allowed or 1, int(share)) if share.isdigit() and int(share) else allowed or 1

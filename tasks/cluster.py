"""Ray: the connection, and a pool of workers that keep their model loaded."""

import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlsplit

import ray
from ray.exceptions import AuthenticationError, RayTaskError
from ray.util import ActorPool

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.config import FeaturesConfig, RayConfig
from retrieval_core.data.near_duplicates import ImageHashes, hash_images
from retrieval_core.errors import RetrievalError, ServiceError
from retrieval_core.features.extract import extract_shard
from retrieval_core.features.shards import Shard, ShardReport
from retrieval_core.index import Codebook
from retrieval_core.index.build import Aggregation
from retrieval_core.index.extraction import open_postings
from retrieval_core.models import load_model
from retrieval_core.search import Search

Work = TypeVar("Work")
OBJECT_STORE_BYTES = 512 * 2**20
# A pool that holds every core would starve training and Ray's own tasks for ever.
CORES_PER_WORKER = 0.5
SHARD_RETRIES = 3
KNOCK_SECONDS = 10.0

_lock = threading.Lock()


@dataclass
class _Connection:
    """Of this process.

    Attributes:
        address: of the cluster that `connect` was asked for.
        ours: whether `connect` made it, not a `ray.init` elsewhere.
        pool: workers, by what was configured of them; one entry at most.
        scopes: how many `cluster_scope` are open.
        left: set when the cluster is left; another one has its own.
    """

    address: str | None = None
    ours: bool = False
    pool: dict[tuple[int, float], list[Any]] = field(default_factory=dict)
    scopes: int = 0
    left: threading.Event = field(default_factory=threading.Event)


_connection = _Connection()


def connect(config: RayConfig) -> None:
    """Join the configured cluster, or start a local one that ends with this process.

    A cluster at another address is left first, unless it was joined by `ray.init`.

    Raises:
        ServiceError: no cluster answers at the configured address.
    """
    with _lock:
        if ray.is_initialized():
            if not _connection.ours or _connection.address == config.address:
                return
            _leave()
        if config.address:
            _join(config.address)
        else:
            _start_lasting(_start, _connection.left)
        _connection.address, _connection.ours = config.address, True


def _start() -> None:
    # "local", since Ray would else join any cluster that was ever started on this machine.
    ray.init(
        address="local",
        num_cpus=os.cpu_count(),
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        object_store_memory=OBJECT_STORE_BYTES,
        _temp_dir=os.environ.get("RAY_TMPDIR"),
    )


def _start_lasting(start: Callable[[], None], left: threading.Event) -> None:
    """Linux ends a local cluster with the thread that started it: not one of a flow, then."""
    started: Future[None] = Future()

    def run() -> None:
        try:
            start()
            started.set_result(None)
        except BaseException as error:
            started.set_exception(error)
        else:
            left.wait()

    threading.Thread(target=run, name="ray", daemon=True).start()
    started.result()


def _join(address: str) -> None:
    try:
        _knock(address)
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, AuthenticationError):
        raise ServiceError(
            f"no Ray cluster answers at {address} (runtime.ray.address): see whether it is up with "
            f"`ray status --address={address}`; RAY_AUTH_MODE and the token in ~/.ray/auth_token "
            "must be here what they were when it was started"
        ) from None


def _knock(address: str) -> None:
    """Fail within seconds where nobody listens; Ray itself would try for a quarter of an hour."""
    parts = urlsplit(address if "//" in address else f"//{address}")
    if parts.hostname and parts.port:
        socket.create_connection((parts.hostname, parts.port), timeout=KNOCK_SECONDS).close()


def resource(name: str) -> float:
    """How much of a resource ("CPU", "GPU") the cluster has."""
    return float(ray.cluster_resources().get(name, 0))  # type: ignore[no-untyped-call]


@contextmanager
def cluster_scope() -> Iterator[None]:
    """Leave the cluster at the end, or where these are nested at the end of the outermost.

    Runs inside one scope share workers, whose start takes longer than many a stage.
    """
    _connection.scopes += 1
    try:
        yield
    finally:
        _connection.scopes -= 1
        if not _connection.scopes:
            disconnect()


def disconnect() -> None:
    """Stop the workers and leave the cluster."""
    with _lock:
        _leave()


def _leave() -> None:
    _connection.pool.clear()
    _connection.ours = False
    ray.shutdown()
    _connection.left.set()
    _connection.left = threading.Event()


@dataclass(frozen=True)
class Words:
    """By what extraction aggregates local descriptors.

    Attributes:
        codebook: its directory.
        binary: to signs, else to directions.
    """

    codebook: str
    binary: bool


class Worker:
    """A process that keeps the last model, codebook and index that it was asked for.

    Its device is the GPU that Ray assigned, else the CPU.
    """

    def __init__(self) -> None:
        self._kept: dict[str, tuple[Any, Any]] = {}

    def extract(
        self,
        model_uri: str,
        shard: Shard,
        config: FeaturesConfig,
        directory_uri: str,
        words: Words | None = None,
    ) -> ShardReport:
        """Turn the images of one shard into descriptors on disk, or local ones into postings."""
        model = self._keep("model", model_uri, lambda: load_model(model_uri, device=_device()))
        directory = ArtifactDirectory(directory_uri)
        if words is None:
            return extract_shard(model, shard, config, directory)
        codebook = self._codebook(words.codebook)
        postings = partial(open_postings, codebook=codebook, binary=words.binary)
        return extract_shard(model, shard, config, directory, open_local=postings)

    def aggregate(
        self, aggregation: Aggregation, codebook_uri: str, shards: Sequence[int], part_uri: str
    ) -> None:
        """Save an index of the images of some shards."""
        codebook = self._codebook(codebook_uri)
        aggregation.build(codebook, shards).save(part_uri, with_codebook=False)

    def search(
        self, search: Search, query_ids: Sequence[int], directory_uri: str, name: str
    ) -> None:
        """Save a ranking of some queries."""
        index = self._keep("index", search, search.open)
        search.rank(index, query_ids).save(ArtifactDirectory(directory_uri), name)

    def _codebook(self, uri: str) -> Codebook:
        codebook: Codebook = self._keep("codebook", uri, lambda: Codebook.load(uri))
        return codebook

    def _keep(self, what: str, identity: Any, load: Callable[[], Any]) -> Any:
        if what not in self._kept or self._kept[what][0] != identity:
            self._kept.pop(what, None)  # never two of them in memory
            self._kept[what] = (identity, load())
        return self._kept[what][1]

    def hash_images(self, paths: Sequence[str]) -> ImageHashes:
        """Hashes that tell copies of images."""
        return hash_images(paths)


def map_on_workers(
    config: RayConfig, call: Callable[[Any, Work], Any], work: Sequence[Work]
) -> Iterator[Any]:
    """Results of `call(worker, item)` for every item, in the order in which they finish.

    A worker that dies is started again and its item repeated, up to `SHARD_RETRIES` times.
    """
    if not work:
        return
    with users_errors():
        yield from ActorPool(_pool(config)).map_unordered(call, list(work))


@contextmanager
def users_errors() -> Iterator[None]:
    """Raise a user's error from a worker as itself, not as Ray's wrapper with a traceback."""
    try:
        yield
    except RayTaskError as error:
        if isinstance(error.cause, RetrievalError):
            raise error.cause from None
        raise


def _pool(config: RayConfig) -> list[Any]:
    connect(config)
    wanted = config.workers, config.gpus_per_worker
    with _lock:
        if wanted not in _connection.pool:
            _connection.pool.clear()
            actor = ray.remote(Worker).options(
                num_cpus=CORES_PER_WORKER,
                num_gpus=_gpus_per_worker(config),
                max_restarts=-1,
                max_task_retries=SHARD_RETRIES,
            )
            _connection.pool[wanted] = [actor.remote() for _ in range(_pool_size(config))]
        return _connection.pool[wanted]


def _pool_size(config: RayConfig) -> int:
    if config.workers:
        return config.workers
    if gpus := _gpus_per_worker(config):
        return max(1, int(resource("GPU") / gpus))
    return max(1, int(resource("CPU")))


def _gpus_per_worker(config: RayConfig) -> float:
    return config.gpus_per_worker if resource("GPU") else 0.0


def _device() -> str:
    return "cuda" if ray.get_gpu_ids() else "cpu"

"""How much of a benchmark is on this machine, told without reading it."""

from typing import Literal

from retrieval_core.config import BenchmarkConfig
from retrieval_core.data.benchmarks.places import Places
from retrieval_core.data.benchmarks.sources import Source, load_benchmarks
from retrieval_core.data.benchmarks.unpacked import unpacked_digest

State = Literal["whole", "in part", "no"]


def benchmark_state(config: BenchmarkConfig) -> State:
    """Whether all, some or none of the files that are downloaded are there."""
    benchmark = load_benchmarks(config.sources)[config.name]
    places = Places.of(config, benchmark.sources)
    there = [_is_there(source, places) for source in benchmark.sources]
    return "whole" if all(there) else "in part" if any(there) else "no"


def _is_there(source: Source, places: Places) -> bool:
    if source.unpack_to is not None:
        return unpacked_digest(places.root, source) is not None
    return places.file(source.folder, source.file.name).exists()

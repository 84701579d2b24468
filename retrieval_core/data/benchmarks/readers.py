"""Per benchmark, what reads it; a new benchmark is one more entry here and in `sources.yaml`."""

from collections.abc import Callable, Mapping

from retrieval_core.config import BenchmarkConfig
from retrieval_core.data.benchmarks.birds import read_birds
from retrieval_core.data.benchmarks.buildings import read_buildings
from retrieval_core.data.benchmarks.cars import read_cars
from retrieval_core.data.benchmarks.clothes import read_clothes
from retrieval_core.data.benchmarks.distractors import read_distractors
from retrieval_core.data.benchmarks.labelled import with_validation
from retrieval_core.data.benchmarks.landmarks import (
    read_landmarks_clean,
    read_landmarks_retrieval,
    read_landmarks_train,
)
from retrieval_core.data.benchmarks.places import Places
from retrieval_core.data.benchmarks.products import read_products
from retrieval_core.data.benchmarks.sfm import read_sfm30k_whiten, read_sfm120k, read_sfm120k_val
from retrieval_core.data.benchmarks.sources import load_benchmarks
from retrieval_core.data.catalogue import Catalogue

Reader = Callable[[str, Places], Catalogue]

READERS: Mapping[str, Reader] = {
    "oxford5k": read_buildings,
    "paris6k": read_buildings,
    "roxford5k": read_buildings,
    "rparis6k": read_buildings,
    "revisitop1m": read_distractors,
    "sfm120k-val": read_sfm120k_val,
    "sfm30k-whiten": read_sfm30k_whiten,
    "landmarks-v2": read_landmarks_retrieval,
    "landmarks-v2-clean": read_landmarks_clean,
    "landmarks-v2-train": read_landmarks_train,
    "stanford-online-products": read_products,
}

BOXED: Mapping[str, Callable[..., Catalogue]] = {
    "cars196": read_cars,
    "cub200-2011": read_birds,
    "in-shop": read_clothes,
}
"""Those whose images may be cropped to what they show."""


def read_benchmark(config: BenchmarkConfig) -> Catalogue:
    """The images that a benchmark names, whether or not they are there; none is opened.

    Raises:
        UnsafePickleError: its ground truth is not only data.
        DatasetError: its ground truth is missing, damaged or contradicts itself.
        ConfigError: `config.sources` cannot be used.
    """
    places = Places.of(config, load_benchmarks(config.sources)[config.name].sources)
    if config.name == "sfm120k":
        return read_sfm120k(config.name, places, validation=config.validation)
    if config.name in BOXED:
        catalogue = BOXED[config.name](config.name, places, boxes=config.crop_to_box)
    else:
        catalogue = READERS[config.name](config.name, places)
    return with_validation(catalogue, config.validation_classes)

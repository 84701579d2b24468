"""What `retrieval show` draws: each picture from references to what is on disk."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from flows.ranked import ranked_rows
from flows.references import Network, find_artifact, find_index, find_network, find_scores
from retrieval_core.artifacts import ArtifactRef, load_manifest
from retrieval_core.data.catalogue import Catalogue
from retrieval_core.errors import ArtifactError, PictureError
from retrieval_core.features.store import FeatureStore
from retrieval_core.index import AsmkIndex, Codebook
from retrieval_core.index.word_use import word_use
from retrieval_core.models.fire import FireNetwork
from retrieval_core.visualize.attention import attention_grid, attention_maps
from retrieval_core.visualize.embedding import embedding_chart, embedding_map, thumbnails
from retrieval_core.visualize.features import features_picture, located_features
from retrieval_core.visualize.inputs import comparisons
from retrieval_core.visualize.match_lines import match_lines
from retrieval_core.visualize.matches import match_photographs
from retrieval_core.visualize.photograph import Photograph, read_photograph
from retrieval_core.visualize.pictures import png_of
from retrieval_core.visualize.ranking_grid import ranking_grid, ranking_legend
from retrieval_core.visualize.recall_curves import recall_chart, recall_curves
from retrieval_core.visualize.theme import LIGHT, to_png
from retrieval_core.visualize.tiles import on_white, sheet
from retrieval_core.visualize.words import word_use_chart, words_title
from tasks.learned import draw_images
from tasks.rankings import scored_catalogue, scored_rankings

SAMPLED_DESCRIPTORS = 1_000_000


@dataclass(frozen=True)
class Drawn:
    """A picture.

    Attributes:
        png: file content.
        caption: what it shows, for the shell.
    """

    png: bytes
    caption: str


def draw_attention(
    image: str, model: str, *, count: int, image_size: int | None, workdir: str
) -> Drawn:
    """FIRe's attention maps, or HOW's strengths, over a photograph."""
    network = find_network(model, workdir)
    photograph = _read(network, image, image_size)
    maps = attention_maps(network.model, photograph, count=count, scales=network.features.scales)
    picture = attention_grid(photograph.image, maps)
    return Drawn(png_of(on_white(picture)), f"{len(maps)} maps, strongest first")


def draw_features(
    image: str, model: str, *, count: int, image_size: int | None, workdir: str
) -> Drawn:
    """The strongest local features of a photograph."""
    network = find_network(model, workdir)
    photograph = _read(network, image, image_size)
    scales = network.features.scales
    found = located_features(network.model, photograph, scales=scales, count=count)
    picture = features_picture(photograph.image, found)
    return Drawn(png_of(on_white(picture)), f"{len(found.strengths)} strongest {found.name}")


def draw_matches(
    images: tuple[str, str],
    model: str,
    *,
    index: str | None,
    lines: int,
    image_size: int | None,
    workdir: str,
) -> Drawn:
    """What two photographs share."""
    network = find_network(model, workdir)
    left, right = (_read(network, image, image_size) for image in images)
    codebook = None
    if not isinstance(network.model, FireNetwork):
        codebook = _codebook(network, index or model, workdir)
    matches = match_photographs(
        network.model, left, right, settings=network.features, codebook=codebook
    )
    picture = match_lines(left.image, right.image, matches, lines=lines)
    return Drawn(png_of(on_white(picture)), matches.caption)


def draw_ranking(run: str, *, against: str | None, workdir: str, **choice: Any) -> Drawn:
    """Queries with their first results (arguments as `ranked_rows`)."""
    rows, caption = ranked_rows(run, against, workdir=workdir, **choice)
    picture = sheet([[ranking_grid(rows)], [ranking_legend(rows)]], gap=30)
    return Drawn(png_of(on_white(picture)), caption)


def draw_curves(run: str, *, workdir: str) -> Drawn:
    """Precision at recall of every ranking of a run."""
    scores = find_scores(run, workdir)
    curves = recall_curves(scored_catalogue(scores[-1]), comparisons(scored_rankings(scores)))
    return Drawn(to_png(recall_chart(curves, LIGHT)), "; ".join(curve.label for curve in curves))


def draw_words(reference: str, *, workdir: str) -> Drawn:
    """How the words of an index, or of a codebook by itself, are used."""
    if (Path(reference) / "codebook.json").exists() and load_manifest(reference).kind == "codebook":
        manifest = load_manifest(reference)
        sample = FeatureStore(manifest.input("features").uri)
        codebook = Codebook.load(reference)
        words = codebook.assign(sample.sample_local(SAMPLED_DESCRIPTORS, seed=0))
        counts, unit = np.bincount(words[:, 0], minlength=codebook.size), "descriptors per word"
    else:
        counts, unit = _open(find_index(reference, workdir)).images_per_word, "images per word"
    use = word_use(counts)
    return Drawn(to_png(word_use_chart(use, LIGHT, unit=unit)), words_title(use))


def draw_map(run: str, *, limit: int, seed: int, workdir: str) -> Drawn:
    """A map of global descriptors."""
    ref, manifest = find_artifact(run, "feats", workdir)
    if manifest.config["part"] != "test":
        ref = load_manifest(find_scores(run, workdir)[-1].uri).input("features")
        manifest = load_manifest(ref.uri)
    rows = {r.image_id: r for r in Catalogue.load(manifest.input("dataset").uri).rows}
    store = FeatureStore(ref.uri)
    ids, _ = store.global_descriptors()
    ids, vectors = store.global_descriptors(draw_images(ids.tolist(), limit, seed).tolist())
    found = embedding_map([rows[int(i)] for i in ids], vectors, seed=seed)
    png = to_png(embedding_chart(found, thumbnails(found), LIGHT))
    return Drawn(png, f"{len(ids):,} images by {found.method}")


def _read(network: Network, image: str, image_size: int | None) -> Photograph:
    size = image_size or network.features.image_size
    return read_photograph(network.model, image, image_size=size)


def _codebook(network: Network, reference: str, workdir: str) -> Codebook | None:
    """Visual words of an index that was built with a network of these dimensions."""
    if network.model.local_dim is None:
        return None
    try:
        codebook = _open(find_index(reference, workdir)).codebook
    except (ArtifactError, PictureError) as error:
        raise PictureError(
            f"{error}; a {network.model.config.method} network matches by visual words: give "
            "--index, or a run as --model"
        ) from None
    if codebook.dim != network.model.local_dim:
        raise PictureError(
            f"{reference} has words of {codebook.dim} dimensions, the network's descriptors "
            f"have {network.model.local_dim}: give the index that was built with it"
        )
    return codebook


def _open(ref: ArtifactRef) -> AsmkIndex:
    return AsmkIndex.open(ref.uri, Codebook.load(load_manifest(ref.uri).input("codebook").uri))

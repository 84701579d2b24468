"""What the protocol guard takes from artifacts."""

import pytest

from retrieval_core.artifacts import ArtifactDirectory, ArtifactRef, Manifest
from retrieval_core.config import PipelineConfig
from retrieval_core.data.catalogue import Catalogue, ImageRow, label_truth
from retrieval_core.data.overlap import Overlap
from tasks.overlap import OVERLAP
from tasks.protocol import guard

ROWS = tuple(ImageRow(i, f"{i}.jpg", f"{i // 2}", "test", "both") for i in range(4))
CATALOGUE = Catalogue("photos", ROWS, label_truth(ROWS), revisited=False)
DATASET = ArtifactRef("dataset", "d1", "/data/d1")


@pytest.fixture
def remarks(tmp_path):
    ArtifactDirectory(tmp_path).write_json(OVERLAP, Overlap([], []).to_dict())

    def find(excluded=(), counts=None):
        counts = {"queries_left_out": 0, "ranked": 4, "searched": 4} | (counts or {})
        scores = Manifest("scores", "s1", "", 1, {}, {}, counts=counts)
        dataset = Manifest("dataset", "d1", "", 1, {}, {}, excluded=list(excluded))
        made_of = [(ArtifactRef("scores", "s1", "/data/s1"), scores), (DATASET, dataset)]
        overlap = ArtifactRef("overlap", "o1", str(tmp_path))
        found = guard(PipelineConfig(), CATALOGUE, DATASET, overlap, made_of)
        return {remark.title: remark.text for remark in found}

    return find


def test_only_missing_test_images_are_missing_from_the_evaluation(remarks):
    title = "Images are missing from the evaluation"
    gone = {"image_id": 9, "path": "9.jpg", "reason": "missing"}
    assert title not in remarks([{**gone, "split": "train"}, {**gone, "split": "val"}])
    assert "1 were not there" in remarks([{**gone, "split": "test"}])[title]
    # as datasets of earlier versions have it
    assert "1 were not there" in remarks([gone])[title]


def test_rankings_of_all_that_is_searched_are_whole(remarks):
    title = "Rankings are truncated"
    assert title not in remarks(counts={"ranked": 3, "searched": 3})
    assert "holds 2 of 3 images" in remarks(counts={"ranked": 2, "searched": 3})[title]

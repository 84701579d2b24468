"""A small dataset of real files with rankings of known quality."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from retrieval_core.artifacts import ArtifactRef
from retrieval_core.config import EvaluationConfig, PipelineConfig, dump_config
from retrieval_core.data.catalogue import Catalogue, ImageRow, label_truth
from retrieval_core.evaluation.report import evaluate_ranking
from retrieval_core.search.ranking import Ranking
from retrieval_core.visualize import ReportInputs, ScoredRanking, StageTiming

COLORS = {"amber": (230, 160, 30), "teal": (20, 130, 130), "plum": (130, 40, 110)}


@pytest.fixture(scope="session")
def catalogue(tmp_path_factory) -> Catalogue:
    """Three labels; ids 0..5 are queries, two of each label; 6..17 the database."""
    folder = tmp_path_factory.mktemp("pictures")
    rows = []
    for image_id in range(18):
        label = list(COLORS)[image_id % 3]
        path = folder / f"{image_id}.png"
        Image.new("RGB", (60, 40) if image_id % 2 else (40, 60), COLORS[label]).save(path)
        role = "query" if image_id < 6 else "database"
        rows.append(ImageRow(image_id, str(path), label, "test", role))
    return Catalogue("colours", tuple(rows), label_truth(rows), revisited=False)


@pytest.fixture(scope="session")
def rank(catalogue: Catalogue) -> Callable[[int], Ranking]:
    """A ranking whose first `good` queries have every positive on top, the others at the end."""

    def make(good: int) -> Ranking:
        database = [row.image_id for row in catalogue.database()]
        lines = []
        for truth in catalogue.truth:
            wrong = [i for i in database if i not in truth.easy]
            first, last = (truth.easy, wrong) if truth.query < good else (wrong, truth.easy)
            lines.append([*first, *last])
        scores = np.tile(np.linspace(1, 0.1, len(database), dtype=np.float32), (len(lines), 1))
        return Ranking(np.arange(len(lines)), np.array(lines), scores)

    return make


@pytest.fixture(scope="session")
def make_run(catalogue, rank) -> Callable[..., ScoredRanking]:
    def make(descriptor: str, phase: str, good: int) -> ScoredRanking:
        ranking = rank(good)
        scores = evaluate_ranking(ranking, catalogue, EvaluationConfig(bootstrap=50))
        return ScoredRanking(f"{descriptor}-{phase}", phase, descriptor, scores, ranking)

    return make


@pytest.fixture(scope="session")
def make_inputs(catalogue) -> Callable[..., ReportInputs]:
    def make(runs, **changes) -> ReportInputs:
        content = {
            "title": "how_demo",
            "config_yaml": dump_config(PipelineConfig()),
            "catalogue": catalogue,
            "runs": runs,
            "history": [],
            "stages": [StageTiming("prepare", 1.5, True), StageTiming("train", 63, False, "3")],
            "excluded": [],
            "artifacts": [ArtifactRef("model", "0123456789abcdef", "file:///artifacts/model")],
            "environment": {"Git commit": "6546648"},
        }
        return ReportInputs(**{**content, **changes})

    return make


@pytest.fixture(scope="session")
def history() -> list[dict]:
    return [{"epoch": e, "loss": 1 / e, "validation_map": 0.5 + e / 10} for e in (1, 2, 3)]


@pytest.fixture
def missing_image(tmp_path: Path) -> str:
    return str(tmp_path / "nowhere.jpg")

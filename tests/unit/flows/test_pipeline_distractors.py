"""A run scores two networks, an index of distractors fits one."""

import pytest

from flows.pipeline import pipeline
from retrieval_core.config import PipelineConfig
from retrieval_core.errors import ConfigError


def test_an_index_of_one_network_is_refused_where_two_are_scored(tmp_path):
    config = PipelineConfig(distractors="asmk-x", training={"epochs": 2})
    with pytest.raises(ConfigError, match=r"training.epochs = 2 two are scored; `retrieval eval"):
        pipeline.fn(config, str(tmp_path / "work"))
    assert not (tmp_path / "work").exists()

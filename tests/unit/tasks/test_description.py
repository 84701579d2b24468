import os

import psutil
import pytest

from retrieval_core.artifacts import Manifest
from tasks.description import REUSED, describe
from tasks.running import Running
from tasks.tracking import TrackedRun

RUN = TrackedRun("sqlite:///unused.db", "1", "abc")


def _manifest(**values):
    fields = {"kind": "scores", "key": "k1", "label": "how-asmk", "version": 1}
    fields |= {"config": {}, "inputs": {}}
    return Manifest(**{**fields, "seconds": 3.25, **values})


def _described(tmp_path, *, reused=False, **values):
    uri = "/data/artifacts/scores-k1"
    return describe("evaluate", uri, _manifest(**values), RUN, str(tmp_path), reused=reused)


def test_numbers_address_and_time_are_told(tmp_path):
    text = _described(tmp_path, counts={"queries": 1200}, metrics={"map": 0.51239})
    assert "built in 3.2 s" in text
    assert "| address | `/data/artifacts/scores-k1` |" in text
    assert "| queries | 1,200 |" in text
    assert "| map | 0.5124 |" in text
    assert "no images excluded" in text
    assert REUSED in _described(tmp_path, reused=True)


def test_the_mlflow_run_is_a_link_while_the_services_are_up(tmp_path):
    assert "| MLflow run | `abc` |" in _described(tmp_path)
    created = psutil.Process().create_time()
    Running(os.getpid(), created, "http://here:1", "http://here:2", healthy=True).write(tmp_path)
    assert "[abc](http://here:2/#/experiments/1/runs/abc)" in _described(tmp_path)


@pytest.mark.parametrize(("count", "more"), [(2, ""), (23, "and 3 more")])
def test_excluded_images_are_listed_with_their_reason(tmp_path, count, more):
    excluded = [{"image_id": i, "path": f"{i}.jpg", "reason": "truncated"} for i in range(count)]
    text = _described(tmp_path, excluded=excluded)
    assert f"{count} images excluded" in text
    assert "| `1.jpg` | truncated |" in text
    assert more in text

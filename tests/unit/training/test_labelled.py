"""Training on labelled batches learns, goes on after any interruption, and tells of collapse."""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import training_subject
from PIL import Image
from safetensors.torch import load_file
from torch.nn import functional as F
from training_subject import LABELLED, TinyNetwork, as_catalogue

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.config import AugmentationConfig, ModelConfig, TrainingConfig
from retrieval_core.data.catalogue import ImageRow
from retrieval_core.errors import ConfigError, DatasetError, TooManyExclusionsError
from retrieval_core.models import build_model
from retrieval_core.training import CollapseWarning, train
from retrieval_core.training.batches import confused_classes, draw_batches, mine_neighbours
from retrieval_core.training.labelled import LabelledCourse

SEED = 3


class InterruptionError(Exception):
    """What an interruption looks like to the loop."""


class BranchedNetwork(TinyNetwork):
    """With a first branch that can be classified."""

    first_dim = 16

    def branches(self, images):
        pooled = self.pool(self.features(images))
        return F.normalize(self.whitening(pooled)), pooled


def settings(**changes) -> TrainingConfig:
    """The recipe of labelled batches with changes of any depth."""
    content = LABELLED.model_dump()
    for name, value in changes.items():
        content[name] = {**content[name], **value} if isinstance(value, dict) else value
    return TrainingConfig.model_validate(content)


def run(rows, folder, config=LABELLED, *, stop_after=None, stop_in=None, model=None, seed=SEED):
    epochs = []

    def on_epoch(report):
        epochs.append(report.epoch)
        if report.epoch == stop_after:
            raise InterruptionError

    def on_step(step, steps, loss):
        if stop_in is not None and epochs[-1] == stop_in - 1 and step == 2:
            raise InterruptionError

    directory = ArtifactDirectory(folder)
    calls = {"on_epoch": on_epoch, "on_step": on_step}
    model = model or TinyNetwork()
    report = train(model, as_catalogue(rows), config, directory, seed=seed, **calls)
    return report, load_file(directory.local("model.safetensors")), epochs


def assert_same(first, second):
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_training_learns_and_reports(rows, tmp_path):
    report, weights, epochs = run(rows, tmp_path, settings(epochs=6))
    assert epochs == list(range(7))
    first, last = report.history[1], report.history[-1]
    assert last.loss < first.loss
    assert last.images == 24
    assert 0 < last.active_share <= 1
    assert 0 < last.embedding_spread <= 2
    assert 0 < last.validation_map <= 1
    assert 0 <= last.validation_recall <= 1
    start = TinyNetwork().state_dict()
    assert not torch.equal(weights["features.0.weight"], start["features.0.weight"])
    assert torch.equal(weights["features.1.running_mean"], start["features.1.running_mean"])


@pytest.mark.parametrize(
    "changes",
    [
        {"sampling": {"kind": "triplets"}, "loss": {"kind": "triplet_margin", "margin": 0.5}},
        {"sampling": {"kind": "triplets", "mining": "global", "neighbours": 3}},
        {"sampling": {"mining": "global", "neighbours": 3}},
        {"loss": {"soft_margin": True}, "optimizer": {"kind": "adamw", "schedule": "cosine"}},
        {"loss": {"kind": "point_to_set"}, "optimizer": {"warmup": 2.0}},
        {"precision": "bfloat16", "batch_norm": "learned"},
        {"augmentation": {"brightness": 0.2, "hue": 0.1}, "cache_gb": 0.0},
    ],
    ids="-".join,
)
def test_interrupted_training_ends_with_the_same_weights(rows, tmp_path, changes):
    config = settings(**changes)
    _, expected, _ = run(rows, tmp_path / "undisturbed", config)
    with pytest.raises(InterruptionError):
        run(rows, tmp_path / "resumed", config, stop_in=2)
    report, actual, epochs = run(rows, tmp_path / "resumed", config)
    assert report.resumed_from == 1
    assert epochs == [2, 3]
    assert_same(expected, actual)


@pytest.mark.parametrize(
    ("library", "state"),
    [
        ({"name": "ProxyAnchorLoss"}, "loss.proxies"),
        ({"name": "MultiSimilarityLoss", "memory": 16}, "loss.embedding_memory"),
        ({"name": "TripletMarginLoss", "miner": "DistanceWeightedMiner"}, "batches"),
    ],
    ids=lambda value: value["name"] if isinstance(value, dict) else value,
)
def test_the_state_of_the_loss_is_resumed(rows, tmp_path, library, state):
    config = settings(loss={"kind": "library", "library": library}, optimizer={"loss_factor": 5.0})
    _, expected, _ = run(rows, tmp_path / "undisturbed", config)
    with pytest.raises(InterruptionError):
        run(rows, tmp_path / "resumed", config, stop_after=2)
    first, second = (
        load_file(tmp_path / f"resumed/checkpoints/epoch-000{epoch}/loss.safetensors")
        for epoch in (1, 2)
    )
    assert not torch.equal(first[f"ranking.{state}"], second[f"ranking.{state}"])
    _, actual, _ = run(rows, tmp_path / "resumed", config)
    assert_same(expected, actual)


def test_the_memory_for_images_changes_nothing(rows, tmp_path):
    _, kept, _ = run(rows, tmp_path / "a")
    _, decoded, _ = run(rows, tmp_path / "b", settings(cache_gb=0.0))
    _, partly, _ = run(rows, tmp_path / "c", settings(cache_gb=2e-5))
    assert_same(kept, decoded)
    assert_same(kept, partly)


def test_seeds_differ(rows, tmp_path):
    _, first, _ = run(rows, tmp_path / "a")
    _, other, _ = run(rows, tmp_path / "b", seed=4)
    assert not torch.equal(first["whitening.weight"], other["whitening.weight"])


def gradients(model, config, rows):
    course = LabelledCourse(model, as_catalogue(rows), config, SEED)
    images = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    embeddings, branch = course._embed(images)
    course.loss(embeddings, branch, torch.arange(8) // 2).backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def test_images_that_go_through_apart_give_the_same_gradients(rows):
    whole, apart = (
        gradients(TinyNetwork().train(), settings(together=count), rows) for count in (8, 3)
    )
    for name, gradient in whole.items():
        torch.testing.assert_close(apart[name], gradient, rtol=1e-4, atol=1e-6)


def test_frozen_layers_do_not_change(rows, tmp_path):
    _, weights, _ = run(rows, tmp_path, settings(frozen_layers=2))
    start = TinyNetwork().state_dict()
    assert torch.equal(weights["features.0.weight"], start["features.0.weight"])
    assert torch.equal(weights["features.1.weight"], start["features.1.weight"])
    assert not torch.equal(weights["whitening.weight"], start["whitening.weight"])
    with pytest.raises(ConfigError, match="has 2 layers, not 4"):
        run(rows, tmp_path / "out", settings(frozen_layers=4))


def test_batch_norm_learns_where_asked_and_not_frozen(rows, tmp_path):
    _, learned, _ = run(rows, tmp_path / "a", settings(batch_norm="learned"))
    config = settings(batch_norm="learned", frozen_layers=2)
    _, frozen, _ = run(rows, tmp_path / "b", config)
    start = TinyNetwork().state_dict()["features.1.running_mean"]
    assert not torch.equal(learned["features.1.running_mean"], start)
    assert torch.equal(frozen["features.1.running_mean"], start)


def test_a_branch_is_classified_beside_the_ranking(rows, tmp_path):
    config = settings(loss={"auxiliary": {"weight": 1.0}})
    report, _, _ = run(rows, tmp_path / "a", config, model=BranchedNetwork())
    plain, _, _ = run(rows, tmp_path / "b", model=BranchedNetwork())
    assert report.history[1].loss > plain.history[1].loss + 1
    with pytest.raises(ConfigError, match=r"needs model.method 'cgd'"):
        run(rows, tmp_path / "c", config)


def test_embeddings_have_unit_norm_in_bfloat16(rows):
    course = LabelledCourse(TinyNetwork(), as_catalogue(rows), settings(precision="bfloat16"), 0)
    embeddings, _ = course._embed(torch.full((4, 3, 32, 32), -0.6))
    assert embeddings.dtype == torch.float32
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(4))


def test_collapse_is_told_with_soft_plus_stuck_at_its_plateau(rows, tmp_path, monkeypatch):
    monkeypatch.setattr(
        TinyNetwork,
        "forward",
        lambda self, images: torch.ones(len(images), 8) / 8**0.5 + 0 * self.pool.p,
    )
    with pytest.warns(CollapseWarning, match=r"epoch 1: .* collapsed \(mean loss 0\.6931\)"):
        run(rows, tmp_path, settings(epochs=1, loss={"soft_margin": True}))


def test_anchors_that_cost_nothing_are_told(tmp_path):
    rows = []
    for label, colour in enumerate(["red", "green", "blue"]):
        for copy in range(3):
            path = tmp_path / f"{label}-{copy}.png"
            Image.new("RGB", (32, 32), colour).save(path)
            rows.append(ImageRow(len(rows), str(path), colour, "train", "both"))
    config = settings(epochs=1, loss={"margin": 0.0}, sampling={"classes": 3, "images": 3})
    with pytest.warns(CollapseWarning, match="none of 9 anchors costs anything"):
        run(rows, tmp_path / "out", config)


def test_batches_without_an_anchor_are_told(rows, tmp_path):
    lone = [row for row in rows if row.path.endswith(("-0.png", "/0-1.png"))]
    config = settings(epochs=1, sampling={"classes": 2, "steps": 1})
    with pytest.warns(CollapseWarning, match="epoch 1: there are no anchors .* 'triplets' draws"):
        report, _, _ = run(lone, tmp_path, config)
    assert report.history[1].active_share is None


def test_a_class_of_one_image_is_a_negative_only(rows, tmp_path):
    lone = [row for row in rows if row.label != "label-0" or row.path.endswith("-0.png")]
    report, _, _ = run(lone, tmp_path, settings(epochs=1, sampling={"classes": 6, "steps": 1}))
    assert report.history[1].images == 5 * 2 + 1
    assert np.isfinite(report.history[1].loss)


def test_too_few_classes_are_told_before_any_work(rows, tmp_path, monkeypatch):
    monkeypatch.setattr("retrieval_core.training.loop.validate", None)
    with pytest.raises(DatasetError, match=r"sampling.classes: a batch of 7 .* show 6"):
        run(rows, tmp_path / "a", settings(sampling={"classes": 7}))
    alone = [row for row in rows if row.path.endswith("-0.png")]
    with pytest.raises(DatasetError, match="a class of at least two"):
        run(alone, tmp_path / "b", LABELLED)


def test_images_without_a_label_are_left_out(rows, tmp_path):
    _, expected, _ = run(rows, tmp_path / "a", settings(epochs=1))
    extra = ImageRow(99, rows[0].path, "", "train", "both")
    _, actual, _ = run([*rows, extra], tmp_path / "b", settings(epochs=1))
    assert_same(expected, actual)


@pytest.mark.parametrize("kind", ["classes", "triplets"])
@pytest.mark.parametrize("mining", ["none", "global"])
def test_unreadable_images_are_left_out_of_batches(rows, tmp_path, kind, mining):
    Path(rows[0].path).write_bytes(b"no image")
    config = settings(epochs=1, max_excluded=0.1, sampling={"kind": kind, "mining": mining})
    report, _, _ = run(rows, tmp_path / "out", config)
    assert report.excluded == [{"image_id": 0, "path": rows[0].path, "reason": "unreadable"}]
    assert 0 < report.history[1].images < (24 if kind == "classes" else 72)
    with pytest.raises(TooManyExclusionsError, match="unreadable"):
        run(rows, tmp_path / "strict", config.model_copy(update={"max_excluded": 0.01}))


def test_mined_batches_hold_confused_classes(rows, reader, model):
    train_rows = [row for row in rows if row.split == "train"]
    labels = np.arange(24) // 4
    nearest = mine_neighbours(model, train_rows, labels, 2, reader)
    assert (labels[nearest] != labels[:, None]).all()
    close = confused_classes(labels, nearest)
    config = settings(sampling={"classes": 2, "mining": "global"})
    for batch in draw_batches(labels, config, np.random.default_rng(0), nearest):
        first, second = labels[batch[0]], labels[batch[-1]]
        assert second == close[first][0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": {"kind": "contrastive"}}, "'contrastive' learns from sampling.kind 'tuples'"),
        ({"loss": {"kind": "triplet_margin"}}, "from sampling.kind 'triplets', not 'classes'"),
        ({"sampling": {"kind": "tuples"}}, "'classes' or 'triplets', not 'tuples'"),
        ({"sampling": {"images": 1}}, "greater than or equal to 2"),
    ],
)
def test_losses_and_samplings_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        settings(**changes)


def test_whole_images_need_a_network_of_one_size(rows, tmp_path):
    config = settings(augmentation={"crop": False}, epochs=1)
    with pytest.raises(ConfigError, match="crop is off, and the network takes images of any size"):
        run(rows, tmp_path / "any", config)
    model = TinyNetwork()
    model.input_size = 48
    report, *_ = run(rows, tmp_path / "squares", config, model=model)
    assert report.history[1].images == 24


def test_crops_may_be_smaller_than_the_squares_that_are_searched(rows, tmp_path):
    model, sides = TinyNetwork(), []
    model.input_size = 48
    model.features[0].register_forward_hook(
        lambda convolution, inputs, _: sides.append((model.training, *inputs[0].shape[2:]))
    )
    run(rows, tmp_path, settings(epochs=1), model=model)
    assert set(sides) == {(True, 32, 32), (False, 48, 48)}
    assert model.input_size == 48


def test_crops_of_a_size_that_the_network_does_not_take_are_refused(rows):
    config = ModelConfig(method="embedding", backbone="test_vit", dim=8, input={"size": 96})
    with pytest.raises(ConfigError, match="side 32: test_vit takes images of 96"):
        LabelledCourse(build_model(config), as_catalogue(rows), LABELLED, SEED)


def test_a_view_is_the_same_whichever_thread_makes_it(rows, tmp_path, monkeypatch):
    config = settings(augmentation=AugmentationConfig(side=32, contrast=0.5).model_dump())
    _, expected, _ = run(rows, tmp_path / "a", config)
    monkeypatch.setattr("retrieval_core.training.reading.THREADS", 1)
    _, actual, _ = run(rows, tmp_path / "b", config)
    assert_same(expected, actual)


@pytest.mark.slow
def test_killed_process_is_resumed_with_the_same_weights(tmp_path):
    images = tmp_path / "images"
    images.mkdir()

    def start(folder):
        script, out = training_subject.__file__, tmp_path / folder
        command = [sys.executable, script, str(images), str(out), "labelled"]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    assert "done" in start("undisturbed").communicate(timeout=120)[0]
    killed = start("killed")
    for printed in killed.stdout:
        if printed.strip() == "epoch 1":
            killed.send_signal(signal.SIGKILL)
            break
    assert killed.wait(timeout=120) == -signal.SIGKILL
    assert "done" in start("killed").communicate(timeout=120)[0]
    assert_same(
        load_file(tmp_path / "undisturbed/model.safetensors"),
        load_file(tmp_path / "killed/model.safetensors"),
    )

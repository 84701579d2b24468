"""Training learns, reports, stays deterministic, and goes on after any interruption."""

import json
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
import training_subject
from safetensors.torch import load_file
from training_subject import CONFIG, TinyNetwork, as_catalogue

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.data.catalogue import QueryTruth
from retrieval_core.errors import CheckpointError, DivergenceError, TooManyExclusionsError
from retrieval_core.training import CollapseWarning, train
from retrieval_core.training.loop import select_epoch
from retrieval_core.training.report import EpochReport

SEED = 3


class InterruptionError(Exception):
    """What an interruption looks like to the loop."""


def run(rows, folder, *, config=CONFIG, stop_after=None, stop_in=None, seed=SEED, **listed):
    """Train from the start network; optionally die after an epoch or within one."""
    epochs = []

    def on_epoch(report):
        epochs.append(report.epoch)
        if report.epoch == stop_after:
            raise InterruptionError

    def on_step(step, steps, loss):
        if stop_in is not None and epochs[-1] == stop_in - 1 and step == 2:
            raise InterruptionError

    directory = ArtifactDirectory(folder)
    model = TinyNetwork()
    catalogue = as_catalogue(rows, **listed)
    calls = {"on_epoch": on_epoch, "on_step": on_step}
    report = train(model, catalogue, config, directory, seed=seed, **calls)
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
    config = CONFIG.model_copy(update={"epochs": 6})
    report, weights, epochs = run(rows, tmp_path / "out", config=config)
    assert epochs == [r.epoch for r in report.history] == list(range(7))
    first, second, last = report.history[0], report.history[1], report.history[-1]
    assert (first.loss, first.active_share, first.embedding_spread) == (None, None, None)
    assert last.loss < second.loss
    assert last.learning_rate == pytest.approx(1e-3 * 0.9**5)
    assert last.images == CONFIG.queries * 5
    assert 0 < last.active_share <= 1
    assert 0 < last.validation_map <= 1
    assert all(r.seconds > 0 and r.excluded == 0 for r in report.history)
    assert (report.best_epoch, report.resumed_from, report.excluded) == (6, None, [])
    start = TinyNetwork().state_dict()
    assert not torch.equal(weights["features.0.weight"], start["features.0.weight"])
    assert not torch.equal(weights["pool.p"], start["pool.p"])
    assert torch.equal(weights["features.1.running_mean"], start["features.1.running_mean"])


def test_a_finished_training_is_not_done_again(rows, tmp_path):
    first, weights, _ = run(rows, tmp_path)
    # as after a kill between the last file and the end of the clearing up
    ArtifactDirectory(tmp_path).write_bytes("checkpoints/epoch-0003/model.safetensors", b"left")
    tolerant = CONFIG.model_copy(update={"max_excluded": 0.5})
    again, same, epochs = run(rows, tmp_path, config=tolerant)
    assert epochs == []
    assert not (tmp_path / "checkpoints").exists()
    assert again == replace(first, resumed_from=first.history[-1].epoch)
    assert_same(weights, same)
    other, _, epochs = run(rows, tmp_path, seed=SEED + 1)
    assert len(epochs) == len(other.history)


def test_directory_ends_with_the_model_and_the_history(rows, tmp_path):
    report, _, _ = run(rows, tmp_path)
    names = ["history.json", "model.json", "model.safetensors"]
    assert ArtifactDirectory(tmp_path).names() == sorted(
        names + [f"images/{Path(row.path).name}" for row in rows]
    )
    assert not (tmp_path / "checkpoints").exists()
    history = json.loads((tmp_path / "history.json").read_text())
    assert history["history"] == [asdict(entry) for entry in report.history]


def test_same_seed_same_weights(rows, tmp_path):
    _, first, _ = run(rows, tmp_path / "a")
    _, second, _ = run(rows, tmp_path / "b")
    _, other, _ = run(rows, tmp_path / "c", seed=4)
    assert_same(first, second)
    assert not torch.equal(first["whitening.weight"], other["whitening.weight"])


@pytest.mark.parametrize(
    ("interruption", "resumed_from"),
    [
        ({"stop_after": 0}, 0),
        ({"stop_after": 1}, 1),
        ({"stop_in": 1}, 0),
        ({"stop_in": 3}, 2),
        ({"stop_after": 3}, 3),
    ],
)
def test_interrupted_training_ends_with_the_same_weights(
    rows, tmp_path, interruption, resumed_from
):
    undisturbed, expected, _ = run(rows, tmp_path / "undisturbed")
    with pytest.raises(InterruptionError):
        run(rows, tmp_path / "resumed", **interruption)
    report, actual, epochs = run(rows, tmp_path / "resumed")
    assert report.resumed_from == resumed_from
    assert epochs == list(range(resumed_from + 1, 4))
    assert_same(expected, actual)
    timeless = [replace(r, seconds=0) for r in report.history]
    assert timeless == [replace(r, seconds=0) for r in undisturbed.history]


def test_half_written_checkpoint_is_passed_over(rows, tmp_path):
    _, expected, _ = run(rows, tmp_path / "undisturbed")
    with pytest.raises(InterruptionError):
        run(rows, tmp_path / "out", stop_after=2)
    (tmp_path / "out/checkpoints/epoch-0002/state.json").unlink()
    report, actual, _ = run(rows, tmp_path / "out")
    assert report.resumed_from == 1
    assert_same(expected, actual)


def test_damaged_checkpoint_is_named(rows, tmp_path):
    with pytest.raises(InterruptionError):
        run(rows, tmp_path, stop_after=1)
    (tmp_path / "checkpoints/epoch-0001/optimizer.safetensors").write_bytes(b"x" * 40)
    with pytest.raises(CheckpointError, match="epoch-0001/optimizer"):
        run(rows, tmp_path)


def test_checkpoint_of_other_settings_is_ignored_with_a_warning(rows, tmp_path):
    with pytest.raises(InterruptionError):
        run(rows, tmp_path / "out", stop_after=2)
    config = CONFIG.model_copy(update={"batch": 2})
    with pytest.warns(UserWarning, match="other settings"):
        report, actual, _ = run(rows, tmp_path / "out", config=config)
    _, expected, _ = run(rows, tmp_path / "fresh", config=config)
    assert report.resumed_from is None
    assert_same(expected, actual)


def test_the_number_of_threads_does_not_matter_to_a_checkpoint(rows, tmp_path):
    with pytest.raises(InterruptionError):
        run(rows, tmp_path, stop_after=2)
    report, _, _ = run(rows, tmp_path, config=CONFIG.model_copy(update={"threads": 1}))
    assert report.resumed_from == 2


def test_old_checkpoints_are_removed_as_training_goes(rows, tmp_path):
    config = CONFIG.model_copy(update={"epochs": 5})
    with pytest.raises(InterruptionError):
        run(rows, tmp_path / "out", config=config, stop_after=4)
    kept = sorted(path.name for path in (tmp_path / "out/checkpoints").iterdir())
    assert kept == ["epoch-0003", "epoch-0004"]


def test_best_weights_are_kept_to_the_end(rows, tmp_path):
    # A learning rate far too high makes every epoch worse than the start.
    config = CONFIG.model_copy(
        update={
            "select": "best",
            "epochs": 4,
            "optimizer": CONFIG.optimizer.model_copy(update={"learning_rate": 0.03}),
        }
    )
    model = TinyNetwork()
    directory = ArtifactDirectory(tmp_path / "out")
    report = train(model, as_catalogue(rows), config, directory, seed=SEED)
    scores = [r.validation_map for r in report.history]
    assert scores[report.best_epoch] == max(scores)
    assert report.best_epoch < 4
    assert_same(load_file(tmp_path / "out/model.safetensors"), model.state_dict())


def test_no_epochs_keep_the_initial_network(rows, tmp_path):
    report, weights, _ = run(rows, tmp_path / "out", config=CONFIG.model_copy(update={"epochs": 0}))
    assert [r.epoch for r in report.history] == [0]
    assert_same(weights, TinyNetwork().state_dict())


def test_without_a_val_split_the_last_epoch_is_kept(rows, tmp_path):
    training = [row for row in rows if row.split == "train"]
    config = CONFIG.model_copy(update={"select": "best"})
    report, _, _ = run(training, tmp_path / "out", config=config)
    assert report.best_epoch == 3
    assert {r.validation_map for r in report.history} == {None}


def test_test_images_change_nothing(rows, tmp_path):
    extra = replace(rows[0], image_id=99, path="/nowhere.jpg", split="test")
    _, expected, _ = run(rows, tmp_path / "a")
    _, actual, _ = run([*rows, extra], tmp_path / "b")
    assert_same(expected, actual)


def test_listed_pairs_and_right_answers_are_used(rows, tmp_path):
    _, by_label, _ = run(rows, tmp_path / "labels")
    _, by_pairs, _ = run(rows, tmp_path / "pairs", pairs=((0, 1), (4, 5)))
    assert any(not torch.equal(by_label[name], by_pairs[name]) for name in by_label)
    itself = (QueryTruth(rows[-1].image_id, (rows[-1].image_id,), (), ()),)
    report, _, _ = run(rows, tmp_path / "labels", val_truth=itself)
    assert report.resumed_from is None
    assert [epoch.validation_map for epoch in report.history] == [1.0] * 4


def test_unreadable_images_are_excluded_up_to_a_share(rows, tmp_path):
    Path(rows[0].path).write_bytes(b"no image")
    config = CONFIG.model_copy(update={"max_excluded": 0.1, "queries": 24})
    report, _, _ = run(rows, tmp_path / "out", config=config)
    assert report.excluded == [{"image_id": 0, "path": rows[0].path, "reason": "unreadable"}]
    assert report.history[-1].excluded == 1
    with pytest.raises(TooManyExclusionsError, match="unreadable"):
        run(rows, tmp_path / "strict", config=config.model_copy(update={"max_excluded": 0.01}))


@pytest.mark.parametrize("kind", ["triplet", "super_feature"])
def test_other_losses_train(rows, tmp_path, kind):
    config = CONFIG.model_copy(update={"loss": CONFIG.loss.model_copy(update={"kind": kind})})
    report, _, _ = run(rows, tmp_path / "out", config=config)
    assert all(r.loss >= 0 for r in report.history[1:])


def test_collapse_is_told(rows, tmp_path, monkeypatch):
    monkeypatch.setattr(
        TinyNetwork,
        "forward",
        lambda self, images: torch.ones(len(images), 8) / 8**0.5 + 0 * self.pool.p,
    )
    with pytest.warns(CollapseWarning, match="epoch 1: .* collapsed"):
        run(rows, tmp_path / "out", config=CONFIG.model_copy(update={"epochs": 1}))


def test_divergence_stops_the_training(rows, tmp_path):
    # Negative exponents and huge weights: the pooled values overflow.
    config = CONFIG.model_copy(
        update={"optimizer": CONFIG.optimizer.model_copy(update={"learning_rate": 0.9})}
    )
    with pytest.raises(DivergenceError, match=r"not finite|loss is nan"):
        run(rows, tmp_path / "out", config=config)


def report(epoch, score):
    return EpochReport(epoch, 1.0, score, 1e-3, 0.5, 1.0, 1.0, 1, 0)


@pytest.mark.parametrize(
    ("scores", "best"),
    [([0.5, 0.7, 0.6], 1), ([0.7, 0.7, 0.6], 1), ([None, None], 1), ([0.9, 0.1], 0)],
)
def test_best_epoch(scores, best):
    history = [report(epoch, score) for epoch, score in enumerate(scores)]
    assert select_epoch(history, "best") == best
    assert select_epoch(history, "last") == len(scores) - 1


@pytest.mark.slow
@pytest.mark.parametrize("line", ["epoch 1", "step 2"])
def test_killed_process_is_resumed_with_the_same_weights(tmp_path, line):
    def start(folder):
        images = tmp_path / "images"
        images.mkdir(exist_ok=True)
        command = [sys.executable, training_subject.__file__, str(images), str(tmp_path / folder)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    undisturbed = start("undisturbed")
    assert "done" in undisturbed.communicate(timeout=120)[0]
    killed = start("killed")
    for printed in killed.stdout:
        if printed.strip() == line:
            killed.send_signal(signal.SIGKILL)
            break
    assert killed.wait(timeout=120) == -signal.SIGKILL
    assert not (tmp_path / "killed/model.safetensors").exists()
    resumed = start("killed")
    output = resumed.communicate(timeout=120)[0]
    assert "done" in output
    assert "epoch 0" not in output
    assert_same(
        load_file(tmp_path / "undisturbed/model.safetensors"),
        load_file(tmp_path / "killed/model.safetensors"),
    )

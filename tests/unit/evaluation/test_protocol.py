"""What a reader of the scores is told."""

import pytest

from retrieval_core.config import parse_config
from retrieval_core.data.catalogue import Catalogue, ImageRow, QueryTruth
from retrieval_core.data.overlap import Overlap, SharedImage
from retrieval_core.evaluation.protocol import protocol_remarks

APART = Overlap([], [], train_images=10, test_images=5)
FIRE = {"method": "fire", "skip_layer": 1}


def catalogue(name="photos", boxes=0, *, revisited=False):
    """Two queries, the first ones boxed, against three images."""
    queries = [
        ImageRow(i, f"q{i}.jpg", "tower", "test", "query", (0, 0, 9, 9) if i < boxes else None)
        for i in range(2)
    ]
    database = [ImageRow(i, f"{i}.jpg", "tower", "test", "database") for i in range(2, 5)]
    truth = tuple(QueryTruth(i, (2,), (), ()) for i in range(2))
    return Catalogue(name, (*queries, *database), truth, revisited)


def remarks(tree=None, images=None, overlap=APART, **facts):
    found = protocol_remarks(parse_config(tree or {}), images or catalogue(), overlap, **facts)
    return {remark.title: remark for remark in found}


@pytest.mark.parametrize(
    ("images", "level"),
    [
        (catalogue("roxford5k", 0, revisited=True), "warning"),
        (catalogue("rparis6k", 1, revisited=True), "warning"),
        (catalogue("Oxford 5k", 0), "warning"),
        (catalogue("my landmarks", 0, revisited=True), "warning"),
        (catalogue("demo", 1, revisited=True), "note"),
        (catalogue("roxford5k", 2, revisited=True), "note"),
        (catalogue("photos", 1), "note"),
        (catalogue("photos", 0), None),
    ],
    ids=lambda value: value.name if isinstance(value, Catalogue) else value,
)
def test_it_says_whether_queries_were_cropped(images, level):
    title = {"warning": "Queries were not cropped", "note": "Queries are cropped"}
    found = {t: r for t, r in remarks(images=images).items() if t in title.values()}
    assert {t: r.level for t, r in found.items()} == ({title[level]: level} if level else {})


def test_warnings_of_the_training_come_before_the_scores_are_compared():
    told = remarks(training_warnings="epoch 1: nothing is learnt")["The training gave warnings"]
    assert (told.level, told.text) == ("warning", "epoch 1: nothing is learnt")


def test_shared_landmarks_are_listed():
    found = remarks(overlap=Overlap(["bridge", "tower"], None))
    remark = found["Training and test landmarks overlap"]
    assert remark.level == "warning"
    assert remark.text.endswith("\nbridge\ntower")
    assert "Near-duplicates were not looked for" in found


def test_shared_images_are_listed_with_both_paths():
    images = [SharedImage(f"train/{i}.jpg", f"test/{i}.jpg", i) for i in range(25)]
    remark = remarks(overlap=Overlap([], images, 1200, 300))["Test images are also training images"]
    assert remark.level == "warning"
    assert "300 test images were compared with 1,200" in remark.text
    assert "test/0.jpg ~ train/0.jpg (0 of 256)" in remark.text
    assert remark.text.endswith("and 5 more")


def test_a_clean_split_is_said_to_be_clean():
    (remark,) = remarks().values()
    assert (remark.level, remark.title) == (
        "note",
        "No near-duplicates between training and test",
    )


def test_nothing_is_said_of_training_images_that_do_not_exist():
    assert remarks(overlap=Overlap([], [])) == {}
    assert remarks(overlap=None) == {}


@pytest.mark.parametrize("variant", ["paper", "released"])
def test_it_says_which_ratio_test_trained_the_network(variant):
    training = {"loss": {"kind": "super_feature", "ratio_test": variant}}
    found = remarks({"model": FIRE, "training": training})
    assert f"Trained with the ratio test '{variant}'" in found
    assert not any("ratio" in t for t in remarks({"model": FIRE, "training": {"epochs": 0}}))


@pytest.mark.parametrize(
    ("weights", "said"),
    [("fire", True), ("https://host/official/fire.pth", True), ("fire_imagenet", False)],
)
def test_published_fire_weights_come_from_the_released_ratio_test(weights, said):
    tree = {"model": {**FIRE, "weights": weights}, "training": {"epochs": 0}}
    assert ("Weights from the released ratio test" in remarks(tree)) == said


@pytest.mark.parametrize(("weights", "said"), [("/data/mine.pth", True), ("none", False)])
def test_what_nobody_knows_of_a_network_is_said(weights, said):
    tree = {"model": {**FIRE, "weights": weights}, "training": {"epochs": 0}}
    unknown = {
        "The ratio test of the weights is not known",
        "The network's training images are not known",
    }
    for overlap in (None, Overlap([], [])):
        assert (unknown <= remarks(tree, overlap=overlap).keys()) == said
    assert "The network's training images are not known" not in remarks(tree)


@pytest.mark.parametrize(("ranked", "said"), [((3, 3), 0), ((2, 3), 1), (None, 0)])
def test_truncated_rankings_are_named(ranked, said):
    found = remarks(ranked=ranked)
    assert ("Rankings are truncated" in found) == said


@pytest.mark.parametrize(("ranked", "said"), [(1, 1), (2, 0)])
def test_rankings_too_short_for_all_right_answers_are_named(ranked, said):
    images = catalogue()
    first = QueryTruth(0, (2, 3), (), ())
    images = Catalogue(images.name, images.rows, (first, images.truth[1]), revisited=False)
    text = remarks(images=images, ranked=(ranked, 3))["Rankings are truncated"].text
    assert ("R-precision and MAP@R: 1 of 2 queries" in text) == said


def test_distractors_are_counted_and_missed_in_benchmarks():
    assert "1,000,000 images" in remarks(distractors=10**6)["With distractors"].text
    assert "Without distractors" in remarks(images=catalogue("rparis6k", 2))
    assert "Without distractors" not in remarks()


def test_missing_images_are_told_by_what_they_would_have_been():
    excluded = [
        {"image_id": 0, "path": "q0.jpg", "reason": "truncated"},
        {"image_id": 3, "path": "3.jpg", "reason": "unreadable"},
        {"image_id": 9, "path": "gone.jpg", "reason": "missing"},
    ]
    remark = remarks(excluded=excluded)["Images are missing from the evaluation"]
    assert remark.level == "warning"
    for words in ("1 of the queries", "1 of the database", "1 were not there", "gone.jpg: missing"):
        assert words in remark.text


def test_queries_without_answers_are_counted():
    assert "1 of 2 queries" in remarks(queries_left_out=1)["Queries without right answers"].text


def test_warnings_come_first():
    found = remarks(images=catalogue("roxford5k", revisited=True), overlap=Overlap(["a"], []))
    levels = [remark.level for remark in found.values()]
    assert levels == sorted(levels, reverse=True)
    assert set(levels) == {"warning", "note"}

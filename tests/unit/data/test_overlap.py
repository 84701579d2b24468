import json

from retrieval_core.data.overlap import Overlap, SharedImage, shared_labels


def test_names_are_compared_without_case_accents_and_separators():
    test = ["All_Souls", "sacré cœur", "Notre-Dame", "eiffel", ""]
    train = ["all souls", "SACRE-CŒUR", "notredame", "triomphe", ""]
    assert shared_labels(train, test, same_dataset=False) == [
        "All_Souls",
        "Notre-Dame",
        "sacré cœur",
    ]


def test_numbers_of_two_datasets_mean_nothing():
    numbers = ["7", "0012", "class 3", "landmark_9", "c1", "cluster-4"]
    assert shared_labels(numbers, numbers, same_dataset=False) == []


def test_within_a_dataset_a_number_is_a_landmark_and_spelling_counts():
    assert shared_labels(["7", "Bridge", ""], ["7", "bridge", ""], same_dataset=True) == ["7"]


def test_a_number_may_be_part_of_a_name():
    train = ["pier 39", "pier 40"]
    assert shared_labels(train, ["Pier-39", "pier"], same_dataset=False) == ["Pier-39"]


def test_names_in_other_scripts_are_names():
    assert shared_labels(["故宫", "Кремль"], ["故宫", "кремль"], same_dataset=False) == [
        "кремль",
        "故宫",
    ]


def test_it_survives_json():
    for overlap in (
        Overlap(["a"], None),
        Overlap([], [SharedImage("x.jpg", "y.jpg", 3)], 10, 20, sampled=True),
    ):
        assert Overlap.from_dict(json.loads(json.dumps(overlap.to_dict()))) == overlap

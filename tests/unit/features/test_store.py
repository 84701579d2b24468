import numpy as np
import pytest

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.errors import ArtifactError, TooManyExclusionsError
from retrieval_core.features import FeatureStore, extract_shard, finish, plan_shards


@pytest.fixture
def extracted(tiny_model, make_rows, config, tmp_path):
    """Three shards of 25 images; the 4th is damaged, the 6th has no local features."""
    directory = ArtifactDirectory(tmp_path / "features")
    shards = plan_shards(make_rows(25, damaged=(3,), flat=(5,)), config.shard_size)
    for shard in reversed(shards):
        extract_shard(tiny_model, shard, config, directory)
    return directory, shards


def test_global_descriptors_come_by_ascending_id(extracted):
    ids, vectors = FeatureStore(extracted[0].uri).global_descriptors()
    assert ids.tolist() == [i for i in range(10, 260, 10) if i != 40]
    assert ids.dtype == np.int64
    assert vectors.shape == (24, 6)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1)[:5], 1, atol=1e-5)


def test_global_descriptors_of_some_images(extracted):
    store = FeatureStore(extracted[0].uri)
    every, all_vectors = store.global_descriptors()
    ids, vectors = store.global_descriptors([250, 40, 10])
    assert ids.tolist() == [10, 250], "ascending, and without the excluded one"
    np.testing.assert_array_equal(vectors, all_vectors[np.isin(every, [10, 250])])
    assert store.global_descriptors([])[1].shape == (0, 6)


def test_local_shards_hold_every_extracted_image(extracted):
    shards = list(FeatureStore(extracted[0].uri).local_shards())
    assert [len(s.image_ids) for s in shards] == [9, 10, 5]
    first = shards[0]
    assert 60 in first.image_ids, "an image without local features is still there"
    owners = first.image_ids[first.image_index]
    assert set(owners.tolist()) == set(first.image_ids.tolist()) - {60}
    assert (np.diff(first.image_index) >= 0).all()
    assert first.descriptors.shape == (len(owners), 4)
    assert first.locations.shape == (len(owners), 2)
    assert first.strengths.shape == first.scales.shape == (len(owners),)


def test_local_shards_of_some_images_agree_with_all(extracted):
    store = FeatureStore(extracted[0].uri)
    whole = next(store.local_shards())
    some = list(store.local_shards([70, 20, 240]))
    assert [s.image_ids.tolist() for s in some] == [[20, 70], [240]]
    expected = np.isin(whole.image_ids[whole.image_index], [20, 70])
    np.testing.assert_array_equal(some[0].descriptors, whole.descriptors[expected])
    assert some[0].image_index.tolist() == sorted(some[0].image_index.tolist())
    assert set(some[0].image_index.tolist()) == {0, 1}


def test_a_sample_is_drawn_without_replacement_and_repeats(extracted):
    store = FeatureStore(extracted[0].uri)
    every = np.concatenate([s.descriptors for s in store.local_shards()])
    sample = store.sample_local(50, seed=1)
    assert sample.shape == (50, 4)
    assert len(np.unique(sample, axis=0)) == 50
    np.testing.assert_array_equal(sample, store.sample_local(50, seed=1))
    assert not np.array_equal(sample, store.sample_local(50, seed=2))
    np.testing.assert_array_equal(store.sample_local(10**9, seed=1), every)


def test_a_sample_is_uniform_over_shards(extracted):
    store = FeatureStore(extracted[0].uri)
    shards = [s.descriptors for s in store.local_shards()]
    total, last = sum(map(len, shards)), {row.tobytes() for row in shards[-1]}
    drawn = [row.tobytes() in last for s in range(40) for row in store.sample_local(50, seed=s)]
    assert np.mean(drawn) == pytest.approx(len(last) / total, abs=0.03)


def test_finish_sums_the_shards(extracted):
    summary = finish(*extracted, max_excluded=0.05)
    assert summary.images == 24
    assert summary.local_descriptors == 23 * 20
    assert [e["image_id"] for e in summary.excluded] == [40]


def test_finish_names_missing_shards(extracted):
    directory, shards = extracted
    directory.local("reports/shard-00001.json").unlink()
    with pytest.raises(ArtifactError, match=r"lacks 1 shards: \[1\]"):
        finish(directory, shards, max_excluded=1)


def test_too_many_exclusions_are_listed(tiny_model, make_rows, config, tmp_path):
    directory = ArtifactDirectory(tmp_path / "features")
    (shard,) = plan_shards(make_rows(30, damaged=tuple(range(25))), 30)
    extract_shard(tiny_model, shard, config, directory)
    with pytest.raises(TooManyExclusionsError, match="25 of 30") as caught:
        finish(directory, [shard], max_excluded=0.5)
    assert str(caught.value).count(".png") == 20
    assert "and 5 more" in str(caught.value)


def test_an_empty_directory_is_no_store(tmp_path):
    with pytest.raises(ArtifactError, match="no extracted features"):
        FeatureStore(tmp_path)


@pytest.mark.parametrize("name", ["local/shard-00001.parquet", "global/shard-00001.parquet"])
@pytest.mark.parametrize("damage", ["missing", "truncated", "empty"])
def test_a_damaged_shard_is_named(extracted, name, damage):
    path = extracted[0].local(name)
    content = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes(content[:100] if damage == "truncated" else b"")
    store = FeatureStore(extracted[0].uri)
    with pytest.raises(ArtifactError, match=name):
        list(store.local_shards()), store.global_descriptors()


def test_rows_that_contradict_the_report_are_refused(extracted):
    directory = extracted[0]
    directory.write_bytes(
        "local/shard-00001.parquet", directory.read_bytes("local/shard-00002.parquet")
    )
    with pytest.raises(ArtifactError, match="its shard's report says"):
        list(FeatureStore(directory.uri).local_shards())


def test_features_are_read_from_any_file_system(extracted):
    directory, _ = extracted
    memory = ArtifactDirectory(f"memory://{directory.path('')}")
    for name in directory.names():
        memory.write_bytes(name, directory.read_bytes(name))
    here, there = FeatureStore(directory.uri), FeatureStore(memory.uri)
    np.testing.assert_array_equal(here.sample_local(9, 0), there.sample_local(9, 0))

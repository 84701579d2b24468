"""Images that are aggregated while they are extracted give what they give afterwards."""

from dataclasses import asdict
from functools import partial

import numpy as np
import pytest

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.errors import ArtifactError, ArtifactMismatchError, IndexInputError
from retrieval_core.features import FeatureStore, extract_shard, is_done, plan_shards
from retrieval_core.index import AsmkIndex, Codebook, VectorIndex, build
from retrieval_core.index.build import Aggregation
from retrieval_core.index.extraction import open_postings

SHARD = 4


def codebook(seed=0, words=6, dim=4):
    return Codebook(np.random.default_rng(seed).standard_normal((words, dim)).astype(np.float32))


@pytest.fixture
def rows(make_rows):
    """Unreadable images, one shard without any other, and one without descriptors."""
    return make_rows(18, damaged=(1, 8, 9, 10, 11), flat=(5,))


@pytest.fixture
def extract(tiny_model, rows, config, tmp_path):
    def run(name, **options):
        directory = ArtifactDirectory(tmp_path / name)
        shards = plan_shards(rows, SHARD)
        reports = [extract_shard(tiny_model, s, config, directory, **options) for s in shards]
        return directory, shards, reports

    return run


def aggregated(words, *, binary=True):
    return partial(open_postings, codebook=words, binary=binary)


def aggregation(directory, rows, *, binary=True, use_idf=False, from_postings):
    ids = np.array([row.image_id for row in rows])
    return Aggregation(directory.uri, ids, binary, use_idf, from_postings)


def files(index, path):
    """Names, which end with digests of the content."""
    index.save(path)
    return ArtifactDirectory(path).names()


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("use_idf", [True, False])
def test_every_bit_is_that_of_extraction_followed_by_aggregation(
    extract, rows, tmp_path, binary, use_idf
):
    words = codebook()
    stored, shards, reports = extract("stored")
    fused, _, others = extract("fused", open_local=aggregated(words, binary=binary))
    indices = [shard.index for shard in shards]
    settings = {"binary": binary, "use_idf": use_idf}
    first = aggregation(stored, rows, **settings, from_postings=False).build(words, indices)
    second = aggregation(fused, rows, **settings, from_postings=True).build(words, indices)
    assert 0 < len(first) == 18 - 5
    assert files(second, tmp_path / "b") == files(first, tmp_path / "a")
    for one, other in zip(reports, others, strict=True):
        assert {**asdict(one), "seconds": 0} == {**asdict(other), "seconds": 0}
    for shard in shards:
        name = f"global/shard-{shard.index:05d}.parquet"
        assert fused.read_bytes(name) == stored.read_bytes(name)


def test_local_descriptors_are_not_written(extract):
    directory, shards, reports = extract("fused", open_local=aggregated(codebook()))
    names = directory.names()
    assert not [name for name in names if name.startswith("local/")]
    assert sum(report.local_descriptors for report in reports) > 0
    assert len([n for n in names if n.endswith("index.json")]) == len(shards)
    assert "codebook.json" not in str(names)
    with pytest.raises(ArtifactError, match="local/shard-00000"):
        next(FeatureStore(directory.uri).local_shards())


def test_a_shard_is_done_only_with_its_postings(extract, tiny_model, rows, config, monkeypatch):
    def fail(*_, **__):
        raise OSError("cut")

    with monkeypatch.context() as patch:
        patch.setattr(AsmkIndex, "save", fail)
        with pytest.raises(OSError, match="cut"):
            extract("fused", open_local=aggregated(codebook()))
    directory, shards, _ = extract("whole", open_local=aggregated(codebook()))
    broken = ArtifactDirectory(directory.uri.replace("whole", "fused"))
    assert broken.names() == []
    # what a process that was killed between postings and report leaves is written anew
    directory.remove("reports/shard-00000.json")
    directory.write_bytes("postings/shard-00000/index.json", b"half")
    assert not is_done(directory, shards[0])
    extract_shard(tiny_model, shards[0], config, directory, open_local=aggregated(codebook()))
    found = AsmkIndex.open(f"{directory.uri}/postings/shard-00000", codebook())
    assert found.image_ids.tolist() == [10, 30, 40]


def test_postings_of_other_words_or_settings_are_refused(extract, rows):
    directory, *_ = extract("fused", open_local=aggregated(codebook()))
    with pytest.raises(ArtifactMismatchError, match=codebook(1).digest):
        aggregation(directory, rows, from_postings=True).build(codebook(1), [0, 1])
    with pytest.raises(ArtifactMismatchError, match="binary"):
        aggregation(directory, rows, binary=False, from_postings=True).build(codebook(), [0])
    with pytest.raises(IndexInputError, match="descriptors"):
        extract("wrong", open_local=aggregated(codebook(dim=5)))


@pytest.mark.parametrize("use_idf", [True, False])
def test_a_large_index_is_merged_a_segment_at_a_time(extract, rows, tmp_path, monkeypatch, use_idf):
    words = codebook()
    directory, shards, _ = extract("fused", open_local=aggregated(words))
    work = aggregation(directory, rows, use_idf=use_idf, from_postings=True)
    whole = work.build(words, [shard.index for shard in shards])
    parts = []
    for shard in shards:
        parts.append(str(tmp_path / f"part-{shard.index}"))
        work.build(words, [shard.index]).save(parts[-1], with_codebook=False)
    once = work.merge(words, parts, str(tmp_path / "once"))
    assert files(once, tmp_path / "once") == files(whole, tmp_path / "whole")
    monkeypatch.setattr(build, "SEGMENT_BYTES", 400)
    monkeypatch.setattr(build, "OPENED_AT_ONCE", 2)
    cut = work.merge(words, parts, str(tmp_path / "cut"))
    assert len(cut.snapshot.segments) > 1
    AsmkIndex.verify(tmp_path / "cut")
    reopened = AsmkIndex.open(tmp_path / "cut")
    asked = np.random.default_rng(3).standard_normal((12, 4)).astype(np.float32)
    queries = np.arange(12) // 4
    expected = whole.search(asked, queries)
    for index in (cut, reopened):
        np.testing.assert_array_equal(index.image_ids, whole.image_ids)
        for found, right in zip(index.search(asked, queries), expected, strict=True):
            np.testing.assert_array_equal(found, right)


def test_vectors_are_written_a_shard_at_a_time(extract, tmp_path):
    directory, *_ = extract("stored")
    ids, vectors = FeatureStore(directory.uri).global_descriptors()
    target = ArtifactDirectory(tmp_path / "streamed")
    # an excluded image is asked for, too, one that is there is not
    asked = np.append(ids[1:], [20])
    index, rows = build.save_vectors(directory.uri, asked, target, "parts/rows")
    target.remove("parts")
    expected = VectorIndex.create(vectors.shape[1])
    expected.add(ids[1:], vectors[1:])
    expected.save(tmp_path / "once")
    assert target.names() == ArtifactDirectory(tmp_path / "once").names()
    np.testing.assert_array_equal(index.vectors, vectors[1:])
    np.testing.assert_array_equal(rows, vectors[1:])

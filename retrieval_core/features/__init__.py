"""Images -> descriptors, in Parquet shards."""

from retrieval_core.features.extract import extract_shard
from retrieval_core.features.shards import Shard, ShardReport, is_done, plan_shards, read_report
from retrieval_core.features.store import FeaturesSummary, FeatureStore, LocalShard, finish

__all__ = [
    "FeatureStore",
    "FeaturesSummary",
    "LocalShard",
    "Shard",
    "ShardReport",
    "extract_shard",
    "finish",
    "is_done",
    "plan_shards",
    "read_report",
]

"""The query side: ranking a database for many queries."""

from retrieval_core.search.local import rank_local
from retrieval_core.search.querying import Search
from retrieval_core.search.ranking import Ranking
from retrieval_core.search.vector import rank_global

__all__ = ["Ranking", "Search", "rank_global", "rank_local"]

"""Numbers about the dataset, the stages and the exclusions, in words."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from retrieval_core.data.catalogue import Catalogue
from retrieval_core.visualize.inputs import StageTiming


@dataclass(frozen=True)
class StageBar:
    """A stage with the length of its bar, in percent of the longest."""

    stage: StageTiming
    time: str
    percent: float


def dataset_facts(catalogue: Catalogue) -> list[tuple[str, str]]:
    """Names and values of what there is to know about a dataset."""
    splits = Counter(row.split for row in catalogue.rows)
    test = catalogue.split("test")
    positives = [len(truth.easy) + len(truth.hard) for truth in catalogue.truth]
    counted = ", ".join(f"{splits[name]:,} {name}" for name in ("train", "val", "test"))
    facts = [
        ("Dataset", catalogue.name),
        ("Images", f"{len(catalogue.rows):,} ({counted})"),
        ("Database", f"{len(catalogue.database()):,} images"),
        ("Queries", f"{len(catalogue.truth):,}"),
        ("Labels in the test split", f"{len({row.label for row in test if row.label}):,}"),
    ]
    if positives:
        spread = f"{median(positives):g} (from {min(positives)} to {max(positives)})"
        facts.append(("Positives per query, median", spread))
    if unanswerable := sum(count == 0 for count in positives):
        facts.append(("Queries without a positive, not scored", f"{unanswerable:,}"))
    distractors = sum(not row.label for row in test)
    if distractors:
        facts.append(("Test images without a label", f"{distractors:,}"))
    protocol = "revisited: easy, medium, hard" if catalogue.revisited else "one set of positives"
    return [*facts, ("Protocol", protocol)]


def stage_bars(stages: Sequence[StageTiming]) -> list[StageBar]:
    """Bars of equal scale, in the order of the stages."""
    longest = max((stage.seconds for stage in stages), default=0.0) or 1.0
    return [StageBar(s, in_words(s.seconds), 100 * s.seconds / longest) for s in stages]


def reasons(excluded: Sequence[dict[str, Any]]) -> list[tuple[str, int]]:
    """How many images were excluded for each reason, most frequent first, whatever the stage."""
    distinct = dict.fromkeys((entry["path"], str(entry["reason"])) for entry in excluded)
    return Counter(reason for _, reason in distinct).most_common()


def in_words(seconds: float) -> str:
    """A duration with two significant parts: "0.42 s", "38 s", "3 min 20 s", "2 h 05 min"."""
    if seconds < 10:
        return f"{seconds:.2f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"

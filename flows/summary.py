"""What the command line prints: scores, stages and addresses."""

from rich import box
from rich.console import Console
from rich.table import Table

from flows.result import FlowResult
from retrieval_core.artifacts import ArtifactRef, load_manifest
from retrieval_core.config import BenchmarkConfig, DatasetConfig
from retrieval_core.data.benchmarks.sources import load_benchmarks
from retrieval_core.data.benchmarks.state import benchmark_state
from retrieval_core.data.benchmarks.verify import Verification
from retrieval_core.errors import LISTED_EXCLUSIONS
from retrieval_core.search.images import Answer
from retrieval_core.visualize.scoreboard import headline_metrics
from tasks.description import REUSED
from tasks.lineage import training_of

# roles whose artifact is a page
PAGES = ("report", "study")


def print_summary(console: Console, result: FlowResult) -> None:
    """Print the scores (if any), the seconds of each stage, and where everything is."""
    if result.artifacts.get("scores"):
        console.print(scores_table(result.artifacts["scores"]))
    console.print(stages_table(result))
    print_addresses(console, result)


def scores_table(scores: list[ArtifactRef]) -> Table:
    """Scores in percent, one row per network and descriptor."""
    manifests = [load_manifest(ref.uri) for ref in scores]
    names = headline_metrics({name for manifest in manifests for name in manifest.metrics})
    table = Table(box=box.SIMPLE_HEAVY, title="scores, %")
    table.add_column("network")
    table.add_column("descriptor")
    for name in names:
        table.add_column(name.replace("map", "mAP").replace("_", " "), justify="right")
    for ref, manifest in zip(scores, manifests, strict=True):
        values = (manifest.metrics.get(name) for name in names)
        cells = ("" if value is None else f"{100 * value:.1f}" for value in values)
        table.add_row(training_of(ref), manifest.config["descriptor"], *cells)
    return table


def stages_table(result: FlowResult) -> Table:
    """Every stage of the run, its seconds, and whether it was reused."""
    table = Table(box=box.SIMPLE_HEAVY, title="stages")
    table.add_column("stage")
    table.add_column("seconds", justify="right")
    table.add_column("")
    runs = [run.data.tags for run in result.run.children()]
    for tags in runs:
        reused = tags.get("reused") == "true"
        seconds = float(tags.get("seconds", 0))
        cells = (f"({seconds:.1f})", "reused") if reused else (f"{seconds:.1f}", "")
        table.add_row(tags.get("stage", ""), *cells)
    if any(tags.get("reused") == "true" for tags in runs):
        table.caption = REUSED
    return table


def print_addresses(console: Console, result: FlowResult) -> None:
    """Print where the results, the MLflow run and the artifacts are; never cut or wrapped."""
    lines = [
        (role, _address(role, ref))
        for role, refs in result.artifacts.items()
        for ref in refs
        if role != "scores"
    ]
    lines += [
        ("artifacts", f"{result.workdir}/artifacts"),
        ("MLflow", f"{result.run.tracking_uri} (run {result.run.run_id})"),
    ]
    for name, address in lines:
        console.print(f"{name:<10} {address}", soft_wrap=True, markup=False, highlight=False)


def print_answers(console: Console, answers: list[Answer]) -> None:
    """Print the ranked results of every query image."""
    for answer in answers:
        if answer.error:
            console.print(f"[red]not searched[/]: {answer.error}")
            continue
        table = Table(box=box.SIMPLE_HEAVY, title=answer.query, title_justify="left")
        for name in ("rank", "score", "label", "path"):
            table.add_column(name, justify="right" if name in ("rank", "score") else "left")
        for hit in answer.hits:
            table.add_row(str(hit.rank), f"{hit.score:.4f}", hit.label, hit.path)
        console.print(table)


def print_dataset_kinds(console: Console) -> None:
    """Print every kind of dataset with its settings."""
    for kind in ("demo", "folder", "benchmark"):
        section = DatasetConfig.model_fields[kind].annotation
        meaning = section.__doc__ if section else ""
        table = Table(box=box.SIMPLE_HEAVY, title=f"{kind}: {meaning}")
        table.add_column("setting")
        table.add_column("default")
        table.add_column("meaning")
        for name, field in getattr(section, "model_fields", {}).items():
            setting = f"dataset.{kind}.{name}"
            table.add_row(setting, repr(field.default), field.description or "")
        console.print(table)


def print_benchmarks(console: Console) -> None:
    """Print every published dataset: what it is, its licence, and how much of it is here."""
    table = Table(box=box.SIMPLE_HEAVY, caption="! restricted: see the licence before you use it")
    for name in ("name", "what it is", "images", "GB", "licence", "here"):
        table.add_column(name, justify="right" if name in ("images", "GB") else "left")
    for name, benchmark in load_benchmarks().items():
        table.add_row(
            name,
            benchmark.title,
            "" if benchmark.images is None else f"{benchmark.images:,}",
            "" if benchmark.gigabytes is None else f"{benchmark.gigabytes:g}",
            f"[bold]{benchmark.licence} ![/]" if benchmark.restricted else benchmark.licence,
            benchmark_state(BenchmarkConfig.model_validate({"name": name})),
        )
    console.print(table)


def print_verification(console: Console, name: str, found: Verification) -> None:
    """Print what was compared and what is wrong or missing."""
    lines = [f"{file}: {how}" for file, how in found.checked]
    lines += [f"wrong: {problem}" for problem in found.problems]
    lines += [f"missing: {path}" for path in found.missing[:LISTED_EXCLUSIONS]]
    there = found.images - len(found.missing)
    lines += [f"{there:,} of {found.images:,} images are there"]
    lines += ["whole" if found.whole else "NOT whole"]
    for line in lines:
        console.print(f"{name}: {line}", soft_wrap=True, markup=False, highlight=False)


def _address(role: str, ref: ArtifactRef) -> str:
    return f"{ref.uri}/{role}.html" if role in PAGES else ref.uri

"""`retrieval run`, `evaluate` and `distractors`: an experiment, whole or in part."""

from flows.cli.console import begin, console, execute
from flows.cli.options import DEFAULT_WORKDIR, ConfigPath, Overrides, Workdir


def run(
    config: ConfigPath, overrides: Overrides = None, workdir: Workdir = DEFAULT_WORKDIR
) -> None:
    """Run the whole pipeline and print the scores, the seconds of each stage and where all is.

    What was computed before, by the same settings, inputs and code, is reused; what was
    interrupted goes on where it stopped.

    Example: retrieval run configs/how_lite0_demo.yaml training.epochs=2
    """
    settings, root = begin(config, overrides, workdir)
    from flows.pipeline import pipeline
    from flows.summary import print_summary

    print_summary(console, execute(pipeline, settings, root))


def evaluate(
    config: ConfigPath, overrides: Overrides = None, workdir: Workdir = DEFAULT_WORKDIR
) -> None:
    """Score the trained network of an experiment; stages that are missing are run first.

    Example: retrieval evaluate configs/how_lite0_demo.yaml asmk.alpha=2
    """
    settings, root = begin(config, overrides, workdir)
    from flows.evaluate import evaluate as flow
    from flows.summary import print_summary

    print_summary(console, execute(flow, settings, root))


def distractors(
    config: ConfigPath, overrides: Overrides = None, workdir: Workdir = DEFAULT_WORKDIR
) -> None:
    """Index the distractors of an experiment alone, and print where the indexes are.

    Other experiments with the same network and visual words name one of the two directories as
    their `distractors`. What was interrupted goes on after the last archive and the last shard.

    Example: retrieval distractors configs/how_lite0_demo.yaml
    distractors="{kind: folder, folder: {path: photos}}"
    """
    settings, root = begin(config, overrides, workdir)
    from flows.distractors import distractors as flow
    from flows.summary import print_summary

    print_summary(console, execute(flow, settings, root))

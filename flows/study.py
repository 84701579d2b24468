"""Several experiments, one after another, and one table of them."""

from typing import TYPE_CHECKING, Any

from prefect import flow

from flows.pipeline import pipeline
from flows.result import FlowResult
from flows.surroundings import chosen_workdir, tracked_context
from retrieval_core.config import PipelineConfig, Study

if TYPE_CHECKING:
    from tasks.study import FinishedRow


@flow(name="study", flow_run_name="{study.name}")
def study(study: Study, workdir: str | None = None) -> FlowResult:
    """Run the whole pipeline for every row; one that fails does not stop the others."""
    first = next(iter(study.rows.values()))
    with tracked_context(study.name, first.runtime, chosen_workdir(workdir)) as context:
        from tasks.study import tabulate

        rows = {name: _finish(config, context.workdir) for name, config in study.rows.items()}
        table: Any = tabulate.submit(context, study.name, rows).result()
        return FlowResult(context.workdir, context.run, {"study": [table]})


def _finish(config: PipelineConfig, workdir: str) -> "FinishedRow":
    from tasks.study import FinishedRow

    try:
        result = pipeline(config, workdir)
    except Exception as error:
        return FinishedRow(config, error=f"{type(error).__name__}: {error}")
    return FinishedRow(config, result.artifacts["scores"], result.run)

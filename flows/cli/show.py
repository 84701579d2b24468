"""`retrieval show`: pictures of photographs, rankings, words and descriptors."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.cli.console import console, user_errors
from flows.cli.options import DEFAULT_WORKDIR, Workdir
from tasks.environment import prepare_environment

show_app = typer.Typer(
    help="Draw what a network sees, what it finds and how it is used.", no_args_is_help=True
)

RUN_HELP = (
    "Finished run: YAML file of the experiment, name, start of the id in MLflow, or directory of "
    "its report or scores."
)
Image = Annotated[str, typer.Argument(help="Image file or URL.")]
Model = Annotated[
    str,
    typer.Option(
        help="Finished run (YAML file, name or id), directory of an artifact, name of a published "
        "checkpoint, or its file."
    ),
]
Run = Annotated[str, typer.Argument(help=RUN_HELP)]
Output = Annotated[
    Path | None, typer.Option(help="PNG file to write; default: named here by what it shows.")
]
ImageSize = Annotated[
    int | None,
    typer.Option(min=32, max=8192, help="Longest side, pixels; default: as the run extracted."),
]


@show_app.command()
def attention(
    image: Image,
    model: Model,
    count: Annotated[int, typer.Option(min=1, help="Strongest super-features to draw.")] = 11,
    image_size: ImageSize = None,
    output: Output = None,
    workdir: Workdir = DEFAULT_WORKDIR,
) -> None:
    """Where FIRe's strongest super-features look, or how strong HOW's features are, as heat.

    Example: retrieval show attention photo.jpg --model configs/fire_lite0_demo.yaml
    """
    _draw(
        "attention", f"attention-{_stem(image)}", output, workdir, image, model,
        count=count, image_size=image_size,
    )  # fmt: skip


@show_app.command()
def features(
    image: Image,
    model: Model,
    count: Annotated[int, typer.Option(min=1, help="Strongest features to draw.")] = 100,
    image_size: ImageSize = None,
    output: Output = None,
    workdir: Workdir = DEFAULT_WORKDIR,
) -> None:
    """The strongest local features of a photograph, at their places and scales.

    Example: retrieval show features photo.jpg --model configs/how_lite0_demo.yaml
    """
    _draw(
        "features", f"features-{_stem(image)}", output, workdir, image, model,
        count=count, image_size=image_size,
    )  # fmt: skip


@show_app.command()
def matches(
    left: Image,
    right: Image,
    model: Model,
    index: Annotated[
        str | None,
        typer.Option(help="Whose visual words HOW matches by; default: those of the run."),
    ] = None,
    lines: Annotated[int, typer.Option(min=1, help="Most similar matches to draw.")] = 30,
    image_size: ImageSize = None,
    output: Output = None,
    workdir: Workdir = DEFAULT_WORKDIR,
) -> None:
    """What two photographs share: FIRe's super-features or HOW's visual words, as lines.

    Example: retrieval show matches one.jpg other.jpg --model configs/fire_lite0_demo.yaml
    """
    _draw(
        "matches", f"matches-{_stem(left)}-{_stem(right)}", output, workdir, (left, right), model,
        index=index, lines=lines, image_size=image_size,
    )  # fmt: skip


@show_app.command()
def ranking(
    run: Run,
    queries: Annotated[
        str, typer.Option(help="Image ids of queries, such as 3,17; default: best and worst.")
    ] = "",
    best: Annotated[int, typer.Option(min=0, help="Queries of highest precision.")] = 3,
    worst: Annotated[int, typer.Option(min=0, help="Queries of lowest precision.")] = 3,
    descriptor: Annotated[
        str | None, typer.Option(help="asmk or global; default: asmk where there is one.")
    ] = None,
    top_k: Annotated[int, typer.Option(min=1, max=50, help="Results per query.")] = 7,
    output: Output = None,
    workdir: Workdir = DEFAULT_WORKDIR,
) -> None:
    """Queries with their first results: right, wrong or junk.

    Example: retrieval show ranking configs/how_lite0_demo.yaml --best 2 --worst 4
    """
    _draw(
        "ranking", f"ranking-{_stem(run)}", output, workdir, run,
        descriptor=descriptor, queries=_ids(queries), best=best, worst=worst, top_k=top_k,
    )  # fmt: skip


@show_app.command()
def curves(run: Run, output: Output = None, workdir: Workdir = DEFAULT_WORKDIR) -> None:
    """Precision at every recall, of each descriptor before and after training.

    Example: retrieval show curves configs/how_lite0_demo.yaml
    """
    _draw("curves", f"curves-{_stem(run)}", output, workdir, run)


@show_app.command()
def words(
    run: Annotated[str, typer.Argument(help=f"{RUN_HELP} Or that of an index or a codebook.")],
    output: Output = None,
    workdir: Workdir = DEFAULT_WORKDIR,
) -> None:
    """How evenly a database uses the visual words of its codebook.

    Example: retrieval show words configs/how_lite0_demo.yaml
    """
    _draw("words", f"words-{_stem(run)}", output, workdir, run)


@show_app.command("map")
def embedding_map(
    run: Run,
    limit: Annotated[
        int, typer.Option(min=2, help="Images, drawn at random; over 2000 by PCA alone.")
    ] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of the draw and the projection.")] = 0,
    output: Output = None,
    workdir: Workdir = DEFAULT_WORKDIR,
) -> None:
    """Images on a plane, near each other where their global descriptors are alike.

    Example: retrieval show map configs/how_lite0_demo.yaml --limit 500
    """
    _draw("map", f"map-{_stem(run)}", output, workdir, run, limit=limit, seed=seed)


def _draw(
    picture: str, name: str, output: Path | None, workdir: Path, *args: Any, **options: Any
) -> None:
    """Draw, write and say where."""
    root = prepare_environment(workdir)
    from flows import pictures
    from retrieval_core.artifacts import ArtifactDirectory

    draw: Callable[..., pictures.Drawn] = getattr(pictures, f"draw_{picture}")
    target = (output or Path(f"{name}.png")).absolute()
    with user_errors():
        drawn = draw(*args, **options, workdir=str(root))
        ArtifactDirectory(target.parent).write_bytes(target.name, drawn.png)
    console.print(drawn.caption, highlight=False, soft_wrap=True)
    console.print(str(target), highlight=False, soft_wrap=True)


def _stem(reference: str) -> str:
    return Path(reference).stem


def _ids(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise typer.BadParameter(f"{text!r}: give image ids such as 3,17") from None

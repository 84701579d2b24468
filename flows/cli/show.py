"""`retrieval show`: pictures of photographs, rankings, words and descriptors."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.cli.console import console, open_workdir, user_errors
from flows.cli.options import DEFAULT_WORKDIR, Workdir

show_app = typer.Typer(
    help="Draw what a network sees, what it finds and how it is used.", no_args_is_help=True
)

RUN_HELP = (
    "A finished run: its YAML file, its name, the start of its id in MLflow, or the directory of "
    "its report or scores."
)
Image = Annotated[str, typer.Argument(help="Image file or URL.")]
Model = Annotated[
    str,
    typer.Option(
        help="The network: a finished run (its YAML file, name or id), a published checkpoint (its "
        "name or file), or the directory of an artifact."
    ),
]
Run = Annotated[str, typer.Argument(help=RUN_HELP)]
Output = Annotated[
    Path | None, typer.Option(help="PNG file to write; default: in this directory, by its content.")
]
ImageSize = Annotated[
    int | None,
    typer.Option(min=32, max=8192, help="Longest side to look at, pixels; default: the run's own."),
]


@show_app.command()
def attention(
    image: Image,
    model: Model,
    count: Annotated[int, typer.Option(min=1, help="Maps at most.")] = 11,
    image_size: ImageSize = None,
    output: Output = None,
    workdir: Workdir = DEFAULT_WORKDIR,
) -> None:
    """Where FIRe's strongest super-features look, or where HOW's features are strong, as heat.

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
    count: Annotated[int, typer.Option(min=1, help="Features at most.")] = 25,
    image_size: ImageSize = None,
    output: Output = None,
    workdir: Workdir = DEFAULT_WORKDIR,
) -> None:
    """The strongest local features of a photograph, as circles at their places and scales.

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
        typer.Option(
            help="Whose visual words a HOW network matches by: a finished run or the directory of "
            "an index; default: the run's own."
        ),
    ] = None,
    lines: Annotated[int, typer.Option(min=1, help="Matches at most.")] = 20,
    image_size: ImageSize = None,
    output: Output = None,
    workdir: Workdir = DEFAULT_WORKDIR,
) -> None:
    """What two photographs share: lines between FIRe's super-features or HOW's visual words.

    Example: retrieval show matches one.jpg other.jpg --model configs/fire_lite0_demo.yaml
    """
    _draw(
        "matches", f"matches-{_stem(left)}-{_stem(right)}", output, workdir, (left, right), model,
        index=index, lines=lines, image_size=image_size,
    )  # fmt: skip


@show_app.command()
def ranking(
    run: Run,
    against: Annotated[
        str | None,
        typer.Option(
            help="Another run, or 'untrained': this run before its training. Shows the queries "
            "that changed most, each as ranked by either."
        ),
    ] = None,
    queries: Annotated[
        str, typer.Option(help="These queries instead: their image ids, such as 3,17.")
    ] = "",
    best: Annotated[
        int, typer.Option(min=0, help="Queries of highest precision, or of the largest gain.")
    ] = 3,
    worst: Annotated[
        int, typer.Option(min=0, help="Queries of lowest precision, or of the largest loss.")
    ] = 3,
    descriptor: Annotated[
        str | None,
        typer.Option(
            help="asmk, global or processed: which ranking; default: asmk where the run has it."
        ),
    ] = None,
    top_k: Annotated[int, typer.Option(min=1, max=50, help="Results per query.")] = 7,
    output: Output = None,
    workdir: Workdir = DEFAULT_WORKDIR,
) -> None:
    """A run's best and worst queries, or most changed ones, with their first results.

    Queries are blue, right results green, wrong ones red, junk (not scored) grey.

    Example: retrieval show ranking configs/how_lite0_demo.yaml --against untrained
    """
    _draw(
        "ranking", f"ranking-{_stem(run)}", output, workdir, run, against=against,
        descriptor=descriptor, queries=_ids(queries), best=best, worst=worst, top_k=top_k,
    )  # fmt: skip


@show_app.command()
def curves(run: Run, output: Output = None, workdir: Workdir = DEFAULT_WORKDIR) -> None:
    """Precision at every recall, per descriptor, before and after training.

    Example: retrieval show curves configs/how_lite0_demo.yaml
    """
    _draw("curves", f"curves-{_stem(run)}", output, workdir, run)


@show_app.command()
def words(
    run: Annotated[str, typer.Argument(help=f"{RUN_HELP} Or that of an index or codebook.")],
    output: Output = None,
    workdir: Workdir = DEFAULT_WORKDIR,
) -> None:
    """How evenly a database uses its visual words, ranked and as a histogram.

    Example: retrieval show words configs/how_lite0_demo.yaml
    """
    _draw("words", f"words-{_stem(run)}", output, workdir, run)


@show_app.command("map")
def embedding_map(
    run: Run,
    limit: Annotated[
        int,
        typer.Option(min=2, help="Images at most, drawn at random; over 2000 by PCA."),
    ] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Decides the draw and the projection.")] = 0,
    output: Output = None,
    workdir: Workdir = DEFAULT_WORKDIR,
) -> None:
    """A map of the images: those whose global descriptors are alike lie together.

    Example: retrieval show map configs/how_lite0_demo.yaml --limit 500
    """
    _draw("map", f"map-{_stem(run)}", output, workdir, run, limit=limit, seed=seed)


def _draw(
    picture: str, name: str, output: Path | None, workdir: Path, *args: Any, **options: Any
) -> None:
    """Draw, write and say where."""
    root = open_workdir(workdir)
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

"""The program `graphsocial`: its commands with their examples, and its errors and exit codes."""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand, TyperOption

from . import (
    analysing,
    benchmarking,
    comparing,
    data,
    explaining,
    judging,
    learning,
    linking,
    looking,
    querying,
    render,
    reporting,
    reproducing,
    supposing,
    tuning,
)
from .options import CommonOptions
from .signatures import with_options

INTERRUPTIONS = ("Query interrupted", "INTERRUPT Error: Interrupted!")  # Ctrl-C as DuckDB reports it

app = typer.Typer(
    name="graphsocial",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Command(TyperCommand):
    """A command whose `--help` stands with the options of `CommonOptions`."""

    def get_help_option(self, ctx: Any) -> TyperOption | None:
        option = super().get_help_option(ctx)
        if option is not None:
            option.rich_help_panel, option.metavar = CommonOptions.panel, ""
        return option


def _examples(*lines: str, then: str = "") -> str:
    shown = ["\nExamples:" if len(lines) > 1 else "\nExample:", *(f"  {line}" for line in lines)]
    return "\n".join([*shown, *(["", then] if then else [])]).replace("[", "\\[")


def _register(command: Callable[..., None], *examples: str, name: str | None = None, then: str = "") -> None:
    """A command of the program, with examples and a last line under its options."""
    app.command(name, cls=Command, epilog=_examples(*examples, then=then))(with_options(command))


@app.callback(
    invoke_without_command=True,
    epilog=_examples(
        "graphsocial synthesize iesn data/iesn",
        "graphsocial ingest iesn data/iesn",
        "graphsocial train edge-emotion --baselines",
        'graphsocial sql "select * from leaderboard"',
        then="Every command has --help with examples. GRAPHSOCIAL_DEBUG=1 prints tracebacks.",
    ),
)
@with_options
def graphsocial(
    ctx: typer.Context,
    common: CommonOptions,
    version: Annotated[bool, typer.Option("--version", metavar="", help="Version of graphsocial.")] = False,
) -> None:
    """Social data as a graph in one DuckDB file: encoders, graph models, and predictions that SQL can join."""
    ctx.obj = common
    if version:
        from importlib.metadata import version as installed

        render.line(f"graphsocial {installed('graphsocial')}")
    elif ctx.invoked_subcommand is None:
        render.line(ctx.get_help())


_register(
    data.synthesize,
    "graphsocial synthesize iesn data/iesn",
    "graphsocial synthesize iesn data/big --preset iesn --set images_as=vectors",
    then="All settings: graphsocial list sources synthetic",
)
_register(
    data.ingest,
    "graphsocial ingest iesn data/iesn",
    "graphsocial ingest iesn data/iesn --set labels=comments",
    "graphsocial ingest table mapping.yaml --dataset yelp",
    then="Sources and their settings: graphsocial list sources",
)
_register(
    data.featurize,
    "graphsocial featurize image",
    "graphsocial featurize image --encoder vision:resnet50",
    "graphsocial featurize 'user views image.comment'",
    then="Encoders and their settings: graphsocial list featurizers",
)
_register(
    linking.link,
    "graphsocial link post --by message=sentence --k 10",
    "graphsocial link note --by text --by cover=vision --minimum 0.5",
    then="Encoders and their settings: graphsocial list featurizers",
)
_register(
    learning.train,
    "graphsocial train edge-emotion",
    "graphsocial train edge-emotion --estimate",
    "graphsocial train edge-emotion --baselines --seeds 5",
    "graphsocial train edge-emotion --model features-only --folds 5",
    "graphsocial train edge-emotion --set layers=2 --set learning_rate=0.01 --no-test",
    then="--set takes the settings of the task, the model, the split and the training: 'graphsocial list tasks', "
    "'list models', 'list splits' and 'list training' show them. Baselines keep their own training settings.",
)
_register(learning.predict, "graphsocial predict latest", "graphsocial predict hmg_emo --ids pairs.csv")
_register(learning.evaluate, "graphsocial evaluate latest", "graphsocial evaluate latest --split validation")
_register(
    supposing.what_if,
    "graphsocial what-if latest n000001 --set text='Another caption'",
    "graphsocial what-if eijl n000001 --set cover=covers/other.jpg --set text_emotion=5",
    name="what-if",
)
_register(
    comparing.compare,
    "graphsocial compare hmg_emo bias",
    "graphsocial compare hmg_emo --by 'year(user.joined_at)' --by \"case when user.joined_at < '2013-01-01' "
    "then 'old' else 'new' end\"",
)
_register(
    judging.audit,
    "graphsocial audit latest",
    "graphsocial audit hmg_emo --quick",
    then="The findings are rows of the table audits; the exit code is 1 if there is a leak.",
)
_register(
    explaining.explain,
    "graphsocial explain latest --pair u00001 img00155",
    "graphsocial explain hmg_emo --split test --limit 200",
)
_register(
    reporting.report,
    "graphsocial report hmg_emo",
    "graphsocial report latest --output report.html --against bias --by 'year(user.joined_at)'",
    "graphsocial report --dataset iesn",
)
_register(learning.runs, "graphsocial runs", "graphsocial runs --task edge-emotion --each")
_register(
    tuning.tune,
    "graphsocial tune edge-emotion --trials 20 --set-range learning_rate=0.001..0.01:log --choice width=32,64,128",
    "graphsocial tune edge-emotion --epochs 10 --set-range layers=1..5",
    then="Every setting of 'graphsocial train --set' can be searched.",
)
_register(
    reproducing.reproduce,
    "graphsocial reproduce hmg_emo --table 2",
    "graphsocial reproduce hmg_emo --table 4 --seeds 1 --epochs 2",
    then="Papers and their tables: graphsocial list papers",
)
_register(
    analysing.analyze,
    "graphsocial analyze network",
    "graphsocial analyze network --edges 'user connects user' --run latest --export network",
    then="Analyses and their settings: graphsocial list analyses",
)
_register(
    benchmarking.benchmark,
    "graphsocial benchmark acceleration",
    "graphsocial benchmark acceleration dialogue-emotion --split column:split --models tmsam,lstm --rounds 5",
)
_register(
    querying.sql,
    'graphsocial sql "select * from leaderboard"',
    'graphsocial sql "select label, count(*) from predictions group by label" --csv',
    'graphsocial sql "select * from predictions" --out predictions.parquet',
    "graphsocial sql - < query.sql",
)
_register(looking.info, "graphsocial info", "graphsocial info --json")
_register(looking.list_, "graphsocial list models", "graphsocial list models hmg-emo", name="list")
_register(looking.doctor, "graphsocial doctor")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0, 1 for errors, 2 for wrong usage, 130 when interrupted."""
    try:
        try:
            return _invoke(list(sys.argv[1:] if arguments is None else arguments))
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        render.hush()
        return 1
    except KeyboardInterrupt as stop:
        return _interrupted(str(stop))
    except Exception as error:
        return _interrupted() if _was_stopped(error) else _explain(error)


def _invoke(arguments: list[str]) -> int:
    command = typer.main.get_command(app)
    try:
        with command.make_context("graphsocial", arguments) as ctx:
            command.invoke(ctx)
    except typer.Exit as stop:
        return stop.exit_code
    return 0


def _was_stopped(error: BaseException | None) -> bool:
    """Whether the error is Ctrl-C as DuckDB passes it on, or was raised while that was handled."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt) or str(error) in INTERRUPTIONS:
            return True
        error = error.__context__
    return False


def _interrupted(then: str = "") -> int:
    render.fail(f"Interrupted: {then}." if then else "Interrupted.", prefix="")
    return 130


def _explain(error: Exception) -> int:
    """An error in one line, and its exit code."""
    if hasattr(error, "format_message"):  # typer's own: wrong usage
        ctx = getattr(error, "ctx", None)
        hint = f" Try: {ctx.command_path} --help" if ctx else ""
        render.fail(f"{error.format_message().rstrip('.')}.{hint}")
        return int(getattr(error, "exit_code", 2))
    from graphsocial.errors import GraphSocialError

    debug = os.environ.get("GRAPHSOCIAL_DEBUG", "") not in ("", "0")
    if debug:
        traceback.print_exception(error)
    if isinstance(error, GraphSocialError):
        render.fail(str(error))
    else:
        hint = "" if debug else " Set GRAPHSOCIAL_DEBUG=1 to see where."
        render.fail(f"{type(error).__name__}: {str(error).rstrip('.')}.{hint}")
    return 1


def run() -> NoReturn:
    """The entry point."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a character that the terminal lacks is no error
    if not os.environ.get("GRAPHSOCIAL_DEBUG"):
        warnings.simplefilter("ignore")  # other libraries' warnings to their callers
    sys.exit(main())

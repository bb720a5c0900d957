"""The commands that judge a run: audit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .options import JsonOption, QuietOption, RunArgument, Session, StoreOption, settle

if TYPE_CHECKING:
    from graphsocial.auditing import Audit


def audit(
    ctx: typer.Context,
    run: RunArgument,
    quick: Annotated[
        bool, typer.Option("--quick", metavar="", help="Leave out the training on shuffled answers, which takes long.")
    ] = False,
    store: StoreOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Look for leaks in a run: whether it saw edges, answers, times or columns that it should not have seen.

    The leaderboard shows what was found; the exit code is 1 if there is a leak.
    """
    session = settle(ctx, store, json, quiet)
    with session.write() as opened:
        from graphsocial import runs
        from graphsocial.auditing import audit as examine
        from graphsocial.auditing import expected

        chosen = runs.load(opened, run)
        epochs, seconds = expected(opened, chosen)
        if epochs and not quick:
            session.out.say(
                f"The training on shuffled answers takes about {seconds:,.0f} s ({epochs} epochs); --quick skips it."
            )
        with session.out.progress() as progress:
            found = examine(
                opened,
                chosen,
                quick=quick,
                report=lambda epoch: progress("training on shuffled answers", epoch.epoch, epochs),
                progress=progress,
            )
    if session.out.json:
        session.out.value(found.to_dict())
    else:
        _show(session, found)
    if found.leaks:
        raise typer.Exit(1)


def _show(session: Session, found: Audit) -> None:
    """The checks that apply, the leaks first, and what was found where there is something to say."""
    applying = [check for check in found.checks if check.verdict != "not applicable"]
    applying.sort(key=lambda check: check.verdict != "leak")
    session.out.table(
        ["check", "verdict", "examined", "found"],
        [[check.name, check.verdict, check.examined, check.found] for check in applying],
        title=found.run,
    )
    session.out.table(
        ["check", "finding"],
        [
            [check.name, check.detail + (f" Such as: {', '.join(check.examples)}." if check.examples else "")]
            for check in applying
            if check.verdict != "pass"
        ],
    )
    others = [check.name for check in found.checks if check.verdict == "not applicable"]
    if others:
        session.out.say(f"Not applicable: {', '.join(others)}.")
    if found.leaks:
        session.out.say(f"{len(found.leaks)} leak{'s' * (len(found.leaks) > 1)}; the leaderboard marks the run.")
    else:
        session.out.say(f"No leak was found. Why: {session.command('sql', _query(found.run))}")


def _query(run_id: str) -> str:
    return f"select name, verdict, detail from audits where run_id = '{run_id}'"

"""The command that checks a run for leakage: audit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .options import CodeOption, RunArgument, Session

if TYPE_CHECKING:
    from graphsocial.auditing import Audit


def audit(
    run: RunArgument,
    *,
    quick: Annotated[
        bool, typer.Option("--quick", metavar="", help="Skip the training on shuffled labels, the slowest check.")
    ] = False,
    allow_code: CodeOption = False,
    session: Session,
) -> None:
    """Check a run for leakage: edges, labels, times or columns that its batches should not contain.

    What a batch holds is compared with the store: for sampled batches SQL selects the edges, labels, values and means
    that they may hold, and for sampled examples the batch is built again from the data without what is later.

    The leaderboard shows the verdict; the exit code is 1 if there is a leak.
    """
    with session.write(allow_code=allow_code) as opened:
        from graphsocial import runs
        from graphsocial.auditing import audit as check
        from graphsocial.auditing import expected

        loaded = runs.load(opened, run)
        epochs, seconds = expected(opened, loaded)
        if epochs and not quick:
            session.out.say(
                f"The training on shuffled labels takes about {seconds:,.0f} s ({epochs} epochs); --quick skips it."
            )
        with session.out.progress() as progress:
            result = check(
                opened,
                loaded,
                quick=quick,
                report=lambda epoch: progress("training on shuffled labels", epoch.epoch, epochs),
                progress=progress,
            )
    if session.out.json:
        session.out.value(result.to_dict())
    else:
        _show(session, result)
    if result.leaks:
        raise typer.Exit(1)


def _show(session: Session, result: Audit) -> None:
    """The applicable checks, leaks first, and the details of those that did not pass."""
    applicable = [check for check in result.checks if check.verdict != "not applicable"]
    applicable.sort(key=lambda check: check.verdict not in ("leak", "missing"))
    session.out.table(
        ["check", "verdict", "examined", "found"],
        [[check.name, check.verdict, check.examined, check.found] for check in applicable],
        title=result.run,
    )
    session.out.table(
        ["check", "finding"],
        [
            [check.name, check.detail + (f" Such as: {', '.join(check.examples)}." if check.examples else "")]
            for check in applicable
            if check.verdict != "pass"
        ],
    )
    others = [check.name for check in result.checks if check.verdict == "not applicable"]
    if others:
        session.out.say(f"Not applicable: {', '.join(others)}.")
    if result.leaks:
        session.out.say(f"{len(result.leaks)} leak{'s' * (len(result.leaks) > 1)}; the leaderboard marks the run.")
    elif result.missing:
        session.out.say("No leak was found, but edges of the store are not in the run's graph; train it again.")
    else:
        session.out.say(f"No leak was found. Details: {session.command('sql', _query(result.run))}")


def _query(run_id: str) -> str:
    return f"select name, verdict, detail from audits where run_id = '{run_id}'"

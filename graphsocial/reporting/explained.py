"""The section about what answers owe to what, from the rows that `explain` has written."""

from __future__ import annotations

from graphsocial.reporting import charts
from graphsocial.reporting.inner import REACH
from graphsocial.reporting.page import Chart, Section, Table
from graphsocial.reporting.subject import LEAST_ROWS, Subject, frame_of


def explanations(subject: Subject) -> Section | None:
    """What the support of this target's answers loses without each kind of information; nothing without rows."""
    rows = subject.store.sql(
        f"""
        select
            kind,
            case when kind = 'modality' then name when abs(distance) <= {REACH} then distance::varchar end as part,
            avg(value) as value,
            quantile_cont(value, 0.1) as low,
            quantile_cont(value, 0.9) as high,
            count(*) as rows,
            count(distinct (entity_id, other_id)) as examples
        from explanations
        where run_id = ? and target = ? and kind in ('modality', 'sequence')
        group by kind, part
        order by kind, part
        """,
        [subject.run.id, subject.examples.target],
    ).fetchall()
    names = ("kind", "group", "value", "low", "high", "rows", "examples")
    told = [dict(zip(names, row, strict=True)) for row in rows if row[1] is not None and row[5] >= LEAST_ROWS]
    modalities = sorted((one for one in told if one["kind"] == "modality"), key=lambda one: -one["value"])
    around = sorted((one for one in told if one["kind"] == "sequence"), key=lambda one: int(one["group"]))
    if not modalities:
        return None
    what = "log-probability of the class that is named" if subject.examples.classes else "number that is predicted"
    axis = "loss of log-probability" if subject.examples.classes else f"loss of {subject.examples.target}"
    parts: list[Chart | Table] = [
        Chart(
            "What is lost without each kind of information",
            charts.ranges(frame_of([one | {"by": "taken away"} for one in modalities]), axis, reference=0.0),
            f"How much the {what} loses when a column, the words on edges, known labels or an edge type is taken away "
            "from the whole graph: dots are means, lines go from the 10 % to the 90 % quantile. Below 0 it spoke "
            "against the answer.",
        )
    ]
    if len(around) > 1:
        named = [
            one
            | {"by": "places from the example", "group": f"{int(one['group']):+d}" if int(one["group"]) else "itself"}
            for one in around
        ]
        parts.append(
            Chart(
                "What is lost without the ones around it",
                charts.ranges(frame_of(named), axis, reference=0.0),
                "The same when nothing is known of the one so many places before (−) or after (+) the example in its "
                "sequence, or of the example itself.",
            )
        )
    count = max(one["examples"] for one in modalities)
    fidelity = subject.store.sql(
        "select kind, avg(fidelity) from (select distinct kind, entity_id, other_id, fidelity, "
        "case kind when 'attention' then name end from explanations where run_id = ? and target = ?) "
        "where fidelity is not null group by kind order by kind",
        [subject.run.id, subject.examples.target],
    ).fetchall()
    if fidelity:
        parts.append(
            Table(
                "Can the order be believed?",
                ["order of", "fidelity"],
                fidelity,
                "What is lost without the first ones, beyond what is lost without as many random ones; at or below 0 "
                "the order means nothing.",
            )
        )
    return Section("Explanations", f"What {count:,} answers owe to what, as ‘explain’ has measured it.", parts)

"""The section about explanations: the effect of removing inputs, from the rows written by `explain`."""

from __future__ import annotations

from graphsocial.reporting import charts
from graphsocial.reporting.inner import MAX_DISTANCE
from graphsocial.reporting.page import Chart, Section, Table
from graphsocial.reporting.subject import MIN_ROWS, Subject, frame_of


def explanations(subject: Subject) -> Section | None:
    """Mean effect of each input on the predictions of this target; None where `explain` has written no rows."""
    rows = subject.store.sql(
        f"""
        select
            kind,
            case
                when kind = 'modality' then name
                when abs(distance) <= {MAX_DISTANCE} then distance::varchar
            end as part,
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
    effects = [dict(zip(names, row, strict=True)) for row in rows if row[1] is not None and row[5] >= MIN_ROWS]
    modalities = sorted((row for row in effects if row["kind"] == "modality"), key=lambda row: -row["value"])
    positions = sorted((row for row in effects if row["kind"] == "sequence"), key=lambda row: int(row["group"]))
    if not modalities:
        return None
    is_classes = bool(subject.examples.classes)
    score = "log-probability of the predicted class" if is_classes else "predicted number"
    axis = f"drop of {'the log-probability' if is_classes else subject.examples.target}"
    parts: list[Chart | Table] = [
        Chart(
            "Effect of removing each input",
            charts.intervals(frame_of([row | {"by": "removed input"} for row in modalities]), axis, reference=0.0),
            f"Drop of the {score} when a column, the text on edges, the known labels or an edge type is removed from "
            "the whole graph. Dots are means, lines range from the 10 % to the 90 % quantile. Below 0 the input is "
            "evidence against the prediction.",
        )
    ]
    if len(positions) > 1:
        named = [
            row
            | {
                "by": "positions from the example",
                "group": f"{distance:+d}" if (distance := int(row["group"])) else "itself",
            }
            for row in positions
        ]
        parts.append(
            Chart(
                "Effect of blanking each position of the sequence",
                charts.intervals(frame_of(named), axis, reference=0.0),
                "Drop of the same score when the node at that many positions before (−) or after (+) the example in "
                "its sequence has only missing values, or the example itself.",
            )
        )
    count = max(row["examples"] for row in modalities)
    fidelity = subject.store.sql(
        "select kind, avg(fidelity), stddev_samp(fidelity) / sqrt(count(*)) "
        "from (select distinct kind, entity_id, other_id, fidelity, "
        "case kind when 'attention' then name end from explanations where run_id = ? and target = ?) "
        "where fidelity is not null group by kind order by kind",
        [subject.run.id, subject.examples.target],
    ).fetchall()
    if fidelity:
        parts.append(
            Table(
                "Fidelity of the rankings",
                ["ranking of", "fidelity", "standard error"],
                fidelity,
                "Drop of the score without the first-ranked inputs, minus that without as many random ones; at or "
                "below 0 the ranking is no better than random. Inputs are ranked by the other half of the examples.",
            )
        )
    return Section("Explanations", f"Effects of the inputs on {count:,} predictions, as measured by ‘explain’.", parts)

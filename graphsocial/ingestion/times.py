"""SQL that reads the times of files: ISO 8601, seconds since 1970, RFC 2822, zones by name, or a given format."""

from __future__ import annotations

from graphsocial.store.sql import literal

TWO_DIGIT_YEAR = 'has a year of two digits, so set its `format`, such as "%d/%m/%y"'
OFFSETS = {
    "UT": 0, "UTC": 0, "GMT": 0, "Z": 0, "WET": 0, "WEST": 1, "BST": 1, "CET": 1, "CEST": 2, "EET": 2, "EEST": 3,
    "MSK": 3, "EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7,
    "AKST": -9, "AKDT": -8, "HST": -10, "AEST": 10, "AEDT": 11, "ACST": 9.5, "ACDT": 10.5, "AWST": 8,
    "NZST": 12, "NZDT": 13, "JST": 9, "KST": 9, "SGT": 8, "HKT": 8, "PKT": 5,
}  # fmt: skip
"""Abbreviations of time zones → hours east of Greenwich; those with several meanings as in RFC 2822."""
EPOCH = "[0-9]{9,18}([.][0-9]*)?"
ISO = "^[0-9]{4,}[-/]"
NAMED = r"^(.*\S)\s+([A-Z]{1,5})$"  # a time and the abbreviation of its zone
TWO_DIGITS = r"^[0-9]{1,3}[-/.][0-9]{1,2}[-/.][0-9]{1,2}([ T]|$)"
WRITTEN_OUT = "^([A-Za-z]{3,9},? )?([0-9]{1,2} )?[A-Za-z]{3} "
LOCAL = ("%a, %d %b %Y %H:%M:%S", "%d %b %Y %H:%M:%S", "%a, %d %b %Y %H:%M", "%d %b %Y %H:%M", "%a %b %d %H:%M:%S %Y")
"""RFC 2822, with and without the day of the week and seconds, and C's asctime."""
WITH_OFFSET = (*(f"{form} %z" for form in LOCAL[:4]), "%a %b %d %H:%M:%S %z %Y")


def value(form: str | None, text: str) -> str:
    """SQL of the time that a text says, null where it says none.

    Args:
        form: its format as for `strptime`, with or without a zone; None for the usual ones.
        text: SQL of the text.
    """
    if form is not None:
        return f"try_strptime({text}, {literal(form)})::timestamptz"
    local, zone = (f"regexp_extract({text}, {literal(NAMED)}, {group})" for group in (1, 2))
    hours = ", ".join(f"{literal(name)}: {offset}" for name, offset in OFFSETS.items())
    offset = f"to_seconds((map {{{hours}}})[{zone}] * 3600)"
    number = f"try_cast({text} as decimal(38, 6))"
    unit = f"case when {number} < 1e11 then 1000000 when {number} < 1e14 then 1000 else 1 end"
    return f"""case
        when regexp_matches({text}, {literal(ISO)}) then
            case
                when regexp_matches({text}, '[A-Z]{{2}}$') then try_cast({local} as timestamp) - {offset}
                else try_cast({text} as timestamptz)
            end
        when regexp_full_match({text}, {literal(EPOCH)}) then try(make_timestamptz(({number} * {unit})::bigint))
        when regexp_matches({text}, {literal(WRITTEN_OUT)}) then coalesce(
            try_strptime({text}, {_list(WITH_OFFSET)})::timestamptz,
            (try_strptime({local}, {_list(LOCAL)}) - {offset})::timestamptz,
            try_strptime({text}, {_list(LOCAL)})::timestamptz
        )
    end"""


def two_digit_year(form: str | None, text: str) -> str:
    """SQL: whether a text seems to be a date with a year of two digits, which could mean three dates.

    Args:
        form, text: as of `value`.
    """
    return "false" if form is not None else f"regexp_matches({text}, {literal(TWO_DIGITS)})"


def _list(forms: tuple[str, ...]) -> str:
    return f"[{', '.join(map(literal, forms))}]"

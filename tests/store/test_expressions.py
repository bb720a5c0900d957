"""One expression over a row, and all that only looks like one."""

from __future__ import annotations

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphsocial.errors import InputError
from graphsocial.store.expressions import check_expression

ALLOWED = """
upper(a) || 'x'
(select any_value(country) from towns where towns.town = a)
a in (select id from towns)
case when a then b end
coalesce(try_cast(a as int), 0)
a[1:2]
[a, b]
list_transform(a, lambda x: x + 1)
[x for x in a if x > 1]
{'a': 1}
a like '%x' and not (b between 1 and 2) or a is null
extract(year from a::date)
a->>'x'
current_timestamp
exists (from towns)
(select list(x order by x) from towns)
(select x from (select x, row_number() over () as n from towns) where n = a)
row_number() over ()
interval 1 day + a::date
1 + 1 -- why
"""
REFUSED = """
unnest(a)
sum(a)
*
columns('a')
1; drop table towns
1), (2
1) from towns --
(select * from read_text('/etc/passwd'))
(select 1 from towns where (select content from read_text('x')) is null)
(select x from towns union all select content from read_blob('/x'))
(select 1 from (select * from read_csv('x')))
(select * from '/etc/passwd')
(select unnest([1]) from glob('*'))
list_transform(a, lambda x: (select content from read_text(x)))
array(select content from read_text('x'))
(from query('select 1'))
(with q as (select 1) select * from q)
(with recursive q as (select 1 union all select 1 from q) select * from q)
(select 1 from runs)
(select 1 from main.towns)
(table runs)
(describe towns)
(show tables)
(pivot towns on a)
nextval('s')
getvariable('x')
current_setting('home_directory')
sleep_ms(1000)
write_log('x')
main.upper(a)
nope(a)
$1
/*
"""


@pytest.mark.parametrize("sql", ALLOWED.strip().splitlines())
def test_an_expression_over_a_row_passes(sql: str) -> None:
    check_expression(sql, ["towns"], "mapping.yaml: column")


@pytest.mark.parametrize("sql", ["", "  ", *REFUSED.strip().splitlines()])
def test_anything_else_is_refused(sql: str) -> None:
    with pytest.raises(InputError, match=r"mapping.yaml: column: the SQL .* cannot be used: "):
        check_expression(sql, ["towns"], "mapping.yaml: column")


WORDS = """
a b 1 'x' ( ) [ ] , ; -- /* */ select from towns runs where union unnest read_text('/etc/passwd') count(*) * as or
and with q ' " values $1 upper(a) over () join limit
"""
PARTS = st.sampled_from([*WORDS.split(), "\n"])


@given(st.lists(PARTS, min_size=1, max_size=9).map(" ".join))
def test_what_passes_gives_one_value_for_each_row(sql: str) -> None:
    try:
        check_expression(sql, ["towns"], "m")
    except InputError:
        return
    with duckdb.connect() as connection:
        connection.execute("set enable_external_access = false")
        connection.execute("create table rows as select 1 as a, 2 as b union all select 3, 4")
        connection.execute("create table towns as select 1 as a, 5 as q")
        try:
            values = connection.execute(f"select ({sql}\n) as v, 7 as w from rows").fetchall()
        except duckdb.Error as error:
            reached = "disabled by configuration" in str(error) or "Table with name" in str(error)
            assert not reached, error
            return
    assert [row[-1] for row in values] == [7, 7] and all(len(row) == 2 for row in values)

-- Which of these files have been applied to the store, and by which version. Files 001 to 004 are the tables of 0.1.0,
-- whose fingerprint is in `store_version`; versions from before this file refuse any other.
create table migrations (
    number integer primary key,
    name varchar not null,
    version varchar not null,
    applied_at timestamptz not null default now()
);

update store_version
set fingerprint = 'see migrations';

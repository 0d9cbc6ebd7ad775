create table notes (id int primary key, body text);
insert into notes select n, 'ノート ' || n from generate_series(1, 20) as n;

-- A dump waits as long as somebody has locked it.
create table gate ();

-- A restore refreshes what was populated when it was dumped, and so takes a nap for each row.
create table naps (seconds int);
create materialized view napping as select pg_sleep(seconds) is null as slept from naps;

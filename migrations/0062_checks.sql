-- The checklist of a run that waits: the newest run of its checks, how many there were, and the state of that
-- one when the waiting run last looked at it.
create table checks (
  run_id text not null primary key,
  check_run text not null,
  number bigint not null,
  seen text not null
);
create index checks_of on checks (check_run);

-- What a person ticked off: the item, counted from 0.
create table ticks (
  run_id text not null,
  item bigint not null,
  user_id text not null,
  role text not null,
  note text not null,
  digest text not null,
  at_ms bigint not null,
  primary key (run_id, item)
);

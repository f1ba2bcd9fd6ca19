-- What people decided about a run: approved, rejected, cancelled; one of each a person.
create table decisions (
  run_id text not null,
  user_id text not null,
  verdict text not null,
  reason text not null,
  digest text not null,
  role text not null,
  at_ms bigint not null,
  primary key (run_id, user_id, verdict)
);

-- When a run that waits for people stops waiting; 0: never.
alter table runs add column expires_ms bigint not null default 0;

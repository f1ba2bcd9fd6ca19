-- Runs that were done as an emergency, without their gates: a lead reviews each afterwards. at_ms 0: nobody
-- has yet, and people are reminded when due_ms has come.
create table reviews (
  run_id text not null primary key,
  created_ms bigint not null,
  due_ms bigint not null,
  sent bigint not null,
  user_id text not null,
  role text not null,
  note text not null,
  at_ms bigint not null
);
create index reviews_open on reviews (at_ms, due_ms);

-- Runs, their steps, and who owns an environment. Times are UTC milliseconds; 0 means "not yet".
create table runs (
  id text not null primary key,
  action text not null,
  environment text not null,
  host text not null,
  holds_lock bigint not null,
  actor text not null,
  origin text not null,
  origin_channel text not null,
  channel text not null,
  plan text not null,
  plan_digest text not null,
  state text not null,
  position bigint not null,
  owner text not null,
  fence bigint not null,
  lease_until_ms bigint not null,
  created_ms bigint not null,
  started_ms bigint not null,
  ended_ms bigint not null
);
create index runs_by_state on runs (state, environment, created_ms);
create index runs_by_age on runs (created_ms);

create table steps (
  run_id text not null,
  position bigint not null,
  state text not null,
  attempt text not null,
  attempts bigint not null,
  directory text not null,
  started_ms bigint not null,
  ended_ms bigint not null,
  evidence text not null,
  tail text not null,
  primary key (run_id, position)
);

create table environment_locks (
  environment text not null primary key,
  run_id text not null,
  fence bigint not null,
  taken_ms bigint not null
);

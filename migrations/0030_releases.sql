-- What is and was live in an environment. A row is one stretch of time in which a commit was live.
create table releases (
  run_id text not null primary key,
  environment text not null,
  version text not null,
  commit_id text not null,
  live_ms bigint not null,
  ended_ms bigint not null,
  ended_as text not null,
  quarantined_ms bigint not null default 0,
  reversible bigint not null default 1
);
create unique index releases_live on releases (environment) where ended_ms = 0;
create index releases_by_time on releases (environment, live_ms);

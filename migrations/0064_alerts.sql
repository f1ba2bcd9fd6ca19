-- Alerts. An alert is what people see: one thing wrong with one service in one place. What sources say of
-- it are its instances. live_key: its group while it is there or may come back, then its own id, so that
-- each group has at most one that lives.
create table alerts (
  id text not null primary key,
  live_key text not null unique,
  group_key text not null,
  version bigint not null,
  state text not null,
  level bigint not null,
  next_ms bigint not null,
  opened_ms bigint not null,
  changed_ms bigint not null,
  resolved_ms bigint not null,
  name text not null,
  service text not null,
  environment text not null,
  channel text not null,
  condition text not null,
  sighting text not null,
  notices bigint not null,
  checklist_run text not null
);
create index alerts_due on alerts (next_ms);
create index alerts_by_state on alerts (state, opened_ms);
create index alerts_by_opening on alerts (opened_ms);

-- What a source said: series is the source and its fingerprint, key adds the beginning. ended_ms 0: it fires.
create table alert_instances (
  key text not null primary key,
  series text not null,
  starts_ms bigint not null,
  ended_ms bigint not null,
  alert_id text not null,
  seen_ms bigint not null,
  sighting text not null
);
create index alert_instances_by_series on alert_instances (series, starts_ms);
create index alert_instances_by_alert on alert_instances (alert_id, ended_ms);

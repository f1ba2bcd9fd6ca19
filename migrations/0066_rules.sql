-- Where each rule of the alerting configuration stands. tick_ms: the last moment that was evaluated (0: none).
-- standing and why: JSON. told_ms: the message that says it is unknown, by its time (0: none does).
-- Whoever evaluates it: owner, until until_ms; fence refuses a late one.
create table alert_rules (
  environment text not null,
  name text not null,
  digest text not null,
  tick_ms bigint not null,
  standing text not null,
  outcome text not null,
  why text not null,
  value text not null,
  told_ms bigint not null,
  owner text not null,
  until_ms bigint not null,
  fence bigint not null,
  primary key (environment, name)
);

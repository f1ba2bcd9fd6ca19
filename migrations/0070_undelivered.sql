-- Notices of alerts that did not get through, for which people were told by the other ways: once for each
-- channel and level of an alert.
create table alert_undelivered (
  alert_id text not null,
  channel text not null,
  level bigint not null,
  key text not null,
  at_ms bigint not null,
  primary key (alert_id, channel, level)
);

-- What people are to see. A row is one message (a slot): its latest wanted body, and what of it is
-- in Slack. `parent` is the key of the slot whose thread it is a reply in.
create table outbox (
  key text not null primary key,
  seq bigint not null,
  channel text not null,
  parent text not null,
  priority bigint not null,
  run_id text not null,
  body text not null,
  version bigint not null,
  sent_version bigint not null,
  ts text not null,
  state text not null,
  posting bigint not null,
  attempts bigint not null,
  refusal text not null,
  created_ms bigint not null,
  due_ms bigint not null
);
create index outbox_due on outbox (channel, state, priority, seq);
create index outbox_by_state on outbox (state);
create index outbox_by_run on outbox (run_id);

create table outbox_channels (
  channel text not null primary key,
  owner text not null,
  fence bigint not null,
  lease_until_ms bigint not null,
  next_ms bigint not null,
  failures bigint not null
);
create index outbox_by_seq on outbox (seq);

-- Who is on call in the place of whoever would be; the latest made counts. until_ms is its end, ended_ms an
-- earlier one (0: none).
create table oncall_overrides (
  id text not null primary key,
  rotation text not null,
  user_id text not null,
  from_ms bigint not null,
  until_ms bigint not null,
  made_by text not null,
  reason text not null,
  created_ms bigint not null,
  ended_ms bigint not null,
  ended_by text not null
);
create index oncall_overrides_by_end on oncall_overrides (until_ms);

-- By rotation: when the change was that was told last.
create table hand_overs (
  rotation text not null primary key,
  change_ms bigint not null
);

-- Alerts about which nobody is told for a while: matcher says which, as JSON. warn_ms is when its owner is
-- told that it ends, 0 once that is done; ended_ms is an end before until_ms (0: none).
create table silences (
  id text not null primary key,
  matcher text not null,
  owner text not null,
  reason text not null,
  from_ms bigint not null,
  until_ms bigint not null,
  warn_ms bigint not null,
  ended_ms bigint not null,
  ended_by text not null,
  created_ms bigint not null
);
create index silences_by_end on silences (until_ms);

-- What is to be done after an incident; due_day is a day of the calendar, remind_ms when its owner is told
-- next, done_ms 0 until it is.
create table alert_follow_ups (
  id text not null primary key,
  alert_id text not null,
  words text not null,
  owner text not null,
  due_day text not null,
  remind_ms bigint not null,
  made_by text not null,
  created_ms bigint not null,
  done_ms bigint not null,
  done_by text not null
);
create index alert_follow_ups_of on alert_follow_ups (alert_id, created_ms);
create index alert_follow_ups_due on alert_follow_ups (done_ms, remind_ms);

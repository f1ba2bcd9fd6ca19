-- Approvals that held no more when the run's turn came: kept, and not counted.
create table voided_decisions (
  run_id text not null,
  user_id text not null,
  verdict text not null,
  reason text not null,
  digest text not null,
  role text not null,
  at_ms bigint not null,
  voided_ms bigint not null,
  primary key (run_id, user_id, verdict, voided_ms)
);

-- Who took an environment from a run that needs attention, and why.
create table lock_takeovers (
  run_id text not null primary key,
  environment text not null,
  user_id text not null,
  role text not null,
  reason text not null,
  at_ms bigint not null
);

-- When people are reminded of a run that needs attention, and how often they were.
create table reminders (
  run_id text not null primary key,
  due_ms bigint not null,
  sent bigint not null
);

-- What the card of a queued run says that it waits for.
create table queue_shown (
  run_id text not null primary key,
  shown text not null
);

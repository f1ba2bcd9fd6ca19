-- What people decided about lost steps, until the bot of the step's host has done it: it alone sees the
-- step's processes.
create table settle_wishes (
  run_id text not null primary key,
  host text not null,
  settlement text not null,
  position bigint not null,
  attempt bigint not null,
  user_id text not null,
  role text not null,
  origin text not null,
  channel text not null,
  words text not null,
  reason text not null,
  at_ms bigint not null
);

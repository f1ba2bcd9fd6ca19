-- Roles in which somebody else decides for a while: until_ms is their end, ended_ms an earlier one (0: none).
create table delegations (
  id text not null primary key,
  role text not null,
  from_user text not null,
  to_user text not null,
  reason text not null,
  created_ms bigint not null,
  until_ms bigint not null,
  ended_ms bigint not null,
  ended_by text not null
);
create index delegations_to on delegations (to_user, until_ms);

-- In whose place somebody decided; empty: in their own.
alter table decisions add column on_behalf text not null default '';
alter table voided_decisions add column on_behalf text not null default '';

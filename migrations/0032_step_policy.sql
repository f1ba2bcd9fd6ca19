-- How many attempts of a step began by their evidence, how many of those ended badly and were tried
-- again, and when the next is due; 0: at once.
alter table steps add column begun bigint not null default 0;
alter table steps add column failures bigint not null default 0;
alter table steps add column due_ms bigint not null default 0;

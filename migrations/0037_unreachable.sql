-- Since when the host that keeps a run's evidence cannot be asked; 0: it can, as far as is known.
alter table runs add column unreachable_ms bigint not null default 0;
create index runs_unreachable on runs (host) where unreachable_ms > 0;

-- What steps said of themselves in their last line, by name, so that the next of its name can be compared.
create table results (
  run_id text not null,
  position bigint not null,
  environment text not null,
  name text not null,
  outcome text not null,
  at_ms bigint not null,
  result text not null,
  primary key (run_id, position)
);
create index results_by_name on results (environment, name, at_ms);

-- What ended last in an environment is asked for by every `status`.
create index runs_by_end on runs (environment, ended_ms);

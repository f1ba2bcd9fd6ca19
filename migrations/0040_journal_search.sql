-- What people look for in the journal: by actor, kind, subject, time. Each index gives the entries in the
-- order in which they are shown, so that a page costs the same however long the journal is.
drop index journal_by_subject;
drop index journal_by_time;
create index journal_by_subject on journal (subject, at_ms, seq);
create index journal_by_time on journal (at_ms, seq);
create index journal_by_actor on journal (actor, at_ms, seq, kind);
create index journal_by_kind on journal (kind, at_ms, seq);
create index runs_by_action on runs (action);

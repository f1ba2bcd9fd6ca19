-- The journal only grows.
create trigger journal_no_update before update on journal
begin
    select raise(abort, 'the journal only grows: update refused');
end;

create trigger journal_no_delete before delete on journal
begin
    select raise(abort, 'the journal only grows: delete refused');
end;

create trigger journal_head_no_delete before delete on journal_head
begin
    select raise(abort, 'the journal only grows: delete refused');
end;

create trigger journal_head_no_return before update on journal_head when new.seq < old.seq
begin
    select raise(abort, 'the journal only grows: its head cannot go back');
end;

-- `insert or replace` would delete without firing the trigger above.
create trigger journal_no_replace before insert on journal
when exists (select 1 from journal where seq = new.seq)
begin
    select raise(abort, 'the journal only grows: replace refused');
end;

-- The journal only grows.
create function journal_refuses() returns trigger language plpgsql as $$
begin
    raise exception 'the journal only grows: % refused', lower(tg_op);
end
$$;

create trigger journal_no_change before update or delete on journal
for each row execute function journal_refuses();

create trigger journal_no_truncate before truncate on journal
for each statement execute function journal_refuses();

create trigger journal_head_no_delete before delete on journal_head
for each row execute function journal_refuses();

create trigger journal_head_no_truncate before truncate on journal_head
for each statement execute function journal_refuses();

create trigger journal_head_no_return before update on journal_head
for each row when (new.seq < old.seq) execute function journal_refuses();

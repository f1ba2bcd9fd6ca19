-- Remarks become rows of their own, with their time. The code before this migration and the code after
-- it work with it: `watchlist.note` stays, and what the older code appends there is taken over.
lock table watchlist in share row exclusive mode;

create table watchlist_notes (
    id bigint generated always as identity primary key,
    user_id text not null,
    symbol text not null,
    note text not null,
    created_at timestamptz not null default now(),
    foreign key (user_id, symbol) references watchlist (user_id, symbol) on delete cascade
);
create index watchlist_notes_item on watchlist_notes (user_id, symbol);

insert into watchlist_notes (user_id, symbol, note, created_at)
select w.user_id, w.symbol, line.text, w.added_at
from watchlist w, regexp_split_to_table(w.note, E'\n') with ordinality as line (text, number)
where w.note is not null
order by w.user_id, w.symbol, line.number;

-- The older code only ever appends lines: what is new is what stands behind the old text.
create function take_over_watchlist_note() returns trigger language plpgsql as $$
declare
    added text := new.note;
begin
    if tg_op = 'UPDATE' then
        if new.note is not distinct from old.note then
            return null;
        end if;
        added := substr(new.note, coalesce(length(old.note) + 2, 1));
    end if;
    insert into watchlist_notes (user_id, symbol, note)
    select new.user_id, new.symbol, line.text
    from regexp_split_to_table(added, E'\n') with ordinality as line (text, number)
    where added is not null
    order by line.number;
    return null;
end
$$;

create trigger watchlist_note_taken_over after insert or update of note on watchlist
    for each row execute function take_over_watchlist_note();

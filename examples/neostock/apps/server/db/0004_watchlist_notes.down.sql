-- Every remark goes back into its item as a line, those that were made since too.
lock table watchlist in share row exclusive mode;

drop trigger watchlist_note_taken_over on watchlist;
drop function take_over_watchlist_note();

update watchlist w set note = notes.text
from (
    select user_id, symbol, string_agg(note, E'\n' order by id) as text
    from watchlist_notes
    group by user_id, symbol
) notes
where w.user_id = notes.user_id and w.symbol = notes.symbol;

drop table watchlist_notes;

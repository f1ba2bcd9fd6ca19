-- The action or command that a request without a subject was about: the one it was denied for, else the
-- first word of its text.
create index journal_by_asked on journal (
    split_part(
        replace(substr(detail, case strpos(detail, '"command":"') when 0
            then strpos(detail, '"text":"') + 8 else strpos(detail, '"command":"') + 11 end, 40), '"', ' '),
        ' ', 1
    ),
    at_ms, seq
) where subject = '';

-- The audit journal: one row an event, each standing on the hash of the one before.
create table journal (
    seq bigint primary key,
    at_ms bigint not null,
    actor text not null,
    origin text not null,
    kind text not null,
    subject text not null,
    detail text not null,
    key_id text not null,
    prev_hash text not null,
    hash text not null
);

create index journal_by_subject on journal (subject, seq);
create index journal_by_time on journal (at_ms);

-- Where the chain ends and under which key it goes on. Locked last in every transaction.
create table journal_head (
    id bigint primary key check (id = 1),
    seq bigint not null,
    hash text not null,
    key_id text not null
);

insert into journal_head (id, seq, hash, key_id)
values (1, 0, '0000000000000000000000000000000000000000000000000000000000000000', '');

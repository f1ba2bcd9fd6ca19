-- The journal's head, posted once a day: whoever inserts the day posts it.
create table daily_heads (
    day bigint not null primary key,
    seq bigint not null,
    hash text not null,
    at_ms bigint not null
);

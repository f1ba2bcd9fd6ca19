-- What the bots watch of themselves and of Alertmanager: when it was last heard of, and since when something is
-- wrong (0: nothing is).
create table watches (
    name text not null primary key,
    heard_ms bigint not null,
    firing_ms bigint not null
);

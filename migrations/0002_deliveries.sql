-- What Slack has delivered and what it was answered, so that a retry is answered the same.
create table deliveries (
    key text primary key,
    answer text not null,
    created_ms bigint not null
);

create index deliveries_by_age on deliveries (created_ms);

create table quotes (symbol text primary key, price bigint not null);

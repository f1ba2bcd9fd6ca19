-- What a share costs, in hundredths. The rows are there so that a new service has something to show;
-- quotes.refresh brings the real ones.
create table quotes (
    symbol text primary key,
    name text not null,
    price_cents bigint not null check (price_cents >= 0),
    updated_at timestamptz not null default now()
);

insert into quotes (symbol, name, price_cents) values
    ('000001.SZ', '平安银行', 1142),
    ('000858.SZ', '五粮液', 13260),
    ('300750.SZ', '宁德时代', 25870),
    ('600036.SH', '招商银行', 3915),
    ('600519.SH', '贵州茅台', 152800),
    ('601318.SH', '中国平安', 5236);

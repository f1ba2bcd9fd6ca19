-- What a person watches. `note` holds the person's remarks, a line each.
create table watchlist (
    user_id text not null references users (id) on delete cascade,
    symbol text not null references quotes (symbol) on delete cascade,
    note text,
    added_at timestamptz not null default now(),
    primary key (user_id, symbol)
);

-- Keys of programs. A key itself is nowhere: only its SHA-256, in hex.
create table api_keys (
    id bigint generated always as identity primary key,
    name text not null,
    key_sha256 text not null unique,
    created_at timestamptz not null default now(),
    last_used_at timestamptz,
    revoked_at timestamptz
);

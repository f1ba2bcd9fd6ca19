-- The open alerts that a silence is about are told in batches that it began, or that it ended: up to which id they
-- were ('~': all). origin: by which way it was last begun or ended.
alter table silences add column heard text not null default '~';
alter table silences add column origin text not null default 'slash';
create index silences_unheard on silences (id) where heard <> '~';

-- Notices leave by several ways: a channel names its own by what stands before a colon (`email:`,
-- `pagerduty:default`); Slack's ids have none. `trouble` is why its latest call came to nothing.
alter table outbox_channels add column way text not null default 'slack';
alter table outbox_channels add column trouble text not null default '';
create index outbox_by_parent on outbox (parent, state, seq);

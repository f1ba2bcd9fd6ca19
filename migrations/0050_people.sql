-- What Slack last said of its people, for the time when it cannot be asked. Never a name or an address:
-- people are their ids.
create table workspaces (
  team_id text not null primary key,
  url text not null,
  seen_ms bigint not null
);

create table people (
  team_id text not null,
  user_id text not null,
  standing text not null,
  seen_ms bigint not null,
  primary key (team_id, user_id)
);

create index people_by_age on people (seen_ms);

-- The members as a JSON list of ids, as Slack said them at one moment.
create table group_members (
  team_id text not null,
  group_id text not null,
  members text not null,
  seen_ms bigint not null,
  primary key (team_id, group_id)
);

//! Who and what is in the workspace, and the knobs of its strictness.

use std::sync::Arc;

/// Where the workspace's time comes from: milliseconds since 1970, UTC. Message timestamps, the age
/// of signatures and the expiry of triggers and response URLs use it; network limits are real time.
pub type Now = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Everything a workspace starts with. The default is the demo's cast.
#[derive(Clone)]
pub struct Options {
    /// Who is in it.
    pub persons: Vec<Person>,
    /// User groups.
    pub groups: Vec<Group>,
    /// Channels.
    pub channels: Vec<Channel>,
    /// The port of 127.0.0.1 that it listens on; 0, the default: a free one.
    pub port: u16,
    /// Its clock; the machine's by default.
    pub now: Now,
    /// `T…`
    pub team_id: String,
    /// What the bot shows as its bearer token (`xoxb-…`).
    pub bot_token: String,
    /// What requests to the bot are signed with.
    pub signing_secret: String,
    /// The slash command that [`super::Workspace::say`] types.
    pub command: String,
    /// Whether `<!here>`, `<!channel>` and `<!everyone>` may reach people; otherwise each is a fault.
    pub allow_broadcasts: bool,
    /// How long Slack waits for the bot's answer, in real time.
    pub answer_limit_ms: u64,
    /// What transcripts and profiles show times in; the demo's cast lives in Shanghai.
    pub utc_offset_secs: i32,
}

/// Somebody with an account.
#[derive(Debug, Clone)]
pub struct Person {
    /// `U…`
    pub id: String,
    /// The handle, as typed after `@`.
    pub name: String,
    /// The name people see.
    pub real_name: String,
    /// Such as `zh-CN`.
    pub locale: String,
    /// A guest (`is_restricted`), not a full member.
    pub is_guest: bool,
    /// No longer here (`deleted`).
    pub is_deactivated: bool,
    /// Another workspace's id for a stranger who shares a channel; `None`: this workspace.
    pub team_id: Option<String>,
}

/// A user group.
#[derive(Debug, Clone)]
pub struct Group {
    /// `S…`
    pub id: String,
    /// The handle, as typed after `@`.
    pub handle: String,
    /// User ids.
    pub members: Vec<String>,
}

/// A channel.
#[derive(Debug, Clone)]
pub struct Channel {
    /// `C…`
    pub id: String,
    /// Without `#`.
    pub name: String,
    /// Invitation only.
    pub is_private: bool,
    /// Whether the bot was invited; posting elsewhere is refused.
    pub has_bot: bool,
}

impl Default for Options {
    fn default() -> Self {
        let person = |id, name, real_name, locale| Person::new(id, name, real_name, locale);
        let mut eve = person("U0EVE", "eve", "Eve", "en-US");
        eve.is_guest = true;
        Self {
            persons: vec![
                person("U0ANN", "ann", "安安", "zh-CN"),
                person("U0BOB", "bob", "Bob", "en-US"),
                person("U0CAT", "cat", "小猫", "zh-CN"),
                eve,
            ],
            groups: vec![
                Group::new("S0OPS", "ops-oncall", &["U0ANN", "U0BOB"]),
                Group::new("S0LEADS", "leads", &["U0BOB"]),
            ],
            channels: vec![
                Channel::new("C0OPS", "ops"),
                Channel::new("C0DEV", "dev"),
                Channel::new("C0RANDOM", "random"),
            ],
            port: 0,
            now: Arc::new(system_now_ms),
            team_id: "T0NEO".to_owned(),
            bot_token: "xoxb-sandbox-0001".to_owned(),
            signing_secret: "sandbox-signing-secret".to_owned(),
            command: "/neostock".to_owned(),
            allow_broadcasts: false,
            answer_limit_ms: 3_000,
            utc_offset_secs: 8 * 3_600,
        }
    }
}

impl Person {
    /// A full member of this workspace.
    pub fn new(id: &str, name: &str, real_name: &str, locale: &str) -> Self {
        Self {
            id: id.to_owned(),
            name: name.to_owned(),
            real_name: real_name.to_owned(),
            locale: locale.to_owned(),
            is_guest: false,
            is_deactivated: false,
            team_id: None,
        }
    }
}

impl Group {
    /// A group of these user ids.
    pub fn new(id: &str, handle: &str, members: &[&str]) -> Self {
        Self {
            id: id.to_owned(),
            handle: handle.to_owned(),
            members: members.iter().map(|&member| member.to_owned()).collect(),
        }
    }
}

impl Channel {
    /// A public channel that the bot is in.
    pub fn new(id: &str, name: &str) -> Self {
        Self { id: id.to_owned(), name: name.to_owned(), is_private: false, has_bot: true }
    }
}

fn system_now_ms() -> i64 {
    #[expect(clippy::disallowed_methods, reason = "the sandbox uses none of the other rooms")]
    let now = std::time::SystemTime::now();
    let since = now.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

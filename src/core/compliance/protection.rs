//! How data is protected on its way and where it lies, as far as settings, runbook and files tell. What
//! they do not tell is said to be not known.

use super::page::Group;
use crate::core::card::{Line, Span, text};
use crate::core::param::cut;
use crate::core::text::{Lang, Text};
use std::net::SocketAddr;

/// Files and places that are listed.
const LINES_MAX: usize = 25;
/// Letters of what the operator states.
pub const STATEMENT_CHARS_MAX: usize = 500;

/// Everything about it.
#[derive(Debug, Clone)]
pub struct Protection {
    /// Where requests are served, without encryption of the bot's own.
    pub listen: SocketAddr,
    /// The address of Slack's Web API.
    pub slack: Endpoint,
    /// The database.
    pub database: Database,
    /// Where `http` steps ask.
    pub asked: Vec<Probe>,
    /// Whether the journal is under a key, and whether exports are signed.
    pub has_journal_key: bool,
    /// See above.
    pub has_export_key: bool,
    /// Files and folders with what others may do with them.
    pub files: Vec<FileFact>,
    /// Secrets that steps get from a variable of the bot's environment: environment, name.
    pub secrets_by_variable: Vec<(String, String)>,
    /// What the operator states of the encryption of disks and databases.
    pub statement: Option<String>,
}

/// What a connection goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// `http` or `https`; empty: it cannot be read.
    pub scheme: String,
    /// Without user and port.
    pub host: String,
    /// Whether it is this machine.
    pub is_local: bool,
}

impl Endpoint {
    /// Whether what goes there goes over a network in plain text.
    pub fn is_plain(&self) -> bool {
        self.scheme != "https" && !self.is_local
    }
}

/// An `http` step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// Of which action.
    pub action: String,
    /// Where.
    pub environment: String,
    /// What it asks.
    pub endpoint: Endpoint,
}

/// The database that the settings name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Database {
    /// A file on this machine.
    Sqlite,
    /// A server.
    Postgres {
        /// As the url says it; `None`: it does not, which means `prefer`.
        sslmode: Option<String>,
        /// A socket, or a loopback address.
        is_local: bool,
        /// Whether the server says that this connection is encrypted; `None`: it could not be asked.
        is_encrypted: Option<bool>,
    },
}

/// A file or folder, and who may read or change it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFact {
    /// What it is.
    pub kind: FileKind,
    /// Where.
    pub path: String,
    /// Its permission bits; `None`: it cannot be looked at.
    pub mode: Option<u32>,
}

/// What a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileKind {
    /// The SQLite file or one of its companions.
    Database,
    /// The folder of database and evidence.
    DataFolder,
    /// What people may do.
    Runbook,
    /// A secret of steps.
    Secret(String),
}

impl FileFact {
    /// Whether others than its owner may do what they should not: change a runbook, read anything else.
    pub fn is_open(&self) -> bool {
        let forbidden = if self.kind == FileKind::Runbook { 0o022 } else { 0o077 };
        self.mode.is_some_and(|mode| mode & forbidden != 0)
    }
}

impl FileKind {
    fn text(&self) -> Text {
        match self {
            Self::Database => Text::new("数据库文件", "database file"),
            Self::DataFolder => Text::new("数据目录", "data folder"),
            Self::Runbook => Text::new("操作手册", "runbook"),
            Self::Secret(name) => Text::new(format!("密钥 {name}"), format!("secret {name}")),
        }
    }
}

impl Protection {
    /// Encryption on the way, at rest, and who may read the files.
    pub(super) fn groups(&self, lang: Lang) -> Vec<Group> {
        vec![self.in_transit(lang), self.at_rest(lang), self.files(lang)]
    }

    fn in_transit(&self, lang: Lang) -> Group {
        let title = lang.pick("传输加密", "Encryption in transit");
        let source = lang.pick("配置、操作手册与数据库", "settings, runbook and database");
        let mut group = Group::new(title, source);
        group.push(self.listener(lang));
        group.push(vec![
            text("Slack: "),
            Span::Code(self.slack.scheme.clone()),
            text(" "),
            Span::Code(cut(&self.slack.host)),
            text(" (slack.api_url)"),
        ]);
        group.push(self.database(lang));
        let shown = self.asked.iter().take(LINES_MAX).map(|asked| {
            vec![
                text(lang.pick("http 步骤：", "http step: ")),
                Span::Code(cut(&asked.action)),
                text(format!(" @ {} → ", cut(&asked.environment))),
                Span::Code(format!("{}://{}", asked.endpoint.scheme, cut(&asked.endpoint.host))),
                text(if asked.endpoint.is_plain() {
                    lang.pick("：未加密，经过网络", ": not encrypted, over the network")
                } else if asked.endpoint.is_local {
                    lang.pick("：本机", ": this machine")
                } else {
                    ""
                }),
            ]
        });
        let more = self.asked.len().saturating_sub(LINES_MAX) as u64;
        let unknown = lang.pick(
            "步骤自己的程序怎样传输数据：未知（机器人不查看它们的连接）",
            "how the programs of steps send their data: not known (the bot does not look at their \
             connections)",
        );
        group.with(shown.chain([vec![text(unknown)]])).and_more(more)
    }

    fn listener(&self, lang: Lang) -> Line {
        let says = if self.listen.ip().is_loopback() {
            lang.pick(
                "：只在本机；对外的 TLS 由前面的代理负责，机器人看不到（未知）",
                ": this machine only; TLS towards Slack is the proxy's before it, which the bot does \
                 not see (not known)",
            )
        } else {
            lang.pick(
                "：不只在本机，而机器人自己不加密；前面是否有 TLS：未知",
                ": not this machine alone, and without encryption of its own; whether there is TLS \
                 before it: not known",
            )
        };
        let address = Span::Code(self.listen.to_string());
        vec![text(lang.pick("接收请求：", "requests: ")), address, text(says), text(" (listen)")]
    }

    fn database(&self, lang: Lang) -> Line {
        let Database::Postgres { sslmode, is_local, is_encrypted } = &self.database else {
            let words = lang.pick(
                "数据库：SQLite 文件，不经过网络 (database_url)",
                "database: a SQLite file, no network (database_url)",
            );
            return vec![text(words)];
        };
        let mode = match sslmode {
            Some(mode) => cut(mode),
            None => lang.pick("未写，即 prefer", "not given, which is prefer").to_owned(),
        };
        let mut line = vec![
            text(lang.pick("数据库：PostgreSQL，sslmode ", "database: PostgreSQL, sslmode ")),
            Span::Code(mode),
        ];
        if *is_local {
            line.push(text(lang.pick("，在本机", ", on this machine")));
        }
        line.push(text(match is_encrypted {
            Some(true) => lang.pick(
                "；服务器说：此连接已加密",
                "; the server says: this connection is encrypted",
            ),
            Some(false) => lang.pick(
                "；服务器说：此连接未加密",
                "; the server says: this connection is not encrypted",
            ),
            None => lang.pick("；实际是否加密：未知", "; whether it is encrypted: not known"),
        }));
        line
    }

    fn at_rest(&self, lang: Lang) -> Group {
        let title = lang.pick("存储加密", "Encryption at rest");
        let mut group = Group::new(title, lang.pick("配置", "the settings"));
        group.push(vec![text(lang.pick(
            "磁盘、数据库与备份是否加密：机器人无法查看，未知",
            "whether disks, database and backups are encrypted: the bot cannot see that, not known",
        ))]);
        let said = self.statement.as_deref().unwrap_or_default();
        group.push(if said.is_empty() {
            vec![text(lang.pick(
                "维护者没有说明 (encryption_at_rest 未设置)",
                "the operator states nothing (encryption_at_rest is not set)",
            ))]
        } else {
            let said: String = said.chars().take(STATEMENT_CHARS_MAX).collect();
            let words =
                lang.pick("维护者的说明，未经核实：", "as stated by the operator, not checked: ");
            vec![text(words), text(said), text(" (encryption_at_rest)")]
        });
        group.push(vec![text(if self.has_journal_key {
            lang.pick("审计日志：有密钥 (journal_key)", "journal: under a key (journal_key)")
        } else {
            lang.pick("审计日志：没有密钥 (journal_key)", "journal: under no key (journal_key)")
        })]);
        group.push(vec![text(if self.has_export_key {
            lang.pick("导出与归档：签名 (export_key)", "exports and archives: signed (export_key)")
        } else {
            lang.pick(
                "导出与归档：不签名 (export_key)",
                "exports and archives: not signed (export_key)",
            )
        })]);
        let shown =
            self.secrets_by_variable.iter().take(LINES_MAX).map(|(environment, name)| {
                vec![
                    text(lang.pick("密钥 ", "secret ")),
                    Span::Code(cut(name)),
                    text(format!(" @ {}", cut(environment))),
                    text(lang.pick(
                        "：来自机器人的环境变量",
                        ": from a variable of the bot's environment",
                    )),
                ]
            });
        let more = self.secrets_by_variable.len().saturating_sub(LINES_MAX) as u64;
        group.with(shown).and_more(more)
    }

    fn files(&self, lang: Lang) -> Group {
        let title = lang.pick("文件权限", "Who may read the files");
        let source = lang.pick("此刻的文件系统", "the file system now");
        let shown = self.files.iter().take(LINES_MAX).map(|file| {
            let mut line = vec![
                text(format!("{} ", cut(file.kind.text().get(lang)))),
                Span::Code(cut(&file.path)),
                text(" "),
            ];
            line.push(match file.mode {
                Some(mode) => Span::Code(format!("{mode:04o}")),
                None => text(lang.pick("无法查看，未知", "cannot be looked at, not known")),
            });
            if file.is_open() {
                line.push(text(lang.pick("：⚠️ 对其他用户开放", ": ⚠️ open to others")));
            }
            line
        });
        let more = self.files.len().saturating_sub(LINES_MAX) as u64;
        Group::new(title, source).with(shown).and_more(more)
    }

    /// What somebody should look at.
    pub(super) fn warnings(&self) -> Vec<Text> {
        let mut found = Vec::new();
        if !self.listen.ip().is_loopback() {
            found.push(Text::new(
                "请求在本机之外也能直接送达机器人，而它自己不加密：让它只听 127.0.0.1，前面放 TLS 代理",
                "requests reach the bot from beyond this machine, and it does not encrypt by itself: let \
                 it listen on 127.0.0.1 behind a proxy with TLS",
            ));
        }
        if let Database::Postgres { is_local: false, is_encrypted: Some(false), .. } = self.database
        {
            found.push(Text::new(
                "到 PostgreSQL 的连接没有加密：在 DATABASE_URL 中写 sslmode=verify-full",
                "the connection to PostgreSQL is not encrypted: write sslmode=verify-full into \
                 DATABASE_URL",
            ));
        }
        let plain = self.asked.iter().filter(|asked| asked.endpoint.is_plain()).count();
        if plain > 0 {
            found.push(Text::new(
                format!("http 步骤未加密地经过网络：{plain} 处"),
                format!("http steps that ask over the network without encryption: {plain}"),
            ));
        }
        let open = self.files.iter().filter(|file| file.is_open()).count();
        if open > 0 {
            found.push(Text::new(
                format!("对其他用户开放的文件或目录：{open} 个；chmod go-rwx（操作手册：go-w）"),
                format!(
                    "files or folders open to others: {open}; chmod go-rwx (the runbook: go-w)"
                ),
            ));
        }
        if !self.has_journal_key {
            found.push(Text::new(
                "审计日志没有密钥：设置 NEOSTOCK_JOURNAL_KEY（openssl rand -hex 32）",
                "the journal is under no key: set NEOSTOCK_JOURNAL_KEY (openssl rand -hex 32)",
            ));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_open_when_others_may_read_it_and_a_runbook_when_they_may_change_it() {
        let file = |kind, mode| FileFact { kind, path: "/x".into(), mode };
        assert!(!file(FileKind::Database, Some(0o600)).is_open());
        assert!(file(FileKind::Database, Some(0o640)).is_open());
        assert!(!file(FileKind::Runbook, Some(0o644)).is_open());
        assert!(file(FileKind::Runbook, Some(0o664)).is_open());
        assert!(!file(FileKind::Secret("A".into()), None).is_open());
    }
}

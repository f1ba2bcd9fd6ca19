//! Requests put together by hand: what a forger, a broken proxy or Slack itself puts on the wire.

use super::bot::Bot;
use super::database::TestDatabase;
use neostock_ops::sandbox::Answer;
use neostock_ops::slack::verify::{SigningSecret, sign};
use secrecy::SecretString;
use sqlx::{AssertSqlSafe, Connection, Row};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub const FORM: &str = "application/x-www-form-urlencoded";
pub const JSON: &str = "application/json";
/// Where Slack delivers everything.
pub const EVENTS: &str = "/slack/events";
/// How long an answer on a bare connection may take, in real time.
const RAW_PATIENCE: Duration = Duration::from_secs(15);

/// A form of these fields, encoded.
pub fn form(fields: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

/// The form of a slash command in #ops; `trigger` names the delivery.
pub fn slash(user: &str, text: &str, trigger: &str) -> String {
    form(&[
        ("token", "legacy"),
        ("team_id", "T0NEO"),
        ("channel_id", "C0OPS"),
        ("channel_name", "ops"),
        ("user_id", user),
        ("user_name", "somebody"),
        ("command", "/neostock"),
        ("text", text),
        ("trigger_id", trigger),
    ])
}

/// The signature of a body under any secret.
pub fn signature_under(secret: &str, at_secs: i64, body: &[u8]) -> String {
    sign(&SigningSecret::new(&SecretString::from(secret)).unwrap(), at_secs, body)
}

impl Bot {
    /// The bot's own time, in seconds.
    pub fn now_secs(&self) -> i64 {
        self.clock.now_ms() / 1_000
    }

    /// Delivers a body that is signed now.
    pub async fn deliver(&self, path: &str, content_type: Option<&str>, body: &[u8]) -> Answer {
        self.deliver_at(self.now_secs(), path, content_type, body).await
    }

    /// The same, signed at another time.
    pub async fn deliver_at(
        &self,
        at_secs: i64,
        path: &str,
        content_type: Option<&str>,
        body: &[u8],
    ) -> Answer {
        let signature = self.workspace.sign(at_secs, body);
        let at = at_secs.to_string();
        let mut headers =
            vec![("x-slack-request-timestamp", at.as_str()), ("x-slack-signature", &signature)];
        headers.extend(content_type.map(|content_type| ("content-type", content_type)));
        self.workspace.deliver_raw(path, &headers, body.to_vec()).await
    }

    /// The two headers that sign a body now, as lines of a request's head.
    pub fn signing_lines(&self, body: &[u8]) -> String {
        let at = self.now_secs();
        let signature = self.workspace.sign(at, body);
        format!("X-Slack-Request-Timestamp: {at}\r\nX-Slack-Signature: {signature}\r\n")
    }

    /// A bare connection to the bot.
    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.url.trim_start_matches("http://")).await.unwrap()
    }

    /// Requests that were refused before anything was done, for one reason.
    pub async fn refused(&self, reason: &str) -> u64 {
        self.metric(&format!("neostock_requests_refused_total{{reason=\"{reason}\"}}")).await
    }
}

/// Writes what it can of these bytes, for the other side may close early, and reads to the end.
pub async fn exchange(connection: &mut TcpStream, bytes: &[u8]) -> String {
    let _ = connection.write_all(bytes).await;
    read_to_end(connection).await
}

/// Everything that the other side still says before it closes, or says nothing for a while.
pub async fn read_to_end(connection: &mut TcpStream) -> String {
    let mut said = Vec::new();
    let mut buffer = [0; 4_096];
    loop {
        let read = tokio::time::timeout(RAW_PATIENCE, connection.read(&mut buffer)).await;
        match read.expect("the other side closes the connection") {
            Ok(0) | Err(_) => return String::from_utf8_lossy(&said).into_owned(),
            Ok(count) => said.extend_from_slice(&buffer[..count]),
        }
    }
}

/// How many rows a table has.
pub async fn rows(database: &TestDatabase, table: &str) -> i64 {
    let mut connection = database.raw().await;
    // A table's name cannot be a parameter; the tests write it themselves.
    let statement = AssertSqlSafe(format!("select count(*) from {table}"));
    let row = sqlx::query(statement).fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    row.get(0)
}

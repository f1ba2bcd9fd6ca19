//! Sharing a file: an address for it, its bytes there, and only then the message that shows it.
//!
//! Nothing is seen by anybody before the last of the three calls, so that only its lost answer leaves
//! a doubt. The bytes carry no token and follow no redirect.

use super::client::{CallError, Client};
use super::inbound::upload_url_allowed;
use super::mrkdwn;
use super::wire::{CompletedFile, Completion, RawShared, RawUpload};
use crate::core::card::Line;
use std::time::Duration;

/// Longest sending of a file's bytes.
const UPLOAD_TIME_MAX: Duration = Duration::from_mins(1);
/// What is said beside a file, counted as Slack counts.
const COMMENT_UNITS_MAX: usize = 1_000;

/// A file and where it is shown.
#[derive(Debug)]
pub struct Share<'f> {
    /// Safe as a file's name.
    pub name: &'f str,
    /// Not empty: Slack takes no empty file.
    pub bytes: Vec<u8>,
    /// The conversation.
    pub channel: &'f str,
    /// The message in whose thread it goes.
    pub thread_ts: &'f str,
    /// Said beside it.
    pub comment: &'f Line,
}

impl Client {
    /// Shares a file in a thread. `extra_hosts`: hosts besides Slack's that may take its bytes.
    ///
    /// # Errors
    /// [`CallError`]; after `Unknown` the file may be shown.
    pub async fn share(&self, file: Share<'_>, extra_hosts: &[String]) -> Result<(), CallError> {
        let length = file.bytes.len().to_string();
        let params = [("filename", Some(file.name)), ("length", Some(length.as_str()))];
        let upload: RawUpload = self.read("files.getUploadURLExternal", &params).await?;
        if !upload_url_allowed(&upload.upload_url, extra_hosts) {
            tracing::warn!("refused to send a file to a host that is not Slack's");
            return Err(CallError::Refused("bad_upload_url".into()));
        }
        send(&upload.upload_url, file.bytes).await?;
        let comment = mrkdwn::line(file.comment, COMMENT_UNITS_MAX).unwrap_or_default();
        let completion = Completion {
            files: [CompletedFile { id: &upload.file_id, title: file.name }],
            channel_id: file.channel,
            thread_ts: file.thread_ts,
            initial_comment: &comment,
        };
        let shared: RawShared = self.write("files.completeUploadExternal", &completion).await?;
        if shared.files.is_empty() { Err(CallError::Unknown) } else { Ok(()) }
    }
}

/// Sends the bytes. Whatever goes wrong, nobody sees anything of them yet.
async fn send(upload_url: &str, bytes: Vec<u8>) -> Result<(), CallError> {
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(UPLOAD_TIME_MAX)
        .build()
        .map_err(|_| CallError::Transient)?;
    let sent = client.post(upload_url).body(bytes).send().await;
    // The address is a secret while it lasts: no error of it is repeated.
    let status = sent.map_err(|_| CallError::Transient)?.status().as_u16();
    match status {
        200..300 => Ok(()),
        429 | 500.. => Err(CallError::Transient),
        _ => Err(CallError::Refused(format!("http_{status}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::client::Timeouts;
    use super::super::fake::{Fake, Reply};
    use super::*;
    use crate::core::card::text;
    use secrecy::SecretString;
    use serde_json::json;

    async fn share_at(upload_url: &str) -> (Fake, Result<(), CallError>) {
        let upload = json!({"ok": true, "upload_url": upload_url, "file_id": "F1"});
        let done = json!({"ok": true, "files": []});
        let fake = Fake::start(vec![Reply::json(200, &upload), Reply::json(200, &done)]).await;
        let token = SecretString::from("xoxb-secret");
        let client = Client::new(&fake.base_url(), &token, Timeouts::default()).unwrap();
        let comment = vec![text("a log")];
        let (bytes, thread_ts) = (b"x".to_vec(), "1.1");
        let file = Share { name: "a.log", bytes, channel: "C1", thread_ts, comment: &comment };
        let shared = client.share(file, &[]).await;
        (fake, shared)
    }

    #[tokio::test]
    async fn bytes_go_to_no_host_that_is_not_slacks() {
        for url in [
            "https://files.slack.com.evil.example/upload",
            "http://files.slack.com/upload",
            "http://127.0.0.1:1/upload",
            "https://me@files.slack.com/upload",
            "https://files.slack.com:444/upload",
        ] {
            let (fake, shared) = share_at(url).await;
            assert_eq!(shared, Err(CallError::Refused("bad_upload_url".into())), "{url}");
            assert_eq!(fake.requests().len(), 1, "{url}");
        }
    }
}

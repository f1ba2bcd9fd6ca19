//! Calls the address at which others expect this bot's sign of life.

use super::{CONNECT_TIME_MAX, cause};
use reqwest::redirect;
use secrecy::{ExposeSecret, SecretString};
use std::time::Duration;

/// How long a call may take.
const CALL_TIME_MAX: Duration = Duration::from_secs(10);

/// Calls the address. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Beacon(reqwest::Client);

impl Beacon {
    /// A client whose calls end in time.
    ///
    /// # Errors
    /// Only where TLS cannot be set up.
    pub fn new() -> anyhow::Result<Self> {
        let client = reqwest::Client::builder()
            .timeout(CALL_TIME_MAX)
            .connect_timeout(CONNECT_TIME_MAX)
            .redirect(redirect::Policy::none())
            .build()?;
        Ok(Self(client))
    }

    /// Gives one sign of life.
    ///
    /// # Errors
    /// What came of it instead, without the address, which is a secret.
    pub async fn give(&self, url: &SecretString) -> Result<(), String> {
        match self.0.get(url.expose_secret()).send().await {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(format!("it was answered {}", answer.status().as_u16())),
            Err(error) => Err(cause(&error.without_url())),
        }
    }
}

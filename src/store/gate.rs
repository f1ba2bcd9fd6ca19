//! Whether the database answers, and who need not wait when it does not.
//!
//! A pool waits ten seconds for a connection, because a busy database is worth that wait; Slack waits
//! three. So one connection of its own asks for a sign of life, and while there is none the gate is
//! shut: whoever wants a connection is told at once. What has a connection already is left alone.

use super::Error;
use super::connect::{self, Engine};
use secrecy::{ExposeSecret, SecretString};
use sqlx::AnyConnection;
use std::time::Duration;
use tokio::sync::{Mutex, watch};

/// How long the database may be silent to the question that asks for a sign of life.
const PING_TIME_MAX: Duration = Duration::from_secs(2);

/// What a database without a sign of life does.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NoSign {
    /// It refused: nobody is there, or it is not for us.
    #[error(transparent)]
    Refused(#[from] Error),
    /// It said nothing in time; it may only be slow.
    #[error("the database said nothing for {PING_TIME_MAX:?}")]
    Silent,
}

/// The gate and the connection that asks.
pub(super) struct Gate {
    engine: Engine,
    url: SecretString,
    asking: Mutex<Option<AnyConnection>>,
    is_open: watch::Sender<bool>,
}

impl Gate {
    pub(super) fn new(engine: Engine, url: &str) -> Self {
        let asking = Mutex::new(None);
        Self { engine, url: SecretString::from(url), asking, is_open: watch::Sender::new(true) }
    }

    /// Asks for a sign of life, on a new connection where the old one gave none.
    pub(super) async fn ping(&self) -> Result<(), NoSign> {
        // Whoever asks meanwhile waits for this answer's turn, not for the database.
        let asked = tokio::time::timeout(PING_TIME_MAX, async {
            let mut asking = self.asking.lock().await;
            if let Some(mut connection) = asking.take()
                && ask(&mut connection).await.is_ok()
            {
                *asking = Some(connection);
                return Ok(());
            }
            let mut connection = connect::one(self.engine, self.url.expose_secret()).await?;
            ask(&mut connection).await?;
            *asking = Some(connection);
            Ok::<_, Error>(())
        });
        match asked.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(refused)) => Err(NoSign::Refused(refused)),
            Err(_) => Err(NoSign::Silent),
        }
    }

    pub(super) fn set_open(&self, is_open: bool) {
        self.is_open.send_if_modified(|was| std::mem::replace(was, is_open) != is_open);
    }

    /// A connection, or what may be had with one, unless the gate is shut or shuts meanwhile: then
    /// nothing was done yet.
    pub(super) async fn pass<T>(
        &self,
        had: impl Future<Output = sqlx::Result<T>>,
    ) -> Result<T, Error> {
        let mut gate = self.is_open.subscribe();
        tokio::select! {
            biased;
            _ = gate.wait_for(|is_open| !is_open) => Err(Error::Unreachable),
            had = had => had.map_err(|error| match Error::from(error) {
                Error::Unavailable(cause) if !matches!(*cause, sqlx::Error::PoolClosed) => {
                    tracing::warn!("no connection to the database: {cause}");
                    Error::Unreachable
                }
                other => other,
            }),
        }
    }

    pub(super) fn close(&self) {
        // One that is asking right now ends with the process.
        if let Ok(mut asking) = self.asking.try_lock() {
            drop(asking.take());
        }
    }
}

/// Reads a row: on SQLite only that touches the file.
async fn ask(connection: &mut AnyConnection) -> Result<(), Error> {
    sqlx::query("select seq from journal_head where id = 1").execute(connection).await?;
    Ok(())
}

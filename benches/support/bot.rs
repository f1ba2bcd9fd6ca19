//! The bot inside a bench's process, as `neostock-ops serve` runs it.

use super::folder::Folder;
use super::http::{self, Connection};
use anyhow::ensure;
use neostock_ops::app::{Start, serve};
use neostock_ops::clock::Clock;
use neostock_ops::config::settings::from_sources;
use neostock_ops::sandbox::{Options, Workspace};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// How long the bot may take to become ready.
const PATIENCE: Duration = Duration::from_secs(20);

/// A bot, its workspace and its address.
pub struct Bot {
    pub workspace: Workspace,
    pub address: SocketAddr,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<anyhow::Result<()>>,
}

impl Bot {
    pub async fn start(folder: &Folder, database_url: &str) -> anyhow::Result<Self> {
        let workspace = Workspace::start(Options::default()).await?;
        let settings = from_sources(&folder.sources(&workspace, database_url))
            .map_err(|faults| anyhow::anyhow!("{faults:?}"))?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        workspace.set_request_url(&format!("http://{address}"));
        let stop = CancellationToken::new();
        let start = Start {
            settings,
            listener,
            clock: Clock::System,
            program: env!("CARGO_BIN_EXE_neostock-ops").into(),
            stop: stop.clone(),
            reload: neostock_ops::worker::reload::Reload::default(),
        };
        let bot = Self { workspace, address, stop, task: tokio::spawn(serve(start)) };
        let ready = http::request("/readyz", &[], "");
        let deadline = Instant::now() + PATIENCE;
        while !bot.ask(&ready).await.is_ok_and(|(status, _)| status == 200) {
            ensure!(!bot.task.is_finished(), "the bot ended: {:?}", bot.task.await);
            ensure!(Instant::now() < deadline, "the bot did not become ready");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(bot)
    }

    /// One request on a connection of its own.
    pub async fn ask(&self, request: &[u8]) -> anyhow::Result<(u16, String)> {
        let mut connection = Connection::open(self.address).await?;
        let answer = connection.exchange(request).await?;
        Ok((answer.status, String::from_utf8_lossy(answer.body).into_owned()))
    }

    pub async fn end(self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.task.await??;
        self.workspace.shutdown().await;
        Ok(())
    }
}

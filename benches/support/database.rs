//! A database of a bench's own on PostgreSQL.

use anyhow::Context;
use sqlx::{AnyConnection, AssertSqlSafe, Connection as _};
use std::time::{SystemTime, UNIX_EPOCH};

/// Where PostgreSQL may make databases; without it only SQLite is measured.
const CLUSTER_VARIABLE: &str = "NEOSTOCK_TEST_POSTGRES";

/// An empty database until [`Database::drop`].
pub struct Database {
    maintenance: AnyConnection,
    name: String,
    pub url: String,
}

impl Database {
    /// Makes one; `None` when nobody names a cluster.
    pub async fn new() -> anyhow::Result<Option<Self>> {
        let Ok(cluster) = std::env::var(CLUSTER_VARIABLE) else { return Ok(None) };
        sqlx::any::install_default_drivers();
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros();
        let name = format!("bench_{}_{now}", std::process::id());
        let mut maintenance = AnyConnection::connect(&cluster).await?;
        let (server, _) = cluster.rsplit_once('/').context("a url of a database")?;
        let url = format!("{server}/{name}");
        maintain(&mut maintenance, format!("create database {name}")).await?;
        Ok(Some(Self { maintenance, name, url }))
    }

    pub async fn drop(mut self) -> anyhow::Result<()> {
        let statement = format!("drop database {} with (force)", self.name);
        maintain(&mut self.maintenance, statement).await
    }
}

async fn maintain(connection: &mut AnyConnection, statement: String) -> anyhow::Result<()> {
    // A database's name cannot be a parameter; this one is made of digits.
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(connection).await?;
    Ok(())
}

//! The journal as it stands at one moment, read from end to end in constant memory: the database folds
//! the next pages while other threads work on those before.

use super::super::connect::Engine;
use super::super::{Error, Store};
use super::fold::{Place, Stored};
use super::{Filter, head};
use crate::core::journal::{Anchor, Checked, KIND_KEY_LOST, Report, SealSpan, Verifier};
use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use serde_json::Value;
use sqlx::{Any, Transaction};
use std::sync::Arc;

/// Pages that are worked on at once; a page is about half a megabyte.
const PAGES_UNDER_WAY: usize = 4;

/// One moment of the journal.
pub struct Moment {
    transaction: Transaction<'static, Any>,
    engine: Engine,
    head: Anchor,
}

impl Moment {
    /// The journal as it stands now.
    ///
    /// # Errors
    /// As the database gives them.
    pub async fn of(store: &Store) -> Result<Self, Error> {
        let engine = store.shared.engine;
        let begun = store.shared.readers.begin_with(engine.begin_snapshot());
        let mut transaction = store.shared.gate.pass(begun).await?;
        let head = head(&mut transaction).await?;
        Ok(Self { transaction, engine, head })
    }

    /// Where the chain ended at this moment.
    pub fn head(&self) -> &Anchor {
        &self.head
    }

    /// Gives every row that a filter keeps, in the order of `seq`, to `work`, a page at a time on other
    /// threads, and what that makes of a page to `take`, in order. It ends early when `take` says so.
    ///
    /// # Errors
    /// As the database gives them, or the first of `take`.
    pub async fn each_page<T, W, E>(
        &mut self,
        filter: &Filter,
        work: W,
        mut take: impl FnMut(T) -> Result<(), E>,
    ) -> Result<(), E>
    where
        T: Send + 'static,
        W: Fn(Vec<Stored>) -> T + Send + Sync + 'static,
        E: From<Error>,
    {
        let work = Arc::new(work);
        let mut place = Place::first();
        let mut under_way = FuturesOrdered::new();
        let mut is_end = false;
        loop {
            let may_take = is_end || under_way.len() >= PAGES_UNDER_WAY;
            let (transaction, engine) = (&mut self.transaction, self.engine);
            let reading = async {
                if is_end { Ok(None) } else { place.next(transaction, engine, filter).await }
            };
            // The database folds the next page while this one is taken.
            let taking = async {
                let made = if may_take { under_way.next().await } else { None };
                match made {
                    Some(Ok(made)) => take(made?),
                    Some(Err(_panic)) => Err(Error::Broken("panicked over a page").into()),
                    None => Ok(()),
                }
            };
            let (folded, taken) = tokio::join!(reading, taking);
            taken?;
            match folded? {
                Some(folded) => {
                    let work = Arc::clone(&work);
                    under_way.push_back(tokio::task::spawn_blocking(move || {
                        folded.unfold().map(|rows| work(rows))
                    }));
                }
                None if under_way.is_empty() => return Ok(()),
                None => is_end = true,
            }
        }
    }

    /// The first row that is there; those before it are archived.
    ///
    /// # Errors
    /// As the database gives them.
    pub async fn first_seq(&mut self) -> Result<Option<i64>, Error> {
        let first = sqlx::query_scalar("select min(seq) from journal");
        Ok(first.fetch_one(&mut *self.transaction).await?)
    }

    /// Which rows later entries seal because their key was lost.
    ///
    /// # Errors
    /// As the database gives them.
    pub async fn seal_spans(&mut self) -> Result<Vec<SealSpan>, Error> {
        let rows: Vec<(i64, String)> =
            sqlx::query_as("select seq, detail from journal where kind = $1 order by seq")
                .bind(KIND_KEY_LOST)
                .fetch_all(&mut *self.transaction)
                .await?;
        let span = |(seq, detail): (i64, String)| {
            let detail: Value = serde_json::from_str(&detail).unwrap_or_default();
            SealSpan { first_seq: detail["first"].as_i64().unwrap_or(1), seq }
        };
        Ok(rows.into_iter().map(span).collect())
    }

    /// Gives all rows to a check and ends it.
    ///
    /// # Errors
    /// As the database gives them; what is wrong with the chain is in the report.
    pub async fn check(
        mut self,
        store: &Store,
        mut verifier: Verifier<'_>,
    ) -> Result<Report, Error> {
        let unnumbered = self.unnumbered().await?;
        let keys = store.keys().clone();
        let sealed_before = verifier.sealed_before();
        // What is given back was taken by this same thread: memory that changes threads is dear.
        let check = move |rows: Vec<Stored>| -> Vec<Checked> {
            let checked = rows.into_iter().map(|stored| {
                let is_sealed = stored.row.seq < sealed_before;
                let checked = stored.check(&keys);
                if is_sealed { checked } else { checked.without_content() }
            });
            checked.collect()
        };
        self.each_page(&Filter::everything(), check, |page| {
            for row in page {
                verifier.push_checked(row);
            }
            Ok::<_, Error>(())
        })
        .await?;
        let mut report = verifier.finish(&self.head);
        if unnumbered > 0 {
            report
                .find(self.head.seq, crate::core::journal::Fault::Unnumbered { rows: unnumbered });
        }
        self.end().await?;
        Ok(report)
    }

    /// SQLite lets a row have a number that is none, and no reading in the order of numbers meets it.
    async fn unnumbered(&mut self) -> Result<i64, Error> {
        if self.engine == Engine::Postgres {
            return Ok(0);
        }
        let count = "select count(*) from journal where typeof(seq) <> 'integer'";
        Ok(sqlx::query_scalar(count).fetch_one(&mut *self.transaction).await?)
    }

    /// Lets the moment go.
    ///
    /// # Errors
    /// As the database gives them.
    pub async fn end(self) -> Result<(), Error> {
        Ok(self.transaction.rollback().await?)
    }
}

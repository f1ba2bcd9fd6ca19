//! Gathers what a compliance report tells, as the database stands now. Writes nothing.

use super::{
    DelegatedRow, EmergencyRow, EndedRow, OwnApprovalRow, delegations, ended_last,
    open_emergencies, own_approvals, reviewed_emergencies,
};
use crate::core::action::Runbook;
use crate::core::compliance::{
    Delegated, Emergency, Facts, Few, JournalFacts, KINDS, LISTED_MAX, Newest, OwnApproval,
    Protection, RestoreTest, TESTS_MAX, TestRun, Used, is_restore_test,
};
use crate::core::plan::Plan;
use crate::core::run::State;
use crate::core::text::Text;
use crate::store::journal::{self, Filter, Search};
use crate::store::{Error, Store};
use serde_json::Value;
use sqlx::AnyConnection;

/// Entries that are counted; a window with more is cut, and the report says so.
const ENTRIES_MAX: u64 = 50_000;
/// Entries read at a time: a plan stands in some.
const PAGE_ENTRIES: i64 = 500;

/// Gathers what a report on a window of time tells, as it stands now.
///
/// # Errors
/// The database's.
pub async fn facts<'f>(
    store: &Store,
    runbook: &'f Runbook,
    protection: Protection,
    (since_ms, until_ms): (i64, i64),
    asked_by: String,
) -> Result<Facts<'f>, Error> {
    let used = used(store, since_ms).await?;
    let mut reader = store.read().await?;
    let limit = LISTED_MAX as i64;
    let (open, open_total) = open_emergencies(&mut reader, limit).await?;
    let (seen, seen_total) = reviewed_emergencies(&mut reader, since_ms, limit).await?;
    let (own, own_total) = own_approvals(&mut reader, since_ms, limit).await?;
    let (delegated, total) = delegations(&mut reader, since_ms, limit).await?;
    let own = own.into_iter().map(|row: OwnApprovalRow| OwnApproval {
        run: row.run_id,
        action: row.action,
        environment: row.environment,
        actor: row.actor,
        at_ms: row.at_ms,
    });
    let delegated = delegated.into_iter().map(|row: DelegatedRow| Delegated {
        role: row.role,
        from: row.from_user,
        to: row.to_user,
        reason: row.reason,
        at_ms: row.created_ms,
        until_ms: row.until_ms,
    });
    Ok(Facts {
        runbook,
        span: (since_ms, until_ms),
        asked_by,
        used,
        open: few(open.into_iter().map(emergency), open_total),
        reviewed: few(seen.into_iter().map(emergency), seen_total),
        own: few(own, own_total),
        delegated: few(delegated, total),
        journal: journal_facts(&mut reader).await?,
        protection,
        tests: tests(&mut reader, runbook).await?,
    })
}

fn few<T>(shown: impl Iterator<Item = T>, total: i64) -> Few<T> {
    Few { shown: shown.collect(), total: u64::try_from(total).unwrap_or_default() }
}

fn emergency(row: EmergencyRow) -> Emergency {
    // A plan of another version of this program may not be read; its reason stands in the journal.
    let plan = serde_json::from_str::<Plan>(&row.plan);
    Emergency {
        run: row.run_id,
        action: row.action,
        environment: row.environment,
        actor: row.actor,
        reason: plan.map_or_else(|_| String::new(), |plan| plan.reason().to_owned()),
        at_ms: row.created_ms,
        review: (row.at_ms > 0).then_some((row.user_id, row.note, row.at_ms)),
    }
}

/// Counts the entries of a window, newest first.
async fn used(store: &Store, since_ms: i64) -> Result<Used, Error> {
    let mut used = Used::default();
    let mut before_seq = i64::MAX;
    loop {
        let search = Search {
            actor: "",
            run: "",
            action: "",
            kinds: Some(KINDS.to_vec()),
            since_ms,
            before_seq,
        };
        let mut reader = store.read().await?;
        let rows = journal::search(&mut reader, &search, PAGE_ENTRIES).await?;
        drop(reader);
        for row in &rows {
            used.add(row);
        }
        let Some(last) = rows.last() else { return Ok(used) };
        before_seq = last.seq;
        if used.entries >= ENTRIES_MAX {
            used.is_cut = true;
            return Ok(used);
        }
    }
}

async fn journal_facts(reader: &mut AnyConnection) -> Result<JournalFacts, Error> {
    let head = journal::head(reader).await?;
    let first = journal::first(reader).await?;
    let newest = journal::newest_of(reader, &Filter::default(), 1).await?.pop();
    Ok(JournalFacts {
        head,
        first: first.map(|row| (row.seq, row.at_ms)),
        key_id: newest.map(|row| row.key_id).unwrap_or_default(),
        posted: newest_like(reader, "journal.head_posted", "seq").await?,
        archived: newest_like(reader, "journal.archived", "last").await?,
        exported: newest_like(reader, "journal.exported", "last").await?,
        key_event: newest_like(reader, "journal.key_", "").await?,
    })
}

/// The newest entry of a kind, and the number that its detail names so.
async fn newest_like(
    reader: &mut AnyConnection,
    kind_prefix: &str,
    number: &str,
) -> Result<Option<Newest>, Error> {
    let filter = Filter { kind_prefix: kind_prefix.to_owned(), ..Filter::default() };
    let row = journal::newest_of(reader, &filter, 1).await?.pop();
    Ok(row.map(|row| {
        let detail: Value = serde_json::from_str(&row.detail).unwrap_or_default();
        let about = detail[number].as_i64().map(|seq| format!("#{seq}"));
        Newest { at_ms: row.at_ms, actor: row.actor, about: about.unwrap_or(row.kind) }
    }))
}

async fn tests(reader: &mut AnyConnection, runbook: &Runbook) -> Result<Vec<RestoreTest>, Error> {
    let mut found = Vec::new();
    for action in runbook.actions.values().filter(|action| is_restore_test(action)) {
        for environment in runbook.environments.keys().take(TESTS_MAX - found.len()) {
            let of = |state| (action.name.as_str(), environment.as_str(), state);
            let last = ended_last(reader, of("")).await?;
            let good = of(State::Succeeded.as_str());
            let succeeded = ended_last(reader, good).await?;
            found.push(RestoreTest {
                action: action.name.clone(),
                environment: environment.clone(),
                last: last.map(test_run),
                succeeded: succeeded.map(test_run),
            });
        }
    }
    Ok(found)
}

fn test_run(row: EndedRow) -> TestRun {
    let state = State::parse(&row.state);
    TestRun {
        run: row.id,
        outcome: state.map_or_else(|| Text::same(row.state), State::text),
        at_ms: row.ended_ms,
        actor: row.actor,
    }
}

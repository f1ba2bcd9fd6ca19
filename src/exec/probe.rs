//! `neostock-ops probe`: asks an address until it answers as expected. The program of `http` steps,
//! so that one rule of evidence covers every kind of step.
//!
//! Prints each distinct outcome once, on one short line; never the address, which may hold a secret,
//! and never more of an answer than its first line. Follows no redirect and uses no proxy.

use clap::Parser;
use reqwest::{Client, Url, redirect};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// From the start of one question to the next.
const PERIOD: Duration = Duration::from_millis(500);
/// One question at most.
const ANSWER_WAIT: Duration = Duration::from_secs(5);
/// How much of an answer is read.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// How much of it is shown.
const SHOWN_CHARS_MAX: usize = 120;
/// After this many distinct outcomes the log has told enough.
const OUTCOMES_MAX: usize = 50;
const USAGE: u8 = 2;

#[derive(Debug, Parser)]
#[command(name = "probe", no_binary_name = true)]
struct Args {
    /// The address to ask.
    #[arg(long)]
    url: Url,
    /// The status to wait for.
    #[arg(long)]
    expect: u16,
    /// How long to go on asking.
    #[arg(long)]
    within_ms: u64,
    /// What the body must contain as well.
    #[arg(long)]
    contains: Option<String>,
}

pub(super) fn main(args: impl Iterator<Item = OsString>) -> ExitCode {
    let args = match Args::try_parse_from(args) {
        Ok(args) => args,
        Err(fault) => {
            let _ = fault.print();
            return ExitCode::from(USAGE);
        }
    };
    match run(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(fault) => {
            say(&format!("cannot ask: {fault}"));
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> anyhow::Result<bool> {
    // Fails only when it is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::builder()
        .redirect(redirect::Policy::none())
        .no_proxy()
        .timeout(ANSWER_WAIT)
        .user_agent("neostock-ops probe")
        .build()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(ask_until(args, &client)))
}

/// True once the answer was the expected one; false when the time is over.
async fn ask_until(args: &Args, client: &Client) -> bool {
    let started = now();
    let within = Duration::from_millis(args.within_ms);
    let mut told = BTreeSet::new();
    loop {
        let asked = now();
        let left = within.saturating_sub(asked - started);
        let outcome = tokio::time::timeout(left, ask(args, client)).await;
        let (is_expected, outcome) = outcome.unwrap_or((false, "no answer in time".into()));
        if told.len() < OUTCOMES_MAX && told.insert(outcome.clone()) {
            say(&format!("after {} ms: {outcome}", started.elapsed().as_millis()));
        }
        if is_expected {
            return true;
        }
        let next = asked + PERIOD;
        if next >= started + within {
            say(&format!("not as expected within {} ms", args.within_ms));
            return false;
        }
        #[expect(clippy::disallowed_methods, reason = "a step's time is real")]
        tokio::time::sleep(next.saturating_duration_since(now())).await;
    }
}

/// Asks once: whether the answer is the expected one, and what it was.
async fn ask(args: &Args, client: &Client) -> (bool, String) {
    let mut answer = match client.get(args.url.clone()).send().await {
        Ok(answer) => answer,
        Err(fault) => return (false, describe(fault)),
    };
    let status = answer.status();
    let mut body = Vec::new();
    let fault = loop {
        match answer.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() < BODY_BYTES_MAX => {
                body.extend_from_slice(&chunk);
            }
            Ok(Some(chunk)) => {
                body.extend_from_slice(&chunk[..BODY_BYTES_MAX - body.len()]);
                break None;
            }
            Ok(None) => break None,
            Err(fault) => break Some(describe(fault)),
        }
    };
    if status.as_u16() != args.expect {
        return (false, format!("answered {status}, not {}: {}", args.expect, first_line(&body)));
    }
    let body_text = String::from_utf8_lossy(&body);
    match (&args.contains, fault) {
        (Some(wanted), _) if body_text.contains(wanted.as_str()) => {
            (true, format!("answered {status} with the expected text"))
        }
        (Some(_), Some(fault)) => (false, format!("answered {status}, then {fault}")),
        (Some(_), None) => {
            let shown = first_line(&body);
            (false, format!("answered {status} without the expected text: {shown}"))
        }
        (None, _) => (true, format!("answered {status}")),
    }
}

/// The fault in one line, with its innermost cause and without the address.
fn describe(fault: reqwest::Error) -> String {
    let fault = fault.without_url();
    if fault.is_timeout() {
        return "no answer in time".into();
    }
    let kind = if fault.is_connect() { "cannot connect" } else { "no proper answer" };
    let mut cause: &dyn std::error::Error = &fault;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    format!("{kind}: {}", first_line(cause.to_string().as_bytes()))
}

/// The first line that says something, short and without control characters.
fn first_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("(empty)");
    let short = line.chars().filter(|letter| !letter.is_control()).take(SHOWN_CHARS_MAX);
    short.collect()
}

fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a step's time is real")]
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_one_short_clean_line() {
        assert_eq!(first_line(b"\n  \x1b[31mdown\x07 now \nmore"), "[31mdown now");
        assert_eq!(first_line(b""), "(empty)");
        assert_eq!(first_line(&[b'x'; 5_000]).len(), SHOWN_CHARS_MAX);
        assert!(!first_line(b"\xff\xfe").is_empty());
    }
}

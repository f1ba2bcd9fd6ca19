//! The report on a service's log: how long a gigabyte takes, and what it holds in memory meanwhile.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a bench measures real time, starts programs and speaks to whoever runs it"
)]

mod support;

use anyhow::{Context, ensure};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use support::stats::{median_and_range, print_table};
use tempfile::TempDir;

const PLAIN_BYTES: u64 = 1_000_000_000;
/// Before compression.
const GZIP_BYTES: u64 = 100_000_000;
const ROUNDS: usize = 3;
/// Between two looks at the memory of the process.
const LOOK: Duration = Duration::from_millis(5);
const KIB_IN_MIB: f64 = 1_024.0;
/// 2026-11-24 00:00:00 UTC; the log is of the day behind it.
const DAY_SECS: i64 = 1_795_478_400;
const DAY_MS: i64 = 86_400_000;
const ROUTES: [&str; 8] = [
    "/api/quotes/{}",
    "/api/quotes/{}/history?days=30",
    "/api/portfolio",
    "/api/auth/login",
    "/static/app.{}.js",
    "/health",
    "/api/orders/{}/fills/7",
    "/api/search?q=stock{}",
];
const STATUSES: [u16; 10] = [200, 200, 200, 200, 200, 304, 200, 401, 404, 502];

fn main() -> anyhow::Result<()> {
    let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR"))?;
    let (plain, gzip) = (folder.path().join("access.log"), folder.path().join("packed.log.gz"));
    let mut out = BufWriter::new(File::create(&plain)?);
    let lines = write_log(&mut out, PLAIN_BYTES)?;
    out.into_inner()?.sync_all()?;
    let mut out = GzEncoder::new(BufWriter::new(File::create(&gzip)?), Compression::default());
    let packed_lines = write_log(&mut out, GZIP_BYTES)?;
    out.finish()?.flush()?;

    println!("## `log-report`: {ROUNDS} rounds each, from the start of the process to its end\n");
    let mut rows = Vec::new();
    for (what, path, bytes, lines) in [
        ("1 GB", &plain, PLAIN_BYTES, lines),
        ("100 MB of text in gzip", &gzip, GZIP_BYTES, packed_lines),
    ] {
        let (mut seconds, mut peaks) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let (took, peak) = measure(path, lines)?;
            seconds.push(took.as_secs_f64());
            peaks.push(peak);
        }
        let (median, least, most) = median_and_range(seconds);
        let (_, _, peak) = median_and_range(peaks);
        rows.push(vec![
            what.to_owned(),
            lines.to_string(),
            format!("{median:.2} s ({least:.2}–{most:.2})"),
            format!("{:.0} MB/s", bytes as f64 / 1e6 / median),
            format!("{peak:.1} MiB"),
        ]);
    }
    print_table(&["log", "lines", "took", "of text", "most memory"], &rows);
    Ok(())
}

/// Writes lines of one day until they come to `bytes`; how many.
fn write_log(out: &mut impl Write, bytes: u64) -> anyhow::Result<u64> {
    let (mut written, mut lines) = (0, 0_u64);
    let mut line = Vec::new();
    while written < bytes {
        // Scattered, and the same each time.
        let draw = lines.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        let route = ROUTES[(draw % 8) as usize].replace("{}", &(draw % 5_000).to_string());
        let status = STATUSES[(draw / 8 % 10) as usize];
        let secs = DAY_SECS + (written as i64 * 86_399 / bytes as i64);
        let at = chrono::DateTime::from_timestamp(secs, 0).context("a time")?;
        line.clear();
        writeln!(
            line,
            "10.{}.{}.{} - - [{}] \"GET {route} HTTP/1.1\" {status} {} \"https://shop.example/\" \
             \"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36\" {}.{:03}",
            draw % 16,
            draw / 16 % 256,
            draw / 4_096 % 256,
            at.format("%d/%b/%Y:%H:%M:%S +0000"),
            draw % 100_000,
            u64::from(draw % 50 == 0),
            draw % 1_000,
        )?;
        out.write_all(&line)?;
        written += line.len() as u64;
        lines += 1;
    }
    Ok(lines)
}

/// Reports on one file; how long it took, and the most memory it held, in MiB.
fn measure(path: &Path, lines: u64) -> anyhow::Result<(Duration, f64)> {
    let began = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_neostock-ops"))
        .arg("log-report")
        .arg(format!("--file={}", path.display()))
        .args(["--format=combined", "--sign-in=/api/auth/", "--lang=en"])
        .arg(format!("--window-ms={DAY_MS}"))
        .arg(format!("--until-ms={}", DAY_SECS * 1_000 + DAY_MS))
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut peak = 0.0;
    while child.try_wait()?.is_none() {
        peak = mib(&child).unwrap_or(peak);
        std::thread::sleep(LOOK);
    }
    let took = began.elapsed();
    let output = child.wait_with_output()?;
    let text = String::from_utf8(output.stdout)?;
    let plain = text.replace(',', "");
    ensure!(output.status.success(), "it failed: {text}");
    ensure!(plain.contains(&format!("Requests {lines} ")), "not all was read: {text}");
    Ok((took, peak))
}

/// `VmHWM` of its `/proc/PID/status`; `None` once it has ended.
fn mib(child: &Child) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<f64>().ok()? / KIB_IN_MIB)
}

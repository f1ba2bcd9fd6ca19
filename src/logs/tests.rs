//! Whole reports over files, and lines that want to do harm.

use super::parse::Parser;
use super::*;
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use std::fs::File;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// 2026-11-24 03:00:00 UTC.
const UNTIL_MS: i64 = 1_795_489_200_000;
const HOUR_MS: u64 = 3_600_000;

fn options(folder: &Path, pattern: &str) -> Options {
    Options {
        files: vec![folder.join(pattern).display().to_string()],
        format: AccessFormat::Combined,
        window_ms: HOUR_MS,
        until_ms: UNTIL_MS,
        sign_in: "/api/auth/".into(),
        lang: Lang::En,
    }
}

/// The report without the folder's own name and the time that it took; whether it could be made.
fn report_of(options: &Options, folder: &Path) -> (String, bool) {
    let mut out = Vec::new();
    let is_read = report(options, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    let took = text.lines().nth(1).and_then(|line| line.rsplit_once([',', '，'])).unwrap().1;
    let text = text.replace(took, " …");
    (text.replace(&folder.display().to_string(), "[folder]"), is_read)
}

fn write(folder: &Path, name: &str, text: impl AsRef<[u8]>) {
    std::fs::write(folder.join(name), text).unwrap();
    touch(folder, name, UNTIL_MS);
}

fn touch(folder: &Path, name: &str, at_ms: i64) {
    let at = SystemTime::UNIX_EPOCH + Duration::from_millis(at_ms as u64);
    File::options().write(true).open(folder.join(name)).unwrap().set_modified(at).unwrap();
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn line(time: &str, request: &str, status: u16, took: &str) -> String {
    format!("203.0.113.5 - - [{time}] \"{request}\" {status} 12 \"-\" \"curl/8\" {took}\n")
}

fn parse(
    format: AccessFormat,
    line: &str,
) -> Option<(i64, String, String, u16, Option<u64>, String)> {
    let hit = Parser::new(format).parse(line.as_bytes())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (method, target) = (text(&hit.method), text(&hit.target));
    Some((hit.at_ms, method, target, hit.status, hit.took_us, text(&hit.address)))
}

#[test]
fn a_day_of_a_service_reads_well_in_both_languages() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = String::new();
    for number in 0..40 {
        let time = format!("24/Nov/2026:02:{number:02}:00 +0000");
        log += &line(&time, &format!("GET /api/quotes/{number}?x=1 HTTP/1.1"), 200, "0.012");
        if number % 10 == 0 {
            log += &line(&time, "GET /api/quotes/7 HTTP/1.1", 502, "2.500");
            log += &line(&time, "GET /favicon.ico HTTP/1.1", 404, "0.001");
            log += &line(&time, "POST /api/auth/login HTTP/1.1", 401, "0.100");
            log += &line(&time, "GET /api/me HTTP/1.1", 403, "0.002");
        }
    }
    log += &line("24/Nov/2026:02:59:59 +0000", "POST /api/auth/login HTTP/1.1", 403, "0.1");
    log += &line("24/Nov/2026:01:59:59 +0000", "GET /old HTTP/1.1", 500, "9.999");
    log += "what is \u{1b}[31mthis\n";
    write(folder.path(), "access.log", log);
    let mut options = options(folder.path(), "access.log*");

    let (english, is_read) = report_of(&options, folder.path());
    options.lang = Lang::Zh;
    options.until_ms += 60_000;
    let (chinese, _) = report_of(&options, folder.path());

    assert!(is_read);
    insta::assert_snapshot!(english);
    insta::assert_snapshot!(chinese);
}

#[test]
fn rotated_and_compressed_files_are_one_log_and_older_ones_are_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let at = |minute: u32| format!("24/Nov/2026:02:{minute:02}:00 +0000");
    let hit = |minute| line(&at(minute), "GET /x HTTP/1.1", 200, "0.001");
    write(folder.path(), "access.log", hit(50));
    write(folder.path(), "access.log.1", hit(40));
    write(folder.path(), "access.log-20261124", hit(35));
    // Two members, as `cat` of two compressed files makes them.
    write(folder.path(), "access.log.2.gz", [gzip(&hit(20)), gzip(&hit(10))].concat());
    write(folder.path(), "access.log.3.gz", gzip(&hit(5)));
    touch(folder.path(), "access.log.3.gz", UNTIL_MS - HOUR_MS as i64 - 1);
    write(folder.path(), "error.log", "not this\n");
    std::fs::hard_link(folder.path().join("access.log"), folder.path().join("access.log.same"))
        .unwrap();

    let (text, is_read) = report_of(&options(folder.path(), "access.log*"), folder.path());

    assert!(is_read);
    assert!(text.contains("4 files, 5 lines"), "{text}");
    assert!(text.contains("outside 0, not understood 0, older files 1"), "{text}");
    assert!(text.contains("Requests 5 (0.00 per second)  2xx 5"), "{text}");
    assert!(!text.contains('⚠'), "{text}");
}

#[test]
fn what_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let good = line("24/Nov/2026:02:10:00 +0000", "GET /x HTTP/1.1", 200, "0.001");
    write(folder.path(), "a.log", &good);
    std::fs::create_dir(folder.path().join("b.log")).unwrap();
    write(folder.path(), "c.log.zst", [&[0x28, 0xb5, 0x2f, 0xfd][..], &[0; 40]].concat());
    let mut cut = gzip(&good.repeat(10_000));
    cut.truncate(cut.len() - 20);
    write(folder.path(), "d.log.gz", cut);
    std::os::unix::fs::symlink("nowhere", folder.path().join("e.log")).unwrap();
    let mut options = options(folder.path(), "?.log*");
    options.files.push(folder.path().join("nothing*").display().to_string());

    let (text, is_read) = report_of(&options, folder.path());

    assert!(is_read);
    let troubles: Vec<&str> = text.lines().filter(|line| line.contains('⚠')).collect();
    for (name, words) in [
        ("b.log: ", "not a regular file"),
        ("c.log.zst: ", "compressed by zstd, not read"),
        ("d.log.gz: ", "cannot be read to its end"),
        ("e.log: ", "No such file"),
        ("nothing*: ", "no file fits"),
    ] {
        let is_named = troubles.iter().any(|line| line.contains(name) && line.contains(words));
        assert!(is_named, "{name}{words}: {text}");
    }
}

#[test]
fn a_report_without_any_file_says_so_and_fails() {
    let folder = tempfile::tempdir().unwrap();

    let (text, is_read) = report_of(&options(folder.path(), "access.log*"), folder.path());
    write(folder.path(), "access.log", [0x1f, 0x8b, 0, 0]);
    let (broken, is_broken_read) = report_of(&options(folder.path(), "access.log*"), folder.path());
    write(folder.path(), "access.log", "");
    let (empty, is_empty_read) = report_of(&options(folder.path(), "access.log*"), folder.path());

    assert!(!is_read && text.contains("No file could be read"), "{text}");
    assert!(!is_broken_read && broken.contains("No file could be read"), "{broken}");
    assert!(is_empty_read && empty.contains("No request in this time"), "{empty}");
}

#[test]
fn a_log_that_is_emptied_while_it_is_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "access.log", "x\n".repeat(1_000));
    let options = options(folder.path(), "access.log");
    let mut course = Course::default();
    let mut logs = files::open(&options.files, options.since_ms(), &mut course);
    File::options()
        .write(true)
        .open(folder.path().join("access.log"))
        .unwrap()
        .set_len(10)
        .unwrap();

    read(logs.remove(0), &options, &mut Tally::new(b""), &mut course);

    assert!(matches!(course.troubles[..], [(_, Trouble::Shrank)]), "{:?}", course.troubles);
}

#[test]
fn the_window_takes_its_first_moment_and_leaves_its_last_out() {
    let folder = tempfile::tempdir().unwrap();
    let times = ["02:00:00 +0000", "01:59:59 +0000", "03:00:00 +0000", "02:59:59 +0000"];
    // The first moment again, told in China, in New York and in India.
    let elsewhere = ["10:00:00 +0800", "07:30:00 +0530"];
    let mut log = String::new();
    for time in times.iter().chain(&elsewhere) {
        log += &line(&format!("24/Nov/2026:{time}"), "GET /x HTTP/1.1", 200, "-");
    }
    log += &line("23/Nov/2026:21:00:00 -0500", "GET /x HTTP/1.1", 200, "-");
    log += &line("23/Nov/2026:20:59:59 -0500", "GET /x HTTP/1.1", 200, "-");
    write(folder.path(), "access.log", log);

    let (text, _) = report_of(&options(folder.path(), "access.log"), folder.path());

    assert!(text.contains("outside 3, not understood 0"), "{text}");
    assert!(text.contains("Requests 5 "), "{text}");
    assert!(text.contains("The log holds no times to answer"), "{text}");
}

#[test]
fn hostile_lines_are_counted_shown_harmlessly_and_never_held() {
    let folder = tempfile::tempdir().unwrap();
    let good = line("24/Nov/2026:02:10:00 +0000", "GET /x HTTP/1.1", 200, "0.001");
    let mut log = b"nul \0 and \x1b]0;title\x07 \xff\xfe\n".to_vec();
    log.extend(b"<!channel> ```\n");
    log.resize(log.len() + 10_000_000, b'x');
    log.push(b'\n');
    log.extend(good.as_bytes());
    log.extend(line("24/Nov/2026:02:10:00 +0000", "\\x16\\x03\\x01", 400, "0.0").as_bytes());
    let injected = "GET /\u{1b}[2J\u{202e}\\\"<!channel> HTTP/1.1";
    log.extend(line("24/Nov/2026:02:10:00 +0000", injected, 404, "0.0").as_bytes());
    log.resize(log.len() + 10_000_000, b'y');
    write(folder.path(), "access.log", log);

    let (text, is_read) = report_of(&options(folder.path(), "access.log"), folder.path());

    assert!(is_read);
    assert!(text.contains("1 file, 7 lines, 20.0 MB"), "{text}");
    assert!(text.contains("not understood 4"), "{text}");
    assert!(text.contains("Requests 3 "), "{text}");
    assert!(text.contains("400  (not HTTP)"), "{text}");
    assert!(text.contains("GET /\\u{1b}[2J\\u{202e}"), "{text}");
    assert!(text.contains("nul \\u{0} and \\u{1b}]0;title\\u{7}"), "{text}");
    assert!(!text.chars().any(|letter| letter.is_control() && letter != '\n'), "{text}");
    assert!(text.lines().all(|line| line.chars().count() < 120), "{text}");
}

#[test]
fn lines_come_whole_wherever_the_buffer_ends() {
    struct Drops<'d>(&'d [u8]);
    impl Read for Drops<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let count = self.0.len().min(into.len()).min(1_000);
            into[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }
    let lengths =
        [0, 1, 999, 1_000, 1_001, 65_536, 65_537, 65_535, 300_000, 3, 262_144, 0, 70_000, 5];
    let mut text = Vec::new();
    for (index, length) in lengths.iter().enumerate() {
        text.resize(text.len() + length, b'a' + index as u8);
        text.push(b'\n');
    }
    let mut drops = Drops(&text);
    let mut lines = Lines::new(&mut drops);

    for (index, length) in lengths.iter().enumerate() {
        let letter = b'a' + index as u8;
        match lines.next().unwrap().unwrap() {
            Line::Whole(line) => {
                assert!(
                    line.len() == *length && line.iter().all(|byte| *byte == letter),
                    "{length}"
                );
            }
            Line::TooLong(head) => {
                assert!(*length > lines::LINE_BYTES_MAX && head.iter().all(|byte| *byte == letter));
            }
        }
    }
    assert_eq!(lines.next().unwrap(), None);
}

#[test]
fn json_lines_are_read_by_their_usual_names() {
    let at_ms = 1_795_489_200_000;
    let wanted = |target: &str, took| {
        Some((at_ms, "GET".to_owned(), target.to_owned(), 200, took, "::1".to_owned()))
    };
    for text in [
        r#"{"time":"2026-11-24T03:00:00Z","method":"GET","path":"/a","status":200,"duration_ms":1.5,"client":"::1"}"#,
        r#"{"ts":1795489200,"method":"GET","uri":"/a","status":"200","request_time":"0.0015","remote_addr":"::1"}"#,
        r#"{"x":{"status":[500]},"ts":1795489200000,"status":200,"path":"/a","method":"GET","client":"::1","request_time":0.0015,"y":null}"#,
        r#"{"@timestamp":"2026-11-24T11:00:00.000+08:00","method":"GET","path":"\/a","status":200,"duration_ms":1.5,"client":"::1"}"#,
        r#"{"time":"24/Nov/2026:03:00:00 +0000","method":"GET","path":"/a","status":200,"duration_ms":1.5,"client":"::1"}"#,
    ] {
        assert_eq!(parse(AccessFormat::Json, text), wanted("/a", Some(1_500)), "{text}");
    }
    for bad in [
        "",
        "{}",
        "[]",
        "7",
        r#"{"time":1,"status":200}"#,
        r#"{"time":true,"path":"/","status":200}"#,
    ] {
        assert_eq!(parse(AccessFormat::Json, bad), None, "{bad}");
    }
    let deep = "{\"a\":".repeat(10_000);
    assert_eq!(parse(AccessFormat::Json, &deep), None);
}

#[test]
fn lines_of_nginx_of_apache_and_of_the_sample_are_read() {
    let at_ms = 1_795_489_200_000;
    let time = "24/Nov/2026:03:00:00 +0000";
    for (text, wanted) in [
        (
            format!("127.0.0.1 - - [{time}] \"GET /api/quotes HTTP/1.1\" 200 - 0.003"),
            ("GET", "/api/quotes", 200, Some(3_000), "127.0.0.1"),
        ),
        (
            format!(
                "::1 - [odd] name [{time}] \"POST /a b HTTP/1.1\" 499 0 \"-\" \"a \\\"b\\\" 1.5\""
            ),
            ("POST", "/a b", 499, None, "::1"),
        ),
        (format!("h - - [{time}] \"-\" 408 0"), ("-", "", 408, None, "h")),
        (
            format!("h - - [{time}] \"GET / HTTP/1.1\" 200 17 \"-\" \"x\" 12.000\r"),
            ("GET", "/", 200, Some(12_000_000), "h"),
        ),
    ] {
        let (method, target, status, took, address) = wanted;
        let wanted =
            (at_ms, method.to_owned(), target.to_owned(), status, took, address.to_owned());
        assert_eq!(parse(AccessFormat::Combined, &text), Some(wanted), "{text}");
    }
    for bad in [
        "",
        "h",
        "h - - [24/Nov/2026:03:00:00 +0000]",
        "h - - [24/Nov/2026:03:00:00 +0000] \"GET / HTTP/1.1",
        "h - - [24/Nov/2026:03:00:00 +0000] \"GET / HTTP/1.1\" 99 1",
        "h - - [31/Feb/2026:03:00:00 +0000] \"GET / HTTP/1.1\" 200 1",
        "h - - [24/Nov/2026:25:00:00 +0000] \"GET / HTTP/1.1\" 200 1",
        "h - - [24/Nov/2026 03:00:00 +0000] \"GET / HTTP/1.1\" 200 1",
        "[24/Nov/2026:03:00:00 +0000] \"GET / HTTP/1.1\" 200 1\\",
    ] {
        assert_eq!(parse(AccessFormat::Combined, bad), None, "{bad}");
    }
}

proptest! {
    #[test]
    fn parsing_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300), text in "[\\[\\]\"\\\\ 0-9a-z/:+{}-]{0,120}") {
        for format in [AccessFormat::Combined, AccessFormat::Json] {
            let _ = Parser::new(format).parse(&bytes);
            let _ = Parser::new(format).parse(text.as_bytes());
        }
    }

    #[test]
    fn a_line_that_is_written_is_read_back(
        seconds in 0i64..4_102_444_800, offset in -12i32..=14, path in "/[a-z0-9/._?=&%-]{0,40}",
        status in 100u16..600, ms in 0u64..100_000, agent in "[ -!#-\\[\\]-~]{0,40}",
    ) {
        let zone = chrono::FixedOffset::east_opt(offset * 3_600).unwrap();
        let at = chrono::DateTime::from_timestamp(seconds, 0).unwrap().with_timezone(&zone);
        let time = at.format("%d/%b/%Y:%H:%M:%S %z");
        let took = format!("{}.{:03}", ms / 1_000, ms % 1_000);
        let text = format!("10.1.2.3 - u [{time}] \"GET {path} HTTP/2.0\" {status} 5 \"-\" \"{agent}\" {took}");
        let found = parse(AccessFormat::Combined, &text);
        let wanted = (seconds * 1_000, "GET".to_owned(), path, status, Some(ms * 1_000), "10.1.2.3".to_owned());
        prop_assert_eq!(found, Some(wanted));
    }
}

//! The report as text: most important first, within what one message in chat holds.

use super::tally::{Histogram, Route, Tally, top};
use super::{Course, Options, Trouble};
use crate::core::table::{Page, Side, cut, thousands, visible};
use crate::core::text::Lang;
use crate::core::{duration, table};
use chrono::DateTime;
use std::fmt::Write as _;

const LINES_MAX: usize = 60;
/// Slack's escaping makes letters longer; this leaves room.
const CHARS_MAX: usize = 2_600;
const ERRORS_SHOWN: usize = 8;
const SLOWEST_SHOWN: usize = 8;
const SIGN_IN_ROUTES_SHOWN: usize = 4;
const ADDRESSES_SHOWN: usize = 10;
const TROUBLES_SHOWN: usize = 5;
const ROUTE_WIDTH: usize = 44;
const FILE_WIDTH: usize = 60;
const BAD_LINE_WIDTH: usize = 72;
/// So many failed sign-ins of one address are more than a slip of the fingers.
const REPEATED_MIN: u64 = 5;

/// The whole report.
pub(super) fn page(options: &Options, tally: &Tally, course: &Course) -> String {
    let lang = options.lang;
    let mut page = Page::new(LINES_MAX, CHARS_MAX);
    head(&mut page, options, tally, course);
    if tally.requests > 0 {
        overview(&mut page, options, tally);
        errors(&mut page, lang, tally);
        sign_ins(&mut page, options, tally);
        slowest(&mut page, lang, tally);
    } else if course.read > 0 || course.older > 0 {
        page.title(lang.pick("时段内没有请求。", "No request in this time."));
    }
    bad_lines(&mut page, lang, tally);
    let (mut text, left_out) = page.finish();
    if left_out > 0 {
        text += &match lang {
            Lang::Zh => format!("… 另有 {left_out} 行\n"),
            Lang::En => format!("… and {left_out} lines more\n"),
        };
    }
    text
}

/// The moment as a person writes it, in UTC.
fn moment(at_ms: i64) -> String {
    let at = DateTime::from_timestamp_millis(at_ms).unwrap_or_default();
    at.format("%Y-%m-%d %H:%M:%SZ").to_string()
}

fn head(page: &mut Page, options: &Options, tally: &Tally, course: &Course) {
    let lang = options.lang;
    let (since, until) = (moment(options.since_ms()), moment(options.until_ms));
    let window = duration::spell(options.window_ms);
    let title = lang.pick("服务日志", "Service log");
    page.line(&format!("{title}  {since} – {until} ({window})"));
    let (files, lines) = (course.read, thousands(tally.lines));
    let (size, took) = (size(course.bytes), span(course.took_ms.saturating_mul(1_000)));
    page.line(&match lang {
        Lang::Zh => format!("读取 {files} 个文件，{lines} 行，{size}，用时 {took}"),
        Lang::En => {
            let plural = if files == 1 { "" } else { "s" };
            format!("{files} file{plural}, {lines} lines, {size}, read in {took}")
        }
    });
    let (outside, bad) = (thousands(tally.outside), thousands(tally.bad));
    let older = course.older;
    page.line(&match lang {
        Lang::Zh => format!("时段外 {outside} 行；无法识别 {bad} 行；更早的文件 {older} 个"),
        Lang::En => format!("outside {outside}, not understood {bad}, older files {older}"),
    });
    for (name, trouble) in course.troubles.iter().take(TROUBLES_SHOWN) {
        let name = end_of(&visible(name));
        page.line(&format!("⚠ {name}{}{}", lang.pick("：", ": "), trouble.words(lang)));
    }
    if let Some(more @ 1..) = course.troubles.len().checked_sub(TROUBLES_SHOWN) {
        page.line(&match lang {
            Lang::Zh => format!("⚠ 另有 {more} 个文件有问题"),
            Lang::En => format!("⚠ and {more} more files with trouble"),
        });
    }
    if course.read == 0 && course.older == 0 {
        page.line(lang.pick(
            "没有任何文件可读：请检查操作手册中的 `files` 和文件权限。",
            "No file could be read: look at `files` in the runbook, and at the files' permissions.",
        ));
    }
}

impl Trouble {
    fn words(&self, lang: Lang) -> String {
        match (self, lang) {
            (Self::NoMatch, Lang::Zh) => "没有匹配的文件".into(),
            (Self::NoMatch, Lang::En) => "no file fits".into(),
            (Self::TooMany(max), Lang::Zh) => format!("未读：一次最多读 {max} 个文件"),
            (Self::TooMany(max), Lang::En) => format!("not read: {max} files are read at most"),
            (Self::NotAFile, Lang::Zh) => "不是普通文件，未读".into(),
            (Self::NotAFile, Lang::En) => "not a regular file, not read".into(),
            (Self::Compressed(way), Lang::Zh) => {
                format!("以 {way} 压缩，未读：只能读 gzip 或未压缩的文件")
            }
            (Self::Compressed(way), Lang::En) => {
                format!("compressed by {way}, not read: only gzip and plain files are")
            }
            (Self::Shrank, Lang::Zh) => "读取时变短了，其后的内容缺失".into(),
            (Self::Shrank, Lang::En) => {
                "became shorter while it was read; the rest is missing".into()
            }
            (Self::Io(error), Lang::Zh) => format!("无法读完：{error}"),
            (Self::Io(error), Lang::En) => format!("cannot be read to its end: {error}"),
        }
    }
}

fn overview(page: &mut Page, options: &Options, tally: &Tally) {
    let lang = options.lang;
    let rate = tally.requests as f64 / (options.window_ms.max(1) as f64 / 1e3);
    let mut line = match lang {
        Lang::Zh => format!("请求 {}（每秒 {rate:.2}）", thousands(tally.requests)),
        Lang::En => format!("Requests {} ({rate:.2} per second)", thousands(tally.requests)),
    };
    for (class, count) in tally.classes.iter().enumerate().filter(|(_, count)| **count > 0) {
        let name = if class == 0 { "other".to_owned() } else { format!("{class}xx") };
        // Writing to a String cannot fail.
        let _ = write!(line, "  {name} {}", thousands(*count));
    }
    page.title(&line);
    page.line(&match quantiles(&tally.took) {
        Some([p50, p95, p99]) => {
            let longest = span(tally.took.longest_us);
            let (took, most) = (lang.pick("耗时", "Took"), lang.pick("最长", "longest"));
            format!("{took} p50 {p50}  p95 {p95}  p99 {p99}  {most} {longest}")
        }
        None => lang.pick("日志里没有耗时", "The log holds no times to answer").to_owned(),
    });
}

fn errors(page: &mut Page, lang: Lang, tally: &Tally) {
    let all = tally.routes.iter().flat_map(|route| {
        route.errors.iter().map(|(status, count)| (*count, *status, &*route.name))
    });
    // The service's own faults come first, however many people ask for what is not there.
    let weight = |(count, status, _): &(u64, u16, &[u8])| {
        count.saturating_add(u64::from(*status >= 500) << 62)
    };
    let found = top(all, ERRORS_SHOWN, weight);
    if found.is_empty() {
        return;
    }
    let total = tally.classes[4] + tally.classes[5];
    let share = total as f64 * 100.0 / tally.requests as f64;
    let total = thousands(total);
    page.title(&match lang {
        Lang::Zh => format!("错误 {total}（{share:.2}%）"),
        Lang::En => format!("Errors {total} ({share:.2}%)"),
    });
    let mut rows = vec![cells(lang, &[("次数", "count"), ("状态", "status"), ("路由", "route")])];
    rows.extend(found.iter().map(|(count, status, name)| {
        vec![thousands(*count), status.to_string(), route_name(name)]
    }));
    page.table(&[Side::Right, Side::Right, Side::Left], &rows);
    if tally.other > 0 {
        let other = thousands(tally.other);
        page.line(&match lang {
            Lang::Zh => format!("  其他路由共 {other} 次请求，未分开统计"),
            Lang::En => format!("  {other} requests of other routes are not told apart"),
        });
    }
}

fn sign_ins(page: &mut Page, options: &Options, tally: &Tally) {
    let lang = options.lang;
    if tally.failed_sign_ins + tally.refused_elsewhere == 0 {
        return;
    }
    let failed = thousands(tally.failed_sign_ins);
    let elsewhere = thousands(tally.refused_elsewhere);
    let place = if options.sign_in.is_empty() { "/" } else { &options.sign_in };
    page.title(&match lang {
        Lang::Zh => format!("登录失败 {failed}（{place} 上的 401、403）；其他路径 {elsewhere}"),
        Lang::En => {
            format!("Failed sign-ins {failed} (401 and 403 at {place}); elsewhere {elsewhere}")
        }
    });
    let by_route = tally.routes.iter().map(|route| (route.failed_sign_ins, &*route.name));
    let by_route = top(by_route.filter(|(count, _)| *count > 0), SIGN_IN_ROUTES_SHOWN, |one| one.0);
    let mut rows = Vec::new();
    if !by_route.is_empty() {
        rows.push(cells(lang, &[("次数", "count"), ("路由", "route")]));
    }
    rows.extend(by_route.iter().map(|(count, name)| vec![thousands(*count), route_name(name)]));
    let addresses = tally.addresses.top(ADDRESSES_SHOWN);
    if !addresses.is_empty() {
        rows.push(cells(lang, &[("次数", "count"), ("客户端地址", "client address")]));
    }
    for (address, count) in &addresses {
        let mut shown = cut(&visible(&String::from_utf8_lossy(address)), ROUTE_WIDTH);
        if *count >= REPEATED_MIN {
            shown += lang.pick("  ⚠ 多次失败", "  ⚠ repeated");
        }
        rows.push(vec![thousands(*count), shown]);
    }
    page.table(&[Side::Right, Side::Left], &rows);
    let more = tally.addresses.len() - addresses.len();
    if more > 0 || tally.addresses.lost > 0 {
        let lost = thousands(tally.addresses.lost);
        page.line(&match (lang, tally.addresses.lost) {
            (Lang::Zh, 0) => format!("  另有 {more} 个地址"),
            (Lang::En, 0) => format!("  and {more} more addresses"),
            (Lang::Zh, _) => format!("  地址太多：每个次数最多少计 {lost}"),
            (Lang::En, _) => format!("  very many addresses: each count may be {lost} too low"),
        });
    }
}

fn slowest(page: &mut Page, lang: Lang, tally: &Tally) {
    let p95 = |route: &Route| route.took.at(950).unwrap_or_default();
    let timed = tally.routes.iter().enumerate().filter(|(_, route)| route.took.count > 0);
    let timed = timed.map(|(number, route)| (p95(route), number));
    let found = top(timed, SLOWEST_SHOWN, |(p95, _)| *p95);
    if found.is_empty() {
        return;
    }
    page.title(lang.pick("最慢的路由（按 p95）", "Slowest routes (by p95)"));
    let names =
        [("p50", "p50"), ("p95", "p95"), ("p99", "p99"), ("次数", "count"), ("路由", "route")];
    let mut rows = vec![cells(lang, &names)];
    for (_, number) in found {
        let route = &tally.routes[number];
        let mut row: Vec<String> = quantiles(&route.took).unwrap_or_default().into();
        row.extend([thousands(route.took.count), route_name(&route.name)]);
        rows.push(row);
    }
    page.table(&[Side::Right, Side::Right, Side::Right, Side::Right, Side::Left], &rows);
}

fn bad_lines(page: &mut Page, lang: Lang, tally: &Tally) {
    if tally.bad_lines.is_empty() {
        return;
    }
    page.title(lang.pick("最先无法识别的行", "The first lines that were not understood"));
    for line in &tally.bad_lines {
        let shown = visible(&String::from_utf8_lossy(line));
        page.line(&format!("  {}", cut(&shown, BAD_LINE_WIDTH)));
    }
}

fn cells(lang: Lang, names: &[(&str, &str)]) -> Vec<String> {
    names.iter().map(|(zh, en)| lang.pick(zh, en).to_owned()).collect()
}

fn route_name(name: &[u8]) -> String {
    if name == b"- " {
        return "(not HTTP)".to_owned();
    }
    cut(&visible(&String::from_utf8_lossy(name)), ROUTE_WIDTH)
}

/// The end of a long path: there stands what tells files apart.
fn end_of(name: &str) -> String {
    let mut from = 0;
    while table::width(&name[from..]) > FILE_WIDTH {
        from += name[from..].chars().next().map_or(1, char::len_utf8);
    }
    if from == 0 { name.to_owned() } else { format!("…{}", &name[from..]) }
}

fn quantiles(took: &Histogram) -> Option<[String; 3]> {
    Some([span(took.at(500)?), span(took.at(950)?), span(took.at(990)?)])
}

/// Some microseconds with two or three digits that count.
fn span(us: u64) -> String {
    let ms = us as f64 / 1e3;
    match us {
        0..10_000 => format!("{ms:.1} ms"),
        10_000..1_000_000 => format!("{ms:.0} ms"),
        1_000_000..100_000_000 => format!("{:.1} s", ms / 1e3),
        _ => format!("{:.0} s", ms / 1e3),
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}

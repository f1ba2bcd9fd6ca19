//! What a card says of the commits between what is live and what a plan makes live.

use super::card::{Line, Part, Span, text};
use super::plan::Plan;
use super::release::{Changes, Difference};
use super::text::Lang;

/// Commits on a run's card; more are counted.
pub(super) const ON_CARD_MAX: usize = 5;
/// Characters of a commit that are shown.
pub const COMMIT_CHARS: usize = 10;

/// The difference as a headline and its newest commits; `None` when nothing was known to be live.
pub(super) fn changes(plan: &Plan, lines_max: usize, lang: Lang) -> Option<Part> {
    let changes = plan.changes.as_ref()?;
    let mut line = vec![text("🔀 ")];
    line.extend(headline(changes, lang));
    if let Some(difference) = &changes.difference {
        line.extend(newest(difference, lines_max, lang));
    }
    Some(Part::Paragraph(line))
}

/// The files that change in the folder of database migrations.
pub(super) fn database(plan: &Plan, lines_max: usize, lang: Lang) -> Option<Part> {
    let database = plan.database.as_ref()?;
    let mut line = vec![text("🗄️ "), Span::Code(database.folder.clone()), text(" ")];
    let Some(files) = &database.files else {
        line.push(text(lang.pick(
            "数据库变更未知：现在无法读取",
            "database changes unknown: they could not be read",
        )));
        return Some(Part::Paragraph(line));
    };
    if files.is_empty() {
        line.push(text(lang.pick("没有数据库变更", "no database changes")));
        return Some(Part::Paragraph(line));
    }
    let count = files.len() as u64 + database.more;
    line.push(text(match lang {
        Lang::Zh => format!("{count} 个数据库变更文件"),
        Lang::En if count == 1 => "1 file of database changes".to_owned(),
        Lang::En => format!("{count} files of database changes"),
    }));
    for (how, path) in files.iter().take(lines_max) {
        line.push(text(format!("\n{how} ")));
        line.push(Span::Code(path.clone()));
    }
    let unnamed = count - files.len().min(lines_max) as u64;
    if unnamed > 0 && lines_max > 0 {
        line.push(text(match lang {
            Lang::Zh => format!("\n以及另外 {unnamed} 个"),
            Lang::En => format!("\nand {unnamed} more"),
        }));
    }
    Some(Part::Paragraph(line))
}

/// `5 commits since v1.2`, `takes back 3 commits of v1.3`.
pub fn headline(changes: &Changes, lang: Lang) -> Line {
    let version = Span::Code(changes.version.clone());
    let around = |before: &str, after: &str| vec![text(before), version.clone(), text(after)];
    let Some(Difference { forward, backward, .. }) = changes.difference else {
        return match lang {
            Lang::Zh => around("无法读取与在线版本 ", " 的差异"),
            Lang::En => around("the difference to ", ", which is live, could not be read"),
        };
    };
    let commits = |count| if count == 1 { "1 commit".into() } else { format!("{count} commits") };
    match (lang, forward, backward) {
        (Lang::Zh, 0, 0) => around("", " 已经在线"),
        (Lang::En, 0, 0) => around("", " is live already: the same commit"),
        (Lang::Zh, 0, back) => around("撤回 ", &format!(" 的 {back} 个提交")),
        (Lang::En, 0, back) => around(&format!("takes back {} of ", commits(back)), ""),
        (Lang::Zh, ahead, 0) => around("自 ", &format!(" 以来 {ahead} 个提交")),
        (Lang::En, ahead, 0) => around(&format!("{} since ", commits(ahead)), ""),
        (Lang::Zh, ahead, back) => {
            around("自 ", &format!(" 以来 {ahead} 个提交，并撤回它的 {back} 个提交"))
        }
        (Lang::En, ahead, back) => around(
            &format!("{} since ", commits(ahead)),
            &format!(", and {} of it taken back", commits(back)),
        ),
    }
}

fn newest(difference: &Difference, lines_max: usize, lang: Lang) -> Line {
    let mut line = Line::new();
    let shown = difference.newest.iter().take(lines_max);
    let count = u64::try_from(shown.len()).unwrap_or(u64::MAX);
    for commit in shown {
        line.push(text("\n"));
        line.push(Span::Code(commit.id.clone()));
        line.push(text(format!(" {}", commit.subject)));
    }
    let all = if difference.forward > 0 { difference.forward } else { difference.backward };
    if all > count {
        let more = all - count;
        line.push(text(match lang {
            Lang::Zh => format!("\n… 另有 {more} 个"),
            Lang::En => format!("\n… {more} more"),
        }));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::plan::tests::sample;
    use crate::core::release::Commit;

    fn said(difference: Option<Difference>, lang: Lang) -> String {
        let (version, commit) = ("v1.2".to_owned(), "c".repeat(40));
        let plan = Plan { changes: Some(Changes { version, commit, difference }), ..sample() };
        let Some(Part::Paragraph(line)) = changes(&plan, 2, lang) else { return String::new() };
        line.iter()
            .map(|span| match span {
                Span::Text(words) | Span::Code(words) => words.as_str(),
                _ => "?",
            })
            .collect()
    }

    fn difference(forward: u64, backward: u64) -> Difference {
        let commit = |id: &str| Commit { id: id.into(), subject: format!("mend {id}") };
        let newest = ["aaa", "bbb", "ccc"].map(commit).to_vec();
        Difference { forward, backward, newest }
    }

    #[test]
    fn each_direction_has_its_words_and_what_is_not_listed_is_counted() {
        let list = "\naaa mend aaa\nbbb mend bbb";
        assert_eq!(
            said(Some(difference(5, 0)), Lang::En),
            format!("🔀 5 commits since v1.2{list}\n… 3 more")
        );
        assert_eq!(
            said(Some(difference(5, 0)), Lang::Zh),
            format!("🔀 自 v1.2 以来 5 个提交{list}\n… 另有 3 个")
        );
        assert_eq!(
            said(Some(difference(0, 2)), Lang::En),
            format!("🔀 takes back 2 commits of v1.2{list}")
        );
        assert_eq!(
            said(Some(difference(0, 2)), Lang::Zh),
            format!("🔀 撤回 v1.2 的 2 个提交{list}")
        );
        assert!(
            said(Some(difference(2, 1)), Lang::En)
                .starts_with("🔀 2 commits since v1.2, and 1 commit of it taken back\n")
        );
        assert!(said(Some(Difference::default()), Lang::Zh).ends_with("v1.2 已经在线"));
        assert!(said(None, Lang::En).contains("could not be read"));
    }

    #[test]
    fn nothing_is_said_when_nothing_was_known_to_be_live() {
        assert_eq!(changes(&sample(), 2, Lang::Zh), None);
    }
}

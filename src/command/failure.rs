//! What the asker reads when the bot cannot do it, or not now: what is wrong, what was not done, and
//! what to do. The cause itself is for the log.

use super::{Context, refusal};
use crate::core::card::{Card, Line, Span, text};
use crate::core::text::Lang;
use crate::engine::Error;
use crate::store;
use crate::vitals::{Part, RESERVE_BYTES};

const MIB: u64 = 1024 * 1024;

/// What a failure of the engine says; `gone_since_ms`: the database is known to be away.
pub fn failure(error: &Error, gone_since_ms: Option<i64>, lang: Lang) -> Card {
    let Error::Store(cause) = error else { return refusal(vec![text(broken(lang))]) };
    if cause.is_disk_full() {
        return refusal(vec![text(lang.pick(
            "机器人数据库所在的磁盘已满，所以什么也没有执行。正在执行的步骤照常进行。请清理磁盘，然后再试。",
            "The disk of the bot's database is full, so nothing was done. Steps that run go on. Make room \
             there, then try again.",
        ))]);
    }
    if !cause.is_nothing_stored() {
        return refusal(vec![text(lang.pick(
            "写入时与数据库的连接断了，不能确定是否已经执行。请先用 status 查看，再决定要不要重新提出。",
            "The connection to the database broke while this was being written, so it is not certain \
             whether it counts. Look with status before you ask again.",
        ))]);
    }
    let mut line: Line = match (cause, gone_since_ms) {
        (store::Error::Unreachable, Some(since_ms)) => vec![
            text(lang.pick("机器人的数据库从 ", "The bot's database cannot be reached since ")),
            Span::Time(since_ms),
            text(lang.pick(" 起连不上，所以什么也没有执行。", ", so nothing was done.")),
        ],
        (store::Error::Unreachable, None) => vec![text(lang.pick(
            "机器人的数据库连不上，所以什么也没有执行。",
            "The bot's database cannot be reached, so nothing was done.",
        ))],
        _ => return refusal(vec![text(broken(lang))]),
    };
    line.push(text(lang.pick(
        "正在执行的步骤照常进行。数据库恢复后请重新提出；如果一直这样，请联系维护机器人的人。",
        " Steps that run go on. Ask again when it is back; if it stays away, tell whoever looks after \
         this bot.",
    )));
    refusal(line)
}

fn broken(lang: Lang) -> &'static str {
    lang.pick(
        "现在无法写入数据库，所以什么也没有执行。请稍后再试；如果一直这样，请联系维护机器人的人。",
        "The database cannot be written right now, so nothing was done. Try again in a moment; if it \
         goes on, tell whoever looks after this bot.",
    )
}

/// Why no run can be asked for at this moment: the disk is low, or too many wait already.
pub(super) async fn not_now(context: &Context<'_>) -> Result<Option<Card>, Error> {
    let (engine, lang) = (context.engine, context.lang);
    let sight = engine.vitals().sight();
    if !sight.is_good(Part::Disk) {
        return Ok(Some(disk_low(engine.host(), sight.free_bytes.unwrap_or(0), lang)));
    }
    let Some((waiting, most)) = engine.too_many_waiting().await? else { return Ok(None) };
    let words = match lang {
        Lang::Zh => format!(
            "已有 {waiting} 个执行在等待或排队（上限 {most}），所以没有接受。请等一些结束，或取消不需要的：runs state=waiting、runs state=queued，然后 cancel。"
        ),
        Lang::En => format!(
            "{waiting} runs wait or are queued already, and {most} may, so this was not accepted. Wait \
             until some have ended, or cancel what nobody needs: runs state=waiting, runs state=queued, \
             then cancel."
        ),
    };
    Ok(Some(refusal(vec![text(words)])))
}

fn disk_low(host: &str, free_bytes: u64, lang: Lang) -> Card {
    let (free, reserve) = (free_bytes / MIB, RESERVE_BYTES / MIB);
    refusal(match lang {
        Lang::Zh => vec![
            text("主机 "),
            Span::Code(host.to_owned()),
            text(format!(
                " 上机器人的数据目录只剩 {free} MiB，低于保留的 {reserve} MiB，所以没有开始新的执行。正在执行的继续。请清理磁盘，然后再试。"
            )),
        ],
        Lang::En => vec![
            text("The bot's data folder on "),
            Span::Code(host.to_owned()),
            text(format!(
                " has {free} MiB left, less than the reserve of {reserve} MiB, so no new run was begun. \
                 What runs goes on. Make room there, then try again."
            )),
        ],
    })
}

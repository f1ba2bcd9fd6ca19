//! A request that was not understood, and what its asker reads instead.

use super::{refusal, text, with_code};
use crate::core::card::{Card, Line, Span};
use crate::core::param::ArgumentFault;
use crate::core::text::Lang;

/// A request that was not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Misunderstood {
    /// More text than is read.
    TooLong,
    /// No verb and no action has this name.
    UnknownCommand {
        /// What was typed, cut.
        word: String,
        /// A close one.
        did_you_mean: Option<String>,
    },
    /// The command is known, its words are not.
    Arguments {
        /// The command.
        command: String,
        /// How it is written.
        usage: String,
        /// What is wrong.
        fault: Box<ArgumentFault>,
    },
    /// A button that no card of this version has.
    UnknownButton,
    /// No environment has this name.
    UnknownEnvironment {
        /// What was typed, cut.
        word: String,
        /// Those that exist.
        known: Vec<String>,
    },
}

impl Misunderstood {
    /// The word in the journal and in metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::UnknownCommand { .. } => "unknown_command",
            Self::Arguments { .. } => "arguments",
            Self::UnknownButton => "unknown_button",
            Self::UnknownEnvironment { .. } => "unknown_environment",
        }
    }

    /// What the asker reads.
    pub fn card(&self, lang: Lang) -> Card {
        let line: Line = match self {
            Self::TooLong => vec![text(lang.pick(
                "内容太长，没有读取。请把命令写短一些。",
                "That is too long to be read. Please write a shorter command.",
            ))],
            Self::UnknownCommand { word, did_you_mean } => {
                unknown(word, did_you_mean.as_deref(), lang)
            }
            Self::Arguments { usage, fault, .. } => {
                let mut line = with_code(fault.text().get(lang));
                line.push(text(lang.pick("\n写法：", "\nWrite: ")));
                line.push(Span::Code(format!("/neostock {usage}")));
                line
            }
            Self::UnknownButton => with_code(lang.pick(
                "这个按钮已经不起作用，什么也没有执行。请用 `/neostock status` 查看现在的情况。",
                "This button does nothing any more, and nothing was done. See `/neostock status`.",
            )),
            Self::UnknownEnvironment { word, known } => {
                vec![
                    text(lang.pick("没有环境 ", "There is no environment ")),
                    Span::Code(word.clone()),
                    text(lang.pick("。可用的环境：", ". There are: ")),
                    Span::Code(known.join(", ")),
                ]
            }
        };
        refusal(line)
    }
}

fn unknown(word: &str, did_you_mean: Option<&str>, lang: Lang) -> Line {
    let mut line = vec![
        text(lang.pick("没有命令 ", "There is no command ")),
        Span::Code(word.to_owned()),
        text(lang.pick("。", ". ")),
    ];
    match did_you_mean {
        Some(close) => line.extend([
            text(lang.pick("您是指 ", "Did you mean ")),
            Span::Code(format!("/neostock {close}")),
            text(lang.pick(" 吗？", "?")),
        ]),
        None => line.extend([
            text(lang.pick("可以输入的命令见 ", "What can be typed is listed by ")),
            Span::Code("/neostock help".to_owned()),
            text(lang.pick("。", ".")),
        ]),
    }
    line
}

//! `contacts`: whom to call in an emergency, in the order of calling. It is personal data: the answer is the
//! asker's alone, and the runbook says which role may ask.

use super::roles::VIEWER;
use super::{Context, Spec, answer};
use crate::core::action::Runbook;
use crate::core::contact_card;
use crate::core::param::ArgumentFault;
use crate::core::words::Words;
use crate::engine::{Asked, Error};

/// How it is asked for.
pub const SPEC: Spec = Spec {
    name: "contacts",
    usage: "",
    example: "contacts",
    zh: "应急联系人：按联系的先后顺序，电话、Slack、邮箱",
    en: "Emergency contacts in the order of calling: telephone, Slack, e-mail",
};

/// A question for the contacts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contacts;

/// Reads the words after `contacts`: none.
pub fn parse(words: &mut Words<'_>) -> Result<Contacts, ArgumentFault> {
    super::nothing_more(words)?;
    Ok(Contacts)
}

/// The role that may read them. Where there are none, everybody who may look is told how to add some.
pub(super) fn role(runbook: &Runbook) -> &str {
    runbook.contacts.as_ref().map_or(VIEWER, |contacts| &contacts.role)
}

/// Answers.
pub async fn run(context: &Context<'_>, asked: Asked) -> Result<String, Error> {
    let now_ms = context.engine.clock().now_ms();
    let card = contact_card::card(context.runbook.contacts.as_ref(), context.lang, now_ms);
    answer(context, asked, "request.answered", &card).await
}

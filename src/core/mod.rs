//! The rules of the product as pure values and functions.
//!
//! Nothing here is async, reads a clock, the environment or a file, or knows a vendor: `now` is an
//! argument and randomness comes in as bytes, so that every rule can be shown in a table.

pub mod action;
pub mod alert;
pub mod alert_card;
pub mod alert_mail;
pub mod alert_page;
pub mod alert_press;
pub mod card;
pub mod checklist;
pub mod checklist_card;
pub mod compliance;
pub mod contact;
pub mod contact_card;
pub mod decision;
pub mod decision_card;
pub mod delegation;
pub mod denial;
pub mod duration;
pub mod emergency;
pub mod escalation;
pub mod evidence;
pub mod follow_up_card;
pub mod freeze;
pub mod freeze_card;
pub mod gate;
pub mod host_card;
pub mod id;
pub mod journal;
pub mod journal_words;
pub mod oncall;
pub mod param;
pub mod plan;
pub mod plan_card;
pub mod policy;
pub mod press;
pub mod queue_card;
pub mod quorum;
pub mod release;
pub mod release_card;
pub mod result_card;
pub mod rule;
pub mod run;
pub mod run_card;
pub mod settle_card;
pub mod step;
pub mod step_result;
pub mod table;
pub mod template;
pub mod text;
pub mod told;
pub mod words;

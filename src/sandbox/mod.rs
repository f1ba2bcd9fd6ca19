//! A local workspace that speaks Slack's wire in both directions: the demo's world, a place to
//! train, and the test double of every integration test.
//!
//! It stands apart: it uses none of the project's other rooms, so that a mistake there cannot hide
//! here, and it is as strict as Slack documents itself to be. It listens on loopback only, keeps
//! everything in memory and has no idempotency: a message posted twice is two messages.
//!
//! People use it in a browser (`page`), tests and the demo through [`Workspace`].
//!
//! [`sample`] is the small service that the demo operates.

mod api;
pub mod blocks;
mod conversations;
mod deliver;
mod fault;
mod files;
mod guide;
mod message;
mod mrkdwn;
mod options;
mod page;
pub mod sample;
mod state;
mod traffic;
mod transcript;
mod workspace;

pub use deliver::Answer;
pub use fault::Fault;
pub use guide::{CommandHint, Guide, Idea};
pub use message::{Button, Message};
pub use options::{Channel, Group, Now, Options, Person};
pub use state::{ApiCall, SharedFile, View};
pub use traffic::Delivery;
pub use transcript::{Language, transcript};
pub use workspace::Workspace;

//! Everything that knows how Slack speaks: signatures, requests, blocks, Web API calls.
//!
//! Owns the wire, decides nothing: who may do what belongs to the pipeline, when to post to the
//! worker. A request's bytes become types here only after [`verify`] has proved them; a card becomes
//! blocks only in [`render`]; a token leaves only through [`client`].

pub mod client;
pub mod contact;
pub mod directory;
pub mod files;
mod form;
pub mod inbound;
pub mod mrkdwn;
pub mod plain;
pub mod render;
pub mod verify;
mod wire;

#[cfg(test)]
mod fake;

//! Slack's routes: parse what was verified, answer within its three seconds.

use super::Web;
use super::signed::{Signed, refuse};
use crate::core::card::{Card, text};
use crate::pipeline::Pipeline;
use crate::slack::inbound::{self, Inbound};
use crate::slack::render::Place;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use std::time::Duration;
use tracing::error;

/// Slack shows `operation_timeout` after 3,000 ms; the rest is for the way back.
const ANSWER_TIME_MAX: Duration = Duration::from_millis(2_400);

/// Anything that Slack sends, as Bolt's single endpoint takes it.
pub async fn any(State(web): State<Web>, signed: Signed) -> Response {
    respond(&web, signed, |_| true).await
}

/// Slash commands only.
pub async fn command(State(web): State<Web>, signed: Signed) -> Response {
    respond(&web, signed, |inbound| matches!(inbound, Inbound::Slash(_) | Inbound::SslCheck)).await
}

/// Buttons and forms only.
pub async fn interaction(State(web): State<Web>, signed: Signed) -> Response {
    let fits = |inbound: &Inbound| {
        matches!(
            inbound,
            Inbound::Press(_)
                | Inbound::ViewSubmission(_)
                | Inbound::SslCheck
                | Inbound::Unsupported { .. }
        )
    };
    respond(&web, signed, fits).await
}

async fn respond(web: &Web, signed: Signed, fits: impl Fn(&Inbound) -> bool) -> Response {
    let inbound = match inbound::parse(&signed.verified, signed.content_type.as_deref()) {
        Ok(inbound) if fits(&inbound) => inbound,
        Ok(_) => return refuse(web, StatusCode::BAD_REQUEST, "wrong_route"),
        Err(_) => return refuse(web, StatusCode::BAD_REQUEST, "malformed"),
    };
    // Without an id of Slack's, the signature names the delivery: a replay carries the same.
    let delivery = inbound.delivery_key().unwrap_or_else(|| format!("signed:{}", signed.signature));
    let slash_url = match &inbound {
        Inbound::Slash(slash) => Some(slash.response_url.clone()),
        _ => None,
    };
    let pipeline = Arc::clone(&web.0.pipeline);
    #[expect(clippy::disallowed_methods, reason = "the work outlives an answer that cannot wait")]
    let mut task = tokio::spawn(async move { pipeline.answer(inbound, delivery).await });
    match tokio::time::timeout(ANSWER_TIME_MAX, &mut task).await {
        Ok(Ok(answer)) => json(answer),
        Ok(Err(panic)) => {
            error!("answering a request panicked: {panic}");
            (StatusCode::INTERNAL_SERVER_ERROR, "").into_response()
        }
        Err(_) => match slash_url {
            Some(url) => {
                if let Some(url) = url {
                    finish_late(Arc::clone(&web.0.pipeline), task, url);
                }
                json(crate::command::ephemeral(&still_working()))
            }
            // Presses, forms and events are acknowledged with nothing: Slack shows no body of theirs.
            None => StatusCode::OK.into_response(),
        },
    }
}

fn finish_late(pipeline: Arc<Pipeline>, task: tokio::task::JoinHandle<String>, url: String) {
    #[expect(clippy::disallowed_methods, reason = "the request is answered; this comes after it")]
    tokio::spawn(async move {
        if let Ok(answer) = task.await {
            pipeline.answer_late(&url, &answer, Place::Private).await;
        }
    });
}

fn still_working() -> Card {
    crate::command::refusal(vec![text(
        "⏳ 正在处理，结果随后给出。 Working on it; the answer follows.",
    )])
}

fn json(body: String) -> Response {
    if body.is_empty() {
        return StatusCode::OK.into_response();
    }
    ([(header::CONTENT_TYPE, "application/json; charset=utf-8")], body).into_response()
}

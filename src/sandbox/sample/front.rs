//! The small proxy before the two colours. It asks anew for each request which colour is live, so
//! that a client that keeps its connection sees the switch as well; a second port always leads to the
//! idle colour, for the health check before the switch.

use super::pair::{self, Colour};
use super::process::{self, Unit};
use super::{
    Place,
    get::{Client, client},
};
use anyhow::Context;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{self, HeaderMap, HeaderName};
use axum::http::uri::{Authority, PathAndQuery, Scheme};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Requests under way at a time on one port; one more is answered 503.
const REQUESTS_MAX: usize = 512;
/// How long the body of a request may take to arrive.
const BODY_TIME_MAX: Duration = Duration::from_secs(10);
/// Bytes of a request's body: the service takes none, so this is generous.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// How long a colour may take to answer: more than it may be asked to be slow.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(65);
/// Headers that concern one connection and not the request.
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

struct Front {
    place: Place,
    client: Client,
    slots: Semaphore,
    choose: fn(Colour) -> Colour,
}

/// Serves both ports until the process is stopped.
pub(super) async fn serve(place: Place, port: u16, preview: u16) -> anyhow::Result<()> {
    process::ensure_alone(&place, Unit::Front)?;
    let listen = async |port: u16| {
        let listener = TcpListener::bind(("127.0.0.1", port)).await;
        listener.with_context(|| format!("listen on 127.0.0.1:{port}"))
    };
    let (public, private) = (listen(port).await?, listen(preview).await?);
    process::write_down(&place, Unit::Front, port)?;
    let to_live = serve_one(&place, public, |live| live);
    let to_idle = serve_one(&place, private, Colour::other);
    tokio::try_join!(to_live, to_idle).map(|_| ())
}

async fn serve_one(
    place: &Place,
    listener: TcpListener,
    choose: fn(Colour) -> Colour,
) -> anyhow::Result<()> {
    let slots = Semaphore::new(REQUESTS_MAX);
    let front = Arc::new(Front { place: place.clone(), client: client(), slots, choose });
    let router = Router::new().fallback(forward).with_state(front);
    let served = axum::serve(listener, router)
        .with_graceful_shutdown(process::end_of_service(place.clone()));
    served.await.context("serve")
}

async fn forward(State(front): State<Arc<Front>>, request: Request) -> Response {
    let Ok(_slot) = front.slots.try_acquire() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many requests at a time\n").into_response();
    };
    let target = pair::live(&front.place).ok().map(front.choose);
    let running = target.and_then(|colour| process::running(&front.place, Unit::Slot(colour)));
    let Some(running) = running else {
        return (StatusCode::BAD_GATEWAY, "this colour is not running\n").into_response();
    };
    let request = match readdressed(request, running.port).await {
        Ok(request) => request,
        Err(status) => return status.into_response(),
    };
    match tokio::time::timeout(ANSWER_TIME_MAX, front.client.request(request)).await {
        Ok(Ok(answer)) => {
            let (mut head, body) = answer.into_parts();
            strip(&mut head.headers);
            Response::from_parts(head, Body::new(body))
        }
        Ok(Err(_)) => (StatusCode::BAD_GATEWAY, "the colour did not answer\n").into_response(),
        Err(_) => (StatusCode::GATEWAY_TIMEOUT, "the colour took too long\n").into_response(),
    }
}

/// The same request for the colour on that port.
async fn readdressed(request: Request, port: u16) -> Result<axum::http::Request<Body>, StatusCode> {
    let (mut head, body) = request.into_parts();
    let body = tokio::time::timeout(BODY_TIME_MAX, to_bytes(body, BODY_BYTES_MAX))
        .await
        .map_err(|_| StatusCode::REQUEST_TIMEOUT)?
        .map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)?;
    let mut uri = head.uri.into_parts();
    uri.scheme = Some(Scheme::HTTP);
    let authority = Authority::try_from(format!("127.0.0.1:{port}"));
    uri.authority = Some(authority.map_err(|_| StatusCode::BAD_GATEWAY)?);
    uri.path_and_query.get_or_insert(PathAndQuery::from_static("/"));
    head.uri = Uri::from_parts(uri).map_err(|_| StatusCode::BAD_REQUEST)?;
    strip(&mut head.headers);
    Ok(axum::http::Request::from_parts(head, Body::from(body)))
}

/// Takes away what belongs to one connection, and what that connection says belongs to it.
fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in HOP_BY_HOP.iter().chain(&named) {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_one_connection_goes_no_further() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Private"),
            ("x-private", "1"),
            ("transfer-encoding", "chunked"),
            ("accept", "application/json"),
        ] {
            headers.insert(HeaderName::from_static(name), value.parse().expect("a value"));
        }

        strip(&mut headers);

        let left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["accept"]);
    }

    #[tokio::test]
    async fn a_request_keeps_its_path_and_gets_a_colours_address() {
        let request = Request::builder().uri("/api/quotes?a=1").body(Body::empty()).expect("valid");
        let huge = Request::new(Body::from(vec![0_u8; BODY_BYTES_MAX + 1]));

        let sent = readdressed(request, 4_321).await.expect("small");
        let refused = readdressed(huge, 4_321).await.expect_err("large");

        assert_eq!(sent.uri(), "http://127.0.0.1:4321/api/quotes?a=1");
        assert_eq!(refused, StatusCode::PAYLOAD_TOO_LARGE);
    }
}

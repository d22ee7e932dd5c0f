//! Requests and answers.
//!
//! Idle connections are kept and taken again, newest first. A request that finds its connection closed before a byte
//! of it was sent goes over a new one. One that finds no connection goes to the next node, until each has had its turn: a
//! start must not depend on the node that is named first. Any other failure is given back with what is known of it, and the
//! caller decides; the next request goes to the next node.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, StatusCode};
use tokio_rustls::TlsConnector;

use super::config::{Credentials, TargetConfig};
use super::connect::{self, Node};
use crate::Error;

/// No answer within this time counts as none.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(90);
/// The largest answer that is read. A bulk of 10,000 items answers with about 2 MiB when every one fails.
pub(super) const ANSWER_LIMIT: usize = 64 << 20;

/// No answer. Carries what decides whether the request can have had an effect.
#[derive(Debug, thiserror::Error)]
#[error("{node}: {what}")]
pub struct SendError {
    node: String,
    what: String,
    sent: bool,
    untrusted: bool,
    too_large: bool,
}

impl SendError {
    /// There was an answer, larger than it may be.
    pub(crate) fn is_too_large(&self) -> bool {
        self.too_large
    }

    /// The server's certificate is not trusted: trying again will not help.
    pub(crate) fn is_untrusted(&self) -> bool {
        self.untrusted
    }

    /// False when not a byte of the request left: it certainly had no effect. True when it may have been executed, be
    /// executing, or be executed later.
    pub fn may_have_been_executed(&self) -> bool {
        self.sent
    }
}

/// The answer to one request.
#[derive(Debug)]
pub(crate) struct Answer {
    /// HTTP status.
    pub status: StatusCode,
    /// The whole body.
    pub body: Bytes,
}

/// A pool of connections to the nodes of one cluster.
pub(super) struct Client {
    nodes: Vec<Node>,
    current: AtomicUsize,
    idle: Mutex<Vec<(usize, SendRequest<Full<Bytes>>)>>,
    tls: TlsConnector,
    authorization: Option<HeaderValue>,
}

impl Client {
    /// Checks the configuration; connects at the first request.
    ///
    /// # Errors
    /// A URL or certificate file that can't be used, a login that would travel unprotected.
    pub(super) fn new(config: &TargetConfig) -> Result<Self, Error> {
        let nodes =
            config.urls.iter().map(|url| Node::parse(url)).collect::<Result<Vec<_>, _>>()?;
        if nodes.is_empty() {
            return Err(Error::config("target.url is empty", "name at least one node"));
        }
        if config.credentials.is_some()
            && let Some(node) = nodes.iter().find(|node| node.is_open_and_remote())
        {
            return Err(Error::config(
                format!("the login would be sent unprotected to {}", node.authority),
                "use https in target.url",
            ));
        }
        let needed = config.urls.iter().any(|url| url.starts_with("https"));
        Ok(Client {
            tls: connect::tls(config.ca_file.as_deref(), needed)?,
            nodes,
            current: AtomicUsize::new(0),
            idle: Mutex::new(Vec::new()),
            authorization: config.credentials.as_ref().map(authorization).transpose()?,
        })
    }

    /// One request, one answer of any status.
    ///
    /// `path` begins with a slash and is already encoded. An empty body is sent as none.
    ///
    /// # Errors
    /// [`SendError`] when there is no complete answer.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        content_type: &'static str,
        body: Bytes,
    ) -> Result<Answer, SendError> {
        self.send_for(ANSWER_LIMIT, method, path, content_type, body).await
    }

    /// The same for an answer of up to `limit` bytes.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub(super) async fn send_for(
        &self,
        limit: usize,
        method: Method,
        path: &str,
        content_type: &'static str,
        body: Bytes,
    ) -> Result<Answer, SendError> {
        let mut tried = 1;
        loop {
            let turn = self.current.load(Ordering::Relaxed);
            let index = turn % self.nodes.len();
            let (method, body) = (method.clone(), body.clone());
            let answer = self.send_to(index, limit, method, path, content_type, body).await;
            let Err(error) = &answer else { return answer };
            if !error.too_large {
                // Another request may have moved on already.
                let next = turn.wrapping_add(1);
                let (now, then) = (Ordering::Relaxed, Ordering::Relaxed);
                let _ = self.current.compare_exchange(turn, next, now, then);
            }
            if error.sent || error.untrusted || tried == self.nodes.len() {
                return answer;
            }
            tried += 1;
        }
    }

    async fn send_to(
        &self,
        index: usize,
        limit: usize,
        method: Method,
        path: &str,
        content_type: &'static str,
        body: Bytes,
    ) -> Result<Answer, SendError> {
        let Some(node) = self.nodes.get(index) else {
            return Err(SendError {
                node: String::new(),
                what: "no node".into(),
                sent: false,
                untrusted: false,
                too_large: false,
            });
        };
        let fail = |what: String, sent: bool| SendError {
            node: node.authority.clone(),
            what,
            sent,
            untrusted: false,
            too_large: false,
        };
        let mut sender = match self.take_idle(index) {
            Some(sender) => sender,
            None => self.connect(node).await?,
        };
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .body(Full::new(body))
            .map_err(|error| fail(format!("{path:?} can't be requested: {error}"), false))?;
        let headers = request.headers_mut();
        let host = HeaderValue::try_from(node.authority.as_str());
        headers.insert(HOST, host.map_err(|error| fail(error.to_string(), false))?);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        let exchange = async {
            let response = match sender.try_send_request(request).await {
                Ok(response) => response,
                Err(mut error) => match error.take_message() {
                    // The connection was closed meanwhile and the request is still whole.
                    Some(request) => {
                        sender = self.connect(node).await?;
                        let sent = sender.send_request(request).await;
                        sent.map_err(|error| fail(explain(&error), true))?
                    }
                    None => return Err(fail(explain(error.error()), true)),
                },
            };
            let status = response.status();
            let body = match read_bounded(response.into_body(), limit).await {
                Ok(Some(body)) => body,
                Ok(None) => {
                    let what = format!("the answer is larger than {limit} bytes");
                    return Err(SendError { too_large: true, ..fail(what, true) });
                }
                Err(what) => return Err(fail(what, true)),
            };
            Ok(Answer { status, body })
        };
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, exchange).await.map_err(|_| {
            fail(format!("no answer within {} s", ANSWER_TIMEOUT.as_secs()), true)
        })??;
        self.lock_idle().push((index, sender));
        Ok(answer)
    }

    async fn connect(&self, node: &Node) -> Result<SendRequest<Full<Bytes>>, SendError> {
        node.connect(&self.tls).await.map_err(|error| SendError {
            node: node.authority.clone(),
            what: format!("can't connect: {error}"),
            sent: false,
            untrusted: connect::is_untrusted(&error),
            too_large: false,
        })
    }

    fn take_idle(&self, index: usize) -> Option<SendRequest<Full<Bytes>>> {
        let mut idle = self.lock_idle();
        idle.retain(|(_, sender)| !sender.is_closed());
        let at = idle.iter().rposition(|(of, sender)| *of == index && sender.is_ready())?;
        Some(idle.swap_remove(at).1)
    }

    fn lock_idle(&self) -> std::sync::MutexGuard<'_, Vec<(usize, SendRequest<Full<Bytes>>)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn authorization(credentials: &Credentials) -> Result<HeaderValue, Error> {
    let text = match credentials {
        Credentials::Basic { username, password } => {
            let pair = format!("{username}:{}", password.expose());
            format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
        }
        Credentials::ApiKey(key) => format!("ApiKey {}", key.expose()),
    };
    let mut value = HeaderValue::try_from(text).map_err(|_| {
        Error::config("the login of the target has a byte that HTTP can't carry", "check it")
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// The whole body; nothing when it is larger than `limit`.
async fn read_bounded(
    mut body: hyper::body::Incoming,
    limit: usize,
) -> Result<Option<Bytes>, String> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| explain(&error))?;
        let Ok(data) = frame.into_data() else { continue };
        if whole.len() + data.len() > limit {
            return Ok(None);
        }
        whole.extend_from_slice(&data);
    }
    Ok(Some(whole.freeze()))
}

/// The error and what is behind it, which hyper leaves out.
fn explain(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Target;
    use super::*;
    use crate::stub::Stub;

    #[tokio::test]
    async fn a_node_that_is_away_is_passed_over() {
        let stub = Stub::start(Vec::new()).await;
        let away = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let nobody = format!("http://{}", away.local_addr().unwrap());
        drop(away);
        let config = |urls: Vec<String>| TargetConfig { urls, credentials: None, ca_file: None };
        Target::connect(&config(vec![nobody.clone(), stub.url(), nobody.clone()])).await.unwrap();
        Target::connect(&config(vec![nobody.clone(), nobody])).await.map(drop).unwrap_err();
    }
}

//! What becomes of the answer to one request.

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers {
    /// The request is executed and its connection cut.
    Lost,
    /// The request is executed; nothing comes back, and the connection stays.
    Never,
    /// The request is executed; so many bytes of the answer come back.
    Truncated(usize),
    /// So many bytes of the request arrive, then the connection is cut.
    HalfAsked(usize),
    /// Somebody in between answers: nothing arrives.
    Instead(Canned),
    /// The request is executed, and somebody in between answers something else.
    After(Canned),
}

/// An answer that no search server gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Canned {
    /// 429 with no body, as from a circuit breaker or a proxy.
    TooMany,
    /// A gateway that has no server (502, 503) or lost its patience (504), with a page about it.
    Gateway(u16),
    /// Status 200, and a page that asks to log in.
    Page,
    /// 413 with no body.
    TooLarge,
}

impl Canned {
    /// The whole answer.
    pub(super) fn bytes(self) -> Vec<u8> {
        let page = "<html><body><h1>Something is wrong, or is it?</h1></body></html>";
        let (status, body) = match self {
            Canned::TooMany => ("429 Too Many Requests".to_owned(), ""),
            Canned::Gateway(status) => (format!("{status} Gateway"), page),
            Canned::Page => ("200 OK".to_owned(), page),
            Canned::TooLarge => ("413 Request Entity Too Large".to_owned(), ""),
        };
        format!(
            "HTTP/1.1 {status}\r\ncontent-type: text/html\r\ncontent-length: {}\r\n\
             connection: close\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }
}

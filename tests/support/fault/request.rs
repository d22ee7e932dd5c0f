//! Requests of HTTP/1.1, each passed on when it is complete, and what comes back.
//!
//! Whose answer it is needs no reading: a client of ours asks again only when the answer before is complete.

use std::io;

use tokio::net::TcpStream;
use tokio::sync::watch;

use super::answers::Answers;
use super::link::{Left, wait_while};
use super::relay::{at_once, hold_up, read, swallow, write_all};
use super::{Fault, Shared};

const PIECE: usize = 64 * 1024;

/// Until one side closes.
pub(super) async fn one_by_one(
    shared: &Shared,
    mut fault: watch::Receiver<Fault>,
    client: &TcpStream,
    server: &TcpStream,
) -> io::Result<Left> {
    let mut link = Link { client, server, asked: Vec::new(), spoil: None };
    let (mut question, mut answer) = (vec![0; PIECE], vec![0; PIECE]);
    loop {
        let now = *fault.borrow_and_update();
        if now == Fault::Stalled {
            wait_while(&mut fault, |fault| fault == Fault::Stalled).await;
            continue;
        }
        let most = at_once(now);
        let (from_client, read) = tokio::select! {
            biased;
            _ = fault.changed() => continue,
            read = read(client, &mut question[..most]) => (true, read?),
            read = read(server, &mut answer[..most]) => (false, read?),
        };
        if now == Fault::HalfOpen {
            let from = if from_client { client } else { server };
            swallow(&mut fault, from, &mut question).await;
            return Ok(Left::Broken);
        }
        if read == 0 {
            return Ok(Left::Closed);
        }
        hold_up(now).await;
        let left = if from_client {
            link.asked.extend_from_slice(&question[..read]);
            link.pass_on(shared).await?
        } else {
            link.answered(&mut fault, &answer[..read]).await?
        };
        if let Some(left) = left {
            return Ok(left);
        }
    }
}

struct Link<'a> {
    client: &'a TcpStream,
    server: &'a TcpStream,
    /// What has come of a request that is not complete.
    asked: Vec<u8>,
    /// What is to become of the answer that comes next.
    spoil: Option<Answers>,
}

impl Link<'_> {
    /// Sends a request on, once it is complete.
    async fn pass_on(&mut self, shared: &Shared) -> io::Result<Option<Left>> {
        while let Some(length) = complete(&self.asked) {
            self.spoil = shared.draw();
            match self.spoil {
                Some(Answers::HalfAsked(most)) => {
                    write_all(self.server, &self.asked[..most.min(length - 1)]).await?;
                    return Ok(Some(Left::Closed));
                }
                Some(Answers::Instead(canned)) => {
                    write_all(self.client, &canned.bytes()).await?;
                    return Ok(Some(Left::Closed));
                }
                _ => write_all(self.server, &self.asked[..length]).await?,
            }
            self.asked.drain(..length);
        }
        Ok(None)
    }

    /// A piece of an answer has come.
    async fn answered(
        &mut self,
        fault: &mut watch::Receiver<Fault>,
        piece: &[u8],
    ) -> io::Result<Option<Left>> {
        match self.spoil {
            None | Some(Answers::HalfAsked(_) | Answers::Instead(_)) => {
                write_all(self.client, piece).await?;
                return Ok(None);
            }
            Some(Answers::Lost) => {}
            Some(Answers::Truncated(most)) => {
                write_all(self.client, &piece[..most.min(piece.len() - 1)]).await?;
            }
            Some(Answers::After(canned)) => write_all(self.client, &canned.bytes()).await?,
            Some(Answers::Never) => {
                wait_while(fault, |fault| matches!(fault, Fault::Answered(..))).await;
                return Ok(Some(Left::Broken));
            }
        }
        Ok(Some(Left::Closed))
    }
}

/// The length of the first request, once all of it is there. Our clients tell the length of a body beforehand.
fn complete(asked: &[u8]) -> Option<usize> {
    let head = asked.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&asked[..head]).to_ascii_lowercase();
    let body = text.lines().find_map(|line| line.strip_prefix("content-length:"));
    let body = body.map_or(0, |length| length.trim().parse().unwrap());
    (asked.len() >= head + body).then_some(head + body)
}

//! One connection of a client, and the one to the server that belongs to it.

use std::io;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::{End, Fault, Protocol, Shared, relay, request};

/// How a relay was left: what is lost can't go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// One side has closed the connection, or it was cut on purpose.
    Closed,
    /// Bytes are lost.
    Broken,
}

/// Accepts clients. While connections are refused, nobody listens.
pub(super) async fn listen(shared: Arc<Shared>, mut listener: TcpListener) {
    let mut fault = shared.fault.subscribe();
    let address = listener.local_addr().unwrap();
    loop {
        if *fault.borrow_and_update() == Fault::Refused {
            drop(listener);
            wait_while(&mut fault, |fault| fault == Fault::Refused).await;
            listener = TcpListener::bind(address).await.unwrap();
        }
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((client, _)) = accepted {
                    tokio::spawn(link(shared.clone(), client));
                }
            }
            _ = fault.changed() => {}
        }
    }
}

async fn link(shared: Arc<Shared>, client: TcpStream) {
    let (mut end, mut server) = (shared.end.subscribe(), None);
    let (client, mut how) = (client, End::Cut);
    let _ = client.set_nodelay(true);
    tokio::select! {
        left = carry(&shared, &client, &mut server) => {
            if matches!(left, Ok(Left::Broken)) {
                how = End::Reset;
            }
        }
        _ = end.changed() => how = end.borrow().1,
    }
    if how == End::Forgotten {
        // Until another end comes: that of the proxy.
        let _ = end.changed().await;
        how = End::Reset;
    }
    if how == End::Reset {
        for stream in [Some(&client), server.as_ref()].into_iter().flatten() {
            let _ = stream.set_zero_linger();
        }
    }
}

/// Until one side closes.
async fn carry(
    shared: &Shared,
    client: &TcpStream,
    server: &mut Option<TcpStream>,
) -> io::Result<Left> {
    let mut fault = shared.fault.subscribe();
    let now = *fault.borrow_and_update();
    match now {
        Fault::Stalled => wait_while(&mut fault, |fault| fault == Fault::Stalled).await,
        Fault::HalfOpen => {
            wait_while(&mut fault, |fault| fault == Fault::HalfOpen).await;
            return Ok(Left::Broken);
        }
        _ => {}
    }
    let connected = TcpStream::connect(shared.server).await?;
    connected.set_nodelay(true)?;
    let server = server.insert(connected);
    match shared.protocol {
        Protocol::Bytes => relay::both_ways(fault, client, server).await,
        Protocol::Http => request::one_by_one(shared, fault, client, server).await,
    }
}

/// Until the fault is another one.
pub(super) async fn wait_while(fault: &mut watch::Receiver<Fault>, same: impl Fn(Fault) -> bool) {
    // The proxy lives as long as its connections do.
    let _ = fault.wait_for(|fault| !same(*fault)).await;
}

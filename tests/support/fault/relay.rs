//! Bytes from one side to the other, as the fault of the moment lets them.

use std::io;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::sleep;

use super::Fault;
use super::link::{Left, wait_while};

const PIECE: usize = 64 * 1024;
/// A slow line moves so often.
const TICKS: u32 = 20;

/// Until one side closes.
pub(super) async fn both_ways(
    fault: watch::Receiver<Fault>,
    client: &TcpStream,
    server: &TcpStream,
) -> io::Result<Left> {
    tokio::select! {
        left = one_way(fault.clone(), client, server) => left,
        left = one_way(fault.clone(), server, client) => left,
    }
}

async fn one_way(
    mut fault: watch::Receiver<Fault>,
    from: &TcpStream,
    to: &TcpStream,
) -> io::Result<Left> {
    let mut piece = vec![0; PIECE];
    loop {
        let now = *fault.borrow_and_update();
        if now == Fault::Stalled {
            wait_while(&mut fault, |fault| fault == Fault::Stalled).await;
            continue;
        }
        let read = tokio::select! {
            biased;
            _ = fault.changed() => continue,
            read = read(from, &mut piece[..at_once(now)]) => read?,
        };
        if now == Fault::HalfOpen {
            swallow(&mut fault, from, &mut piece).await;
            return Ok(Left::Broken);
        }
        if read == 0 {
            return Ok(Left::Closed);
        }
        hold_up(now).await;
        write_all(to, &piece[..read]).await?;
    }
}

/// Takes whatever comes, until the fault is another one.
pub(super) async fn swallow(
    fault: &mut watch::Receiver<Fault>,
    from: &TcpStream,
    piece: &mut [u8],
) {
    let forever = async {
        while !matches!(read(from, piece).await, Ok(0) | Err(_)) {}
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = forever => {}
        () = wait_while(fault, |fault| fault == Fault::HalfOpen) => {}
    }
}

/// How much may be taken.
pub(super) fn at_once(fault: Fault) -> usize {
    match fault {
        Fault::Slow(rate) => usize::try_from(rate / TICKS).unwrap().clamp(1, PIECE),
        _ => PIECE,
    }
}

/// Waits as long as a piece takes.
pub(super) async fn hold_up(fault: Fault) {
    match fault {
        Fault::Delayed(late) => sleep(late).await,
        Fault::Slow(_) => sleep(Duration::from_secs(1) / TICKS).await,
        _ => {}
    }
}

pub(super) async fn read(from: &TcpStream, into: &mut [u8]) -> io::Result<usize> {
    loop {
        from.readable().await?;
        match from.try_read(into) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            done => return done,
        }
    }
}

pub(super) async fn write_all(to: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        to.writable().await?;
        match to.try_write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

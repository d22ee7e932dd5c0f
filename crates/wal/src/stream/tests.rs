//! The stream against a scripted server.

use std::time::Duration;

use bytes::BytesMut;
use change::Lsn;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::error::{Error, Kind, Result};
use crate::testing::{
    PATIENCE, Server, error_response, frame, keepalive, pair, tcp_pair, wal_data,
};

struct Stream {
    server: Server<UnixStream>,
    receiver: Receiver,
    confirm: Confirm,
    shutdown: CancellationToken,
    pump: JoinHandle<Result<()>>,
}

fn start(options: StreamOptions) -> Stream {
    let (wire, server) = pair();
    let (pump, receiver, confirm) = Replication::new(wire, Lsn::new(100)).split(options);
    let shutdown = CancellationToken::new();
    let pump = tokio::spawn(pump.run(shutdown.clone()));
    Stream { server, receiver, confirm, shutdown, pump }
}

fn patient(millis: u64) -> StreamOptions {
    StreamOptions { wal_sender_timeout: Duration::from_millis(millis), ..StreamOptions::default() }
}

async fn outcome(pump: JoinHandle<Result<()>>) -> Result<()> {
    timeout(PATIENCE, pump).await.unwrap().unwrap()
}

async fn next(receiver: &mut Receiver) -> Option<Chunk> {
    timeout(PATIENCE, receiver.next()).await.unwrap()
}

/// The payloads' first bytes and the keepalives' positions.
async fn read(receiver: &mut Receiver, count: usize) -> Vec<u64> {
    let mut seen = Vec::new();
    while seen.len() < count {
        for message in next(receiver).await.unwrap().messages() {
            seen.push(match message.unwrap() {
                Message::WalData { payload, .. } => u64::from(payload[0]),
                Message::Keepalive { wal_end, .. } => wal_end.get(),
            });
        }
    }
    seen
}

#[tokio::test]
async fn the_first_update_confirms_the_start_and_keepalives_confirm_nothing() {
    let mut stream = start(StreamOptions::default());
    assert_eq!(stream.server.status().await, [100, 100, 100, 0]);
    let mut both = wal_data(500, b"x");
    both.extend(keepalive(1000, true));
    stream.server.send(&both).await;
    assert_eq!(stream.server.status().await, [1000, 100, 100, 0], "nobody has read a chunk yet");
    assert_eq!(read(&mut stream.receiver, 2).await, [u64::from(b'x'), 1000]);
    stream.server.send(&keepalive(900, true)).await;
    assert_eq!(stream.server.status().await, [1000, 100, 100, 0], "positions never go back");
}

#[tokio::test]
async fn confirmations_rise_on_the_wire() {
    let mut stream = start(StreamOptions::default());
    stream.server.status().await;
    let mut last = 100;
    for (position, rises) in
        [(110, true), (105, false), (110, false), (400, true), (0, false), (401, true)]
    {
        stream.confirm.confirm(Lsn::new(position));
        if rises {
            let [written, flushed, applied, ask] = stream.server.status().await;
            assert_eq!((flushed, applied, ask), (position, position, 0));
            assert!(written >= flushed && flushed > last);
            last = flushed;
        }
        assert_eq!(stream.confirm.position(), Lsn::new(last));
    }
}

#[tokio::test]
async fn many_confirmations_are_told_together() {
    let mut stream = start(StreamOptions::default());
    stream.server.status().await;
    for position in 101..=10_100 {
        stream.confirm.confirm(Lsn::new(position));
        if position % 100 == 0 {
            sleep(Duration::from_micros(100)).await;
        }
    }
    let mut updates = 0;
    let mut last = 100;
    while last < 10_100 {
        let [_, flushed, ..] = stream.server.status().await;
        assert!(flushed > last);
        last = flushed;
        updates += 1;
    }
    assert!(updates <= 60, "{updates} updates");
}

#[tokio::test]
async fn a_consumer_that_sleeps_stops_the_reading_but_not_the_updates() {
    let options = StreamOptions { chunks: 2, bytes: 10_000, ..patient(150) };
    let mut stream = start(options);
    stream.server.status().await;
    let message = wal_data(200, &[7; 1000]);
    let mut sent = 0;
    // What fits into the socket, the input buffer and the queue.
    while timeout(Duration::from_millis(200), stream.server.stream.write_all(&message))
        .await
        .is_ok()
    {
        sent += 1;
        assert!(sent < 5000, "the pump reads without end");
    }
    for _ in 0..10 {
        let [_, flushed, ..] = stream.server.status().await;
        assert_eq!(flushed, 100);
    }
    assert!(!stream.pump.is_finished(), "a full queue is no silence");
    // The message that did not fit was cut off somewhere; what came before it is whole.
    assert_eq!(read(&mut stream.receiver, sent).await.len(), sent);
}

#[tokio::test]
async fn the_queue_is_bounded_and_one_huge_message_passes() {
    let options = StreamOptions { chunks: 3, bytes: 1000, ..StreamOptions::default() };
    let mut stream = start(options);
    let huge = wal_data(200, &vec![1; 3 << 20]);
    let mut after = huge.clone();
    for byte in 2..=200 {
        after.extend(wal_data(200, &[byte; 400]));
    }
    let reading = async {
        let mut seen = Vec::new();
        let mut largest = 0;
        while seen.len() < 200 {
            let chunk = next(&mut stream.receiver).await.unwrap();
            largest = largest.max(chunk.size());
            for message in chunk.messages() {
                let Message::WalData { payload, .. } = message.unwrap() else { panic!() };
                seen.push(payload[0]);
            }
        }
        assert_eq!(seen, (1..=200).collect::<Vec<u8>>());
        assert!(largest >= huge.len());
    };
    tokio::join!(stream.server.send(&after), reading);
    assert!(stream.receiver.try_next().is_none());
}

#[tokio::test]
async fn whatever_the_split_the_messages_are_the_same() {
    let mut bytes = BytesMut::new();
    for (i, size) in [0_u8, 1, 30, 7].into_iter().enumerate() {
        bytes.extend(wal_data(i as u64, &vec![size; usize::from(size) + 1]));
        bytes.extend(keepalive(1000 + i as u64, false));
    }
    let expected = [0, 1000, 1, 1001, 30, 1002, 7, 1003];
    for split in 0..=bytes.len() {
        let mut stream = start(StreamOptions::default());
        stream.server.send(&bytes[..split]).await;
        tokio::task::yield_now().await;
        stream.server.send(&bytes[split..]).await;
        assert_eq!(read(&mut stream.receiver, 8).await, expected, "split at {split}");
    }
    let mut stream = start(StreamOptions::default());
    for byte in &bytes {
        stream.server.send(&[*byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(read(&mut stream.receiver, 8).await, expected, "byte by byte");
}

#[tokio::test]
async fn a_burst_is_gathered_but_its_end_is_not_held() {
    let (wire, mut server) = tcp_pair().await;
    let (pump, mut receiver, _confirm) =
        Replication::new(wire, Lsn::ZERO).split(StreamOptions::default());
    let shutdown = CancellationToken::new();
    let pump = tokio::spawn(pump.run(shutdown.clone()));
    for _ in 0..20 {
        let message = wal_data(1, b"x");
        let burst = async {
            for _ in 0..500 {
                server.send(&message).await;
                tokio::task::yield_now().await;
            }
        };
        tokio::join!(burst, read(&mut receiver, 500));
        server.send(&keepalive(2, false)).await;
        let started = tokio::time::Instant::now();
        assert_eq!(read(&mut receiver, 1).await, [2]);
        assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    }
    shutdown.cancel();
    drop(server);
    assert!(outcome(pump).await.is_ok());
}

#[tokio::test]
async fn an_unknown_message_is_an_error_at_its_place() {
    let mut stream = start(StreamOptions::default());
    let mut bytes = wal_data(200, b"ok");
    let position = bytes.len() + 5;
    bytes.extend(frame(b'd', b"x???"));
    bytes.extend(wal_data(200, b"never seen"));
    stream.server.send(&bytes).await;
    let mut messages = Vec::new();
    while messages.len() < 2 {
        let chunk = next(&mut stream.receiver).await.unwrap();
        messages.extend(
            chunk.messages().map(|message| message.map(|_| ()).map_err(|error| error.to_string())),
        );
    }
    assert_eq!(messages.len(), 2, "nothing follows an error: {messages:?}");
    let error = messages.pop().unwrap().unwrap_err();
    assert!(error.contains("0x78") && error.contains(&format!("byte {position} ")), "{error}");
}

#[test]
fn malformed_messages() {
    for body in [
        &b""[..],
        b"w",
        b"w12345678123456781234567",
        b"k1234567812345678",
        b"k1234567812345678\x02",
        b"k1234567812345678\x00\x00",
    ] {
        let error = chunk::parse(body, 77).unwrap_err();
        assert!(matches!(error, Error::Protocol { position: 77, .. }), "{error}");
    }
    let empty =
        chunk::parse(b"w\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", 0)
            .unwrap();
    let expected =
        Message::WalData { start: Lsn::new(1), end: Lsn::new(2), sent_at: -1, payload: b"" };
    assert_eq!(empty, expected);
}

#[tokio::test]
async fn the_servers_reason_comes_after_what_it_sent() {
    let mut stream = start(StreamOptions::default());
    let mut bytes = wal_data(200, b"a");
    bytes.extend(frame(b'N', b"SNOTICE\0C00000\0Mjust so\0\0"));
    bytes.extend(wal_data(200, b"b"));
    bytes.extend(error_response("57P01", "terminating"));
    stream.server.send(&bytes).await;
    assert_eq!(read(&mut stream.receiver, 2).await, [u64::from(b'a'), u64::from(b'b')]);
    assert!(next(&mut stream.receiver).await.is_none());
    let error = outcome(stream.pump).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Transient);
    assert_eq!(error.db_error().unwrap().code, "57P01");
}

#[tokio::test]
async fn half_an_error_holds_nothing_up() {
    let mut stream = start(patient(150));
    stream.server.status().await;
    let error = error_response("57P01", "terminating");
    stream.server.send(&error[..10]).await;
    stream.server.status().await;
    stream.server.status().await;
    stream.server.send(&error[10..]).await;
    assert!(outcome(stream.pump).await.unwrap_err().db_error().is_some());
}

#[tokio::test]
async fn a_server_that_ends_the_stream() {
    let mut stream = start(StreamOptions::default());
    stream.server.send(&frame(b'c', b"")).await;
    let error = outcome(stream.pump).await.unwrap_err();
    assert!(matches!(error, Error::Closed { .. }), "{error}");

    let stream = start(StreamOptions::default());
    drop(stream.server);
    let error = outcome(stream.pump).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Transient, "{error}");
}

#[tokio::test]
async fn a_length_that_cannot_be() {
    for length in [0_u32, 3, 0x8000_0000, u32::MAX] {
        let mut stream = start(StreamOptions::default());
        let mut bytes = wal_data(200, b"a");
        let position = bytes.len() as u64;
        bytes.extend(b"d");
        bytes.extend(length.to_be_bytes());
        stream.server.send(&bytes).await;
        let error = outcome(stream.pump).await.unwrap_err();
        assert!(matches!(error, Error::Protocol { position: at, .. } if at == position), "{error}");
    }
}

#[tokio::test]
async fn shutdown_tells_the_last_confirmation_and_ends_in_order() {
    let mut stream = start(StreamOptions::default());
    stream.server.status().await;
    stream.confirm.confirm(Lsn::new(300));
    stream.shutdown.cancel();
    let [_, flushed, ..] = stream.server.status().await;
    assert_eq!(flushed, 300);
    assert_eq!(stream.server.read().await, (b'c', vec![]));
    // The server is in the middle of something.
    let mut rest = wal_data(400, &[0; 100_000]);
    rest.extend(keepalive(500, true));
    rest.extend(frame(b'c', b""));
    rest.extend(frame(b'C', b"COPY 0\0"));
    rest.extend(frame(b'Z', b"I"));
    stream.server.send(&rest).await;
    assert_eq!(stream.server.read().await, (b'X', vec![]));
    assert!(outcome(stream.pump).await.is_ok());
}

#[tokio::test]
async fn shutdown_does_not_wait_for_ever() {
    let stream = start(StreamOptions::default());
    stream.shutdown.cancel();
    assert!(timeout(Duration::from_secs(5), stream.pump).await.unwrap().unwrap().is_ok());
}

#[tokio::test]
async fn without_a_consumer_the_stream_ends() {
    let mut stream = start(StreamOptions::default());
    stream.server.status().await;
    drop(stream.receiver);
    stream.server.status().await;
    assert_eq!(stream.server.read().await, (b'c', vec![]));
    drop(stream.server);
    assert!(outcome(stream.pump).await.is_ok());
}

#[tokio::test]
async fn silence_is_asked_about_and_then_the_end() {
    let mut stream = start(patient(120));
    loop {
        let [.., ask] = stream.server.status().await;
        if ask == 1 {
            break;
        }
    }
    // A sign of life starts it all over.
    stream.server.send(&keepalive(1, false)).await;
    let started = tokio::time::Instant::now();
    let error = outcome(stream.pump).await.unwrap_err();
    assert!(matches!(error, Error::Silent { .. }), "{error}");
    assert!(started.elapsed() >= Duration::from_millis(230), "{:?}", started.elapsed());
    assert_eq!(error.kind(), Kind::Transient);
}

#[tokio::test]
async fn confirm_may_be_dropped() {
    let mut stream = start(patient(300));
    stream.confirm.confirm(Lsn::new(200));
    drop(stream.confirm);
    for _ in 0..3 {
        stream.server.status().await;
    }
    assert_eq!(stream.server.status().await[1], 200);
    stream.server.send(&wal_data(300, b"a")).await;
    assert_eq!(read(&mut stream.receiver, 1).await, [u64::from(b'a')]);
}

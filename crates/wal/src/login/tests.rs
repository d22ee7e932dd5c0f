//! The login against servers that don't play by the rules.

use std::future::Future;

use tokio::net::TcpStream;

use crate::connection::Connection;
use crate::error::{Error, Kind, Result};
use crate::login::Mode;
use crate::testing::{Server, accept, error_response, frame, listen};

const SASL: &[u8] = b"\0\0\0\x0ASCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0";

/// Connects to a server that does what `script` says.
async fn against<F>(
    settings: &str,
    mode: Mode,
    script: impl FnOnce(Server<TcpStream>) -> F,
) -> Result<Connection>
where
    F: Future<Output = ()>,
{
    let (listener, info) = listen(settings).await;
    let server = async { script(accept(listener).await).await };
    let (connection, ()) = tokio::join!(Connection::connect(&info, mode), server);
    connection
}

async fn refused<F>(settings: &str, script: impl FnOnce(Server<TcpStream>) -> F) -> Error
where
    F: Future<Output = ()>,
{
    against(settings, Mode::Ordinary, script).await.unwrap_err()
}

/// Our first SCRAM message: the mechanism and the nonce.
async fn scram_start(server: &mut Server<TcpStream>) -> (String, String) {
    server.startup().await;
    server.send(&frame(b'R', SASL)).await;
    let (tag, body) = server.read().await;
    assert_eq!(tag, b'p');
    let text = String::from_utf8(body).unwrap();
    let (mechanism, rest) = text.split_once('\0').unwrap();
    let (_, nonce) = rest.split_once("r=").unwrap();
    (mechanism.to_owned(), nonce.to_owned())
}

async fn scram_continue(server: &mut Server<TcpStream>, message: &str) {
    let mut body = vec![0, 0, 0, 11];
    body.extend(message.as_bytes());
    server.send(&frame(b'R', &body)).await;
}

#[tokio::test]
async fn the_startup_message_pins_the_session() {
    let script = |mut server: Server<TcpStream>| async move {
        let parameters = server.startup().await;
        let get = |name: &str| {
            parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
        };
        assert_eq!(get("user"), Some("u"));
        assert_eq!(get("database"), Some("d"));
        assert_eq!(get("replication"), Some("database"));
        assert_eq!(get("application_name"), Some("wal2es"));
        assert_eq!(get("options"), Some("-c TimeZone=Asia/Tokyo"));
        assert_eq!(get("TimeZone"), Some("UTC"));
        assert_eq!(get("client_encoding"), Some("UTF8"));
        assert_eq!(get("search_path"), Some(""));
        assert_eq!(get("lc_monetary"), Some("C"));
        assert_eq!(get("quote_all_identifiers"), Some("off"));
        assert_eq!(get("transaction_timeout"), None, "Postgres 16 would refuse the login");
        server.welcome(&[("server_version", "15.18 (Debian)"), ("DateStyle", "ISO, YMD")]).await;
        server.settings(&[]).await;
    };
    let settings = "options='-c TimeZone=Asia/Tokyo'";
    let connection = against(settings, Mode::Replication, script).await.unwrap();
    assert_eq!(connection.server_version(), 150_018);
    assert_eq!(connection.process_id(), 1);
    assert!(!connection.is_tls());
}

#[tokio::test]
async fn a_session_that_is_not_as_asked_for() {
    for (name, value) in
        [("client_encoding", "LATIN1"), ("TimeZone", "Asia/Tokyo"), ("DateStyle", "SQL, DMY")]
    {
        let error = refused("", |mut server| async move {
            server.startup().await;
            server.welcome(&[(name, value)]).await;
        });
        let error = error.await;
        assert!(matches!(&error, Error::Session { got, .. } if got == value), "{error}");
        assert_eq!(error.kind(), Kind::Config);
    }
}

#[tokio::test]
async fn a_setting_that_a_pooler_kept_to_itself() {
    for (name, value) in [
        ("extra_float_digits", "0"),
        ("bytea_output", "escape"),
        ("lc_monetary", "ja_JP.UTF-8"),
        ("search_path", "\"$user\", public"),
        ("statement_timeout", "30s"),
        ("client_encoding", "LATIN1"),
    ] {
        let error = refused("", |mut server| async move {
            server.startup().await;
            server.welcome(&[("server_version", "14.2")]).await;
            server.settings(&[(name, value)]).await;
        });
        let error = error.await;
        assert_eq!(error.kind(), Kind::Config);
        let text = error.to_string();
        for part in [name, &format!("{value:?}"), "asked for", "pooler"] {
            assert!(text.contains(part), "{part} is not in: {text}");
        }
    }
}

#[tokio::test]
async fn settings_are_asked_for_by_version() {
    for (version, newer) in [("14.2", false), ("16.9", false), ("17.0", true), ("18beta1", true)] {
        let script = |mut server: Server<TcpStream>| async move {
            server.startup().await;
            server.welcome(&[("server_version", version)]).await;
            let question = server.settings(&[]).await;
            assert!(question.contains("pg_catalog.current_setting('idle_session_timeout')"));
            let set = "pg_catalog.set_config('transaction_timeout', '0', false)";
            assert_eq!(question.contains(set), newer, "{version}");
        };
        assert!(against("", Mode::Ordinary, script).await.is_ok());
    }
}

#[tokio::test]
async fn a_database_without_an_encoding_sends_what_it_has() {
    for encoding in ["SQL_ASCII", "UTF8"] {
        let script = |mut server: Server<TcpStream>| async move {
            assert!(server.startup().await.contains(&("client_encoding".into(), "UTF8".into())));
            server.welcome(&[("client_encoding", "UTF8"), ("server_encoding", encoding)]).await;
            let question = server.settings(&[("client_encoding", encoding)]).await;
            let raw = "pg_catalog.set_config('client_encoding', 'SQL_ASCII', false)";
            assert_eq!(question.contains(raw), encoding == "SQL_ASCII");
        };
        assert!(against("", Mode::Replication, script).await.is_ok());
        let (listener, info) = listen("").await;
        let server = async {
            let mut server = accept(listener).await;
            server.startup().await;
            server.welcome(&[("server_encoding", encoding)]).await;
            assert!(!server.settings(&[]).await.contains("SQL_ASCII"));
            server
        };
        let (client, _server) = tokio::join!(crate::sql::connect(&info), server);
        assert!(client.is_ok(), "tokio-postgres is for UTF-8");
    }
}

#[tokio::test]
async fn no_answer_about_the_settings_is_no_login() {
    let error = refused("", |mut server| async move {
        server.startup().await;
        server.welcome(&[]).await;
        server.read().await;
        let mut answer = frame(b'C', b"SELECT 0\0");
        answer.extend(frame(b'Z', b"I"));
        server.send(&answer).await;
    });
    let error = error.await;
    assert!(matches!(error, Error::Protocol { .. }), "{error}");
    let error = refused("", |mut server| async move {
        server.startup().await;
        server.welcome(&[]).await;
        server.read().await;
        let mut answer = error_response("42704", "unrecognized configuration parameter");
        answer.extend(frame(b'Z', b"I"));
        server.send(&answer).await;
    });
    assert_eq!(error.await.kind(), Kind::Config);
}

#[tokio::test]
async fn absurd_scram_iterations_are_not_computed() {
    let error = refused("password=p", |mut server| async move {
        let (mechanism, nonce) = scram_start(&mut server).await;
        assert_eq!(mechanism, "SCRAM-SHA-256", "no TLS to bind to");
        scram_continue(&mut server, &format!("r={nonce}abc,s=c2FsdA==,i=4000000000")).await;
    });
    let error = error.await;
    assert!(matches!(&error, Error::Login { .. }), "{error}");
    assert!(error.to_string().contains("4000000000"), "{error}");
}

#[tokio::test]
async fn a_server_that_does_not_know_the_password() {
    let error = refused("password=p", |mut server| async move {
        let (_, nonce) = scram_start(&mut server).await;
        scram_continue(&mut server, &format!("r={nonce}abc,s=c2FsdA==,i=1")).await;
        server.read().await;
        server.send(&frame(b'R', b"\0\0\0\x0Cv=AAAA")).await;
    });
    let error = error.await;
    assert!(error.to_string().contains("right server"), "{error}");
}

#[tokio::test]
async fn a_server_that_skips_its_proof() {
    for at_once in [true, false] {
        let error = refused("password=p", |mut server| async move {
            let (_, nonce) = scram_start(&mut server).await;
            if !at_once {
                scram_continue(&mut server, &format!("r={nonce}abc,s=c2FsdA==,i=1")).await;
                server.read().await;
            }
            server.send(&frame(b'R', &[0; 4])).await;
        });
        assert_eq!(error.await.kind(), Kind::Definite);
    }
}

#[tokio::test]
async fn channel_binding_that_cannot_be() {
    let sasl = refused("password=p channel_binding=require", |mut server| async move {
        server.startup().await;
        server.send(&frame(b'R', SASL)).await;
    });
    let trust = refused("channel_binding=require", |mut server| async move {
        server.startup().await;
        server.send(&frame(b'R', &[0; 4])).await;
    });
    let md5 = refused("password=p channel_binding=require", |mut server| async move {
        server.startup().await;
        server.send(&frame(b'R', b"\0\0\0\x05salt")).await;
    });
    for error in [sasl.await, trust.await, md5.await] {
        assert!(error.to_string().contains("channel_binding=require"), "{error}");
        assert_eq!(error.kind(), Kind::Config);
    }
}

#[tokio::test]
async fn a_password_that_is_wrong_or_missing() {
    let wrong = refused("password=p", |mut server| async move {
        server.startup().await;
        server.send(&frame(b'R', b"\0\0\0\x05salt")).await;
        assert_eq!(server.read().await.0, b'p');
        server.send(&error_response("28P01", "nope")).await;
    });
    let wrong = wrong.await;
    assert_eq!(wrong.kind(), Kind::Config);
    assert!(wrong.to_string().contains("came from the connection string"), "{wrong}");
    let missing = refused("", |mut server| async move {
        server.startup().await;
        server.send(&frame(b'R', b"\0\0\0\x03")).await;
    });
    let missing = missing.await.to_string();
    assert!(missing.contains("there is none in the connection string, PGPASSWORD"), "{missing}");
}

#[tokio::test]
async fn kinds_of_login_that_we_do_not_have() {
    for method in [2, 6, 7, 9] {
        let error = refused("", |mut server| async move {
            server.startup().await;
            server.send(&frame(b'R', &[0, 0, 0, method])).await;
        });
        assert_eq!(error.await.kind(), Kind::Config, "{method}");
    }
}

#[tokio::test]
async fn what_is_no_postgres() {
    for answer in
        [&b"HTTP/1.1 400 Bad Request\r\n"[..], b"R\0\0\0\x01", b"E\x7F\xFF\xFF\xFF", b"!\0\0\0\x04"]
    {
        let error = refused("", |mut server| async move {
            server.startup().await;
            server.send(answer).await;
        });
        let error = error.await;
        assert!(matches!(error, Error::Protocol { position: 0, .. }), "{error}");
    }
}

#[tokio::test]
async fn tls_that_is_not_there() {
    let script = |answer: &'static [u8]| {
        move |mut server: Server<TcpStream>| async move {
            let mut request = [0; 8];
            tokio::io::AsyncReadExt::read_exact(&mut server.stream, &mut request).await.unwrap();
            assert_eq!(request, [0, 0, 0, 8, 4, 210, 22, 47]);
            server.send(answer).await;
        }
    };
    let error = refused("sslmode=require", script(b"N")).await;
    assert!(matches!(error, Error::Tls { settings: true, .. }), "{error}");
    let error = refused("sslmode=require", script(b"H")).await;
    assert!(matches!(error, Error::Tls { settings: true, .. }), "{error}");
    let error = refused("sslmode=prefer", script(b"E")).await;
    assert_eq!(error.kind(), Kind::Transient, "{error}");
    // Bytes slipped in behind the answer break the handshake instead of being taken for the server's.
    let error = refused("sslmode=require", script(b"SR\0\0\0\x08\0\0\0\0")).await;
    assert!(matches!(error, Error::Tls { .. }), "{error}");
}

#[tokio::test]
async fn the_next_host_is_tried_when_one_is_not_ready_but_not_when_it_refuses() {
    for (code, expected) in [("57P03", None), ("28000", Some(Kind::Config))] {
        let (first, mut info) = listen("").await;
        let (second, other) = listen("").await;
        info.hosts.extend(other.hosts);
        let server = async {
            let mut server = accept(first).await;
            server.startup().await;
            server.send(&error_response(code, "no")).await;
            if expected.is_none() {
                let mut server = accept(second).await;
                server.startup().await;
                server.welcome(&[]).await;
                server.settings(&[]).await;
            }
        };
        let (connection, ()) = tokio::join!(Connection::connect(&info, Mode::Ordinary), server);
        assert_eq!(connection.err().map(|error| error.kind()), expected, "{code}");
    }
}

#[tokio::test]
async fn a_server_that_says_nothing() {
    let error = refused("connect_timeout=1", |mut server| async move {
        server.startup().await;
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    });
    let error = error.await;
    assert!(matches!(error, Error::ConnectTimeout { .. }), "{error}");
    assert_eq!(error.kind(), Kind::Transient);
}

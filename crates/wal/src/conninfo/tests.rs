//! Connection strings, by example.

use super::*;

fn parse(text: &str) -> ConnInfo {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn parse_with(text: &str, env: &[(&str, &str)]) -> Result<ConnInfo> {
    ConnInfo::parse(text, &|name| {
        env.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    })
}

fn refusal(text: &str) -> String {
    match text.parse::<ConnInfo>() {
        Ok(info) => panic!("{text} was taken: {info:?}"),
        Err(error) => {
            assert_eq!(error.kind(), crate::Kind::Config);
            error.to_string()
        }
    }
}

fn host(name: &str, port: u16) -> Host {
    Host { name: name.to_owned(), addr: None, port }
}

fn password(info: &ConnInfo) -> Option<String> {
    info.password_for(&info.hosts[0]).map(|(password, _)| password)
}

#[test]
fn a_full_url() {
    let info = parse(
        "postgresql://al%40ice:p%3Aw%20d@db1:5433/my%20shop?sslmode=verify-full&application_name=x%26y",
    );
    assert_eq!(info.hosts, [host("db1", 5433)]);
    assert_eq!(info.user, "al@ice");
    assert_eq!(password(&info).as_deref(), Some("p:w d"));
    assert_eq!(info.dbname, "my shop");
    assert_eq!(info.sslmode, SslMode::VerifyFull);
    assert_eq!(info.application_name, "x&y");
    assert_eq!(info.to_string(), "al@ice@db1:5433/my shop");
}

#[test]
fn hosts_of_a_url() {
    let cases: [(&str, &[Host]); 9] = [
        ("postgres://u@h", &[host("h", 5432)]),
        ("postgres://u@h/", &[host("h", 5432)]),
        ("postgres://u@h1,h2:6000,h3/d", &[host("h1", 5432), host("h2", 6000), host("h3", 5432)]),
        ("postgres://u@[::1]:6000/d", &[host("::1", 6000)]),
        ("postgres://u@[fe80::1],h", &[host("fe80::1", 5432), host("h", 5432)]),
        ("postgres://u@%2Fvar%2Frun:6000/d", &[host("/var/run", 6000)]),
        ("postgres://u@/d?host=/run/pg&port=6000", &[host("/run/pg", 6000)]),
        ("postgres://u@h/d?host=other", &[host("other", 5432)]),
        ("postgres://u@/d", &[host("/var/run/postgresql", 5432), host("/tmp", 5432)]),
    ];
    for (text, expected) in cases {
        assert_eq!(parse(text).hosts, expected, "{text}");
    }
}

#[test]
fn user_parts_of_a_url() {
    let cases = [
        ("postgres://u:p@h/d", "u", Some("p")),
        ("postgres://u:@h/d", "u", None),
        ("postgres://u:p:q?r@h/d", "u", Some("p:q?r")),
        ("postgres://h/d?user=u&password=p%3D", "u", Some("p=")),
        ("postgres://h/a@b?user=u", "u", None),
    ];
    for (text, user, expected) in cases {
        let info = parse(text);
        assert_eq!(info.user, user, "{text}");
        assert_eq!(password(&info).as_deref(), expected, "{text}");
    }
    assert_eq!(parse("postgres://h/a@b?user=u").dbname, "a@b");
}

#[test]
fn the_old_name_of_require() {
    assert_eq!(parse("postgres://u@h/d?ssl=true").sslmode, SslMode::Require);
    assert!(refusal("postgres://u@h/d?ssl=false").contains("\"ssl\""));
}

#[test]
fn bad_urls() {
    for (text, part) in [
        ("postgres://u@h:port/d", "port"),
        ("postgres://u@h:0/d", "port"),
        ("postgres://u@h:65536/d", "port"),
        ("postgres://u@[::1/d", "bracket"),
        ("postgres://u@[::1]x/d", "bracket"),
        ("postgres://u@h/d?sslmode", "\"=\""),
        ("postgres://u@h/d?sslmode=a=b", "%3D"),
        ("postgres://u@h/d?sslmode=maybe", "maybe"),
        ("postgres://u@h/d?sslcrl=x", "sslcrl"),
        ("postgres://u@h/%zz", "database"),
        ("postgres://u@h/%0", "database"),
        ("postgres://u@h/%00", "database"),
        ("postgres://u@h/%+1", "database"),
        ("postgres://u@h/%ff", "UTF-8"),
        ("postgres://u:a@b@h/d", "%40"),
    ] {
        let message = refusal(text);
        assert!(message.contains(part), "{text}: {message}");
    }
}

#[test]
fn no_message_shows_a_password() {
    for text in [
        "postgres://u:sec%zzret@h/d",
        "postgres://u:secret@x@h/d",
        "postgres://u:secret@h/d?sslmode=x",
        "postgres://u:secret@h/d?nonsense=x",
        "user=u password=secret nonsense=1",
        "user=u password='secret",
        "user=u password=secret port=x",
    ] {
        let message = refusal(text);
        assert!(!message.contains("sec"), "{text}: {message}");
    }
    let info = parse("postgres://u:secret@h/d");
    assert!(!format!("{info:?} {info}").contains("secret"));
    assert!(format!("{info:?}").contains("ConnInfo"));
}

#[test]
fn key_value_text() {
    let info =
        parse(r"host = h1,h2 port=1,2 user='o\'neil \\x'  password=a\ b dbname='' sslmode=disable");
    assert_eq!(info.hosts, [host("h1", 1), host("h2", 2)]);
    assert_eq!(info.user, r"o'neil \x");
    assert_eq!(password(&info).as_deref(), Some("a b"));
    assert_eq!(info.dbname, info.user, "an empty value means the default");
    assert_eq!(info.sslmode, SslMode::Disable);
    assert_eq!(parse("user=u host=a host=b").hosts, [host("b", 5432)], "the last one counts");
    assert_eq!(parse("user=u\n\thost=h\n").hosts, [host("h", 5432)]);
    assert_eq!(parse("user=ü password=päss").user, "ü");
}

#[test]
fn bad_key_value_text() {
    for (text, part) in [
        ("shop", "postgresql://"),
        ("host h", "\"host\""),
        ("=x", "\"\""),
        ("user='u", "quote"),
        (r"user='u\", "quote"),
        ("user=u fallback_application_name=x", "fallback_application_name"),
        ("user=u sslcert=x", "sslcert"),
        ("user=u port=1,2 host=a,b,c", "port"),
        ("user=u host=a,b hostaddr=127.0.0.1", "hostaddr"),
        ("user=u hostaddr=localhost", "hostaddr"),
        ("user=u host=@abstract", "host"),
        ("user=u connect_timeout=soon", "connect_timeout"),
        ("user=u channel_binding=yes", "channel_binding"),
        ("user=u target_session_attrs=read-write", "target_session_attrs"),
        ("user=u gssencmode=require", "gssencmode"),
        ("user=u sslrootcert=system sslmode=require", "verify-full"),
    ] {
        let message = refusal(text);
        assert!(message.contains(part), "{text}: {message}");
    }
}

#[test]
fn ports_and_addresses() {
    let info = parse("user=u host=a,b port=7");
    assert_eq!(info.hosts, [host("a", 7), host("b", 7)]);
    let info = parse("user=u host=db, hostaddr=127.0.0.1,::1 port=,8");
    let addr = |text: &str| Some(text.parse().unwrap());
    assert_eq!(
        info.hosts,
        [
            Host { name: "db".into(), addr: addr("127.0.0.1"), port: 5432 },
            Host { name: String::new(), addr: addr("::1"), port: 8 },
        ]
    );
    assert_eq!(info.to_string(), "u@db (127.0.0.1):5432,::1:8/u");
}

#[test]
fn sockets() {
    let info = parse("user=u host=/run/pg port=6000");
    assert_eq!(info.hosts[0].socket(), Some("/run/pg/.s.PGSQL.6000".into()));
    assert_eq!(info.hosts[0].to_string(), "/run/pg/.s.PGSQL.6000");
    assert_eq!(host("db", 1).socket(), None);
}

#[test]
fn tls_settings() {
    use RootCert::{File, System};
    let file = || Some(File("/ca".into()));
    for (text, mode, root) in [
        ("user=u", SslMode::Prefer, None),
        ("user=u sslmode=allow", SslMode::Prefer, None),
        ("user=u sslmode=require", SslMode::Require, None),
        ("user=u sslmode=require sslrootcert=/ca", SslMode::VerifyCa, file()),
        ("user=u sslmode=verify-ca", SslMode::VerifyCa, None),
        ("user=u sslmode=verify-full sslrootcert=/ca", SslMode::VerifyFull, file()),
        ("user=u sslrootcert=/ca", SslMode::Prefer, file()),
        ("user=u sslrootcert=system", SslMode::VerifyFull, Some(System)),
        ("user=u sslrootcert=system sslmode=verify-full", SslMode::VerifyFull, Some(System)),
    ] {
        let info = parse(text);
        assert_eq!((info.sslmode, info.sslrootcert), (mode, root), "{text}");
    }
}

#[test]
fn defaults() {
    let info = parse("user=u");
    assert_eq!(info.application_name, "wal2es");
    assert_eq!(info.connect_timeout, Some(Duration::from_secs(10)));
    assert_eq!(info.channel_binding, ChannelBinding::Prefer);
    assert_eq!(info.options, None);
    assert_eq!(parse("user=u connect_timeout=0").connect_timeout, None);
    assert_eq!(parse("user=u connect_timeout=-1").connect_timeout, None);
    assert_eq!(parse("user=u connect_timeout=3").connect_timeout, Some(Duration::from_secs(3)));
    assert!(!parse("").user.is_empty(), "the system's user");
    assert_eq!(parse("user=u gssencmode=disable target_session_attrs=any").user, "u");
}

#[test]
fn the_environment_fills_gaps() {
    let env = [
        ("PGHOST", "h"),
        ("PGHOSTADDR", "127.0.0.1"),
        ("PGPORT", "6"),
        ("PGUSER", "u"),
        ("PGPASSWORD", "p"),
        ("PGDATABASE", "d"),
        ("PGSSLMODE", "verify-ca"),
        ("PGSSLROOTCERT", "/ca"),
        ("PGAPPNAME", "a"),
        ("PGCONNECT_TIMEOUT", "7"),
        ("PGCHANNELBINDING", "require"),
        ("PGOPTIONS", "-c x=y"),
    ];
    let info = parse_with("", &env).unwrap();
    let here = Host { name: "h".into(), addr: Some([127, 0, 0, 1].into()), port: 6 };
    assert_eq!(info.hosts, [here]);
    assert_eq!((info.user.as_str(), info.dbname.as_str()), ("u", "d"));
    assert_eq!(
        info.password_for(&info.hosts[0]),
        Some(("p".to_owned(), PasswordSource::Environment))
    );
    assert_eq!(
        (info.sslmode, info.sslrootcert),
        (SslMode::VerifyCa, Some(RootCert::File("/ca".into())))
    );
    assert_eq!(info.application_name, "a");
    assert_eq!(info.connect_timeout, Some(Duration::from_secs(7)));
    assert_eq!(info.channel_binding, ChannelBinding::Require);
    assert_eq!(info.options.as_deref(), Some("-c x=y"));

    let info = parse_with("host=other hostaddr='' user=me password=mine port=''", &env).unwrap();
    assert_eq!(info.hosts, [host("other", 5432)]);
    assert_eq!(info.user, "me");
    assert_eq!(
        info.password_for(&info.hosts[0]),
        Some(("mine".to_owned(), PasswordSource::ConnInfo))
    );
}

#[test]
fn the_password_file_comes_last() {
    let path = std::env::temp_dir().join(format!("wal2es-conninfo-{}", std::process::id()));
    std::fs::write(&path, "localhost:5432:d:u:socket\nh:6:d:u:named\n127.0.0.1:*:*:*:address\n")
        .unwrap();
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let file = path.to_str().unwrap();
    for (text, expected) in [
        ("user=u dbname=d host=h port=6", Some("named")),
        ("user=u dbname=d host=h hostaddr=127.0.0.1 port=6", Some("named")),
        ("user=u dbname=d hostaddr=127.0.0.1", Some("address")),
        ("user=u dbname=d", Some("socket")),
        ("user=u dbname=d host=h", None),
        ("user=u dbname=d host=h port=6 password=given", Some("given")),
    ] {
        let info = parse_with(text, &[("PGPASSFILE", file)]).unwrap();
        assert_eq!(password(&info).as_deref(), expected, "{text}");
    }
    let info = parse(&format!("user=u dbname=d host=h port=6 passfile={file}"));
    assert_eq!(info.password_for(&info.hosts[0]).unwrap().1, PasswordSource::File(path.clone()));
    std::fs::remove_file(&path).unwrap();
    let home = parse_with("user=u", &[("HOME", "/nowhere")]).unwrap();
    assert!(home.password_places().contains("/nowhere/.pgpass"));
}

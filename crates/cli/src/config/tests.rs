use super::*;

fn wrong(text: &str) -> (String, String) {
    Config::parse(text).unwrap_err()
}

#[test]
fn a_file_as_the_manual_shows_it() {
    let config = Config::parse(
        "source:\n  url: postgres://wal2es@db.example:5432/shop?sslmode=verify-full\n\
         target:\n  url: [http://a:9200, http://b:9200]\n  username: u\n  password: p\n  ca_file: ca.pem\n\
         indexes:\n  - name: products\n    table: public.products\n    columns: [id, name]\n    id: [id]\n\
         \x20   settings: {number_of_replicas: 1}\n\
         pipeline:\n  batch_bytes: 1MiB\n  batch_rows: 500\n  refresh: 250ms\n",
    )
    .unwrap();
    assert_eq!(config.source.slot.as_str(), "wal2es");
    assert_eq!(config.target.url.len(), 2);
    let index = &config.indexes.as_ref().unwrap()[0];
    assert_eq!(index.columns.as_deref(), Some(&["id".to_owned(), "name".to_owned()][..]));
    assert_eq!(index.settings["number_of_replicas"], 1);
    assert_eq!((config.pipeline.batch_bytes, config.pipeline.batch_rows), (1 << 20, 500));
    assert_eq!(config.pipeline.refresh, Duration::from_millis(250));
    config.check().unwrap();
}

#[test]
fn json_is_yaml_and_an_empty_file_is_all_defaults() {
    let config = Config::parse(r#"{"target": {"url": "http://localhost:9200"}}"#).unwrap();
    assert_eq!(&*config.target.url, ["http://localhost:9200"]);
    assert_eq!(Config::parse("\n").unwrap().pipeline.batch_rows, 10_000);
}

#[test]
fn an_unknown_key_has_a_place_and_a_neighbour() {
    let (message, remedy) = wrong("source:\n  url: x\n  publicaton: y\n");
    assert_eq!(message, ":3:3: unknown key \"publicaton\"");
    assert_eq!(remedy, "did you mean \"publication\"?");
    let (message, remedy) = wrong("sauce: 1\n");
    assert_eq!(
        (message.as_str(), remedy.as_str()),
        (":1:1: unknown key \"sauce\"", "did you mean \"source\"?")
    );
    let (_, remedy) = wrong("pipeline: {zzz: 1}\n");
    assert_eq!(
        remedy,
        "known here: batch_bytes, batch_rows, lanes, copy_workers, refresh, keep_generation, verify_copies, zombie_limit, dead_letters"
    );
}

#[test]
fn announced_keys_say_that_they_are_not_there_yet() {
    let (message, _) = wrong("indexes:\n- table: a\n  routing: tenant\n");
    assert_eq!(message, ":3:3: routing is not supported yet");
    let (message, _) = wrong("pipeline: {refresh: index}\n");
    assert!(message.contains("refresh: index is not supported yet"), "{message}");
    let (_, remedy) = wrong("queue: {sweeep: 1s}\n");
    assert_eq!(remedy, "did you mean \"sweep\"?");
    for (sweep, fits) in [("100ms", true), ("24h", true), ("99ms", false), ("25h", false)] {
        let text =
            format!("target: {{url: x}}\nsource: {{capture: queue}}\nqueue: {{sweep: {sweep}}}\n");
        assert_eq!(Config::parse(&text).unwrap().check().is_ok(), fits, "{sweep}");
    }
}

#[test]
fn the_plugin_and_what_it_can_do() {
    let check = |source: &str| {
        let config = Config::parse(&format!("target: {{url: x}}\nsource: {{{source}}}\n")).unwrap();
        config.check().map_err(|failure| failure.to_string())
    };
    for source in ["streaming: on", "streaming: off", "streaming: true", "plugin: test_decoding"] {
        check(source).unwrap();
    }
    assert!(check("plugin: wal2json").unwrap_err().contains("wal2json is not known"));
    let both = check("plugin: test_decoding, streaming: on").unwrap_err();
    assert!(both.contains("needs the plugin pgoutput"), "{both}");
    let (message, _) = wrong("source: {streaming: maybe}\n");
    assert!(message.contains("\"maybe\" is neither on nor off"), "{message}");
}

#[test]
fn a_copy_has_at_least_one_worker() {
    for (workers, is_good) in [(0, false), (1, true), (32, true), (33, false)] {
        let text = format!("target: {{url: x}}\npipeline: {{copy_workers: {workers}}}\n");
        assert_eq!(Config::parse(&text).unwrap().check().is_ok(), is_good, "{workers}");
    }
}

#[test]
fn lanes_are_few() {
    for (lanes, is_good) in [(0, false), (1, true), (16, true), (17, false)] {
        let text = format!("target: {{url: x}}\npipeline: {{lanes: {lanes}}}\n");
        assert_eq!(Config::parse(&text).unwrap().check().is_ok(), is_good, "{lanes}");
    }
}

#[test]
fn what_the_slot_may_hold_and_where_to_listen() {
    let parse = |text: &str| Config::parse(&format!("target: {{url: x}}\n{text}")).unwrap();
    let config =
        parse("source: {max_wal_held: 20GiB}\nhttp: {listen: '[::1]:8084', ready_lag: 1m}\n");
    let left_out = parse("");
    assert_eq!(config.source.max_wal_held, left_out.source.max_wal_held);
    assert_eq!(config.http.ready_lag, Duration::from_secs(60));
    assert!(left_out.http.listen.is_none());
    for (source, key) in
        [("max_wal_held: 0", "max_wal_held"), ("watch_interval: 1ms", "watch_interval")]
    {
        let failure = parse(&format!("source: {{{source}}}\n")).check().unwrap_err().to_string();
        assert!(failure.contains(key), "{failure}");
    }
}

#[test]
fn secrets_do_not_print_themselves() {
    let config = Config::parse("target: {url: x, username: u, password: hunter2}\n").unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
    assert!(!format!("{:?}", config.target()).contains("hunter2"));
}

#[test]
fn the_environment_overrides_the_file() {
    let mut config = Config::parse("target: {url: x}\nsource: {slot: a}\n").unwrap();
    let env = |name: &str| match name {
        "WAL2ES_SOURCE_SLOT" => Some("b".to_owned()),
        "WAL2ES_TARGET_URL" => Some("http://y,http://z".to_owned()),
        "WAL2ES_PIPELINE_REFRESH" => Some("2s".to_owned()),
        "WAL2ES_PIPELINE_COPY_WORKERS" => Some("5".to_owned()),
        "WAL2ES_PIPELINE_LANES" => Some("3".to_owned()),
        "WAL2ES_PIPELINE_DEAD_LETTERS_CAP" => Some("7".to_owned()),
        "WAL2ES_PIPELINE_ZOMBIE_LIMIT" => Some("1m".to_owned()),
        "WAL2ES_SOURCE_MAX_WAL_HELD" => Some("1GiB".to_owned()),
        "WAL2ES_SOURCE_WATCH_INTERVAL" => Some("3s".to_owned()),
        "WAL2ES_HTTP_LISTEN" => Some("127.0.0.1:1".to_owned()),
        "WAL2ES_HTTP_READY_LAG" => Some("4s".to_owned()),
        _ => None,
    };
    environment::overlay(&mut config, env).unwrap();
    assert_eq!(config.source.slot.as_str(), "b");
    assert_eq!(&*config.target.url, ["http://y", "http://z"]);
    assert_eq!(config.pipeline.refresh, Duration::from_secs(2));
    assert_eq!((config.pipeline.copy_workers, config.pipeline.lanes), (5, 3));
    assert_eq!(config.pipeline.dead_letters.cap, 7);
    assert_eq!(config.pipeline.zombie_limit, Duration::from_secs(60));
    assert_eq!(config.source.max_wal_held, 1 << 30);
    assert_eq!(config.source.watch_interval, Duration::from_secs(3));
    assert_eq!(config.http.listen.as_deref(), Some("127.0.0.1:1"));
    assert_eq!(config.http.ready_lag, Duration::from_secs(4));
}

#[test]
fn the_table_of_events_and_its_indices() {
    let check = |events: &str, index: &str| {
        let text = format!(
            "target: {{url: x}}\nsource: {{capture: events}}\nevents: {{{events}}}\nindexes:\n- {{{index}}}\n"
        );
        Config::parse(&text).unwrap().check().map_err(|failure| failure.to_string())
    };
    let fine = "table: outbox, id: key, only: {kind: [a, b]}, deletes: {op: gone}, payload: doc, properties: {n: {type: long}}";
    for events in [
        "table: outbox",
        "table: outbox, order: table-lock, poll: 1s",
        "table: outbox, order: stream, fill: connector",
    ] {
        check(events, fine).unwrap();
    }
    check("table: public.outbox, retention: delete", fine).unwrap();
    for (events, index, said) in [
        ("order: stream", "table: outbox", "needs a table of events"),
        ("table: outbox, order: id", "table: outbox", "events.order: id is not known"),
        ("table: outbox, order: stream, fill: me", "table: outbox", "events.fill: me is not known"),
        ("table: outbox, retention: 7d", "table: outbox", "events.retention: 7d is not known"),
        ("table: outbox, retention: delete", "table: outbox", "name the columns of each index"),
        ("table: outbox, poll: 1ms", "table: outbox", "events.poll must be between 10ms and"),
        ("table: outbox", "table: other", "not of the table of events"),
        ("table: outbox", "table: outbox, deletes: {op: D}", "an index without `id`"),
        (
            "table: outbox",
            "table: outbox, properties: {n: {type: long}}",
            "`payload`, which is not named",
        ),
    ] {
        let error = check(events, index).unwrap_err();
        assert!(error.contains(said), "{error}");
    }
    let config = Config::parse("target: {url: x}\nindexes:\n- {table: a, payload: doc}\n").unwrap();
    assert!(config.check().unwrap_err().to_string().contains("has only, deletes, payload"));
}

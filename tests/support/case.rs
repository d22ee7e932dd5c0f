//! One test's share of the servers: a database, a slot, indices, a configuration.

use std::collections::HashMap;
use std::time::Duration;

use ::postgres::Client;
use serde_json::{Value, json};

use super::connector::{Connector, Ended};
use super::fault::Proxy;
use super::oracle::{self, Versions};
use super::postgres::{Database, lsn};
use super::search::Search;
use super::servers::Server;
use super::shared::{self, Guard};
use super::temp::TempDir;
use super::{PATIENCE, wait_for};

/// What one test works with. Leaves nothing behind.
pub struct Case {
    pub name: String,
    pub sql: Client,
    pub database: Database,
    pub search: Search,
    pub config: Value,
    pub dir: TempDir,
    tables: Vec<String>,
    aliases: HashMap<String, String>,
    _shared: Option<Guard>,
}

impl Case {
    /// On the shared servers.
    pub fn shared(name: &str) -> Self {
        let pair = shared::pair();
        let mut case = Case::on(name, &pair.postgres, &pair.search);
        case._shared = Some(pair);
        case
    }

    /// On the shared servers, in a database made with `options` of `CREATE DATABASE`.
    pub fn shared_with(name: &str, options: &str) -> Self {
        let pair = shared::pair();
        let port = pair.postgres.fact("port").parse().unwrap();
        let mut case = Case::of(name, Database::create_with(port, name, options), &pair.search);
        case._shared = Some(pair);
        case
    }

    /// On servers of the test's own.
    pub fn on(name: &str, postgres: &Server, search: &Server) -> Self {
        let database = Database::create(postgres.fact("port").parse().unwrap(), name);
        Case::of(name, database, search)
    }

    fn of(name: &str, database: Database, search: &Server) -> Self {
        let search = Search::of(search);
        let config = json!({
            "source": {"url": database.url(), "slot": name, "publication": name, "spill_dir": "spill"},
            "target": {"url": [search.url]},
            "indexes": [],
        });
        let sql = database.session();
        let dir = TempDir::new(name);
        let name = name.to_owned();
        let tables = Vec::new();
        let aliases = HashMap::new();
        let _shared = None;
        let mut case = Case { name, sql, database, search, config, dir, tables, aliases, _shared };
        case.read_by(&shared::way());
        case
    }

    /// How the log is read: `pgoutput`, `streaming` (pgoutput, with whatever is larger than 64 kB sent in progress), or
    /// `test_decoding`; or `queue`: it is not read, triggers capture what changes.
    pub fn read_by(&mut self, way: &str) {
        if way == "queue" {
            self.config["source"]["capture"] = "queue".into();
            self.config["queue"] = json!({"sweep": "1s"});
            return;
        }
        let plugin = if way == "test_decoding" { way } else { "pgoutput" };
        let streaming = if way == "streaming" { "on" } else { "off" };
        self.config["source"]["plugin"] = plugin.into();
        self.config["source"]["streaming"] = streaming.into();
        if way == "streaming" {
            let name = &self.database.name;
            let sql = format!("ALTER DATABASE {name} SET logical_decoding_work_mem = '64kB'");
            self.execute(&sql);
        }
    }

    /// Has the connector reach the servers through proxies.
    pub fn through(&mut self, source: &Proxy, target: &Proxy) {
        let behind = Database { port: source.port, ..self.database.clone() };
        self.config["source"]["url"] = behind.url().into();
        self.config["target"]["url"] = json!([format!("http://127.0.0.1:{}", target.port)]);
    }

    /// The files of transactions that are held.
    pub fn spilled(&self) -> Vec<String> {
        let dirs = std::fs::read_dir(self.dir.path().join("spill")).into_iter().flatten().flatten();
        let files =
            dirs.flat_map(|dir| std::fs::read_dir(dir.path()).into_iter().flatten().flatten());
        let names = files.map(|file| file.file_name().to_string_lossy().into_owned());
        names.filter(|name| !name.contains("lock")).collect()
    }

    /// Makes a table of the schema `public` that an index is to follow: `columns` as in CREATE TABLE.
    pub fn table(&mut self, table: &str, columns: &str) {
        self.execute(&format!("CREATE TABLE {table} ({columns})"));
        self.follow(table);
    }

    /// A table `item` with one row.
    pub fn one_item(&mut self) {
        self.table("item", "id int PRIMARY KEY, name text");
        self.execute("INSERT INTO item VALUES (1, 'one')");
    }

    /// Has an index follow a table that is there.
    pub fn follow(&mut self, table: &str) {
        let index = json!({"name": self.alias(table), "table": format!("public.{table}")});
        self.config["indexes"].as_array_mut().unwrap().push(index);
        self.tables.push(table.to_owned());
    }

    /// The same with the table's name as SQL has it, quoted and with its schema, and a name for the index.
    pub fn follow_as(&mut self, table: &str, alias: &str) {
        let index = json!({"name": alias, "table": table});
        self.config["indexes"].as_array_mut().unwrap().push(index);
        self.aliases.insert(table.to_owned(), alias.to_owned());
        self.tables.push(table.to_owned());
    }

    /// The name of the index of a table.
    pub fn alias(&self, table: &str) -> String {
        let own = || format!("{}-{table}", self.name.replace('_', "-"));
        self.aliases.get(table).cloned().unwrap_or_else(own)
    }

    pub fn execute(&mut self, sql: &str) {
        if let Err(error) = self.sql.batch_execute(sql) {
            panic!("{sql}: {error:?}");
        }
    }

    /// Starts a command with the configuration as it is now.
    pub fn start(&self, arguments: &[&str]) -> Connector {
        self.start_with(arguments, &[])
    }

    /// The same, with environment variables.
    pub fn start_with(&self, arguments: &[&str], env: &[(&str, &str)]) -> Connector {
        self.write_config();
        let mut with_file = vec!["--config", "wal2es.yml"];
        with_file.extend(arguments);
        Connector::start(self.dir.path(), &with_file, env)
    }

    /// Renamed, because a process that has just started may be reading the one before.
    fn write_config(&self) {
        let file = self.dir.path().join("wal2es.yml");
        let written = file.with_extension("new");
        std::fs::write(&written, self.config.to_string()).unwrap();
        std::fs::rename(&written, &file).unwrap();
    }

    /// Starts a command that can't make a file larger than `kib` kibibytes.
    pub fn start_limited(&self, arguments: &[&str], kib: u32) -> Connector {
        self.write_config();
        let mut with_file = vec!["--config", "wal2es.yml"];
        with_file.extend(arguments);
        Connector::start_limited(self.dir.path(), &with_file, kib)
    }

    /// Does a command to its end.
    pub fn command(&self, arguments: &[&str]) -> Ended {
        self.start(arguments).end(Duration::from_secs(180))
    }

    /// `setup` and `run --until-caught-up`.
    pub fn catch_up(&self) -> Ended {
        self.command(&["run", "--setup", "--until-caught-up"]).expect_success()
    }

    /// `setup` and `run` in the background, streaming.
    pub fn run_busy(&mut self) -> Connector {
        let mut running = self.start(&["run", "--setup"]);
        wait_for("the first load", PATIENCE, || {
            running.must_run();
            self.state().filter(|state| state["step"] == "streaming")
        });
        running
    }

    /// `setup` and `run` in the background, and everything that is there by now is searchable.
    pub fn run(&mut self) -> Connector {
        let running = self.run_busy();
        self.settle();
        running
    }

    /// Everything committed by now is searchable; says `wal2es wait`.
    pub fn settle(&self) {
        self.command(&["wait", "--timeout", "60s"]).expect_success();
    }

    /// Settled, and index and table are equal in every document of every table.
    pub fn check(&mut self) {
        self.settle();
        self.compare();
    }

    /// Index and table are equal, and the positions agree. Nothing may be written meanwhile.
    pub fn compare(&mut self) {
        for table in self.tables.clone() {
            self.compare_one(&table);
        }
        self.check_positions();
    }

    /// The same for one table, whatever the positions.
    pub fn compare_one(&mut self, table: &str) {
        let (versions, alias) = (self.versions(), self.alias(table));
        oracle::compare(&mut self.sql, &self.search, table, &alias, versions).expect_none();
    }

    fn versions(&mut self) -> Versions {
        if !self.by_queue() {
            let applied = |state: Value| lsn(state["applied_lsn"].as_str().unwrap());
            return Versions::Commits(self.state().map(applied));
        }
        let query = "SELECT last_value FROM wal2es.queue_id_seq";
        let last: i64 = self.sql.query_one(query, &[]).unwrap().get(0);
        Versions::Entries(last.try_into().unwrap())
    }

    /// Changes come from a trigger queue.
    pub fn by_queue(&self) -> bool {
        self.config["source"]["capture"] == "queue"
    }

    /// Entries of the trigger queue that are not done.
    pub fn entries(&mut self) -> i64 {
        self.sql.query_one("SELECT count(*) FROM wal2es.queue", &[]).unwrap().get(0)
    }

    /// The slot, if there is one, is not confirmed beyond what the index holds.
    pub fn check_positions(&mut self) {
        let confirmed = if self.by_queue() { 0 } else { self.confirmed() };
        let Some(state) = self.state() else { return };
        let applied = lsn(state["applied_lsn"].as_str().unwrap());
        let visible = lsn(state["visible_lsn"].as_str().unwrap());
        assert!(visible <= applied, "visible {visible:X} is beyond applied {applied:X}");
        if state["step"] == "streaming" {
            assert!(confirmed <= applied, "confirmed {confirmed:X} is beyond applied {applied:X}");
        }
    }

    /// The position that Postgres was told.
    pub fn confirmed(&mut self) -> u64 {
        let query =
            "SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = $1";
        lsn(self.sql.query_one(query, &[&self.name]).unwrap().get(0))
    }

    /// The position behind everything that is written by now.
    pub fn written(&mut self) -> u64 {
        let query = "SELECT pg_current_wal_insert_lsn()::text";
        lsn(self.sql.query_one(query, &[]).unwrap().get(0))
    }

    /// The state document.
    pub fn state(&mut self) -> Option<Value> {
        let id = self.state_id();
        Some(self.search.find(&format!("wal2es-state/_doc/{id}"))?["_source"].clone())
    }

    /// The id of the state document.
    pub fn state_id(&mut self) -> String {
        let query = "SELECT system_identifier::text FROM pg_control_system()";
        let system: String = self.sql.query_one(query, &[]).unwrap().get(0);
        format!("{system}.{}.{}", self.database.name, self.name)
    }

    /// Nothing was made: no publication, slot, state or index.
    pub fn expect_nothing_made(&mut self) {
        self.expect_nothing_in_target();
        let query = "SELECT count(*) FROM (SELECT FROM pg_replication_slots WHERE database = $1 \
                     UNION ALL SELECT FROM pg_publication) made";
        let made: i64 = self.sql.query_one(query, &[&self.database.name]).unwrap().get(0);
        assert_eq!(made, 0, "publications and slots");
    }

    /// No state and no index.
    pub fn expect_nothing_in_target(&mut self) {
        assert_eq!(self.state(), None);
        for table in &self.tables {
            let found = self.search.find(&format!("{}*", self.alias(table)));
            assert_eq!(found, Some(json!({})));
        }
    }

    /// A new session, after the server was away.
    pub fn reconnect(&mut self) {
        self.sql = self.database.session();
    }
}

impl Drop for Case {
    fn drop(&mut self) {
        self.database.remove();
        for table in &self.tables {
            for index in self.search.generations(&self.alias(table)) {
                let _ = self.search.try_request("DELETE", &index, None);
            }
        }
    }
}

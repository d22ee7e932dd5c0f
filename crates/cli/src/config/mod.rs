//! `wal2es.yml`: read, completed from the environment and the command line, checked.
//!
//! The structs are the reference: a key that is not a field here is an error with its place and the nearest known key.
//! Keys that are announced but not built yet say so.

mod environment;
mod error;
mod events;
mod interpolate;
mod units;

use std::path::{Path, PathBuf};
use std::time::Duration;

use apply::{Credentials, Secret, TargetConfig};
use feed::Plugin;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::args::{Args, Command};
use crate::failure::Failure;
pub(crate) use events::{ByColumn, Events};
use interpolate::Text;
pub(crate) use interpolate::Texts;

/// The whole file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the rows are.
    pub source: Source,
    /// Where the documents go.
    pub target: Target,
    /// The indices; left out: every table of the publication, under its own name.
    pub indexes: Option<Vec<Index>>,
    /// The trigger queue, if that is how changes are captured.
    pub queue: Queue,
    /// The table of events, if that is where changes come from.
    pub events: Events,
    /// How fast and how large.
    pub pipeline: Pipeline,
    /// What is told over HTTP.
    pub http: Http,
}

/// Where the rows are.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Source {
    /// libpq URL or key=value string.
    pub url: Option<Text>,
    /// The replication slot.
    pub slot: Text,
    /// The publication.
    pub publication: Text,
    /// The output plugin: `pgoutput`, or `test_decoding`.
    pub plugin: Text,
    /// Has large transactions sent while they are still running. What is not committed yet is held.
    #[serde(deserialize_with = "units::on_or_off")]
    pub streaming: bool,
    /// How often the catalog is compared with what the indices were made of.
    #[serde(deserialize_with = "units::duration")]
    pub catalog_interval: Duration,
    /// Where held transactions are put that do not fit into memory; left out: `TMPDIR`, or `/var/tmp`.
    pub spill_dir: Option<Text>,
    /// How much of held transactions stays in memory.
    #[serde(deserialize_with = "units::size")]
    pub spill_memory: usize,
    /// How changes are captured: `slot`, from the log; `queue`, by triggers; or `events`, from a table of events.
    pub capture: Text,
    /// How much log the server may keep for the slot. Half of it is warned of; a first copy that lets more pile up is ended,
    /// and the log is let go.
    #[serde(deserialize_with = "units::size")]
    pub max_wal_held: usize,
    /// How often the server is asked how much that is.
    #[serde(deserialize_with = "units::duration")]
    pub watch_interval: Duration,
    /// What to do when the stream has a gap (the slot is lost, the server has gone back, the indices were restored): `stop`,
    /// or `resync`, which builds a new generation at once.
    pub on_slot_loss: OnSlotLoss,
}

/// See [`Source::on_slot_loss`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnSlotLoss {
    /// Stop with exit code 3.
    #[default]
    Stop,
    /// Build a new generation.
    Resync,
}

impl Default for Source {
    fn default() -> Self {
        Source {
            url: None,
            slot: Text::from("wal2es"),
            publication: Text::from("wal2es"),
            plugin: Text::from("pgoutput"),
            streaming: false,
            catalog_interval: Duration::from_secs(60),
            spill_dir: None,
            spill_memory: 16 << 20,
            capture: Text::from("slot"),
            on_slot_loss: OnSlotLoss::Stop,
            max_wal_held: 20 << 30,
            watch_interval: Duration::from_secs(10),
        }
    }
}

/// The trigger queue.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Queue {
    /// The schema that it is in, with nothing else.
    pub schema: Text,
    /// How often it is looked at although nobody has said that there is something.
    #[serde(deserialize_with = "units::duration")]
    pub sweep: Duration,
}

impl Default for Queue {
    fn default() -> Self {
        Queue { schema: Text::from("wal2es"), sweep: Duration::from_secs(60) }
    }
}

/// Where the documents go.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Target {
    /// Nodes of one cluster.
    pub url: Texts,
    /// The user for basic authentication.
    pub username: Option<Text>,
    /// Its password.
    pub password: Option<SecretText>,
    /// An API key in its encoded form, instead of user and password.
    pub api_key: Option<SecretText>,
    /// PEM file with the certificate authority; left out: those of the machine.
    pub ca_file: Option<Text>,
    /// How often the indices are compared with what they were made as, 100ms to 24h.
    #[serde(deserialize_with = "units::duration")]
    pub check_interval: Duration,
}

impl Default for Target {
    fn default() -> Self {
        Target {
            url: Texts::default(),
            username: None,
            password: None,
            api_key: None,
            ca_file: None,
            check_interval: Duration::from_secs(60),
        }
    }
}

/// A text that never prints itself.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct SecretText(Text);

impl std::fmt::Debug for SecretText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(secret)")
    }
}

/// One index.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Index {
    /// The alias that readers search; left out: the table's name, with the schema in front outside of `public`.
    pub name: Option<Text>,
    /// `schema.name`, or a name in `public`.
    pub table: Text,
    /// The columns to take.
    pub columns: Option<Texts>,
    /// The columns to leave out.
    #[serde(default)]
    pub exclude: Texts,
    /// The columns that the document's id is made of; left out: the primary key.
    pub id: Option<Texts>,
    /// Settings of the index, such as `number_of_replicas`.
    #[serde(default)]
    pub settings: Map<String, Value>,
    /// Only events with one of these texts in each of these columns. This and what follows is for `source.capture: events`,
    /// where `id` is the key whose last event is the document; without it each event is one.
    #[serde(default)]
    pub only: ByColumn,
    /// After an event with one of these texts in one of these columns there is no document.
    #[serde(default)]
    pub deletes: ByColumn,
    /// The JSON column whose fields are the document; where it is NULL there is none.
    pub payload: Option<Text>,
    /// The mapping of fields of `payload`, as in Elasticsearch; others are kept, and not searched.
    #[serde(default)]
    pub properties: Map<String, Value>,
}

/// How fast and how large.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pipeline {
    /// A request is full at this size.
    #[serde(deserialize_with = "units::size")]
    pub batch_bytes: usize,
    /// A request is full with this many operations.
    pub batch_rows: usize,
    /// How many requests may be in flight at once: 1 to 16. Each takes about twice `batch_bytes` of memory.
    pub lanes: usize,
    /// How many sessions copy tables at once, in the first load: 1 to 32. Each takes about 20 MB of memory.
    pub copy_workers: usize,
    /// The longest time between two refreshes under load.
    #[serde(deserialize_with = "units::duration")]
    pub refresh: Duration,
    /// How long the index before is kept after a resync, for `wal2es rollback`; `0s` drops it at once.
    #[serde(deserialize_with = "units::duration")]
    pub keep_generation: Duration,
    /// What has been copied is read once more on both sides and compared, before it is shown.
    pub verify_copies: bool,
    /// How long a server may still execute a request whose connection was closed: deletes of the keys in it are sent again for
    /// so long.
    #[serde(deserialize_with = "units::duration")]
    pub zombie_limit: Duration,
    /// Rows that have no document.
    pub dead_letters: DeadLetters,
}

/// Rows that the target refuses, or that can't become documents.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeadLetters {
    /// With more than this, `run` stops (exit 3): something is wrong with more than a row.
    pub cap: usize,
}

impl Default for DeadLetters {
    fn default() -> Self {
        DeadLetters { cap: 10_000 }
    }
}

impl Default for Pipeline {
    fn default() -> Self {
        Pipeline {
            batch_bytes: 5 << 20,
            batch_rows: 10_000,
            lanes: 2,
            copy_workers: 2,
            refresh: Duration::from_secs(1),
            keep_generation: Duration::from_secs(24 * 3600),
            verify_copies: true,
            dead_letters: DeadLetters::default(),
            zombie_limit: Duration::from_secs(15 * 60),
        }
    }
}

/// What is told over HTTP while `run` runs.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// Address and port to listen on, such as `127.0.0.1:8084`; left out: none.
    pub listen: Option<Text>,
    /// A file with the token that whoever asks must send as `Authorization: Bearer …`; needed to listen beyond loopback.
    pub token_file: Option<Text>,
    /// `/readyz` says no when the index is this far behind.
    #[serde(deserialize_with = "units::duration")]
    pub ready_lag: Duration,
}

impl Default for Http {
    fn default() -> Self {
        Http { listen: None, token_file: None, ready_lag: Duration::from_secs(10) }
    }
}

const DEFAULT_FILE: &str = "wal2es.yml";

impl Config {
    /// Reads the file that `args` name, or the default one, and lays environment and arguments over it.
    ///
    /// # Errors
    /// The file can't be read, is no YAML, or asks for something that is not there.
    pub fn load(args: &Args) -> Result<Config, Failure> {
        let mut config = match (&args.config, Path::new(DEFAULT_FILE)) {
            (Some(path), _) => Config::read(path)?,
            (None, default) if default.exists() && args.source.is_none() => Config::read(default)?,
            _ => Config::default(),
        };
        environment::overlay(&mut config, |name| std::env::var(name).ok())?;
        if let Some(source) = &args.source {
            config.source.url = Some(Text::from(source.as_str()));
        }
        if !args.target.is_empty() {
            config.target.url = Texts::from(args.target.clone());
        }
        if !args.tables.is_empty() {
            let of = |table: &String| Index::of_table(table);
            config.indexes = Some(args.tables.iter().map(of).collect());
        }
        if let Command::Run { listen: Some(listen), .. } = &args.command {
            config.http.listen = Some(Text::from(listen.as_str()));
        }
        config.check()?;
        Ok(config)
    }

    fn read(path: &Path) -> Result<Config, Failure> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Failure::config(
                format!("{}: {error}", path.display()),
                "name the configuration with --config FILE or WAL2ES_CONFIG",
            )
        })?;
        Config::parse(&text).map_err(|(message, remedy)| {
            Failure::config(format!("{}{message}", path.display()), remedy)
        })
    }

    /// The text of a file. An error begins with its place, `:line:column: `.
    fn parse(text: &str) -> Result<Config, (String, String)> {
        if text.trim().is_empty() {
            return Ok(Config::default());
        }
        serde_saphyr::from_str(text).map_err(|error| error::explain(&error))
    }

    /// Changes come from the log.
    pub fn by_log(&self) -> bool {
        self.source.capture.as_str() == "slot"
    }

    /// Changes are captured by triggers.
    pub fn by_queue(&self) -> bool {
        self.source.capture.as_str() == "queue"
    }

    /// Changes come from a table of events.
    pub fn by_events(&self) -> bool {
        self.source.capture.as_str() == "events"
    }

    fn check(&self) -> Result<(), Failure> {
        if self.target.url.is_empty() {
            return Err(Failure::config(
                "no search server is named",
                "set target.url in wal2es.yml, WAL2ES_TARGET_URL, or --target URL",
            ));
        }
        let capture = &self.source.capture;
        if !matches!(capture.as_str(), "slot" | "queue" | "events") {
            return Err(Failure::config(
                format!("source.capture: {capture} is not known"),
                "use source.capture: slot, queue, or events",
            ));
        }
        events::check(self)?;
        if !(Duration::from_millis(100)..=Duration::from_secs(86_400)).contains(&self.queue.sweep) {
            return Err(Failure::config(
                "queue.sweep must be between 100ms and 24h",
                "leave it out for the default, 60s",
            ));
        }
        if self.plugin()? == Plugin::TestDecoding && self.source.streaming {
            return Err(Failure::config(
                "source.streaming needs the plugin pgoutput: test_decoding sends no rows of a transaction in progress",
                "use source.plugin: pgoutput, or leave source.streaming out",
            ));
        }
        let interval = self.source.catalog_interval;
        if !(Duration::from_millis(100)..=Duration::from_secs(86_400)).contains(&interval) {
            return Err(Failure::config(
                "source.catalog_interval must be between 100ms and 24h",
                "leave it out for the default, 60s",
            ));
        }
        let interval = self.target.check_interval;
        if !(Duration::from_millis(100)..=Duration::from_secs(86_400)).contains(&interval) {
            return Err(Failure::config(
                "target.check_interval must be between 100ms and 24h",
                "leave it out for the default, 60s",
            ));
        }
        let interval = self.source.watch_interval;
        if !(Duration::from_millis(100)..=Duration::from_secs(3600)).contains(&interval) {
            return Err(Failure::config(
                "source.watch_interval must be between 100ms and 1h",
                "leave it out for the default, 10s",
            ));
        }
        if self.source.max_wal_held == 0 {
            return Err(Failure::config(
                "source.max_wal_held must be at least 1",
                "leave it out for the default, 20GiB",
            ));
        }
        wal::slot_name(&self.source.slot)?;
        let both = self.target.username.is_some() != self.target.password.is_some();
        if both {
            return Err(Failure::config(
                "target.username and target.password belong together",
                "set both, or target.api_key",
            ));
        }
        if self.target.api_key.is_some() && self.target.username.is_some() {
            return Err(Failure::config(
                "target.api_key and target.username exclude each other",
                "set one of them",
            ));
        }
        if self.pipeline.batch_rows == 0 || self.pipeline.batch_bytes == 0 {
            return Err(Failure::config(
                "pipeline.batch_rows and pipeline.batch_bytes must be at least 1",
                "leave them out for the defaults, 10000 and 5MiB",
            ));
        }
        let limit = self.pipeline.zombie_limit;
        if !(Duration::from_secs(1)..=Duration::from_secs(86_400)).contains(&limit) {
            return Err(Failure::config(
                "pipeline.zombie_limit must be between 1s and 24h",
                "leave it out for the default, 15m",
            ));
        }
        if !(1..=16).contains(&self.pipeline.lanes) {
            return Err(Failure::config(
                "pipeline.lanes must be between 1 and 16",
                "leave it out for the default, 2",
            ));
        }
        if !(1..=32).contains(&self.pipeline.copy_workers) {
            return Err(Failure::config(
                "pipeline.copy_workers must be between 1 and 32",
                "leave it out for the default, 2",
            ));
        }
        Ok(())
    }

    /// The output plugin.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn plugin(&self) -> Result<Plugin, Failure> {
        let name = &self.source.plugin;
        Plugin::named(name).ok_or_else(|| {
            Failure::config(
                format!("source.plugin: {name} is not known"),
                "use source.plugin: pgoutput, or test_decoding",
            )
        })
    }

    /// How to reach the source.
    ///
    /// # Errors
    /// See [`wal::ConnInfo::from_process`].
    pub fn conn_info(&self) -> Result<wal::ConnInfo, Failure> {
        // Without a URL libpq's own variables say where: PGHOST and the others.
        let url = self.source.url.as_deref().unwrap_or_default();
        Ok(wal::ConnInfo::from_process(url)?)
    }

    /// How to reach the target.
    pub fn target(&self) -> TargetConfig {
        let target = &self.target;
        let secret = |text: &SecretText| Secret::new(text.0.as_str());
        let credentials = match (&target.api_key, &target.username, &target.password) {
            (Some(key), _, _) => Some(Credentials::ApiKey(secret(key))),
            (None, Some(username), Some(password)) => Some(Credentials::Basic {
                username: username.to_string(),
                password: secret(password),
            }),
            _ => None,
        };
        TargetConfig {
            urls: target.url.to_vec(),
            credentials,
            ca_file: target.ca_file.as_deref().map(PathBuf::from),
        }
    }

    /// When a request is full.
    pub fn limits(&self) -> apply::Limits {
        apply::Limits { bytes: self.pipeline.batch_bytes, rows: self.pipeline.batch_rows }
    }
}

impl Index {
    /// A table under its own name, with everything left at its default.
    pub(crate) fn of_table(table: &str) -> Self {
        Index {
            name: None,
            table: Text::from(table),
            columns: None,
            exclude: Texts::default(),
            id: None,
            settings: Map::new(),
            only: ByColumn::new(),
            deletes: ByColumn::new(),
            payload: None,
            properties: Map::new(),
        }
    }

    /// It has what makes sense for events only.
    fn is_of_events(&self) -> bool {
        let Index { only, deletes, payload, properties, .. } = self;
        !only.is_empty() || !deletes.is_empty() || payload.is_some() || !properties.is_empty()
    }
}

#[cfg(test)]
mod tests;

//! SQL, as the applications of the tests send it.

use ::postgres::{Client, Config, NoTls};

/// A database on a server.
#[derive(Clone)]
pub struct Database {
    pub port: u16,
    pub name: String,
}

impl Database {
    pub const ADMIN: &str = "wal2es_admin";

    /// Makes the database, anew if need be.
    pub fn create(port: u16, name: &str) -> Self {
        Self::create_with(port, name, "")
    }

    /// The same, with more of `CREATE DATABASE`.
    pub fn create_with(port: u16, name: &str, options: &str) -> Self {
        let mut server = connect(port, "postgres", Self::ADMIN);
        server.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).unwrap();
        server.batch_execute(&format!("CREATE DATABASE {name} {options}")).unwrap();
        Database { port, name: name.to_owned() }
    }

    /// A session of the superuser.
    pub fn session(&self) -> Client {
        connect(self.port, &self.name, Self::ADMIN)
    }

    /// For `source.url`.
    pub fn url(&self) -> String {
        self.url_of(Self::ADMIN)
    }

    /// For `source.url`, as somebody else.
    pub fn url_of(&self, role: &str) -> String {
        format!("postgres://{role}@127.0.0.1:{}/{}", self.port, self.name)
    }

    /// Removes the database and its slots, whoever still uses them.
    pub fn remove(&self) {
        let Ok(mut server) = try_connect(self.port, "postgres", Self::ADMIN) else { return };
        let end =
            "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE database = $1";
        let slots = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = $1";
        let database = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        for _ in 0..100 {
            let _ = server.execute(end, &[&self.name]);
            let _ = server.execute(slots, &[&self.name]);
            if server.batch_execute(&database).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

/// A session.
pub fn connect(port: u16, database: &str, role: &str) -> Client {
    try_connect(port, database, role).unwrap()
}

/// A session, if the server takes it.
pub fn try_connect(port: u16, database: &str, role: &str) -> Result<Client, ::postgres::Error> {
    let mut config = Config::new();
    config.host("127.0.0.1").port(port).dbname(database).user(role);
    config.connect_timeout(std::time::Duration::from_secs(5));
    config.connect(NoTls)
}

/// `16/B374D848` as a number.
pub fn lsn(text: &str) -> u64 {
    let (high, low) = text.split_once('/').unwrap_or_else(|| panic!("{text} is no LSN"));
    let part = |text| u64::from_str_radix(text, 16).unwrap_or_else(|_| panic!("{text} is no LSN"));
    (part(high) << 32) | part(low)
}

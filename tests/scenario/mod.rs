//! The scenarios, one file each.

/// One test. It fails by panicking.
pub struct Scenario {
    pub name: &'static str,
    pub run: fn(),
    /// It takes minutes: only with `WAL2ES_TEST_LONG`.
    long: bool,
}

impl Scenario {
    pub const fn new(name: &'static str, run: fn()) -> Self {
        Scenario { name, run, long: false }
    }

    pub const fn long(name: &'static str, run: fn()) -> Self {
        Scenario { name, run, long: true }
    }

    /// Its name among all.
    pub fn title(&self, file: &str) -> String {
        format!("{}{file}::{}", if self.long { "long::" } else { "" }, self.name)
    }
}

macro_rules! scenarios {
    ($($file:ident),+ $(,)?) => {
        $(mod $file;)+
        const FILES: &[(&str, &[Scenario])] = &[$((stringify!($file), $file::SCENARIOS)),+];
    };
}

scenarios!(
    bad_configuration,
    bad_source,
    bad_tables,
    bad_target,
    changes,
    cluster,
    complete,
    copy,
    copy_cut,
    differential,
    encodings,
    events,
    events_input,
    faults,
    gate,
    generations,
    generator,
    http,
    idle,
    keys,
    kill,
    late,
    limits,
    mass_deletes,
    memory,
    names,
    nodes,
    oracle,
    partitions,
    proxy,
    queue,
    recipes,
    refused,
    resync,
    restored,
    rollback,
    schema_changes,
    server_restart,
    selftest,
    session,
    setup,
    status,
    stop,
    streaming,
    tables,
    tampered,
    text_plugin,
    tls,
    toast,
    torn,
    truncate,
    types,
    verify,
    wait,
);

/// Every scenario with the file that it is in. The first of each file comes first: what waits for the same servers stands
/// apart.
pub fn all() -> Vec<(&'static str, &'static Scenario)> {
    let scenarios = FILES.iter().flat_map(|(file, scenarios)| {
        scenarios.iter().enumerate().map(|(place, scenario)| (place, *file, scenario))
    });
    let long = std::env::var_os("WAL2ES_TEST_LONG").is_some();
    let mut scenarios: Vec<_> = scenarios.filter(|(.., one)| long || !one.long).collect();
    scenarios.sort_by_key(|(place, ..)| *place);
    scenarios.into_iter().map(|(_, file, scenario)| (file, scenario)).collect()
}

//! No scenario is forgotten.

use std::collections::BTreeSet;
use std::path::Path;

use super::{FILES, Scenario};

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("each_file_is_registered", each_file_is_registered),
    Scenario::new("names_are_unique", names_are_unique),
];

fn each_file_is_registered() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenario");
    let files: BTreeSet<String> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter_map(|name| Some(name.strip_suffix(".rs")?.to_owned()))
        .filter(|name| name != "mod")
        .collect();
    let registered: BTreeSet<String> = FILES.iter().map(|(file, _)| (*file).to_owned()).collect();
    assert_eq!(files, registered);
    assert!(FILES.iter().all(|(_, scenarios)| !scenarios.is_empty()));
}

fn names_are_unique() {
    let names: Vec<_> = super::all().into_iter().map(|(file, scenario)| (file, scenario.name)).collect();
    let unique: BTreeSet<_> = names.iter().collect();
    assert_eq!(unique.len(), names.len());
}

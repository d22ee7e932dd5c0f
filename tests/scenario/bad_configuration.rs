//! What is wrong with the file or the arguments is said with its place and what was probably meant.

use super::Scenario;
use crate::support::PATIENCE;
use crate::support::case::Case;
use crate::support::connector::{Connector, Ended};

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("unknown_keys", unknown_keys),
    Scenario::new("keys_that_are_not_there_yet", keys_that_are_not_there_yet),
    Scenario::new("what_is_missing", what_is_missing),
    Scenario::new("usage", usage),
];

fn run(case: &Case, yaml: &str) -> Ended {
    std::fs::write(case.dir.path().join("bad.yml"), yaml).unwrap();
    let arguments = ["run", "--setup", "--config", "bad.yml"];
    Connector::start(case.dir.path(), &arguments, &[]).end(PATIENCE)
}

fn unknown_keys() {
    let mut case = Case::shared("badkeys");
    let (source, target) = (case.database.url(), case.search.url.clone());
    let good = format!("source:\n  url: {source}\ntarget:\n  url: [{target}]\n");
    run(&case, &format!("{good}  user_name: x\n")).expect(2, &["bad.yml:5:3", "user_name", "username"]);
    run(&case, &format!("{good}indexs: []\n")).expect(2, &["bad.yml:5:1", "indexs", "indexes"]);
    let index = "indexes:\n- table: public.t\n  colums: [a]\n";
    run(&case, &format!("{good}{index}")).expect(2, &["bad.yml:7:3", "colums", "columns"]);
    case.expect_nothing_made();
}

fn keys_that_are_not_there_yet() {
    let mut case = Case::shared("badannounced");
    let (source, target) = (case.database.url(), case.search.url.clone());
    let good = format!("source:\n  url: {source}\ntarget:\n  url: [{target}]\n");
    run(&case, &format!("{good}indexes:\n- table: public.t\n  where: a > 1\n")).expect(2, &["where", "not supported yet"]);
    run(&case, &format!("{good}indexes:\n- table: public.t\n  routing: a\n")).expect(2, &["routing", "not supported yet"]);
    run(&case, &format!("{good}pipeline:\n  lanes: 17\n")).expect(2, &["lanes", "between 1 and 16"]);
    case.expect_nothing_made();
}

fn what_is_missing() {
    let mut case = Case::shared("badmissing");
    let source = case.database.url();
    run(&case, &format!("source:\n  url: {source}\n")).expect(2, &["target.url"]);
    run(&case, "source: [\n").expect(2, &["bad.yml:"]);
    let secret = format!("source:\n  url: {source}\ntarget:\n  url: [http://x]\n  username: u\n  password: ${{NOT_THERE}}\n");
    run(&case, &secret).expect(2, &["NOT_THERE"]);
    let absent = ["run", "--config", "absent.yml"];
    Connector::start(case.dir.path(), &absent, &[]).end(PATIENCE).expect(2, &["absent.yml"]);
    case.expect_nothing_made();
}

fn usage() {
    let case = Case::shared("badusage");
    for arguments in [&["rnu"][..], &["run", "--untill-caught-up"], &["wait", "--timeout", "soon"], &[]] {
        let ended = Connector::start(case.dir.path(), arguments, &[]).end(PATIENCE);
        assert_eq!(ended.code, Some(2), "{arguments:?}: {}", ended.stderr);
    }
}

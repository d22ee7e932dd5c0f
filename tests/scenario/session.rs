//! What a session prints does not depend on what is set for the role, the database or the server.

use serde_json::{Value, json};

use super::Scenario;
use crate::support::case::Case;
use crate::support::oracle;

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("settings_of_role_and_database", settings_of_role_and_database),
    Scenario::new("a_login_trigger_that_changes_them", a_login_trigger_that_changes_them),
];

/// The role's, then the database's: the role's win over those.
const SETTINGS: [(&str, &str, &str); 14] = [
    ("DateStyle", "'SQL, DMY'", "'German'"),
    ("TimeZone", "'Asia/Tokyo'", "'EST5EDT'"),
    ("IntervalStyle", "'iso_8601'", "'sql_standard'"),
    ("extra_float_digits", "-15", "0"),
    ("bytea_output", "'escape'", "'escape'"),
    ("lc_monetary", "'POSIX'", "'C'"),
    ("quote_all_identifiers", "on", "on"),
    ("search_path", "odd, public", "odd"),
    ("standard_conforming_strings", "off", "off"),
    ("client_encoding", "'LATIN1'", "'SQL_ASCII'"),
    ("xmlbinary", "'hex'", "'hex'"),
    ("lock_timeout", "'1ms'", "'1ms'"),
    ("idle_session_timeout", "'1ms'", "'1ms'"),
    ("statement_timeout", "'20ms'", "'1ms'"),
];

const COLUMNS: &str = "id timestamptz PRIMARY KEY, d date, i interval, f float8, r real, b bytea, m money, c regclass, t text, \
                       list timestamptz[], pair pair, j jsonb";

const ROW: &str = "'2024-02-01 12:34:56.789+02', '2024-02-01', '1 year -2 days 03:04:05', 0.1::float8 + 0.2, 1.1, \
                   '\\x00ff', -1234.56, 'public.item', 'ü€', '{2024-02-01 00:00+02}', \
                   ROW('2024-02-01 12:00+02', '\\x00ff'), '[1.50]'";

/// Both ways give the same text, which is the one of our settings; and keys are the same in the copy, in an insert and
/// in the old row of an update or a delete.
fn settings_of_role_and_database() {
    let mut case = Case::shared("session");
    case.execute("CREATE TYPE pair AS (at timestamptz, raw bytea); CREATE SCHEMA odd");
    case.execute("DROP ROLE IF EXISTS session_role; CREATE ROLE session_role LOGIN SUPERUSER");
    case.table("item", COLUMNS);
    case.table("streamed", COLUMNS);
    case.execute(&format!("INSERT INTO item VALUES ({ROW})"));
    for (name, of_role, of_database) in SETTINGS {
        case.execute(&format!("ALTER ROLE session_role SET {name} = {of_role}"));
        case.execute(&format!("ALTER DATABASE session SET {name} = {of_database}"));
    }
    case.config["source"]["url"] = case.database.url_of("session_role").into();
    let connector = case.run();
    case.execute(&format!("SET statement_timeout = 0; INSERT INTO streamed VALUES ({ROW})"));
    case.settle();
    for table in ["item", "streamed"] {
        expect(&case, table, "2024-02-01 10:34:56.789+00", &[]);
    }
    // Under the role's settings, as an application would.
    case.execute("SET TimeZone = 'Asia/Tokyo'; SET DateStyle = 'SQL, DMY'; SET bytea_output = 'escape'");
    for table in ["item", "streamed"] {
        case.execute(&format!("UPDATE {table} SET id = id + interval '1 day', m = 0"));
    }
    case.settle();
    for table in ["item", "streamed"] {
        expect(&case, table, "2024-02-02 10:34:56.789+00", &[("m", json!("$0.00"))]);
        case.execute(&format!("DELETE FROM {table}"));
    }
    case.settle();
    for table in ["item", "streamed"] {
        assert_eq!(case.search.count(&case.alias(table)), Some(0));
    }
    connector.stop();
    case.execute("RESET ALL; DROP OWNED BY session_role; DROP ROLE session_role");
}

fn expect(case: &Case, table: &str, id: &str, other: &[(&str, Value)]) {
    let documents = oracle::documents(&case.search, &case.alias(table));
    assert_eq!(documents.keys().collect::<Vec<_>>(), [id]);
    let got: Value = serde_json::from_str(&documents[id].source).unwrap();
    let mut wanted = json!({
        "id": id.replace(' ', "T").replace("+00", "Z"), "d": "2024-02-01", "i": "1 year -2 days +03:04:05",
        "f": 0.30000000000000004, "r": 1.1, "b": "AP8=", "m": "-$1,234.56", "c": "public.item", "t": "ü€",
        "list": ["2024-01-31T22:00:00Z"], "pair": "(\"2024-02-01 10:00:00+00\",\"\\\\x00ff\")", "j": [1.50],
    });
    for (name, value) in other {
        wanted[name] = value.clone();
    }
    assert_eq!(got, wanted, "{table}");
}

/// It wins over everything that a client can ask for, so all that is left is to say so. Postgres 17 brought them.
fn a_login_trigger_that_changes_them() {
    let mut case = Case::shared("logintrigger");
    case.table("item", "id int PRIMARY KEY, b bytea");
    case.execute("INSERT INTO item VALUES (1, '\\xff')");
    case.command(&["setup"]).expect_success();
    let version: i32 =
        case.sql.query_one("SELECT current_setting('server_version_num')::int", &[]).unwrap().get(0);
    if version < 170_000 {
        return;
    }
    case.execute(
        "CREATE FUNCTION change() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN \
           IF current_setting('application_name') LIKE 'wal2es%' THEN SET bytea_output = 'escape'; END IF; END $$; \
         CREATE EVENT TRIGGER change ON login EXECUTE FUNCTION change()",
    );
    case.command(&["run"]).expect(2, &["bytea_output", "\"escape\"", "\"hex\"", "login trigger"]);
    case.expect_nothing_in_target();
    case.execute("DROP EVENT TRIGGER change");
    case.command(&["run", "--until-caught-up"]).expect_success();
    case.compare();
}

//! TLS and passwords, to either side.

use serde_json::json;

use super::Scenario;
use crate::support::case::Case;
use crate::support::servers::Server;
use crate::support::shared::{self, Exclusive};
use crate::support::PATIENCE;

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("source_by_sslmode", source_by_sslmode),
    Scenario::new("source_passwords", source_passwords),
    Scenario::new("source_passwords_from_elsewhere", source_passwords_from_elsewhere),
    Scenario::new("target_certificates_and_passwords", target_certificates_and_passwords),
    Scenario::new("the_whole_way", the_whole_way),
];

fn case(name: &str, pair: &Exclusive) -> Case {
    let mut case = Case::on(name, &pair.postgres, &pair.search);
    let search = &pair.search;
    case.config["target"]["ca_file"] = search.fact("ca").into();
    case.config["target"]["username"] = search.fact("username").into();
    case.config["target"]["password"] = "${TARGET_PASSWORD}".into();
    case.table("item", "id int PRIMARY KEY, name text");
    case.execute("INSERT INTO item VALUES (1, 'one')");
    case
}

fn status(case: &Case, env: &[(&str, &str)]) -> crate::support::connector::Ended {
    let mut env = env.to_vec();
    env.push(("TARGET_PASSWORD", "admin"));
    case.start_with(&["status"], &env).end(PATIENCE)
}

fn source_by_sslmode() {
    let pair = shared::secure();
    let mut case = case("sslmode", &pair);
    let (ca, other) = (pair.postgres.fact("ca"), pair.postgres.fact("other_ca"));
    let at = format!("port={} user=wal2es_admin dbname=sslmode", case.database.port);
    let by_address = format!("{at} host=127.0.0.1");
    let by_other_name = format!("{at} host=wrong.example hostaddr=127.0.0.1");
    for (good, how) in [
        (&by_address, "disable".to_owned()),
        (&by_address, "prefer".to_owned()),
        (&by_address, "require".to_owned()),
        (&by_address, format!("verify-ca sslrootcert={ca}")),
        (&by_address, format!("verify-full sslrootcert={ca}")),
        (&by_other_name, format!("verify-ca sslrootcert={ca}")),
    ] {
        case.config["source"]["url"] = format!("{good} sslmode={how}").into();
        status(&case, &[]).expect_success();
    }
    for (bad, how) in [
        (&by_address, format!("verify-ca sslrootcert={other}")),
        (&by_address, format!("verify-full sslrootcert={other}")),
        (&by_address, "verify-full".to_owned()),
        (&by_other_name, format!("verify-full sslrootcert={ca}")),
    ] {
        case.config["source"]["url"] = format!("{bad} sslmode={how}").into();
        status(&case, &[]).expect(2, &["certificate"]);
    }
}

const ROLES: &str = "DROP ROLE IF EXISTS by_scram, by_md5, by_password; \
    SET password_encryption = 'scram-sha-256'; \
    CREATE ROLE by_scram LOGIN REPLICATION PASSWORD 'söcret /?' IN ROLE auth_scram; \
    CREATE ROLE by_password LOGIN REPLICATION PASSWORD 'söcret /?' IN ROLE auth_password; \
    SET password_encryption = 'md5'; \
    CREATE ROLE by_md5 LOGIN REPLICATION PASSWORD 'söcret /?' IN ROLE auth_md5";
const SECRET: &str = "s%C3%B6cret%20%2F%3F";

fn source_passwords() {
    let pair = shared::secure();
    let mut case = case("passwords", &pair);
    case.execute(ROLES);
    let at = format!("127.0.0.1:{}/passwords", case.database.port);
    for role in ["by_scram", "by_md5", "by_password"] {
        let mut with = |password: &str| {
            case.config["source"]["url"] = format!("postgres://{role}:{password}@{at}?sslmode=require").into();
            status(&case, &[])
        };
        with(SECRET).expect_success();
        let ended = with("wrong").expect(2, &[role, "password"]);
        assert!(!ended.stderr.contains("wrong@"), "{}", ended.stderr);
        case.config["source"]["url"] = format!("postgres://{role}@{at}?sslmode=require").into();
        status(&case, &[]).expect(2, &["password"]);
    }
    // Without TLS too; but a password in clear text is for TLS alone.
    case.config["source"]["url"] = format!("postgres://by_scram:{SECRET}@{at}?sslmode=disable").into();
    status(&case, &[]).expect_success();
    case.execute("DROP ROLE by_scram, by_md5, by_password");
}

fn source_passwords_from_elsewhere() {
    let pair = shared::secure();
    let mut case = case("pgpass", &pair);
    case.execute(ROLES);
    let at = format!("127.0.0.1:{}/pgpass", case.database.port);
    case.config["source"]["url"] = format!("postgres://by_scram@{at}?sslmode=require").into();
    status(&case, &[("PGPASSWORD", "söcret /?")]).expect_success();
    let file = case.dir.path().join("passwords");
    std::fs::write(&file, "127.0.0.1:*:pgpass:by_scram:söcret /?\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&file, mode).unwrap();
    status(&case, &[("PGPASSFILE", file.to_str().unwrap())]).expect_success();
    case.config["source"]["url"] = format!("postgres://by_scram:${{PASSWORD}}@{at}?sslmode=require").into();
    status(&case, &[("PASSWORD", SECRET)]).expect_success();
    case.execute("DROP ROLE by_scram, by_md5, by_password");
}

fn target_certificates_and_passwords() {
    let pair = shared::secure();
    let mut case = case("secure", &pair);
    let good = case.config["target"].clone();
    status(&case, &[]).expect_success();

    case.config["target"]["ca_file"] = pair.search.fact("other_ca").into();
    status(&case, &[]).expect(2, &["certificate", "ca_file"]);
    case.config["target"].as_object_mut().unwrap().remove("ca_file");
    status(&case, &[]).expect(2, &["certificate", "ca_file"]);
    case.config["target"]["ca_file"] = "absent.pem".into();
    status(&case, &[]).expect(2, &["absent.pem"]);

    case.config["target"] = good;
    case.config["target"]["password"] = "wrong".into();
    let ended = status(&case, &[]).expect(2, &["401", "password"]);
    assert!(!ended.stderr.contains("wrong"), "{}", ended.stderr);
    case.expect_nothing_made();
}

/// Everything at once, as a careful person sets it up.
fn the_whole_way() {
    let pair = shared::secure();
    let mut case = case("wholeway", &pair);
    case.execute("DROP ROLE IF EXISTS careful; CREATE ROLE careful LOGIN REPLICATION PASSWORD 'x' IN ROLE auth_scram");
    case.execute("GRANT SELECT ON item TO careful");
    let secret = [("TARGET_PASSWORD", "admin")];
    case.start_with(&["setup"], &secret).end(PATIENCE).expect_success();
    case.config["source"]["url"] = careful_url(&case, &pair.postgres).into();
    case.config["target"]["url"] = json!([pair.search.fact("url")]);
    for _ in 0..2 {
        case.start_with(&["run", "--until-caught-up"], &secret).end(PATIENCE).expect_success();
        case.compare();
        case.execute("INSERT INTO item SELECT max(id) + 1, 'more' FROM item");
    }
    case.execute("DROP OWNED BY careful; DROP ROLE careful");
}

fn careful_url(case: &Case, postgres: &Server) -> String {
    let (port, ca) = (case.database.port, postgres.fact("ca"));
    format!("postgres://careful:x@127.0.0.1:{port}/wholeway?sslmode=verify-full&sslrootcert={ca}")
}

//! From a [SQLSTATE](https://www.postgresql.org/docs/current/errcodes-appendix.html) to what has to be done about it.

use crate::error::Kind;

/// The consequence of an error with this SQLSTATE, for the few dozen that logging in, replicating and copying can
/// give. Single codes come before their class.
pub(crate) fn kind(code: &str) -> Kind {
    match code {
        // protocol_violation: we sent nonsense, and would send it again.
        "08P01" => Kind::Definite,
        // database_dropped.
        "57P04" => Kind::Config,
        // configuration_limit_exceeded: all replication slots are taken.
        "53400" => Kind::Config,
        // object_in_use: the old walsender still holds the slot.
        "55006" => Kind::Transient,
        // lock_not_available.
        "55P03" => Kind::Transient,
        // read_only_sql_transaction: a standby where a primary is needed.
        "25006" => Kind::Config,
        // undefined_file: the WAL that the slot needs is gone.
        "58P01" => Kind::Definite,
        // invalid_parameter_value: an option that this server doesn't know.
        "22023" => Kind::Config,
        _ => match code.get(..2).unwrap_or_default() {
            // Connection lost, out of resources, an operator stepped in, trouble of the system.
            "08" | "53" | "57" | "58" => Kind::Transient,
            // Deadlock, serialization failure.
            "40" => Kind::Transient,
            // Not supported, login refused, no such database or schema, object in the wrong state (wal_level, an
            // invalidated slot), no privilege or no such object.
            "0A" | "28" | "3D" | "3F" | "55" | "42" => Kind::Config,
            _ => Kind::Definite,
        },
    }
}

/// What a user can change about an error of this SQLSTATE while a session starts; empty where the server's own words
/// say it all.
pub(crate) fn login_remedy(code: &str, replication: bool) -> &'static str {
    match code {
        "28000" if replication => {
            "check that the role exists, may log in and has REPLICATION, and that pg_hba.conf has a line for this \
             host, user, database and kind of encryption (sslmode)"
        }
        "28000" => {
            "check that the role exists and may log in, and that pg_hba.conf has a line for this host, user, database \
             and kind of encryption (sslmode)"
        }
        "3D000" => "check the database in the connection string (PGDATABASE)",
        "42501" if replication => {
            "the role needs the REPLICATION attribute: ALTER ROLE … REPLICATION"
        }
        "42501" => "the role needs CONNECT on the database",
        "08P01" => {
            "a connection pooler? It does not pass session settings and replication on: connect to the server itself"
        }
        "53300" if replication => "raise max_wal_senders or max_connections, or end idle sessions",
        "53300" => "raise max_connections, or end idle sessions",
        _ => "",
    }
}

/// What a user can change about an error of this SQLSTATE in a replication command.
pub(crate) fn slot_remedy(code: &str) -> &'static str {
    match code {
        "55006" => {
            "somebody else reads the slot, or the server has not noticed yet that its reader is gone"
        }
        "42704" => "there is no such slot: set it up first",
        "42710" => "drop the slot first if it is not in use, or choose another name",
        "53400" => "raise max_replication_slots, or drop slots that nobody needs",
        "42501" => "the role needs the REPLICATION attribute: ALTER ROLE … REPLICATION",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consequences() {
        let table = [
            (Kind::Transient, &["08006", "57P01", "57P03", "53300", "55006", "40001", "57014"][..]),
            (
                Kind::Config,
                &["28P01", "28000", "3D000", "42501", "0A000", "55000", "53400", "42704", "57P04"],
            ),
            (Kind::Definite, &["08P01", "58P01", "XX000", "22P02", "", "é"]),
        ];
        for (expected, codes) in table {
            for code in codes {
                assert_eq!(kind(code), expected, "{code}");
            }
        }
    }
}

//! `~/.pgpass`: [`host:port:database:user:password`](https://www.postgresql.org/docs/current/libpq-pgpass.html), one
//! to a line, the first that matches counts. `*` matches anything; `\:` and `\\` stand for themselves.
//!
//! A file that others may read is not used, as in libpq, and a warning says so.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// What has to match.
pub(super) struct Asked<'a> {
    pub(super) host: &'a str,
    pub(super) port: &'a str,
    pub(super) dbname: &'a str,
    pub(super) user: &'a str,
}

/// The password in the file at `path`; none if the file is missing, not ours alone, or has no line for it.
pub(super) fn look_up(path: &Path, asked: &Asked<'_>) -> Option<String> {
    let metadata = fs::metadata(path).ok()?;
    if !metadata.is_file() {
        tracing::warn!(path = %path.display(), "the password file is not a plain file and is not used");
        return None;
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        tracing::warn!(
            path = %path.display(),
            "the password file may be read by others and is not used: chmod 600"
        );
        return None;
    }
    match fs::read(path) {
        Ok(text) => search(&String::from_utf8_lossy(&text), asked),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "the password file can't be read");
            None
        }
    }
}

fn search(text: &str, asked: &Asked<'_>) -> Option<String> {
    text.lines().find_map(|line| {
        let mut rest = line.trim_end_matches('\r');
        if rest.is_empty() || rest.starts_with('#') {
            return None;
        }
        for wanted in [asked.host, asked.port, asked.dbname, asked.user] {
            let (field, after) = field(rest);
            if field != "*" && unescape(field) != wanted {
                return None;
            }
            rest = after?;
        }
        Some(unescape(rest))
    })
}

/// The text up to a colon that is not escaped, and what follows it.
fn field(text: &str) -> (&str, Option<&str>) {
    let mut escaped = false;
    for (i, byte) in text.bytes().enumerate() {
        match byte {
            b':' if !escaped => return (&text[..i], Some(&text[i + 1..])),
            b'\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    (text, None)
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        out.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(text: &str) -> Option<String> {
        search(text, &Asked { host: "db:1", port: "5432", dbname: "shop", user: r"a\b" })
    }

    #[test]
    fn first_match_counts() {
        let text = "# comment\n\ndb2:*:*:*:no\n*:5432:shop:a\\\\b:first\n*:*:*:*:second\n";
        assert_eq!(find(text).as_deref(), Some("first"));
    }

    #[test]
    fn escapes() {
        assert_eq!(find(r"db\:1:5432:shop:a\\b:p\:w\\x").as_deref(), Some(r"p:w\x"));
        assert_eq!(
            find("*:*:*:*:with:colon and space \r\n").as_deref(),
            Some("with:colon and space ")
        );
        assert_eq!(find(r"\*:*:*:*:an escaped star is no wildcard").as_deref(), None);
    }

    #[test]
    fn nothing_found() {
        for text in ["", "db", "*:*:*:*", "*:5433:*:*:x", "*:*:Shop:*:x", ":::::"] {
            assert_eq!(find(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_file_that_others_may_read_is_not_used() {
        let directory =
            std::env::temp_dir().join(format!("wal2es-passfile-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join("pgpass");
        fs::write(&path, "*:*:*:*:secret\n").unwrap();
        let asked = Asked { host: "h", port: "1", dbname: "d", user: "u" };
        for (mode, expected) in
            [(0o600, Some("secret")), (0o640, None), (0o604, None), (0o400, Some("secret"))]
        {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(look_up(&path, &asked).as_deref(), expected, "{mode:o}");
        }
        assert_eq!(look_up(&directory, &asked), None);
        fs::remove_dir_all(&directory).unwrap();
        assert_eq!(look_up(&path, &asked), None);
    }
}

//! What is wrong with the file, where, and which key was probably meant.

use serde_saphyr::Error;

/// Keys that are announced in the manual and not built yet.
const ANNOUNCED: &[&str] = &["fields", "routing", "where", "include", "metadata"];

/// The message, which begins with its place (`:line:column: `), and the remedy.
pub(super) fn explain(error: &Error) -> (String, String) {
    let error = error.without_snippet();
    let place = match error.location() {
        Some(at) => format!(":{}:{}: ", at.line(), at.column()),
        None => ": ".to_owned(),
    };
    match error {
        Error::SerdeUnknownField { field, .. } if ANNOUNCED.contains(&field.as_str()) => {
            (format!("{place}{field} is not supported yet"), "leave it out".to_owned())
        }
        Error::SerdeUnknownField { field, expected, .. } => {
            let message = format!("{place}unknown key {field:?}");
            let near = |known: &&str| strsim::jaro_winkler(known, field);
            let nearest = expected.iter().copied().max_by(|a, b| near(a).total_cmp(&near(b)));
            let remedy = match nearest.filter(|known| near(known) > 0.7) {
                Some(known) => format!("did you mean {known:?}?"),
                None => format!("known here: {}", expected.join(", ")),
            };
            (message, remedy)
        }
        other => (format!("{place}{other}"), "see the README for the form of the file".to_owned()),
    }
}

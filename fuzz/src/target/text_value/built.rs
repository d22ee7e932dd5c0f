//! Arrays and hstores made of the input, in the way that Postgres writes them: the commas of the input are taken to
//! separate strings, and what comes back must be those strings.

use change::PgType;
use document::DocumentError;

use super::json;

type Written = Result<String, DocumentError>;

pub(super) fn check(ty: &PgType, text: &[u8], written: impl Fn(&[u8]) -> Written) {
    let Ok(text) = std::str::from_utf8(text) else { return };
    match ty {
        PgType::Array { element, delimiter } if **element == PgType::Text => {
            array(text, char::from(*delimiter), &written);
        }
        PgType::Hstore => hstore(text, &written),
        _ => {}
    }
}

/// `NULL` is one, all else a string.
fn array(text: &str, delimiter: char, written: &impl Fn(&[u8]) -> Written) {
    let elements: Vec<_> = text.split(',').map(|part| (part != "NULL").then_some(part)).collect();
    let parts: Vec<_> =
        elements.iter().map(|it| it.map_or_else(|| "NULL".to_owned(), quoted)).collect();
    let array = parts.join(&delimiter.to_string());
    let got = written(format!("{{{array}}}").as_bytes());
    let read: Option<Vec<Option<String>>> =
        got.as_ref().ok().and_then(|it| serde_json::from_str(it).ok());
    let read = read.unwrap_or_default();
    assert_eq!(read.iter().map(Option::as_deref).collect::<Vec<_>>(), elements, "{got:?}");

    let twice = written(format!("[0:1][5:9]={{{{{array}}}{delimiter}{{{array}}}}}").as_bytes());
    let one = got.unwrap_or_default();
    assert_eq!(twice, Ok(format!("[{one},{one}]")));
}

fn hstore(text: &str, written: &impl Fn(&[u8]) -> Written) {
    let strings: Vec<_> = text.split(',').collect();
    let pairs = || strings.as_chunks::<2>().0.iter().enumerate();
    let key = |at: usize, key: &str| format!("{at}.{key}");
    let value = |value: &str| if value == "NULL" { value.to_owned() } else { quoted(value) };
    let pair = |(at, [k, v]): (usize, &[&str; 2])| format!("{}=>{}", quoted(&key(at, k)), value(v));
    let hstore = pairs().map(pair).collect::<Vec<_>>().join(", ");
    let got = written(hstore.as_bytes());
    let read = got.as_deref().ok().and_then(json::value).unwrap_or_default();
    assert_eq!(read.as_object().map(serde_json::Map::len), Some(pairs().len()), "{got:?}");
    for (at, [k, v]) in pairs() {
        assert_eq!(read[key(at, k)].as_str(), (*v != "NULL").then_some(*v), "{got:?}");
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

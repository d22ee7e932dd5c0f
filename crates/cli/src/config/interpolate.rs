//! `${VAR}` and `${file:PATH}` in texts.

use std::ops::Deref;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

/// A text with its `${…}` replaced: `${VAR}` by the environment variable, `${file:PATH}` by the content of the file
/// without its final newline, `$${` by `${`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text(String);

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Text(text.to_owned())
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Text {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        expand(&text, &|name| std::env::var(name).ok()).map(Text).map_err(D::Error::custom)
    }
}

/// One text or a list of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Texts(Vec<String>);

impl From<Vec<String>> for Texts {
    fn from(list: Vec<String>) -> Self {
        Texts(list)
    }
}

impl Deref for Texts {
    type Target = [String];

    fn deref(&self) -> &[String] {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrMany)
    }
}

struct OneOrMany;

impl<'de> Visitor<'de> for OneOrMany {
    type Value = Texts;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a text or a list of texts")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Texts, E> {
        let text = expand(text, &|name| std::env::var(name).ok()).map_err(E::custom)?;
        Ok(Texts(vec![text]))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Texts, E> {
        Ok(Texts(vec![value.to_string()]))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Texts, E> {
        Ok(Texts(vec![value.to_string()]))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Texts, E> {
        Ok(Texts(vec![value.to_string()]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Texts, A::Error> {
        let mut list = Vec::new();
        while let Some(Texts(one)) = seq.next_element::<Texts>()? {
            list.extend(one);
        }
        Ok(Texts(list))
    }
}

fn expand(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(before) = before.strip_suffix('$') {
            out.push_str(before);
            out.push_str("${");
            rest = after;
            continue;
        }
        out.push_str(before);
        let (name, after) = after
            .split_once('}')
            .ok_or_else(|| "${ without its }; for a literal ${ write $${".to_owned())?;
        match name.strip_prefix("file:") {
            Some(path) => {
                let content = std::fs::read_to_string(path)
                    .map_err(|error| format!("${{{name}}}: {error}"))?;
                out.push_str(content.trim_end_matches(['\n', '\r']));
            }
            None => out.push_str(
                &env(name).ok_or_else(|| format!("the environment variable {name} is not set"))?,
            ),
        }
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_and_files() {
        let env = |name: &str| (name == "A").then(|| "x".to_owned());
        assert_eq!(expand("1${A}2${A}", &env).unwrap(), "1x2x");
        assert_eq!(expand("$${A} $A", &env).unwrap(), "${A} $A");
        let path = std::env::temp_dir().join(format!("wal2es-secret-{}", std::process::id()));
        std::fs::write(&path, "s3cret\n").unwrap();
        let text = format!("${{file:{}}}", path.display());
        assert_eq!(expand(&text, &env).unwrap(), "s3cret");
        std::fs::remove_file(&path).unwrap();
        assert!(expand(&text, &env).unwrap_err().contains("No such file"));
        assert!(expand("${B}", &env).unwrap_err().contains("B is not set"));
        assert!(expand("${A", &env).is_err());
    }
}

//! Where the target is and how to log in.

use std::fmt;
use std::path::PathBuf;

/// Something that never prints itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `value` from being printed.
    pub fn new(value: impl Into<String>) -> Self {
        Secret(value.into())
    }

    /// The value, for the place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// How to log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// HTTP basic authentication.
    Basic {
        /// The user.
        username: String,
        /// The password.
        password: Secret,
    },
    /// [An API key](https://www.elastic.co/docs/deploy-manage/api-keys/elasticsearch-api-keys) in its encoded form.
    ApiKey(Secret),
}

/// Where the target is.
#[derive(Clone, Debug)]
pub struct TargetConfig {
    /// Base URLs of the nodes of one cluster, `http` or `https`, without a path.
    pub urls: Vec<String>,
    /// None for a cluster without authentication.
    pub credentials: Option<Credentials>,
    /// PEM file with the certificate authority; none for the machine's own ones.
    pub ca_file: Option<PathBuf>,
}

//! The search server, as its readers see it.

use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value, json};
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::servers::Server;

/// A client.
#[derive(Clone)]
pub struct Search {
    pub url: String,
    agent: Agent,
    login: Option<String>,
}

impl Search {
    /// Of a server that was started for the tests.
    pub fn of(server: &Server) -> Self {
        let url = server.fact("url").to_owned();
        let mut config = Agent::config_builder()
            .proxy(None)
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(120)));
        let secure = url.starts_with("https:");
        if secure {
            let pem = std::fs::read(server.fact("ca")).unwrap();
            let ca = Certificate::from_pem(&pem).unwrap();
            let roots = RootCerts::new_with_certs(&[ca]);
            config = config.tls_config(TlsConfig::builder().root_certs(roots).build());
        }
        let login = secure.then(|| {
            let pair = format!("{}:{}", server.fact("username"), server.fact("password"));
            format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
        });
        Search { url, agent: config.build().into(), login }
    }

    /// Status and body. An error is one of the connection.
    pub fn try_request(
        &self,
        method: &str,
        path: &str,
        body: Option<&str>,
    ) -> Result<(u16, String), ureq::Error> {
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}/{path}", self.url))
            .header("content-type", "application/json");
        if let Some(login) = &self.login {
            request = request.header("authorization", login);
        }
        let mut answer = match body {
            Some(body) => self.agent.run(request.body(body).unwrap())?,
            None => self.agent.run(request.body(()).unwrap())?,
        };
        let text = answer.body_mut().with_config().limit(1 << 30).read_to_string()?;
        Ok((answer.status().as_u16(), text))
    }

    /// Status and body.
    pub fn request(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, String) {
        let body = body.map(Value::to_string);
        self.try_request(method, path, body.as_deref())
            .unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// The body of a request that must succeed.
    pub fn expect(&self, method: &str, path: &str, body: Option<&Value>) -> String {
        let (status, text) = self.request(method, path, body);
        assert!(status < 300, "{method} {path}: {status} {text}");
        text
    }

    /// The same, as JSON.
    pub fn json(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        serde_json::from_str(&self.expect(method, path, body)).unwrap()
    }

    /// What a GET finds, if it is there and its shard has started.
    pub fn find(&self, path: &str) -> Option<Value> {
        let (status, text) = self.request("GET", path, None);
        match status {
            200 => Some(serde_json::from_str(&text).unwrap()),
            404 | 503 => None,
            _ => panic!("GET {path}: {status} {text}"),
        }
    }

    /// The value of one field of the document that searches find, or nothing.
    pub fn field(&self, index: &str, id: &str, field: &str) -> Option<Value> {
        let query = json!({"query": {"ids": {"values": [id]}}});
        let found = self.json("POST", &format!("{index}/_search"), Some(&query));
        found.pointer("/hits/hits/0/_source")?.get(field).cloned()
    }

    /// How many documents searches find; nothing while the index is being swapped.
    pub fn count(&self, index: &str) -> Option<u64> {
        self.find(&format!("{index}/_count"))?["count"].as_u64()
    }

    /// Every index of ours for an alias, shown or not.
    pub fn generations(&self, alias: &str) -> Vec<String> {
        let found = self.find(&format!("{alias}-g*?filter_path=*.settings.index.uuid"));
        let found = found.as_ref().and_then(Value::as_object);
        let mut names: Vec<String> =
            found.into_iter().flat_map(|map| map.keys().cloned()).collect();
        names.sort();
        names
    }

    /// The concrete index behind an alias.
    pub fn behind(&self, alias: &str) -> Option<String> {
        let found = self.find(&format!("_alias/{alias}"))?;
        found.as_object()?.keys().next().cloned()
    }
}

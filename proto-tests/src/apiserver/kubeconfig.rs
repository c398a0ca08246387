//! The file that tells a client where the server is, whom to trust and how to say who it is.

use std::{fs, io, path::Path};

use k8s_openapi::ByteString;
use serde_json::json;

/// One cluster, one user, one context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kubeconfig {
    /// `https://ADDRESS:PORT`.
    pub server: String,
    /// The authority that the client shall trust.
    pub ca_pem: String,
    /// A file that has it instead, read again when it may have changed.
    pub ca_file: Option<std::path::PathBuf>,
    /// How the client says who it is.
    pub credential: Credential,
}

/// How a client says who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// A bearer token.
    Token(String),
    /// A file with a bearer token, read again when it may have changed.
    TokenFile(std::path::PathBuf),
    /// Not at all.
    Anonymous,
}

impl Kubeconfig {
    /// The document. It is JSON, which is YAML too.
    #[must_use]
    pub fn document(&self) -> String {
        let user = match &self.credential {
            Credential::Token(token) => json!({"token": token}),
            Credential::TokenFile(path) => json!({"tokenFile": path}),
            Credential::Anonymous => json!({}),
        };
        let mut cluster = json!({"server": self.server});
        match &self.ca_file {
            Some(path) => cluster["certificate-authority"] = json!(path),
            None => {
                let authority = ByteString(self.ca_pem.clone().into_bytes());
                cluster["certificate-authority-data"] = json!(authority);
            }
        }
        let document = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "test", "user": user}],
        });
        format!("{document:#}\n")
    }

    /// Writes it to a file, at once and whole.
    ///
    /// # Errors
    /// As the file system says.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let half = path.with_extension("tmp");
        fs::write(&half, self.document())?;
        fs::rename(&half, path)
    }
}

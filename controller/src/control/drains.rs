//! Draining a node by hand: `redc drain` sets the annotation of its Node, `redc undrain` takes it away.
//!
//! The annotation, and nothing beside it, is what drains a node: every speaker sees it, and so they
//! agree on whose turn it is. So the speaker asks the API server, with its own rights; where it has not
//! got them, or there is no API server, the answer says how to do it by hand.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube::{
    Api, Client, Error,
    api::{Patch, PatchParams},
};
use serde_json::json;
use tokio::time::timeout;

use super::views;
use crate::api::ANNOTATION_DRAIN;

/// The longest that the API server may take.
const REQUEST: Duration = Duration::from_secs(4);

/// How this node is drained by hand.
#[derive(Clone)]
pub struct Drains {
    node: String,
    by: By,
}

#[derive(Clone)]
enum By {
    Api(Client),
    Manifests(String),
}

/// The annotation was not changed. Each says how to change it otherwise.
#[derive(Debug, thiserror::Error)]
pub enum DrainError {
    /// The objects do not come from an API server.
    #[error(
        "the objects come from {from}: there, {todo} the annotation {ANNOTATION_DRAIN} of Node {node}"
    )]
    Manifests {
        /// Where they come from.
        from: String,
        /// `set` or `remove`.
        todo: &'static str,
        /// The node.
        node: String,
    },
    /// It refused, or cannot be reached.
    #[error("the API server does not let the speaker do it ({why}); do it yourself: {command}")]
    Api {
        /// What it said.
        why: String,
        /// What to type.
        command: String,
    },
}

impl Drains {
    /// By the API server.
    #[must_use]
    pub fn by_api(node: impl Into<String>, client: Client) -> Self {
        let (node, by) = (node.into(), By::Api(client));
        Self { node, by }
    }

    /// By somebody who edits the manifests in `from`.
    #[must_use]
    pub fn by_manifests(node: impl Into<String>, from: impl Into<String>) -> Self {
        let (node, by) = (node.into(), By::Manifests(from.into()));
        Self { node, by }
    }

    /// Asks for the node to be drained, since `now` unless that was asked for before.
    ///
    /// # Errors
    /// [`DrainError`], with what to do instead.
    pub async fn drain(&self, now: Timestamp) -> Result<views::Annotated, DrainError> {
        let now = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let by_hand = format!("{ANNOTATION_DRAIN}={now}");
        let client = self.client("set")?;
        let nodes: Api<Node> = Api::all(client.clone());
        let asked = within(nodes.get_metadata(&self.node)).await;
        let asked = asked.map_err(|why| self.refused(why, &by_hand))?;
        let before = asked.metadata.annotations.unwrap_or_default();
        // Who asks once more keeps his place among those who wait.
        if let Some(since) = before.get(ANNOTATION_DRAIN).filter(|it| *it != "false") {
            return Ok(self.annotated(Some(since.clone()), false));
        }
        self.annotate(client, Some(&now), &by_hand).await?;
        Ok(self.annotated(Some(now), true))
    }

    /// Takes that back.
    ///
    /// # Errors
    /// [`DrainError`], with what to do instead.
    pub async fn undrain(&self) -> Result<views::Annotated, DrainError> {
        let by_hand = format!("{ANNOTATION_DRAIN}-");
        let client = self.client("remove")?;
        self.annotate(client, None, &by_hand).await?;
        Ok(self.annotated(None, true))
    }

    fn client(&self, todo: &'static str) -> Result<&Client, DrainError> {
        match &self.by {
            By::Api(client) => Ok(client),
            By::Manifests(from) => Err(DrainError::Manifests {
                from: from.clone(),
                todo,
                node: self.node.clone(),
            }),
        }
    }

    async fn annotate(
        &self,
        client: &Client,
        value: Option<&str>,
        by_hand: &str,
    ) -> Result<(), DrainError> {
        let nodes: Api<Node> = Api::all(client.clone());
        let patch = Patch::Merge(json!({"metadata": {"annotations": {(ANNOTATION_DRAIN): value}}}));
        let params = PatchParams::default();
        let patched = within(nodes.patch_metadata(&self.node, &params, &patch)).await;
        patched.map_err(|why| self.refused(why, by_hand))?;
        Ok(())
    }

    fn annotated(&self, drain: Option<String>, changed: bool) -> views::Annotated {
        views::Annotated {
            node: self.node.clone(),
            drain,
            changed,
        }
    }

    fn refused(&self, why: String, by_hand: &str) -> DrainError {
        let command = format!("kubectl annotate --overwrite node {} {by_hand}", self.node);
        DrainError::Api { why, command }
    }
}

/// What came of a request, or in a few words why nothing did.
async fn within<T>(request: impl Future<Output = Result<T, Error>>) -> Result<T, String> {
    match timeout(REQUEST, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(Error::Api(status))) => Err(status.message),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("it does not answer".to_owned()),
    }
}

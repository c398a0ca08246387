//! `validate`: what is wrong with manifests, without a daemon and without a cluster.
//!
//! The files go the way that they go in the speaker: parsed as strictly as the API server would, put
//! into an index, compiled for every Node among them. Without a Node only single objects are judged,
//! and what they name.

use std::{collections::BTreeMap, fs, io, path::Path};

use crate::{
    compile::compile,
    control::views::{ManifestFile, Problem},
    diagnostic::{Diagnostic, Severity},
    index::{Index, Kind, ObjectKey, Observed, SourceEvent},
    source::manifest,
};

/// Reads a file, or the manifests in a directory.
///
/// # Errors
/// The system's, with the path.
pub fn read(path: &Path) -> io::Result<Vec<ManifestFile>> {
    let named = |error: io::Error, path: &Path| {
        io::Error::new(error.kind(), format!("{}: {error}", path.display()))
    };
    let read = |path: &Path| {
        let text = fs::read_to_string(path).map_err(|error| named(error, path))?;
        let file = path.display().to_string();
        Ok(ManifestFile { file, text })
    };
    if !path.is_dir() {
        return Ok(vec![read(path)?]);
    }
    let mut paths = Vec::new();
    for entry in fs::read_dir(path).map_err(|error| named(error, path))? {
        let path = entry?.path();
        let suffix = path.extension().and_then(|suffix| suffix.to_str());
        if path.is_file() && matches!(suffix, Some("yaml" | "yml" | "json")) {
            paths.push(path);
        }
    }
    paths.sort();
    paths.iter().map(|path| read(path)).collect()
}

/// What is wrong, errors first.
#[must_use]
pub fn problems(files: &[ManifestFile]) -> Vec<Problem> {
    let mut found: Vec<Diagnostic> = Vec::new();
    let mut objects: BTreeMap<ObjectKey, Observed> = BTreeMap::new();
    for ManifestFile { file, text } in files {
        match manifest::parse(file, text) {
            Err(problem) => found.push(problem),
            Ok(manifest) => {
                found.extend(manifest.problems);
                objects.extend(manifest.objects.into_iter().map(|o| (o.key.clone(), o)));
            }
        }
    }
    let mut index = Index::new();
    for kind in Kind::ALL {
        let of_kind = objects.values().filter(|o| o.key.kind == kind).cloned();
        index.apply(SourceEvent::Restarted {
            kind,
            objects: of_kind.collect(),
        });
    }
    found.extend(index.problems().cloned());
    let nodes = objects.keys().filter(|key| key.kind == Kind::Node);
    for (_, diagnostics) in nodes.filter_map(|node| compile(&index, &node.name)) {
        found.extend(diagnostics);
    }
    found.sort();
    found.dedup();
    found.sort_by_key(|d| d.severity != Severity::Error);
    found.iter().map(Problem::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reasons(text: &str) -> Vec<(String, String)> {
        let file = ManifestFile {
            file: "test.yaml".to_owned(),
            text: text.to_owned(),
        };
        let found = problems(&[file]).into_iter();
        found
            .map(|problem| (problem.object, problem.reason))
            .collect()
    }

    const NODE: &str = "apiVersion: v1\nkind: Node\nmetadata: { name: n1 }\n\
        spec: { podCIDR: 10.244.1.0/24, podCIDRs: [10.244.1.0/24] }\n\
        status: { addresses: [{ type: InternalIP, address: 10.0.0.1 }] }\n---\n";

    #[test]
    fn good_manifests_are_fine() {
        let peer = "apiVersion: redstart.dev/v1alpha1\nkind: BGPPeer\nmetadata: { name: tor }\n\
                    spec: { address: 10.0.0.254, asn: 65001 }\n";
        assert_eq!(reasons(&format!("{NODE}{peer}")), []);
    }

    #[test]
    fn each_problem_names_object_and_reason() {
        assert_eq!(
            reasons("kind: [Node"),
            [("File/test.yaml".to_owned(), "invalid-yaml".to_owned())]
        );
        let peer = "apiVersion: redstart.dev/v1alpha1\nkind: BGPPeer\nmetadata: { name: tor }\n\
                    spec: { address: 10.0.0.254, asn: 65001, colour: green }\n";
        assert_eq!(
            reasons(&format!("{NODE}{peer}")),
            [("BGPPeer/tor".to_owned(), "unknown-field".to_owned())]
        );
        // What shows only when objects come together, on a Node.
        let thief = NODE.replace("n1", "n2").replace("10.0.0.1 ", "10.0.0.2 ");
        let both = reasons(&format!("{NODE}{thief}"));
        assert!(
            both.iter()
                .any(|(_, reason)| reason == "overlapping-pod-cidr"),
            "{both:?}"
        );
    }
}

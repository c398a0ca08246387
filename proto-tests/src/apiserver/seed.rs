//! Objects from a directory of manifests, as the cluster's first content and, if watched, its
//! changes: what appears in a file is created or updated, what a file no longer has is deleted.
//!
//! Looking at the directory again and again is enough for tests and needs no inotify.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use serde_json::Value;

use super::{Api, resource::Key};

/// How often a watched directory is looked at.
pub(super) const INTERVAL: Duration = Duration::from_millis(100);

/// A directory, and what was last taken from it.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    seen: BTreeMap<Key, Value>,
}

impl Directory {
    /// Nothing is read yet.
    #[must_use]
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            seen: BTreeMap::new(),
        }
    }

    /// Makes the store follow the directory. Nothing is done while any file does not parse: an
    /// editor may be half-way through.
    ///
    /// # Errors
    /// What cannot be read, parsed or stored, by file.
    pub(super) fn sync(&mut self, api: &Api) -> anyhow::Result<()> {
        let mut now = BTreeMap::new();
        let mut order = Vec::new();
        for object in read(&self.path)? {
            // A CRD must be stored before the objects of its kind can be named.
            if object["kind"] == "CustomResourceDefinition" {
                api.put(object.clone())?;
            }
            let key = api.key_of(&object)?;
            order.push(key.clone());
            now.insert(key, object);
        }
        for key in &order {
            if let Some(object) = now.get(key).filter(|it| self.seen.get(key) != Some(it)) {
                api.put(object.clone())?;
            }
        }
        for key in self.seen.keys().filter(|key| !now.contains_key(key)) {
            api.remove(key);
        }
        self.seen = now;
        Ok(())
    }
}

/// Every object in a directory's manifests, by file name, CRDs first.
fn read(directory: &Path) -> anyhow::Result<Vec<Value>> {
    let mut files: Vec<PathBuf> = fs::read_dir(directory)
        .with_context(|| directory.display().to_string())?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let extension = path.extension().and_then(|it| it.to_str());
            matches!(extension, Some("yaml" | "yml" | "json"))
        })
        .collect();
    files.sort();
    let mut objects = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let documents: Vec<Value> =
            serde_saphyr::from_multiple(&text).with_context(|| file.display().to_string())?;
        for document in documents {
            match document["items"].as_array() {
                Some(items) => objects.extend(items.iter().cloned()),
                None if document.is_null() => {}
                None => objects.push(document),
            }
        }
    }
    objects.sort_by_key(|object| object["kind"] != "CustomResourceDefinition");
    Ok(objects)
}

//! From files to objects: what a change of files means. Pure.
//!
//! A file that cannot be read any more keeps the objects that it held last. Where two files hold an
//! object of the same kind and name, the first one in the order of file names counts, whatever the
//! order in which they appeared.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    mem,
    sync::Arc,
};

use super::super::{Batch, SourceEvent, manifest::Manifest};
use crate::{
    diagnostic::{Diagnostic, Reason},
    index::{Kind, ObjectKey, Observed},
};

/// The files, and what was told about them.
#[derive(Debug, Default)]
pub(super) struct Files {
    files: BTreeMap<String, File>,
    told_objects: BTreeMap<ObjectKey, Arc<Observed>>,
    told_problems: BTreeMap<String, Vec<Diagnostic>>,
}

#[derive(Debug, Default)]
struct File {
    /// What is told of them is the same again.
    objects: Box<[Arc<Observed>]>,
    problems: Vec<Diagnostic>,
    unreadable: Option<Diagnostic>,
}

struct Merged {
    objects: BTreeMap<ObjectKey, Arc<Observed>>,
    problems: BTreeMap<String, Vec<Diagnostic>>,
}

impl Files {
    /// A file was read, or could not be.
    pub(super) fn set(&mut self, name: String, manifest: Result<Manifest, Diagnostic>) {
        let file = self.files.entry(name).or_default();
        match manifest {
            Ok(manifest) => {
                *file = File {
                    objects: manifest.objects.into_iter().map(Arc::new).collect(),
                    problems: manifest.problems,
                    unreadable: None,
                };
            }
            Err(problem) => file.unreadable = Some(problem),
        }
    }

    /// A file is gone.
    pub(super) fn remove(&mut self, name: &str) {
        self.files.remove(name);
    }

    /// Everything, as complete listings.
    pub(super) fn restart(&mut self) -> Batch {
        let Merged { objects, problems } = self.merge();
        let mut batch: Batch = Kind::ALL
            .into_iter()
            .map(|kind| SourceEvent::Restarted {
                kind,
                objects: objects
                    .values()
                    .filter(|o| o.key.kind == kind)
                    .map(|o| Observed::clone(o))
                    .collect(),
            })
            .collect();
        self.told_objects = objects;
        batch.extend(self.problem_changes(problems));
        batch
    }

    /// What is different from what was told last.
    pub(super) fn changes(&mut self) -> Batch {
        let Merged { objects, problems } = self.merge();
        let told = mem::replace(&mut self.told_objects, objects);
        let gone = told
            .keys()
            .filter(|key| !self.told_objects.contains_key(key));
        let mut batch: Batch = gone.cloned().map(SourceEvent::Deleted).collect();
        let new = self.told_objects.iter();
        let new = new.filter(|(key, observed)| told.get(key) != Some(observed));
        batch.extend(new.map(|(_, observed)| SourceEvent::Applied(Observed::clone(observed))));
        batch.extend(self.problem_changes(problems));
        batch
    }

    fn problem_changes(&mut self, problems: BTreeMap<String, Vec<Diagnostic>>) -> Batch {
        let told = mem::replace(&mut self.told_problems, problems);
        let solved = told
            .keys()
            .filter(|origin| !self.told_problems.contains_key(*origin))
            .map(|origin| (origin, Vec::new()));
        let new = self.told_problems.iter();
        let new = new.filter(|(origin, problems)| told.get(*origin) != Some(problems));
        solved
            .chain(new.map(|(origin, problems)| (origin, problems.clone())))
            .map(|(origin, problems)| SourceEvent::Problems {
                origin: origin.clone(),
                problems,
            })
            .collect()
    }

    fn merge(&self) -> Merged {
        let mut objects: BTreeMap<ObjectKey, Arc<Observed>> = BTreeMap::new();
        let mut homes: BTreeMap<&ObjectKey, &str> = BTreeMap::new();
        let mut problems: BTreeMap<String, Vec<Diagnostic>> = BTreeMap::new();
        for (name, file) in &self.files {
            let mut found: Vec<Diagnostic> = file.unreadable.iter().cloned().collect();
            found.extend(file.problems.iter().cloned());
            for observed in &file.objects {
                match homes.entry(&observed.key) {
                    Entry::Vacant(home) => {
                        home.insert(name);
                        objects.insert(observed.key.clone(), Arc::clone(observed));
                    }
                    Entry::Occupied(home) => found.push(duplicate(observed, name, home.get())),
                }
            }
            if !found.is_empty() {
                problems.insert(name.clone(), found);
            }
        }
        Merged { objects, problems }
    }
}

fn duplicate(observed: &Observed, file: &str, home: &str) -> Diagnostic {
    let message = if file == home {
        format!("{file} holds it twice; the first one is used")
    } else {
        format!("{home} and {file} both hold it; the one in {home} is used")
    };
    let object = observed.key.object_ref();
    Diagnostic::error(object, "metadata.name", Reason::DuplicateObject, message)
}

//! A watched directory of manifests.

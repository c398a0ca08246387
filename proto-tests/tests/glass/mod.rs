//! A browser, what it looks at, and what that shows.

pub(crate) mod browser;
pub(crate) mod page;
pub(crate) mod site;

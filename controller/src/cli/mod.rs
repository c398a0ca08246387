//! `redc`: what an operator types, and what comes back.
//!
//! Shaped like `birdc`: words that may be shortened while they stay unambiguous. `-o json` and
//! `-o yaml` print the answer as it came.
//!
//! | file | job |
//! |---|---|
//! | `grammar` | how commands are read, and what could come next |
//! | `table` | every command: words, arguments, help |
//! | `command` | a command, understood |
//! | `help` | the table in words |
//! | `client` | asks the daemon |
//! | `run` | carries out a command |
//! | `render` | answers as text that reads like BIRD's |
//! | `output` | text, JSON or YAML |
//! | `schema` | what JSON and YAML look like |
//! | `decode` | messages without a daemon |
//! | `dump` | answers to a file |
//! | `validate` | manifests without a daemon |
//! | `watch` | neighbours as they change |
//! | `fleet` | a command on every node: the plugin of kubectl |
//! | `terminal` | how wide it is, and which time zone its reader has |
//! | `complete` | what a word may become |
//! | `shell` | completion scripts and the manual page |
//! | `prompt` | many commands, one after the other |

pub mod client;
pub mod command;
pub mod complete;
pub mod decode;
pub mod dump;
pub mod fleet;
pub mod grammar;
pub mod help;
pub mod output;
pub mod prompt;
pub mod render;
pub mod run;
pub mod schema;
pub mod shell;
pub mod table;
pub mod terminal;
pub mod validate;
pub mod watch;

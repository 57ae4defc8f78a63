//! The repository's own rules, as pure functions from sources to violations.
//!
//! Each rule stands beside samples that break it: a rule that cannot fail checks nothing.
//! `tests/tidy.rs` applies them all to the repository.

mod arrows;
mod functions;
mod layout;
mod length;
mod packages;
mod source;
mod words;

pub use arrows::{ARROWS, dependencies_follow_the_arrows, only_ports_depends_on_bincode};
pub use functions::{functions_are_short, roots_only_declare};
pub use layout::{readme_commands_exist, top_level_names_are_known};
pub use length::files_are_short;
pub use packages::{Policy, packages_keep_to_the_policy};
pub use source::{Source, Violation, collect};
pub use words::{bincode_stays_in_the_codec, no_leftovers};

//! What a development node says when it is ready.

use serde::Serialize;

use super::layout::Layout;
use crate::{
    configuration::mask_url,
    failure::Failure,
    output::{Output, aligned},
};

/// A running node, as `-o json` names it.
#[derive(Debug, Serialize)]
struct ReadyNode {
    id: u64,
    url: String,
    pid: i64,
}

/// The one line of `-o json`.
#[derive(Debug, Serialize)]
struct Ready {
    nodes: Vec<ReadyNode>,
    data: String,
    store: String,
}

/// Prints the five lines and a command to paste.
pub(crate) fn print_lines(layout: &Layout, mode: &str, output: Output) -> Result<(), Failure> {
    let urls: Vec<String> = layout.nodes.iter().map(super::layout::DevNode::url).collect();
    let first = urls.first().cloned().unwrap_or_default();
    let facts = [
        ("API", urls.join(" ")),
        ("UI", format!("{first}/")),
        ("metrics", format!("{first}/metrics")),
        ("data", layout.data.display().to_string()),
        ("mode", format!("{mode}, {}", mask_url(&layout.store))),
    ];
    output.line(&aligned(&facts))?;
    let url = if first.ends_with(":7410") { String::new() } else { format!(" --url {first}") };
    output.line(&format!("\nTry:  quarry send Counter/c1 add 5{url}"))
}

/// Prints the one line of JSON; `pid` tells the process of a node.
pub(crate) fn print_json(
    layout: &Layout,
    pid: impl Fn(u64) -> i64,
    output: Output,
) -> Result<(), Failure> {
    let ready = Ready {
        nodes: layout
            .nodes
            .iter()
            .map(|node| ReadyNode { id: node.id, url: node.url(), pid: pid(node.id) })
            .collect(),
        data: layout.data.display().to_string(),
        store: mask_url(&layout.store),
    };
    output.json_line(&ready)
}

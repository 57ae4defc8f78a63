//! What nodes are called in their certificates.

use quarry_types::NodeId;

const PREFIX: &str = "node-";
const SUFFIX: &str = ".quarry";

/// The DNS name of a node in its certificate: `node-3.<cluster>.quarry`.
#[must_use]
pub fn node_name(cluster: &str, node: NodeId) -> String {
    format!("{PREFIX}{node}.{cluster}{SUFFIX}")
}

/// Whether a cluster of this name can be named in certificates: it is a label of DNS, of lower-case
/// letters, digits and inner hyphens, at most 63 bytes.
#[must_use]
pub fn is_cluster_label(cluster: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&cluster.len())
        && cluster.bytes().all(is_letter)
        && !cluster.starts_with('-')
        && !cluster.ends_with('-')
}

/// Of which node of which cluster `name` is, where it is the name of a node.
pub(crate) fn parse(name: &str) -> Option<(&str, NodeId)> {
    let (node, cluster) = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.split_once('.')?;
    let id: u64 = node.parse().ok()?;
    // One spelling per node: neither a sign nor leading zeros.
    (node == id.to_string()).then_some((cluster, NodeId(id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_cluster_and_node() {
        assert_eq!(node_name("east", NodeId(3)), "node-3.east.quarry");
        assert_eq!(parse("node-3.east.quarry"), Some(("east", NodeId(3))));
        for other in ["node-03.east.quarry", "node-+3.east.quarry", "3.east.quarry", "node-3.east"]
        {
            assert_eq!(parse(other), None, "{other}");
        }
    }

    #[test]
    fn only_labels_of_dns_name_a_cluster() {
        for (name, is_label) in [
            ("quarry", true),
            ("east-1", true),
            ("", false),
            ("East", false),
            ("a b", false),
            ("a.b", false),
            ("-a", false),
            ("a-", false),
        ] {
            assert_eq!(is_cluster_label(name), is_label, "{name:?}");
        }
        assert!(!is_cluster_label(&"a".repeat(64)));
    }
}

//! *Did you mean?*

/// `; did you mean "limit"?` where a candidate is near to `given`, else nothing.
pub(crate) fn did_you_mean<'a>(
    given: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> String {
    let meant = nearest(given, candidates);
    meant.map_or_else(String::new, |meant| format!("; did you mean {meant:?}?"))
}

/// The candidate nearest to `given`, if it is near enough to be meant: one slip, or one in three
/// letters, without regard to case.
fn nearest<'a>(given: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let given = given.to_ascii_lowercase();
    let limit = (given.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&given, &name.to_ascii_lowercase()), name))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_near_is_meant() {
        assert_eq!(nearest("limt", ["limit", "cursor"]), Some("limit"));
        assert_eq!(nearest("Wiat", ["wait", "limit"]), Some("wait"));
        assert_eq!(nearest("nonsense", ["limit", "cursor"]), None);
        assert_eq!(nearest("nope", ["type", "limit"]), None);
    }
}

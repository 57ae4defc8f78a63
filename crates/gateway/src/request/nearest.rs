//! *Did you mean?*

/// `; did you mean "limit"?` where a candidate is near to `given`, else nothing.
pub(crate) fn did_you_mean<'a>(
    given: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> String {
    let meant = nearest(given, candidates);
    meant.map_or_else(String::new, |meant| format!("; did you mean {meant:?}?"))
}

/// The candidate nearest to `given`, if it is near enough to be meant: at most a third of its
/// letters differ.
fn nearest<'a>(given: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = given.chars().count().div_ceil(3);
    candidates
        .into_iter()
        .map(|candidate| (distance(given, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance, without regard to ASCII case.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (above, l) in left.chars().enumerate() {
        let mut diagonal = above;
        let mut last = above + 1;
        for (cell, r) in row.iter_mut().skip(1).zip(&right) {
            let changed = diagonal + usize::from(!l.eq_ignore_ascii_case(r));
            diagonal = *cell;
            last = changed.min(*cell + 1).min(last + 1);
            *cell = last;
        }
        if let Some(first) = row.first_mut() {
            *first = above + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_levenshteins() {
        for (left, right, expected) in
            [("", "", 0), ("", "abc", 3), ("kitten", "sitting", 3), ("Wait", "wait", 0)]
        {
            assert_eq!(distance(left, right), expected, "{left} {right}");
            assert_eq!(distance(right, left), expected, "{right} {left}");
        }
    }

    #[test]
    fn only_what_is_near_is_meant() {
        assert_eq!(nearest("limt", ["limit", "cursor"]), Some("limit"));
        assert_eq!(nearest("nonsense", ["limit", "cursor"]), None);
    }
}

//! A page of `/metrics`.

/// What one node counted until it was asked.
#[derive(Debug, Clone)]
pub struct Metrics(String);

impl Metrics {
    /// The page as it was served.
    pub const fn new(page: String) -> Self {
        Self(page)
    }

    /// The sum over all series of `family`.
    pub fn sum(&self, family: &str) -> u64 {
        self.sum_where(family, &[])
    }

    /// The sum over the series of `family` that have all of `labels`.
    pub fn sum_where(&self, family: &str, labels: &[(&str, &str)]) -> u64 {
        let wanted: Vec<String> =
            labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        let values = self.0.lines().filter_map(|line| {
            let (series, value) = line.strip_prefix(family)?.rsplit_once(' ')?;
            let inner = series.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
            let has = |label: &String| inner.is_some_and(|all| all.split(',').any(|l| l == label));
            let is_family = series.is_empty() || inner.is_some();
            (is_family && wanted.iter().all(has)).then(|| value.parse::<u64>().ok())?
        });
        values.sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_series_of_a_family_are_summed() {
        let page = "# HELP a_total A.\na_total{id=\"S1\",of=\"x\"} 2\na_total{id=\"L3\",of=\"x\"} 1\n\
                    a_total_more 9\nb_total 4\n";
        let metrics = Metrics::new(page.to_owned());
        assert_eq!(metrics.sum("a_total"), 3);
        assert_eq!(metrics.sum("b_total"), 4);
        assert_eq!(metrics.sum("c_total"), 0);
        assert_eq!(metrics.sum_where("a_total", &[("id", "L3")]), 1);
        assert_eq!(metrics.sum_where("a_total", &[("of", "x")]), 3);
        assert_eq!(metrics.sum_where("a_total", &[("id", "L3"), ("of", "y")]), 0);
        assert_eq!(metrics.sum_where("b_total", &[("id", "L3")]), 0);
    }
}

//! What a node says of itself in its metrics.

/// The samples of a page of metrics.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Samples(Vec<Sample>);

#[derive(Clone, Debug, PartialEq)]
struct Sample {
    name: String,
    labels: String,
    value: f64,
}

impl Samples {
    /// Reads the text format of Prometheus; what is not understood is passed over.
    pub(super) fn parse(text: &str) -> Self {
        Self(text.lines().filter(|line| !line.starts_with('#')).filter_map(sample).collect())
    }

    /// The sum of all samples of this name.
    pub(super) fn sum(&self, name: &str) -> f64 {
        // A sum begins with -0.
        self.of(name).fold(0.0, |sum, sample| sum + sample.value)
    }

    /// The sum of all samples of this name, as a whole number from 0.
    pub(super) fn count(&self, name: &str) -> u64 {
        format!("{:.0}", self.sum(name)).parse().unwrap_or(0)
    }

    /// The values of a label, of the samples of this name that are not zero.
    pub(super) fn labels<'a>(
        &'a self,
        name: &'a str,
        label: &'a str,
    ) -> impl Iterator<Item = (&'a str, f64)> {
        self.of(name).filter(|sample| sample.value > 0.0).filter_map(move |sample| {
            let (_, rest) = sample.labels.split_once(&format!("{label}=\""))?;
            Some((rest.split_once('"')?.0, sample.value))
        })
    }

    fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Sample> {
        self.0.iter().filter(move |sample| sample.name == name)
    }
}

fn sample(line: &str) -> Option<Sample> {
    let (series, value) = line.trim().rsplit_once(' ')?;
    let (name, labels) = series.split_once('{').unwrap_or((series, ""));
    let value = value.parse().ok().filter(|value: &f64| value.is_finite())?;
    Some(Sample { name: name.to_owned(), labels: labels.to_owned(), value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_metrics_is_summed_by_name() {
        let page = "# HELP a Help.\n# TYPE a counter\na{id=\"L3\"} 2\na{id=\"D1\"} 0\na{id=\"G2\"} 1\n\
             ab 5\nc 0.25\nbad\nnan NaN\n";
        let samples = Samples::parse(page);
        let sums = ["a", "ab", "c", "nan", "none"].map(|name| samples.sum(name).to_string());
        assert_eq!(sums, ["3", "5", "0.25", "0", "0"]);
        let ids: Vec<&str> = samples.labels("a", "id").map(|(id, _)| id).collect();
        assert_eq!(ids, ["L3", "G2"]);
        assert_eq!(["a", "c", "none"].map(|name| samples.count(name)), [3, 0, 0]);
    }
}

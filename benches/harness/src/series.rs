//! What was measured.

use std::fmt;

use crate::team::Sample;

/// The samples of one path, one a repetition, in nanoseconds per operation.
#[derive(Debug, Clone)]
pub struct Series {
    name: String,
    threads: usize,
    samples: Vec<f64>,
    disturbed: usize,
}

impl Series {
    pub(crate) fn new(name: &str, threads: usize, repetitions: usize) -> Self {
        Self { name: name.to_owned(), threads, samples: Vec::with_capacity(repetitions), disturbed: 0 }
    }

    pub(crate) fn push(&mut self, sample: &Sample) {
        self.samples.push(sample.nanoseconds);
        self.disturbed += usize::from(sample.disturbed);
    }

    /// The share of the samples during which a thread had to wait for a core, in spite of all retries.
    pub fn disturbed(&self) -> f64 {
        self.disturbed as f64 / self.samples.len().max(1) as f64
    }

    /// The path's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many threads ran it at once.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// How many samples there are: fewer than planned if patience ran out.
    pub fn repetitions(&self) -> usize {
        self.samples.len()
    }

    /// The median, in nanoseconds per operation of one thread.
    pub fn median(&self) -> f64 {
        quantile(&self.samples, 0.5)
    }

    /// The sample that a share `q` of all samples does not exceed: how noisy the run was.
    pub fn quantile(&self, q: f64) -> f64 {
        quantile(&self.samples, q)
    }

    /// How often `of` this path takes: the median of the ratios within repetitions.
    pub fn ratio(&self, of: &Self) -> f64 {
        let ratios: Vec<f64> = self.samples.iter().zip(&of.samples).map(|(own, other)| own / other).collect();
        quantile(&ratios, 0.5)
    }
}

fn quantile(samples: &[f64], q: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1) as f64;
    sorted.get((last * q.clamp(0.0, 1.0)).round() as usize).copied().unwrap_or(f64::NAN)
}

/// The series of all paths of a run.
#[derive(Debug, Clone)]
pub struct Measurements {
    series: Vec<Series>,
}

impl Measurements {
    pub(crate) fn new(series: Vec<Series>) -> Self {
        for (index, one) in series.iter().enumerate() {
            assert!(
                series[..index].iter().all(|other| other.name != one.name),
                "two paths are named {}",
                one.name
            );
        }
        Self { series }
    }

    /// The series of the path with this name.
    pub fn get(&self, name: &str) -> Option<&Series> {
        self.series.iter().find(|series| series.name == name)
    }

    /// The greatest share of disturbed samples in any series. Above a tenth or so, another run on a quieter machine
    /// is worth more than this one.
    pub fn disturbed(&self) -> f64 {
        self.series.iter().map(Series::disturbed).fold(0.0, f64::max)
    }

    /// All series, in the order in which the paths were given.
    pub fn iter(&self) -> impl Iterator<Item = &Series> {
        self.series.iter()
    }
}

impl fmt::Display for Measurements {
    /// How it was measured, for the line above a table.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let repetitions = self.iter().map(Series::repetitions).min().unwrap_or(0);
        let disturbed = self.disturbed() * 100.0;
        write!(f, "{repetitions} interleaved repetitions; ")?;
        write!(f, "a thread had to wait for a core in at most {disturbed:.0} % of a path's samples")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(name: &str, samples: &[f64]) -> Series {
        Series { name: name.to_owned(), threads: 1, samples: samples.to_vec(), disturbed: 0 }
    }

    #[test]
    fn a_median_ignores_preempted_samples() {
        assert!((series("a", &[2.0, 900.0, 1.0, 3.0, 2.0]).median() - 2.0).abs() < 1e-9);
    }

    #[test]
    fn a_ratio_is_taken_within_repetitions() {
        // The machine halves its speed midway; both paths feel it, their ratio does not.
        let path = series("a", &[2.0, 2.0, 4.0, 4.0]);
        let unit = series("b", &[1.0, 1.0, 2.0, 2.0]);
        assert!((path.ratio(&unit) - 2.0).abs() < 1e-9);
    }

    #[test]
    fn quantiles_of_nothing_are_not_numbers() {
        assert!(series("a", &[]).median().is_nan());
    }
}

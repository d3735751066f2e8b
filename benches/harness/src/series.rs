//! What was measured.

use std::fmt;

use serde_json::{Value, json};

use crate::canary::Canary;
use crate::primitive::Primitive;
use crate::team::Sample;

/// The samples of one path, in nanoseconds per operation: of each repetition one, or none where all that were taken
/// had to be thrown away.
#[derive(Debug, Clone)]
pub struct Series {
    name: String,
    threads: usize,
    samples: Vec<Option<f64>>,
    /// The sample of the repetition that has not ended.
    kept: Option<f64>,
    waited: usize,
    shared: usize,
}

impl Series {
    pub(crate) fn new(name: &str, threads: usize) -> Self {
        Self { name: name.to_owned(), threads, samples: Vec::new(), kept: None, waited: 0, shared: 0 }
    }

    /// Keeps a sample for this repetition, or throws it away and counts why. Whether it was kept.
    pub(crate) fn take(&mut self, sample: &Sample, canary: &mut Canary) -> bool {
        let shared = canary.is_shared(sample.look);
        if sample.waited {
            self.waited += 1;
        } else if shared {
            self.shared += 1;
        } else {
            self.kept = Some(sample.nanoseconds);
        }
        self.kept.is_some()
    }

    pub(crate) fn end_repetition(&mut self) {
        self.samples.push(self.kept.take());
    }

    fn to_json(&self) -> Value {
        let Self { name, threads, samples, kept: _, waited, shared } = self;
        json!({ "name": name, "threads": threads, "samples": samples, "waited": waited, "shared": shared })
    }

    fn from_json(json: &Value) -> Option<Self> {
        let count = |field: &str| usize::try_from(json[field].as_u64()?).ok();
        let samples = json["samples"].as_array()?.iter().map(Value::as_f64).collect();
        let (waited, shared) = (count("waited")?, count("shared")?);
        Some(Self { samples, waited, shared, ..Self::new(json["name"].as_str()?, count("threads")?) })
    }

    /// The path's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many threads ran it at once.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// How many repetitions there were.
    pub fn repetitions(&self) -> usize {
        self.samples.len()
    }

    /// How many of them have an undisturbed sample.
    pub fn kept(&self) -> usize {
        self.samples.iter().flatten().count()
    }

    /// The share of the repetitions that have none.
    pub fn disturbed(&self) -> f64 {
        1.0 - self.kept() as f64 / self.repetitions().max(1) as f64
    }

    /// How many samples were thrown away because a thread had to wait for a core: it was preempted.
    pub fn waited(&self) -> usize {
        self.waited
    }

    /// How many samples were thrown away because a thread shared its core with something else that was busy.
    pub fn shared(&self) -> usize {
        self.shared
    }

    /// The median, in nanoseconds per operation of one thread. Not a number if no sample was kept.
    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// The sample that a share `q` of all samples does not exceed: how noisy the run was.
    pub fn quantile(&self, q: f64) -> f64 {
        quantile(self.samples.iter().flatten().copied(), q)
    }

    /// How often `of` this path takes: the median of the ratios within repetitions.
    pub fn ratio(&self, of: &Self) -> f64 {
        median(&self.ratios(of))
    }

    /// The ratios of those repetitions that have both samples, in the order in which they were measured.
    pub fn ratios(&self, of: &Self) -> Vec<f64> {
        let pairs = self.samples.iter().zip(&of.samples);
        pairs.filter_map(|(own, other)| Some((*own)? / (*other)?)).collect()
    }
}

/// The median; of nothing, not a number.
pub(crate) fn median(values: &[f64]) -> f64 {
    quantile(values.iter().copied(), 0.5)
}

fn quantile(values: impl Iterator<Item = f64>, q: f64) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1) as f64;
    sorted.get((last * q.clamp(0.0, 1.0)).round() as usize).copied().unwrap_or(f64::NAN)
}

/// The series of all paths of a run.
#[derive(Debug, Clone)]
pub struct Measurements {
    series: Vec<Series>,
    canary: f64,
}

impl Measurements {
    pub(crate) fn new(series: Vec<Series>, canary: f64) -> Self {
        for (index, one) in series.iter().enumerate() {
            assert!(
                series[..index].iter().all(|other| other.name != one.name),
                "two paths are named {}",
                one.name
            );
        }
        Self { series, canary }
    }

    /// All of it, for another process.
    pub(crate) fn to_json(&self) -> Value {
        let series: Vec<Value> = self.series.iter().map(Series::to_json).collect();
        json!({ "canary": self.canary, "series": series })
    }

    /// What [`Self::to_json`] made; nothing of anything else.
    pub(crate) fn from_json(json: &Value) -> Option<Self> {
        let series = json["series"].as_array()?.iter().map(Series::from_json).collect::<Option<Vec<_>>>()?;
        // Without a single look there is no least one, which JSON has no number for.
        Some(Self { series, canary: json["canary"].as_f64().unwrap_or(f64::INFINITY) })
    }

    /// The series of the path with this name.
    pub fn get(&self, name: &str) -> Option<&Series> {
        self.series.iter().find(|series| series.name == name)
    }

    /// The greatest share of repetitions without a sample in any series. Above a half or so, another run on a quieter
    /// machine is worth more than this one.
    pub fn disturbed(&self) -> f64 {
        self.series.iter().map(Series::disturbed).fold(0.0, f64::max)
    }

    /// The least that the canary showed: see [`Plan::calm`](crate::Plan::calm).
    pub fn canary(&self) -> f64 {
        self.canary
    }

    /// The primitives among the paths, each with its median in nanoseconds.
    pub(crate) fn primitives(&self) -> Vec<(String, f64)> {
        let measured = Primitive::ALL.iter().filter_map(|primitive| self.get(primitive.name()));
        measured.map(|series| (series.name().to_owned(), series.median())).collect()
    }

    /// All series, in the order in which the paths were given.
    pub fn iter(&self) -> impl Iterator<Item = &Series> {
        self.series.iter()
    }
}

impl fmt::Display for Measurements {
    /// How it was measured, for the line above a table.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sum = |count: fn(&Series) -> usize| self.iter().map(count).sum::<usize>();
        let repetitions = self.iter().map(Series::repetitions).min().unwrap_or(0);
        let fewest = self.iter().map(Series::kept).min().unwrap_or(0);
        write!(f, "{repetitions} interleaved repetitions, at least {fewest} of each path undisturbed; ")?;
        write!(f, "{} samples kept, ", sum(Series::kept))?;
        write!(f, "{} thrown away as preempted, ", sum(Series::waited))?;
        write!(f, "{} as on a shared core; canary {:.2}", sum(Series::shared), self.canary)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A series that was measured, as a test wants it.
    pub(crate) fn series(name: &str, samples: &[f64]) -> Series {
        with_gaps(name, &samples.iter().copied().map(Some).collect::<Vec<_>>())
    }

    pub(crate) fn with_gaps(name: &str, samples: &[Option<f64>]) -> Series {
        Series { samples: samples.to_vec(), ..Series::new(name, 1) }
    }

    pub(crate) fn measurements(series: Vec<Series>) -> Measurements {
        Measurements::new(series, 1.4)
    }

    fn sample(nanoseconds: f64, waited: bool, look: f64) -> Sample {
        Sample { nanoseconds, waited, look }
    }

    #[test]
    fn a_median_ignores_outliers() {
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
    fn a_repetition_that_lacks_either_sample_has_no_ratio() {
        let path = with_gaps("a", &[Some(4.0), None, Some(9.0), Some(6.0)]);
        let unit = with_gaps("b", &[Some(2.0), Some(1.0), None, Some(2.0)]);
        assert_eq!(path.ratios(&unit), [2.0, 3.0]);
    }

    #[test]
    fn disturbed_samples_are_thrown_away_and_counted() {
        let mut canary = Canary::new(1.75);
        let mut series = Series::new("a", 1);
        assert!(!series.take(&sample(900.0, true, 1.4), &mut canary));
        assert!(!series.take(&sample(5.0, false, 2.2), &mut canary));
        assert!(series.take(&sample(2.0, false, 1.4), &mut canary));
        series.end_repetition();
        assert!(!series.take(&sample(5.0, false, 2.2), &mut canary));
        series.end_repetition();
        assert_eq!((series.repetitions(), series.kept(), series.waited(), series.shared()), (2, 1, 1, 2));
        assert!((series.median() - 2.0).abs() < 1e-9);
        assert!((series.disturbed() - 0.5).abs() < 1e-9);
    }

    #[test]
    fn measurements_cross_to_another_process_whole() {
        let mut disturbed = with_gaps("a", &[Some(0.1 + 0.2), None, Some(1e-9)]);
        (disturbed.threads, disturbed.waited, disturbed.shared) = (2, 3, 4);
        for canary in [1.43, f64::INFINITY] {
            let measured = Measurements::new(vec![disturbed.clone(), series("b", &[])], canary);
            let text = measured.to_json().to_string();
            let again = Measurements::from_json(&text.parse().expect("JSON")).expect("measurements");
            assert_eq!(format!("{again:?}"), format!("{measured:?}"));
        }
        for text in ["{}", "[]", "null", r#"{"canary": 1, "series": [{"name": "a"}]}"#] {
            assert!(Measurements::from_json(&text.parse().expect("JSON")).is_none(), "{text}");
        }
    }

    #[test]
    fn quantiles_of_nothing_are_not_numbers() {
        assert!(series("a", &[]).median().is_nan());
    }
}

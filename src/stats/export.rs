//! Out to the world of HDR histograms.

use std::fmt::{self, Write as _};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::{
    Serializer, V2DeflateSerializeError, V2DeflateSerializer, V2SerializeError, V2Serializer,
};

use super::snapshot::HistogramSnapshot;
use crate::clock::nanos;

/// Why a histogram could not be written in the HDR formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExportError {
    /// A slot has more calls than the formats can say: 2^63 or more.
    CountTooGreat,
    /// The format's library gave an error that this one does not know.
    Other,
}

impl fmt::Display for ExportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CountTooGreat => "a slot has 2^63 calls or more, which the V2 format cannot say",
            Self::Other => "the histogram cannot be serialised",
        })
    }
}

impl std::error::Error for ExportError {}

impl From<V2SerializeError> for ExportError {
    fn from(error: V2SerializeError) -> Self {
        if matches!(error, V2SerializeError::CountNotSerializable) {
            Self::CountTooGreat
        } else {
            Self::Other
        }
    }
}

impl From<V2DeflateSerializeError> for ExportError {
    fn from(error: V2DeflateSerializeError) -> Self {
        match error {
            V2DeflateSerializeError::InternalSerializationError(error) => error.into(),
            V2DeflateSerializeError::IoError(_) => Self::Other,
        }
    }
}

/// Significant digits that keep `steps` slots an octave apart: HDR histograms have 16, 128 and 1024 for one, two and
/// three digits.
const fn digits(steps: u64) -> u8 {
    match steps {
        0..=16 => 1,
        17..=128 => 2,
        _ => 3,
    }
}

impl HistogramSnapshot {
    /// The same calls in a [`hdrhistogram::Histogram`], in nanoseconds; needs feature `hdrhistogram`.
    ///
    /// Each call stands at the longest latency of its slot, so percentiles agree with [`quantiles`](Self::quantiles),
    /// but that HDR histograms may go one call further where a share of the calls is a whole number. Calls out of range stand at the longest latency that is told apart.
    ///
    /// ```
    /// use fusewire::stats::{HistogramConfig, LatencyHistogram};
    /// use std::time::Duration;
    ///
    /// let latency = LatencyHistogram::new(HistogramConfig::new())?;
    /// latency.record(Duration::from_micros(250));
    /// let hdr = latency.snapshot().to_hdrhistogram();
    /// assert_eq!((hdr.len(), hdr.max() / 1000), (1, 251));
    /// # Ok::<(), fusewire::ConfigError>(())
    /// ```
    #[expect(clippy::missing_panics_doc, reason = "every layout can be told to HDR: a test asks them all")]
    pub fn to_hdrhistogram(&self) -> Histogram<u64> {
        let (low, high) = (self.layout().resolution(), self.layout().limit());
        let mut hdr = Histogram::new_with_bounds(low, high.max(low * 2), digits(self.layout().steps()))
            .expect("bounds and digits that HDR histograms can have");
        for slot in self.slots() {
            hdr.saturating_record_n(nanos(slot.highest).min(high), slot.count);
        }
        hdr
    }

    /// The HDR V2 serialisation, which every HDR library reads; needs feature `hdrhistogram`.
    ///
    /// # Errors
    ///
    /// [`ExportError::CountTooGreat`] for counts of 2^63 or more.
    pub fn to_hdr_v2(&self) -> Result<Vec<u8>, ExportError> {
        let mut bytes = Vec::new();
        V2Serializer::new().serialize(&self.to_hdrhistogram(), &mut bytes)?;
        Ok(bytes)
    }

    /// The HDR V2 serialisation compressed by DEFLATE, as histogram logs hold it (in base64 there); needs feature
    /// `hdrhistogram`.
    ///
    /// # Errors
    ///
    /// As [`to_hdr_v2`](Self::to_hdr_v2).
    pub fn to_hdr_v2_deflate(&self) -> Result<Vec<u8>, ExportError> {
        let mut bytes = Vec::new();
        V2DeflateSerializer::new().serialize(&self.to_hdrhistogram(), &mut bytes)?;
        Ok(bytes)
    }

    /// The percentile distribution as text, in microseconds: the `.hgrm` table that the plotters of HDR histograms
    /// take; needs feature `hdrhistogram`. `ticks` lines for each halving of the distance to 100 %, 1 to 100 (what is
    /// outside is taken for the nearer end); 5 is usual.
    pub fn percentile_table(&self, ticks: u32) -> String {
        const MICRO: f64 = 1000.0;
        let hdr = self.to_hdrhistogram();
        let mut text = format!(
            "{:>12} {:>14} {:>10} {:>14}\n\n",
            "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
        );
        let mut total = 0_u64;
        for step in hdr.iter_quantiles(ticks.clamp(1, 100)) {
            total = total.wrapping_add(step.count_since_last_iteration());
            let (value, share) = (step.value_iterated_to() as f64 / MICRO, step.quantile_iterated_to());
            // Writing to a string cannot fail.
            let _ = if share < 1.0 {
                writeln!(text, "{value:>12.3} {share:>2.12} {total:>10} {:>14.2}", 1.0 / (1.0 - share))
            } else {
                writeln!(text, "{value:>12.3} {share:>2.12} {total:>10}")
            };
        }
        let _ = writeln!(
            text,
            "#[Mean    = {:>12.3}, StdDeviation   = {:>12.3}]\n\
             #[Max     = {:>12.3}, Total count    = {:>12}]\n\
             #[Buckets = {:>12}, SubBuckets     = {:>12}]",
            hdr.mean() / MICRO,
            hdr.stdev() / MICRO,
            hdr.max() as f64 / MICRO,
            hdr.len(),
            hdr.buckets(),
            hdr.distinct_values() / (usize::from(hdr.buckets()) + 1) * 2,
        );
        text
    }
}

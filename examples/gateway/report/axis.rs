//! Scales and their ticks, and the frame of a plot.

use std::time::Duration;

use crate::spell::grouped;

use super::svg::{Area, Svg};

/// What a length on the paper stands for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scale {
    /// From zero.
    Linear {
        most: f64,
    },
    Log {
        least: f64,
        most: f64,
    },
}

impl Scale {
    /// As far as the largest value, and to the next tick.
    pub(super) fn counts(largest: f64) -> Self {
        let step = step(largest, 4.0);
        Self::Linear { most: (largest / step).ceil().max(1.0) * step }
    }

    /// Whole decades around all values, if there are any.
    pub(super) fn decades(values: impl Iterator<Item = f64>) -> Self {
        let (least, most) = values
            .filter(|&value| value > 0.0)
            .fold((f64::INFINITY, 0.0_f64), |(least, most), value| (least.min(value), most.max(value)));
        if most == 0.0 {
            return Self::Log { least: 1.0, most: 10.0 };
        }
        let least = 10.0_f64.powf(least.log10().floor());
        Self::Log { least, most: 10.0_f64.powf(most.log10().ceil()).max(least * 10.0) }
    }

    /// Where a value is, from 0 to 1.
    fn place(self, value: f64) -> f64 {
        let place = match self {
            Self::Linear { most } => value / most,
            Self::Log { least, most } => (value / least).log10() / (most / least).log10(),
        };
        place.clamp(0.0, 1.0)
    }

    fn most(self) -> f64 {
        match self {
            Self::Linear { most } | Self::Log { most, .. } => most,
        }
    }

    /// Not many more than `about`.
    fn ticks(self, about: f64) -> Vec<f64> {
        match self {
            Self::Linear { most } => {
                let step = step(most, about);
                let last = (most / step * 1.000_001) as u32;
                (0..=last).map(|n| f64::from(n) * step).collect()
            }
            Self::Log { least, most } => {
                let decades = (most / least).log10().round();
                let step = (decades / about).ceil().max(1.0);
                (0..=decades as u32)
                    .filter(|&n| f64::from(n) % step == 0.0)
                    .map(|n| least * 10.0_f64.powi(n.cast_signed()))
                    .collect()
            }
        }
    }
}

/// 1, 2 or 5 of some power of ten, so that about as many steps make up a whole.
fn step(whole: f64, about: f64) -> f64 {
    if whole <= 0.0 {
        return 1.0;
    }
    let rough = whole / about;
    let power = 10.0_f64.powf(rough.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .map(|digit| digit * power)
        .into_iter()
        .find(|&s| s >= rough * 0.999)
        .unwrap_or(rough)
}

/// A plot's place and scales.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) at: Area,
    pub(super) x: Scale,
    pub(super) y: Scale,
}

impl Frame {
    pub(super) fn x(&self, value: f64) -> f64 {
        self.at.left + self.x.place(value) * (self.at.right - self.at.left)
    }

    pub(super) fn y(&self, value: f64) -> f64 {
        self.at.bottom - self.y.place(value) * (self.at.bottom - self.at.top)
    }

    pub(super) fn point(&self, x: f64, y: f64) -> (f64, f64) {
        (self.x(x), self.y(y))
    }

    /// Lines across, and what they stand for.
    pub(super) fn levels(&self, svg: &mut Svg, spell: impl Fn(f64) -> String) {
        let Area { left, right, .. } = self.at;
        let about = if matches!(self.y, Scale::Log { .. }) { 8.0 } else { 4.0 };
        for tick in self.y.ticks(about) {
            let y = self.y(tick);
            svg.line(if y < self.at.bottom - 0.5 { "grid" } else { "axis" }, (left, y), (right, y));
            svg.words("tick end", (left - 8.0, y + 4.0), &spell(tick));
        }
    }

    /// Seconds of the run, below.
    pub(super) fn seconds(&self, svg: &mut Svg) {
        let Area { left, right, bottom, .. } = self.at;
        let ticks = self.x.ticks(if right - left > 500.0 { 8.0 } else { 4.0 });
        for (index, &tick) in ticks.iter().enumerate() {
            let x = self.x(tick);
            svg.line("axis", (x, bottom), (x, bottom + 4.0));
            let unit = if index + 1 == ticks.len() { " s" } else { "" };
            let near_the_edge = right - x < 14.0;
            let (class, x) = if near_the_edge { ("tick end", right) } else { ("tick middle", x) };
            svg.words(class, (x, bottom + 18.0), &format!("{}{unit}", trimmed(tick)));
        }
    }

    /// Shares of the orders, below: the value `n` of the scale stands for all but one in n.
    pub(super) fn shares(&self, svg: &mut Svg) {
        let Area { top, bottom, right, .. } = self.at;
        let decades = self.x.most().log10().round() as i32;
        for tick in [2.0].into_iter().chain((0..=decades).map(|n| 10.0_f64.powi(n))) {
            let x = self.x(tick);
            svg.line("grid", (x, top), (x, bottom + 4.0));
            let share = trimmed(100.0 - 100.0 / tick);
            let near_the_edge = right - x < 20.0;
            let (class, x) = if near_the_edge { ("tick end", right) } else { ("tick middle", x) };
            svg.words(class, (x, bottom + 18.0), &share);
        }
    }
}

/// No more digits than it takes.
fn trimmed(number: f64) -> String {
    let text = format!("{number:.5}");
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

pub(super) fn count(value: f64) -> String {
    if value.fract() == 0.0 { grouped(value as u64) } else { trimmed(value) }
}

/// Nanoseconds that are a whole power of ten.
pub(super) fn decade(nanos: f64) -> String {
    match Duration::from_nanos(nanos as u64).as_nanos() {
        n if n < 1_000 => format!("{n} ns"),
        n if n < 1_000_000 => format!("{} µs", n / 1_000),
        n if n < 1_000_000_000 => format!("{} ms", n / 1_000_000),
        n => format!("{} s", n / 1_000_000_000),
    }
}
